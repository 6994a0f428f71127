"""NRRD, NIfTI and MetaImage files, as they state themselves or with a sentence why not.

NIfTI is read by ``nifti``; the others by SimpleITK, after ``text_header`` has looked for what it
would read otherwise than the header says.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..space.volume import geometry_of
from .nifti import read_nifti
from .quiet import quiet_itk
from .signatures import format_of
from .stored_image import StoredImage
from .text_header import check_meta, check_nrrd

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

SUFFIXES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")

_DEFLATE = 1040  # no zlib stream unpacks to more than this many times its size


def is_image_file(path: Path) -> bool:
    """Return whether the name is that of a format which :func:`read_image` reads."""
    return path.name.lower().endswith(SUFFIXES)


def read_image(path: Path, *, components: bool = False) -> StoredImage:
    """Return a 3D image; ``components`` allows several values a voxel.

    Raises:
        InputError: the file is missing, damaged, of no known format, not 3D, sheared, in colour, or
            points to data outside its own folder.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path.name}. Check the name.")
    kind = format_of(path)
    if kind == "nifti":
        return read_nifti(path)
    if kind == "nrrd":
        notes = check_nrrd(path)
        array, image = _by_itk(path, "NrrdImageIO", components)
    else:
        notes, scale = (), check_meta(path)
        array, image = _by_itk(path, "MetaImageIO", components)
        if scale != (1, 0):
            array = (array * np.float64(scale[0]) + scale[1]).astype(np.float32)
    facts = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    return StoredImage(array, geometry_of(image), facts, notes)


def _by_itk(path: Path, reader_name: str, components: bool) -> tuple[np.ndarray, "sitk.Image"]:
    """Return voxels, (K, J, I[, L]), and the image that says where they are."""
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
            _require_volume(path, reader, components)
            image = _without_time(reader.Execute())
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise InputError(
                f"The axes of {path.name} are not perpendicular. Resample it to a straight grid."
            ) from None
        raise InputError(
            f"{path.name} is damaged, cut short or of a kind that cannot be read here. Copy it"
            " again, or save it anew."
        ) from None
    array = sitk.GetArrayFromImage(image)
    if array.ndim == 4 and not components:  # an axis of one value, as lists of one have
        return array[..., 0], image
    return array, image


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
