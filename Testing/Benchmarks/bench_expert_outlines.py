"""From a probability map to one mask: above one half, or where the most overlap is expected.

The product shows a map above one half. Scored by Dice that mask has no ceiling: where an expert may
or may not draw, or draws one lobe or the other, whoever draws too much overlaps more than whoever
knows the expert's exact map. The *best outline* is the answer to Dice itself: cut where the
method's own expected Dice is highest. With the exact map nobody can do better, but for the
approximation that volumes vary little (the mean of a ratio is taken for the ratio of means, as in
Lipton et al. 2014, arXiv 1402.1892, where the best threshold is half the best score).
"""

import numpy as np


def above_half(maps: np.ndarray) -> np.ndarray:
    """Return the mask that the product shows of probability maps of any shape."""
    return maps > 0.5


def best_outlines(maps: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the masks with the highest expected Dice, bool, (N, S, h, w).

    Args:
        maps: probability that each pixel is marked, (N, S, h, w) float.
        there: probability that anything is marked in the volume at all, (N,).
    """
    return np.stack([_best(*pair) for pair in zip(maps, there, strict=True)])


def _best(probability: np.ndarray, there: float) -> np.ndarray:
    """Return the best of all masks {probability >= level}, or none if that is likelier right."""
    if there <= 0:
        return np.zeros(probability.shape, bool)
    given = probability / there
    levels = np.sort(given.ravel())[::-1].astype(np.float64)
    expected = 2 * levels.cumsum() / (np.arange(1, levels.size + 1) + levels.sum())
    place = int(expected.argmax())
    if there * expected[place] <= 1 - there:  # two empty masks agree fully
        return np.zeros(probability.shape, bool)
    return np.asarray(given >= levels[place])
