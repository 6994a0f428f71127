"""A volume in memory: voxels in scanner units and where they are in the patient."""

from dataclasses import dataclass, field

import numpy as np

from .geometry import Geometry


@dataclass(frozen=True)
class Volume:
    """One scalar 3D image.

    Attributes:
        array: (K, J, I), slowest axis first as SimpleITK gives it, float32, scanner units (HU).
        geometry: where the voxels are, LPS, mm.
        modality: DICOM's word, "CT" or "MR", or "" where the file does not say.
        name: a short name for titles that holds nothing of the patient.
    """

    array: np.ndarray
    geometry: Geometry
    modality: str = ""
    name: str = field(default="volume")
