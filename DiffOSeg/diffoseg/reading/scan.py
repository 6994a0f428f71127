"""A scan in whatever form a hospital hands it out, as a Volume."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..space.geometry import Geometry
from ..space.volume import Volume
from .dicom import read_dicom_file, read_dicom_folder
from .dicom_files import is_dicom
from .image_file import is_image_file, read_image

_SPACINGS = (0.01, 100.0)  # mm, of a voxel of anything that a scanner sees


def read_volume(path: str | Path, *, series: int | str | None = None) -> Volume:
    """Return the scan in a NRRD, NIfTI or MHA file, a DICOM file or a DICOM folder.

    Args:
        path: a file, or a folder that holds the DICOM files of a series, in subfolders too.
        series: number or UID of the series, where a folder holds several.

    Returns:
        The volume, float32; HU for CT, as stored for others.

    Raises:
        InputError: nothing there, no image, not one 3D volume, voxels that are no numbers or all
            the same, slices missing or askew, or several series and none chosen.
    """
    path = Path(path)
    name = "the series" if path.is_dir() else path.name
    if path.is_dir():
        volume = read_dicom_folder(path, series)
    elif not path.is_file():
        raise InputError(f"There is no file or folder {path.name}. Check the name.")
    elif is_image_file(path):
        volume = _read_image_volume(path)
    elif is_dicom(path):
        volume = read_dicom_file(path)
    else:
        raise InputError(
            f"{path.name} is not a scan. Give a NRRD, NIfTI, MHA or DICOM file, or a DICOM folder."
        )
    _require_plausible(volume.geometry, name)
    _require_contrast(volume.array, name)
    return volume


def _read_image_volume(path: Path) -> Volume:
    image = read_image(path)
    if image.array.dtype.kind == "c":
        raise InputError(f"{path.name} holds complex numbers. Give its magnitude image.")
    array = image.array.astype(np.float32, copy=False)
    return Volume(array, image.geometry, notes=image.notes)


def _require_plausible(geometry: Geometry, name: str) -> None:
    """Refuse spacings that no scanner has, which would make the model's grid huge or a dot."""
    low, high = _SPACINGS
    if not all(low <= step <= high for step in geometry.spacing):
        sides = " x ".join(f"{step:.3g}" for step in geometry.spacing)
        raise InputError(f"The voxels of {name} measure {sides} mm. Correct the spacing.")


def _require_contrast(array: np.ndarray, name: str) -> None:
    """Refuse voxels that are no numbers, or that all have the same value."""
    low, high = float(array.min()), float(array.max())  # either is NaN if any voxel is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"Some voxels of {name} are no numbers (NaN or infinite). Mend it first.")
    if low == high:
        raise InputError(
            f"All voxels of {name} have the value {low:g}. Give a scan with an image in it."
        )
