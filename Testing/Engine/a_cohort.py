"""A few annotated volumes whose truth is known, and a model's description to see them with."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from diffoseg.cohorts.case import Case
from diffoseg.errors import InputError
from diffoseg.model.metadata import ModelMetadata
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.intensity import IntensityMapping
from diffoseg.space.volume import Volume

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


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
"""What JSON may hold in the place of what is expected."""


def places_in(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of everything that parsed JSON holds."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places_in(value[key], (*path, key))


def refusal(call: Callable[[], Any]) -> str:
    """Return with which sentence an InputError refuses; "" where nothing does."""
    try:
        call()
    except InputError as error:
        return str(error)
    return ""


def with_other(value: Any, path: tuple, other: Any) -> Any:
    """Return parsed JSON with something else at one path."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_other(value[path[0]], path[1:], other)
    return copy
