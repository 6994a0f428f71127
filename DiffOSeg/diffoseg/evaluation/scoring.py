"""The scores of one slice: a method's masks and probabilities against the experts' drawings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..comparison.overlap import overlap
from ..errors import InputError
from .metrics import calibration_sums, hm_iou


@dataclass(frozen=True)
class Scores:
    """The scores of one slice.

    Attributes:
        values: one number by measure.
        by_expert: arrays by measure, whose axes are experts: of the method first, then those who
            drew.
        sums: ``metrics.calibration_sums`` by measure.
    """

    values: dict[str, float]
    by_expert: dict[str, np.ndarray] = field(default_factory=dict)
    sums: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a method answers for one slice.

    Attributes:
        samples: N masks for each of E experts, (E, N, h, w) bool.
        consensus: masks of the pooled experts, (N, h, w) bool.
        probabilities: (E, h, w).
        consensus_probability: (h, w).
        presence: the stated probability that an expert marks anything, (E,); None where only the
            samples tell.
        experts_match: whether expert e of the answer is expert e of the drawings. Where it is not,
            only what all experts do together is scored, and every pair of experts.
    """

    samples: np.ndarray
    consensus: np.ndarray
    probabilities: np.ndarray
    consensus_probability: np.ndarray
    presence: np.ndarray | None = None
    experts_match: bool = True


def score(draws: np.ndarray, answer: Answer) -> Scores:
    """Score one slice: draws (E, R, h, w) against an answer with (E, N, h, w) samples."""
    values, swap_ged = _energy_distances(draws, answer)
    found, truth = (masks.any((2, 3)).mean(1) for masks in (answer.samples, draws))
    stated = found if answer.presence is None else answer.presence
    swap_dice = _dice_of_maps(draws, answer.probabilities)
    values |= {
        "empty_rate": float(1 - found.mean()),
        "true_empty_rate": float(1 - truth.mean()),
        "presence_bias": float(stated.mean() - truth.mean()),
        "sample_drift": _drift(answer, np.asarray(draws.any((0, 1)))),
    }
    by_expert = {"swap_ged": swap_ged, "swap_dice": swap_dice}
    if answer.experts_match:
        values |= _by_own_expert(draws, answer, swap_ged, swap_dice)
        values["presence_rmse"] = _presence_error(draws, answer)
        by_expert["presence_bias"] = stated - truth
    return Scores(values, by_expert, _calibration(draws, answer))


