"""How near answers come to what an expert draws: overlap, surface, volume; all in three dimensions.

Masks of N phantoms, (N, S, h, w) or as bits (N, bytes), against R drawings of each by one expert.
Two empty masks agree fully.
"""

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

Spacing = tuple[float, float, float]
"""mm along (z, y, x)."""

TOLERANCE = 1.0
"""mm by which two surfaces may differ and still be the same."""


def dice(answers: np.ndarray, drawings: np.ndarray) -> np.ndarray:
    """Return Dice of answers (N, bytes) with drawings (N, R, bytes), both as bits, (N, R)."""
    shared = _count(answers[:, None] & drawings)
    total = _count(answers)[:, None] + _count(drawings)
    return np.where(total > 0, 2 * shared / np.maximum(total, 1), 1.0)


def among_themselves(drawings: np.ndarray) -> np.ndarray:
    """Return the mean Dice of two different drawings (N, R, bytes) of the same phantom, (N,)."""
    count = drawings.shape[1]
    pairs = [
        dice(drawings[:, one], drawings[:, other, None])[:, 0]
        for one in range(count)
        for other in range(one)
    ]
    return np.mean(pairs, axis=0)


def _count(bits: np.ndarray) -> np.ndarray:
    return np.bitwise_count(bits).sum(-1, dtype=np.int64)


def volume_differences(maps: np.ndarray, drawings: np.ndarray, voxel: float) -> np.ndarray:
    """Return stated mean volumes less those of the first drawings, (N,), in the unit of voxel.

    Args:
        maps: probability of each pixel, (N, S, h, w).
        drawings: as bits, (N, R, bytes).
        voxel: volume of one.
    """
    return (maps.sum((1, 2, 3), dtype=np.float64) - _count(drawings[:, 0])) * voxel


def map_distance(maps: np.ndarray, counts: np.ndarray, drawn: int) -> float:
    """Return the mean over phantoms of sum (q - p)^2, in pixels, unbiased; 0 for the exact map.

    Two different drawings y, y' in place of p: E (q - y)(q - y') = (q - p)^2. It is a proper score,
    so that nobody comes nearer by saying anything but what is probable.

    Args:
        maps: what is said, q, (N, S, h, w).
        counts: how many drawings mark each pixel, same shape.
        drawn: how many drawings there are, two or more.
    """
    q, marked = maps.astype(np.float64), counts.astype(np.float64)
    once = (drawn * q - marked) ** 2
    with_itself = drawn * q**2 - 2 * q * marked + marked
    return float((once - with_itself).sum() / (drawn * (drawn - 1)) / len(maps))


def surface_dice(answer: np.ndarray, drawing: np.ndarray, spacing: Spacing) -> float:
    """Return the share of both surfaces' voxels that lie within TOLERANCE of the other's.

    Normalised surface Dice (Nikolov et al. 2018, arXiv 1809.04430), with surfaces as the voxels of
    a mask that have a neighbour outside it. 0 where only one of the two masks, (S, h, w), is empty.
    """
    if not (answer.any() or drawing.any()):
        return 1.0
    if not (answer.any() and drawing.any()):
        return 0.0
    box = _box(answer | drawing)
    one, other = (_surface(np.pad(mask[box], 1)) for mask in (answer, drawing))
    near_one, near_other = (
        distance_transform_edt(~surface, spacing) <= TOLERANCE for surface in (one, other)
    )
    within = (one & near_other).sum() + (other & near_one).sum()
    return float(within / (one.sum() + other.sum()))


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~binary_erosion(mask)


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    ends = [(np.flatnonzero(mask.any(axes))) for axes in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(int(used[0]), int(used[-1]) + 1) for used in ends)
