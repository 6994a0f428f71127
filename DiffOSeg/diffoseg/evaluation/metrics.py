"""How far predicted masks are from the experts' masks: distributions, overlap, calibration.

Every function takes the experts' masks first. Two empty masks agree fully (IoU and Dice 1). The
published code's own versions, which differ, are in ``published``.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..comparison.overlap import Masks, overlap
from ..errors import InputError
from . import published_metrics as published

__all__ = [
    "brier",
    "calibration_error",
    "calibration_sums",
    "dice_match",
    "dice_max",
    "dice_soft",
    "expected_calibration_error",
    "ged_floor",
    "generalized_energy_distance",
    "hm_iou",
    "mean_distance",
    "per_expert_dice",
    "published",
]

Statistic = Literal["U", "V"]


def generalized_energy_distance(
    labels: Masks, predictions: Masks, *, statistic: Statistic = "U", empty_iou: float = 1.0
) -> float:
    """Return GED = 2 E d(L, P) - E d(L, L') - E d(P, P'), with d = 1 - IoU of the foreground.

    Székely & Rizzo 2013, doi 10.1016/j.jspi.2013.03.018; for masks Kohl et al. 2018, arXiv
    1806.05034, equation 3. The square of a metric between laws of masks: 0 for equal laws.

    Args:
        labels: the experts' masks, binary, (L, H, W) or (L, D, H, W), array or tensor.
        predictions: predicted masks, binary, (P, ...) of the same shape.
        statistic: "U" leaves out pairs of a mask with itself: unbiased, a perfect sampler scores
            0 on average and any one value may be negative. "V" keeps them, as in the literature:
            a perfect sampler scores ``ged_floor``, so only equal counts can be compared.
        empty_iou: the IoU of two empty masks.

    Returns:
        The distance, no unit, at most 2.

    Raises:
        InputError: shapes differ, masks are not binary, or "U" got fewer than two masks.
    """
    cross = 1 - overlap(labels, predictions).iou(empty_iou).mean()
    within = [
        mean_distance(masks, statistic=statistic, empty_iou=empty_iou)
        for masks in (labels, predictions)
    ]
    return float(2 * cross - sum(within))


def mean_distance(masks: Masks, *, statistic: Statistic = "U", empty_iou: float = 1.0) -> float:
    """Return the mean 1 - IoU over pairs of ``masks``, without ("U") or with ("V") self pairs."""
    if statistic not in ("U", "V"):
        raise InputError(f"statistic is 'U' or 'V', not {statistic!r}.")
    distance = 1 - overlap(masks, masks).iou(empty_iou)
    if statistic == "V":
        return float(distance.mean())
    count = len(masks)
    if count < 2:
        raise InputError("The unbiased distance needs at least two masks on either side.")
    return float((distance.sum() - np.trace(distance)) / (count * (count - 1)))


def ged_floor(labels: Masks, samples: int, *, empty_iou: float = 1.0) -> float:
    """Return the V-statistic's mean for a *perfect* sampler: d * (1/L + 1/samples).

    L is the number of ``labels``, taken for independent draws from one law, and d their mean
    distance without self pairs. What a GED_V has above it is the excess that a model answers for.
    """
    return mean_distance(labels, empty_iou=empty_iou) * (1 / len(labels) + 1 / samples)


def hm_iou(labels: Masks, predictions: Masks, *, empty_iou: float = 1.0) -> float:
    """Return the mean IoU of the best one-to-one matching (Hungarian), in 0..1.

    Both sets are repeated to their least common multiple first, so that each mask counts alike
    (Kohl et al. 2019, arXiv 1905.13077, appendix).
    """
    iou = overlap(labels, predictions).iou(empty_iou)
    rows, columns = iou.shape
    count = math.lcm(rows, columns)
    iou = iou.repeat(count // rows, axis=0).repeat(count // columns, axis=1)
    matched = linear_sum_assignment(iou, maximize=True)
    return float(iou[matched].mean())


def dice_max(labels: Masks, predictions: Masks) -> float:
    """Return the mean over experts of the Dice with their best prediction, in 0..1.

    With the arguments swapped, the mean over predictions of the Dice with their best expert.
    """
    return float(overlap(labels, predictions).dice().max(1).mean())


def dice_match(labels: Masks, predictions: Masks) -> float:
    """Return the mean Dice of the best one-to-one matching of experts to predictions, in 0..1.

    Where one side has fewer masks, the rest of the other side stays unmatched.
    """
    dice = overlap(labels, predictions).dice()
    return float(dice[linear_sum_assignment(dice, maximize=True)].mean())


def per_expert_dice(labels: Masks, predictions: Masks) -> np.ndarray:
    """Return each expert's Dice with the prediction made for that expert, (M,), in 0..1.

    Raises InputError unless there is exactly one prediction for each expert, in the same order.
    """
    if len(labels) != len(predictions):
        raise InputError(
            f"There are {len(labels)} experts and {len(predictions)} predictions. Give one"
            " prediction for each expert, in the experts' order."
        )
    return np.diagonal(overlap(labels, predictions).dice()).copy()


def dice_soft(
    labels: Masks,
    predictions: Masks,
    *,
    thresholds: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
) -> float:
    """Return the mean over ``thresholds`` of the Dice of the two mean maps, each ``>`` it."""
    expected, predicted = (_mean_map(masks) for masks in (labels, predictions))
    levels = np.asarray(thresholds)[:, None, None]
    return float(per_expert_dice(expected > levels, predicted > levels).mean())


def _mean_map(masks: Masks) -> np.ndarray:
    stack = masks if isinstance(masks, np.ndarray) else masks.cpu().numpy()
    return stack.mean(0, dtype=np.float64).reshape(1, 1, -1)


def brier(
    probabilities: np.ndarray, truth: np.ndarray, *, within: np.ndarray | None = None
) -> float:
    """Return the mean squared difference of ``probabilities`` and ``truth``, in 0..1.

    Args:
        probabilities: predicted probability of the foreground, any shape.
        truth: the true probability, or a drawing as 0 and 1, same shape. Against drawings the
            score holds the irreducible mean of p(1 - p) on top.
        within: bool, same shape; the pixels that count. Default all.
    """
    error = (probabilities - truth.astype(np.float64)) ** 2
    return float((error if within is None else error[within]).mean())


def expected_calibration_error(
    probabilities: np.ndarray,
    truth: np.ndarray,
    *,
    bins: int = 20,
    within: np.ndarray | None = None,
) -> float:
    """Return sum over bins of share * |mean probability - mean truth|, in 0..1; NaN of no pixel.

    Guo et al. 2017, arXiv 1706.04599, equation 3, for the probability of the foreground; arguments
    as for ``brier``, ``bins`` of equal width. Say ``within`` the experts' union: the background is
    calibrated without any effort.
    """
    return float(
        calibration_error(calibration_sums(probabilities, truth, bins=bins, within=within))
    )


def calibration_sums(
    probabilities: np.ndarray,
    truth: np.ndarray,
    *,
    bins: int = 20,
    within: np.ndarray | None = None,
) -> np.ndarray:
    """Return, for each bin of probability, (pixels, sum of probability, sum of truth), (bins, 3).

    Sums of several slices add up, so one calibration error can be taken over all of them.
    """
    chosen = np.ones(probabilities.shape, bool) if within is None else within
    predicted = probabilities[chosen].astype(np.float64)
    place = np.minimum((predicted * bins).astype(int), bins - 1)
    weights = (np.ones_like(predicted), predicted, truth[chosen].astype(np.float64))
    return np.stack([np.bincount(place, weight, bins) for weight in weights], axis=1)


def calibration_error(sums: np.ndarray) -> np.ndarray:
    """Return the expected calibration error of ``calibration_sums``, (..., bins, 3) to (...)."""
    pixels, predicted, observed = np.moveaxis(sums, -1, 0)
    total = pixels.sum(-1)
    gap = np.abs(predicted - observed).sum(-1)
    return np.where(total > 0, gap / np.maximum(total, 1), np.nan)
