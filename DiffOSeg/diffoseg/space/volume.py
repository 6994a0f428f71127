"""A volume in memory: voxels in scanner units and where they are in the patient."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.decimal_point import decimal_point
from ..files.names import writable_name
from .geometry import Geometry

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 the library's own short name


@dataclass(frozen=True)
class Volume:
    """One scalar 3D image.

    Attributes:
        array: (K, J, I), slowest axis first as SimpleITK gives it, float32, scanner units (HU).
        geometry: where the voxels are, LPS, mm.
        modality: DICOM's word, "CT" or "MR", or "" where the file does not say.
        name: a short name for titles that holds nothing of the patient.
        notes: plain sentences on what reading left out, such as scouts among the slices.
    """

    array: np.ndarray
    geometry: Geometry
    modality: str = ""
    name: str = "volume"
    notes: tuple[str, ...] = ()


def geometry_of(image: "sitk.Image") -> Geometry:
    """Return the grid of a 3D SimpleITK image; raises InputError where its axes are sheared."""
    return Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def image_of(array: np.ndarray, geometry: Geometry) -> "sitk.Image":
    """Return an array, (K, J, I) or (K, J, I, components), as a SimpleITK image on a grid."""
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return image


def write_image(image: "sitk.Image", path: Path) -> None:
    """Write an image, compressed, with a point in its numbers; raises what SimpleITK raises."""
    import SimpleITK as sitk  # noqa: N813

    with writable_name(path) as name, decimal_point():
        sitk.WriteImage(image, name, useCompression=True)
