"""The published code's own versions of the measures, known as ``metrics.published``.

They are kept to reproduce numbers computed with that code (method, section 6) and differ from
metrics.py where two masks are empty, and in which prediction stands for an expert. Published
HM-IoU came from the training code, which had no such slip; it is that of metrics.py.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..comparison.overlap import Masks, overlap

_EPSILON = 1e-8
_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


def ged(labels: Masks, predictions: Masks) -> float:
    """Return the published GED: every ordered pair, self pairs too, and two empty masks 1 apart."""
    cross = _distance(labels, predictions).mean()
    within = _distance(labels, labels).mean() + _distance(predictions, predictions).mean()
    return float(2 * cross - within)


def dice_max(labels: Masks, predictions: Masks) -> float:
    """Return the mean over experts of the Dice with the best prediction (the reported one)."""
    return float(_dice(labels, predictions).max(1).mean())


def dice_max_pred(labels: Masks, predictions: Masks) -> float:
    """Return the mean over predictions of the Dice with the best expert (never reported)."""
    return float(_dice(labels, predictions).max(0).mean())


def dice_match(labels: Masks, predictions: Masks) -> float:
    """Return the mean Dice of the experts' Hungarian partners."""
    return float(dice_each(labels, predictions).mean())


def dice_each(labels: Masks, predictions: Masks) -> np.ndarray:
    """Return what was reported for each expert, (M,): the Dice of the Hungarian partner.

    It asks nothing of the expert's own prediction: experts who are swapped score 1.
    """
    dice = _dice(labels, predictions)
    experts, partners = linear_sum_assignment(1 - dice)
    return dice[experts, partners]


def dice_each_istest(labels: Masks, predictions: Masks) -> np.ndarray:
    """Return the diagonal, (M,): each expert with the prediction of the same index (never used)."""
    return np.diagonal(_dice(labels, predictions)).copy()


def dice_soft(labels: Masks, predictions: Masks) -> float:
    """Return the mean Dice of the two mean maps over five thresholds."""
    return float(np.mean([_thresholded_dice(labels, predictions, at) for at in _THRESHOLDS]))


def repeated(predictions: Masks, times: int = 4) -> np.ndarray:
    """Return the stage II predictions as they were handed to the measures, (times * M, ...).

    With as many copies as experts, every expert finds the best of *all* experts' predictions.
    """
    return np.concatenate([np.asarray(predictions)] * times)


def _distance(first: Masks, second: Masks) -> np.ndarray:
    pairs = overlap(first, second)
    return 1 - pairs.intersection / (pairs.union + _EPSILON)


def _dice(first: Masks, second: Masks) -> np.ndarray:
    pairs = overlap(first, second)
    return (2 * pairs.intersection + _EPSILON) / (pairs.first + pairs.second + _EPSILON)


def _thresholded_dice(labels: Masks, predictions: Masks, at: float) -> float:
    maps: Sequence[np.ndarray] = [
        np.asarray(masks).mean(0, dtype=np.float64)[None] > at for masks in (labels, predictions)
    ]
    return float(_dice(*maps)[0, 0])
