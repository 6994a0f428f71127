"""NRRD, NIfTI and MetaImage files, as they state themselves or with a sentence why not."""

from pathlib import Path

from ..errors import InputError
from .meta_image import read_meta
from .nifti import read_nifti
from .nrrd import read_nrrd
from .signatures import format_of
from .stored_image import StoredImage

SUFFIXES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")


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
    return read_nrrd(path, components) if kind == "nrrd" else read_meta(path, components)
