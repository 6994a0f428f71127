"""What one outline stands for: how a lesion would be drawn, by those who would draw it at all.

Whether anybody would is another question, which presence answers. A map that says both at once is
cut where an outline of what is drawn at all overlaps best, on average, what would be drawn: cut at
one half, a likely lesion would shrink because somebody might leave it out, and where experts toss a
coin about a part the outline would be ragged.
"""

import numpy as np

LEAST_PRESENCE = 0.25
"""Presence below which nothing is outlined: fewer than one drawing in four would mark anything."""

NOWHERE = 1.0
"""The level of an empty outline, which no probability exceeds."""

LEAST_SHARE = 1 / 3
"""Share of those who mark anything that an outlined voxel needs, at the least.

Expected overlap alone would let faint, wide doubt all over a large region paint it whole.
"""


def outline_level(probability: np.ndarray, presence: float) -> float:
    """Return the level above which a probability map is outlined, in 0..1; NOWHERE for nothing.

    Of all level sets M of p, the probability given that anything is marked, it is that with the
    greatest 2 sum_M p / (|M| + sum p): the expected Dice where the size of a drawing is near its
    mean (Lipton et al. 2014 for the F-measure, which Dice is), but none below LEAST_SHARE. The
    level is never above half the presence.

    Args:
        probability: that a voxel is marked, in 0..1, of any shape.
        presence: that anything is marked, in 0..1.
    """
    if presence < LEAST_PRESENCE:
        return NOWHERE
    given = np.minimum(probability / np.float32(presence), 1)
    falling = np.sort(given[given > LEAST_SHARE])[::-1]
    if not len(falling):
        return NOWHERE
    hits = falling.cumsum(dtype=np.float64)
    expected = 2 * hits / (np.arange(1, len(hits) + 1) + given.sum(dtype=np.float64))
    lowest = falling[expected.argmax()]
    below = falling[falling < lowest].max(initial=LEAST_SHARE)
    return float((np.float64(lowest) + below) / 2 * presence)


def outline(probability: np.ndarray, presence: float) -> np.ndarray:
    """Return the mask of ``outline_level``, bool, of the map's shape."""
    return np.asarray(probability > outline_level(probability, presence))
