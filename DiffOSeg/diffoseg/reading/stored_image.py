"""What an image file holds, whatever its format."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..space.geometry import Geometry


@dataclass(frozen=True)
class StoredImage:
    """An image as its file states it.

    Attributes:
        array: (K, J, I), or (K, J, I, L) where a voxel has L values; of the file's number type, or
            float32 where the file scales its numbers.
        geometry: where the voxels are, LPS, mm.
        facts: what the header says besides, by its own words.
        notes: plain sentences on what is doubtful about where it lies.
    """

    array: np.ndarray
    geometry: Geometry
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