def _by_own_expert(
    draws: np.ndarray, answer: Answer, swap_ged: np.ndarray, swap_dice: np.ndarray
) -> dict[str, float]:
    """Return the scores that pair each expert's answer with that expert's own drawings."""
    experts, count = answer.samples.shape[:2]
    matched = min(count, draws.shape[1] // 2)  # as many as the oracle has, for a like ceiling
    pools = [
        masks[:, :matched].reshape(experts * matched, *draws.shape[2:])
        for masks in (draws, answer.samples)
    ]
    return {
        "expert_ged": float(np.diagonal(swap_ged).mean()),
        "expert_dice": float(np.diagonal(swap_dice).mean()),
        "hm_iou": hm_iou(*pools),
    }


def _drift(answer: Answer, union: np.ndarray) -> float:
    """Return the mean squared difference of samples' mean and probability, without counting noise.

    Over the experts and the pixels of ``union``; see ``_presence_error``. It needs no truth: a
    method whose probability says what it draws scores 0. Nothing marked counts as no drift.
    """
    if not union.any():
        return 0.0
    count = answer.samples.shape[1]
    mean = answer.samples[:, :, union].mean(1)
    noise = mean * (1 - mean) / (count - 1)
    return float(((mean - answer.probabilities[:, union]) ** 2 - noise).mean())


def _presence_error(draws: np.ndarray, answer: Answer) -> float:
    """Return the mean squared error of presence over experts, without the noise of counting.

    A share s of n independent masks has the sampling variance p (1 - p) / n, of which
    s (1 - s) / (n - 1) is the unbiased estimate. It is taken off for the drawings, and for the
    samples where they alone tell the presence; so one slice's value may fall below 0.
    """
    truth, found = (masks.any((2, 3)).mean(1) for masks in (draws, answer.samples))
    noise = truth * (1 - truth) / (draws.shape[1] - 1)
    stated = answer.presence
    if stated is None:
        stated, noise = found, noise + found * (1 - found) / (answer.samples.shape[1] - 1)
    return float(((stated - truth) ** 2 - noise).mean())


def _energy_distances(draws: np.ndarray, answer: Answer) -> tuple[dict[str, float], np.ndarray]:
    """Return every GED of one slice from one matrix of distances between all its masks.

    Samples are stratified, N of each expert, so the unbiased mean distance within the mixture is
    the mean over pairs of experts of their own unbiased means, not that of the pooled masks. The
    array is the GED between each expert's samples (rows) and each expert's drawings (columns).
    """
    experts, count = len(draws), answer.samples.shape[1]
    groups = [*draws, *answer.samples, answer.consensus]
    masks = np.concatenate(groups)
    distance = 1 - overlap(masks, masks).iou(1.0)
    mean = _block_means(distance, [len(group) for group in groups])
    truth, predicted = mean[:experts, :experts], mean[experts:-1, experts:-1]
    cross = mean[experts:-1, :experts]
    pooled = slice(draws.shape[0] * draws.shape[1], len(masks) - len(answer.consensus))
    labels = np.arange(experts) * draws.shape[1]  # the first drawing of each expert
    own = np.diagonal(truth)
    values = {
        "mixture_ged": float(2 * cross.mean() - truth.mean() - predicted.mean()),
        "consensus_ged": float(2 * mean[:experts, -1].mean() - truth.mean() - mean[-1, -1]),
        "ged_v": float(
            2 * distance[labels, pooled].mean()
            - distance[np.ix_(labels, labels)].mean()
            - distance[pooled, pooled].mean()
        ),
        # Self pairs lower both inner means of a perfect sampler's V by d/E and d/(E N).
        "ged_v_floor": float(own.mean() * (1 + 1 / count) / experts),
    }
    return values, 2 * cross - np.diagonal(predicted)[:, None] - own


def _block_means(distance: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return the mean of every block of a matrix of zero diagonal, self pairs left out."""
    if min(sizes) < 2:
        raise InputError("An unbiased distance needs at least two masks of every expert.")
    starts = np.cumsum([0, *sizes[:-1]])
    totals = np.add.reduceat(np.add.reduceat(distance, starts, axis=0), starts, axis=1)
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    return totals / pairs


def between_experts(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean distance and mean Dice of drawings by each pair of experts, (E, E) each."""
    sizes = [draws.shape[1]] * len(draws)
    masks = draws.reshape(-1, *draws.shape[2:])
    pairs = overlap(masks, masks)
    return _block_means(1 - pairs.iou(1.0), sizes), 1 - _block_means(1 - pairs.dice(), sizes)


def left_out(distance: np.ndarray) -> float:
    """Return the mean over experts of the GED between that expert and the mixture of the others."""
    found = []
    for expert in range(len(distance)):
        rest = np.delete(np.arange(len(distance)), expert)
        others = distance[np.ix_(rest, rest)].mean()
        found.append(2 * distance[expert, rest].mean() - distance[expert, expert] - others)
    return float(np.mean(found))


def _dice_of_maps(draws: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean Dice of each map's mask {p > 1/2} with each expert's drawings, (P, E)."""
    experts, count = draws.shape[:2]
    dice = overlap(probabilities > 0.5, draws.reshape(-1, *draws.shape[2:])).dice()
    return dice.reshape(len(probabilities), experts, count).mean(2)


def _calibration(draws: np.ndarray, answer: Answer) -> dict[str, np.ndarray]:
    """Return calibration sums against the true probabilities, inside the union of the drawings."""
    truth = draws.mean(1)
    union = np.asarray(draws.any((0, 1)))
    sums = {
        "consensus_ece": calibration_sums(answer.consensus_probability, truth.mean(0), within=union)
    }
    if answer.experts_match:
        bands = np.stack([union] * len(truth))
        sums["expert_ece"] = calibration_sums(answer.probabilities, truth, within=bands)
    return sums
