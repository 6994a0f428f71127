"""NRRD, NIfTI and MetaImage files through SimpleITK, with sentences instead of ITK's tracebacks."""

import re
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from ..errors import InputError
from .nifti import require_whole_nifti
from .quiet import quiet_itk

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

SUFFIXES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")

_DETACHED = re.compile(
    rb"^(?:data ?file|ElementDataFile)\s*[:=]\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE
)
_HEADER_BYTES = 65536
_DEFLATE = 1040  # no zlib stream unpacks to more than this many times its size


def is_image_file(path: Path) -> bool:
    """Return whether the name is that of a format which :func:`read_image` reads."""
    return path.name.lower().endswith(SUFFIXES)


def read_image(path: Path, *, components: bool = False) -> "sitk.Image":
    """Return a 3D image; ``components`` allows several values a voxel.

    Raises:
        InputError: the file is missing, damaged, no image, not 3D, sheared, in colour, or points to
            data outside its own folder.
    """
    import SimpleITK as sitk  # noqa: N813

    _require_own_data(path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        require_whole_nifti(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
            _require_volume(path, reader, components)
            return _without_time(reader.Execute())
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise InputError(
                f"The axes of {path.name} are not perpendicular. Resample it to a straight grid."
            ) from None
        raise InputError(
            f"{path.name} is damaged or not an image. Give a NRRD, NIfTI or MHA file."
        ) from None


def _require_own_data(path: Path) -> None:
    """Refuse a header whose voxels lie in another folder, as only a forged one says."""
    if not path.is_file():
        raise InputError(f"There is no file {path.name}. Check the name.")
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        raise InputError(f"{path.name} cannot be read. Check its permissions.") from None
    if not header.startswith(b"NRRD") and not path.name.lower().endswith((".mha", ".mhd")):
        return
    for found in _DETACHED.finditer(header.split(b"\n\n")[0]):
        data = PureWindowsPath(found[1].decode("utf-8", "replace"))  # knows both kinds of slashes
        if data.anchor or ".." in data.parts:
            raise InputError(f"{path.name} takes its voxels from another folder. Save it anew.")


def _require_volume(path: Path, reader: "sitk.ImageFileReader", components: bool) -> None:
    size = reader.GetSize()
    shape = " x ".join(str(n) for n in size)
    if len(size) < 3 or any(n != 1 for n in size[3:]):
        raise InputError(f"{path.name} is {len(size)}D ({shape}). Give one 3D volume.")
    if reader.GetNumberOfComponents() != 1 and not components:
        raise InputError(
            f"{path.name} has {reader.GetNumberOfComponents()} values per voxel, as colour images"
            " do. Give a volume with one."
        )
    voxels = size[0] * size[1] * size[2] * reader.GetNumberOfComponents()
    if path.suffix.lower() not in (".nhdr", ".mhd") and voxels > _DEFLATE * path.stat().st_size:
        raise InputError(f"{path.name} is shorter than its {shape} voxels. Copy it again.")


def _without_time(image: "sitk.Image") -> "sitk.Image":
    """Return a 4D image of one time point as 3D."""
    import SimpleITK as sitk  # noqa: N813

    size = image.GetSize()
    if len(size) == 3:
        return image
    return sitk.Extract(image, [*size[:3], *([0] * (len(size) - 3))])
