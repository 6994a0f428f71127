"""A few annotated volumes whose truth is known, and a model's description to see them with."""

import numpy as np

from diffoseg.cohorts.case import Case
from diffoseg.geometry import Box, Geometry
from diffoseg.intensity import IntensityMapping
from diffoseg.metadata import ModelMetadata
from diffoseg.volume import Volume

METADATA = ModelMetadata(
    title="test",
    intensity=IntensityMapping("window", -1000.0, 200.0),
    spacing_mm=0.7,
    patch=32,
    mask_distance=1.0,
)
SIZE = (60, 56, 24)
STRAIGHT = Geometry(SIZE, (0.7, 0.7, 2.0))


def an_image(seed: int = 0, size: tuple[int, int, int] = SIZE) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.uniform(-900, 100, size[::-1]).astype(np.float32)


def a_mask(*boxes: tuple[slice, slice, slice], size: tuple[int, int, int] = SIZE) -> np.ndarray:
    """Mark boxes, each (k, j, i)."""
    mask = np.zeros(size[::-1], bool)
    for box in boxes:
        mask[box] = True
    return mask


LESION = np.s_[10:14, 20:28, 30:36]


def a_case(
    name: str = "one",
    *boxes: tuple[slice, slice, slice],
    geometry: Geometry = STRAIGHT,
    region: Box | None = None,
    expert: str = "Ann",
    seed: int = 0,
) -> Case:
    """Return a case of noise with the boxes marked, or LESION."""
    volume = Volume(an_image(seed + len(name), geometry.size), geometry, "CT", name)
    mask = a_mask(*(boxes or (LESION,)), size=geometry.size)
    return Case(f"patient of {name}", name, volume, {expert: mask}, region)
