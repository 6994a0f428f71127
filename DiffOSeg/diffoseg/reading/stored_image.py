"""What an image file holds, whatever its format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..space.geometry import Geometry

_DEFLATE = 1040  # no zlib stream unpacks to more than this many times its size


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


def require_volume(name: str, size: Sequence[int], values: int) -> None:
    """Raise InputError where an image is not 3D, or has several values a voxel."""
    if len(size) < 3 or any(n != 1 for n in size[3:]):
        shape = " x ".join(str(n) for n in size)
        raise InputError(f"{name} is {len(size)}D ({shape}). Give one 3D volume.")
    if values != 1:
        raise InputError(
            f"{name} has {values} values per voxel, as colour images do. Give a volume with one."
        )


def require_length(name: str, size: Sequence[int], needed: int, there: int, packed: bool) -> None:
    """Raise InputError where a file of ``there`` bytes cannot hold the ``needed`` ones."""
    if needed > there * (_DEFLATE if packed else 1):
        shape = " x ".join(str(n) for n in size)
        raise InputError(f"{name} is shorter than its {shape} voxels. Copy it again.")
