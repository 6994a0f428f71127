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


_TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
GRIDS = {
    "oblique": Geometry((40, 44, 12), (0.6, 0.8, 2.5), (-10, 20, 30), tuple(_TURN.ravel())),
    "sagittal": Geometry((12, 44, 40), (3.0, 0.7, 0.9)),
    "flipped": Geometry((50, 44, 20), (0.5, 0.6, 2.0), (9, 9, 9), (-1, 0, 0, 0, 1, 0, 0, 0, -1)),
    "one slice": Geometry((50, 44, 1), (0.5, 0.5, 5.0)),
    "even": Geometry((30, 30, 30), (1.0, 1.0, 1.0)),
    "thin": Geometry((40, 4, 30), (0.7, 0.7, 2.0)),
}

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
