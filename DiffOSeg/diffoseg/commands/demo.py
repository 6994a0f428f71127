"""The scan of ``diffoseg demo``: a phantom that no training saw, as a scanner would hand it out."""

from pathlib import Path

import numpy as np

from ..cohorts.case import Case
from ..cohorts.dicom_series import write_dicom_series
from ..cohorts.phantom import PhantomCohort
from ..model.metadata import ModelMetadata
from ..space.geometry import Box

SEED = 20251

_CASE = 22  # a solid nodule near the pleura that all four mark
_SLICES = 12
_VOLUME_SLICES = 40
_ROWS = 160  # larger than the cohort's, so that the picture shows lung around the nodule


def demo_case() -> Case:
    """Return the phantom with its nodule, which all four experts mark."""
    cohort = PhantomCohort(seed=SEED, cases=_CASE + 1, size=(_VOLUME_SLICES, _ROWS, _ROWS))
    return cohort[_CASE]


def write_demo_scan(folder: Path, metadata: ModelMetadata) -> tuple[Path, Box]:
    """Write the phantom as a DICOM series into ``folder``.

    Returns the folder and the region round the nodule, LPS mm: 12 slices of the field of view that
    the model was trained on.
    """
    case = demo_case()
    geometry = case.volume.geometry
    nodule = np.logical_or.reduce(list(case.masks.values()))
    center = geometry.index_to_point(np.argwhere(nodule).mean(0)[::-1])
    # A voxel less than the field of view: wherever the box falls on the grid, one view holds it.
    edge = (metadata.patch - 1) * metadata.spacing_mm
    half = np.array([edge, edge, (_SLICES - 1) * geometry.spacing[2]]) / 2
    write_dicom_series(case.volume, folder, series_description="Phantom chest CT")
    return folder, Box(tuple(center - half), tuple(center + half))
