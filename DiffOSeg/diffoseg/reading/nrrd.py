"""NRRD files through SimpleITK, once it is sure that it reads what the header says.

Format: teem.sourceforge.net/nrrd/format.html; "key: value" and "key:=value" up to an empty line.
"""

import re
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..files.names import readable_name
from ..files.values import one_line
from ..space.volume import geometry_of
from .quiet import quiet_itk
from .stored_image import StoredImage, require_length, require_volume
from .text_header import TextHeader

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

_PATIENT_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior")
_PATIENT_SHORT = ("lps", "ras", "las")
_ENCODINGS = {"raw", "txt", "text", "ascii", "hex", "gz", "gzip"}
_ESCAPED = {r"\n": "\n", r"\\": "\\"}


def read_nrrd(path: Path, components: bool) -> StoredImage:
    """Return the volume in a .nrrd or .nhdr file.

    Raises:
        InputError: damaged, not 3D, in colour, voxels in another folder, an encoding that cannot be
            read, an axis without a direction, sheared axes, or a unit that is not mm.
    """
    import SimpleITK as sitk  # noqa: N813

    header = TextHeader(path, ":=?", rb"^\r?\n")
    _require_readable(header)
    image = _by_itk(path, header, components)
    array = sitk.GetArrayFromImage(image)
    if array.ndim == 4 and not components:  # an axis of one value, as lists of one have
        array = array[..., 0]
    return StoredImage(array, geometry_of(image), _facts(header), _notes(header))


def _require_readable(header: TextHeader) -> None:
    """Refuse what ITK reads otherwise than the header says, or not at all."""
    header.require_own(header.get("datafile"))
    encoding = header.get("encoding").lower()
    if encoding not in _ENCODINGS:
        raise InputError(
            f"{header.name} is packed as {one_line(encoding) or 'nothing known'}, which cannot be"
            " read here. Save it with gzip or raw."
        )
    directions = header.get("spacedirections")
    volume = header.get("dimension") not in ("1", "2")
    if volume and directions and len(re.findall(r"\([^)]*\)", directions)) != 3:
        raise InputError(
            f"{header.name} does not place three axes in space. Give one 3D volume."
        )  # ITK would make a direction up
    header.require_points("spacings", "axismins", "axismaxs")
    units = header.get("spaceunits", "units")
    header.require_millimetres(set(re.findall(r'"([^"]*)"', units)))


def _by_itk(path: Path, header: TextHeader, components: bool) -> "sitk.Image":
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO")
    try:
        with readable_name(path) as name, quiet_itk():
            reader.SetFileName(name)
            reader.ReadImageInformation()
            size, values = reader.GetSize(), reader.GetNumberOfComponents()
            require_volume(path.name, size, 1 if components else values)
            if not header.get("datafile"):
                least = prod(size) * values
                require_length(path.name, size, least, path.stat().st_size, packed=True)
            return _without_time(reader.Execute())
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise InputError(
                f"The axes of {path.name} are not perpendicular. Resample it to a straight grid."
            ) from None
        raise InputError(
            f"{path.name} is damaged, cut short or of a kind that cannot be read here. Copy it"
            " again, or save it anew."
        ) from None


def _without_time(image: "sitk.Image") -> "sitk.Image":
    """Return a 4D image of one time point as 3D."""
    import SimpleITK as sitk  # noqa: N813

    size = image.GetSize()
    if len(size) == 3:
        return image
    return sitk.Extract(image, [*size[:3], *([0] * (len(size) - 3))])


def _facts(header: TextHeader) -> dict[str, str]:
    """Return the keys and values that programs add, whose line breaks are written as two signs."""
    pairs = re.findall(r"^([^#\n][^\n]*?):=([^\r\n]*)", header.text, re.MULTILINE)
    return {
        key: re.sub(r"\\[n\\]", lambda found: _ESCAPED[found[0]], value) for key, value in pairs
    }


def _notes(header: TextHeader) -> tuple[str, ...]:
    space = header.get("space").lower()
    if space.removesuffix("-time") in _PATIENT_SPACES or space[:3] in _PATIENT_SHORT:
        return ()
    sized = header.get("spacedirections", "spacings", "axismins")
    size = "" if sized else ", nor how large its voxels are: 1 mm"
    return (f"{header.name} does not say where it lies in the patient{size}.",)
