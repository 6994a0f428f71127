"""The scores of one slice: a method's masks and probabilities against the experts' drawings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .metrics import calibration_sums, hm_iou
from .overlap import overlap

Scores = tuple[dict[str, float], dict[str, np.ndarray]]
"""Values by measure, and calibration sums by measure."""


@dataclass(frozen=True)
class Answer:
    """What a method answers for one slice.

    Attributes:
        samples: N masks for each of E experts, (E, N, h, w) bool.
        consensus: masks of the pooled experts, (N, h, w) bool.
        probabilities: (E, h, w).
        consensus_probability: (h, w).
    """

    samples: np.ndarray
    consensus: np.ndarray
    probabilities: np.ndarray
    consensus_probability: np.ndarray


def score(draws: np.ndarray, answer: Answer) -> Scores:
    """Score one slice: draws (E, R, h, w) against an answer with (E, N, h, w) samples."""
    experts, count = answer.samples.shape[:2]
    present = [masks.any((2, 3)).mean(1) for masks in (draws, answer.samples)]
    matched = min(count, draws.shape[1] // 2)  # as many as the oracle has, for a like ceiling
    scores = _energy_distances(draws, answer) | {
        "expert_dice": _expert_dice(draws, answer.probabilities),
        "hm_iou": hm_iou(
            draws[:, :matched].reshape(experts * matched, *draws.shape[2:]),
            answer.samples[:, :matched].reshape(experts * matched, *draws.shape[2:]),
        ),
        "presence_error": float(np.abs(present[0] - present[1]).mean()),
        "empty_rate": float(1 - present[1].mean()),
        "true_empty_rate": float(1 - present[0].mean()),
    }
    return scores, _calibration(draws, answer)


def _energy_distances(draws: np.ndarray, answer: Answer) -> dict[str, float]:
    """Return every GED of one slice from one matrix of distances between all its masks.

    Samples are stratified, N of each expert, so the unbiased mean distance within the mixture is
    the mean over pairs of experts of their own unbiased means, not that of the pooled masks.
    """
    experts, count = answer.samples.shape[:2]
    groups = [*draws, *answer.samples, answer.consensus]
    masks = np.concatenate(groups)
    distance = 1 - overlap(masks, masks).iou(1.0)
    mean = _block_means(distance, [len(group) for group in groups])
    truth, predicted = mean[:experts, :experts], mean[experts:-1, experts:-1]
    cross = mean[:experts, experts:-1]
    pooled = slice(draws.shape[0] * draws.shape[1], len(masks) - len(answer.consensus))
    labels = np.arange(experts) * draws.shape[1]  # the first drawing of each expert
    within = np.diagonal(truth).mean()
    return {
        "mixture_ged": float(2 * cross.mean() - truth.mean() - predicted.mean()),
        "consensus_ged": float(2 * mean[:experts, -1].mean() - truth.mean() - mean[-1, -1]),
        "expert_ged": float(np.diagonal(2 * cross - truth - predicted).mean()),
        "ged_v": float(
            2 * distance[labels, pooled].mean()
            - distance[np.ix_(labels, labels)].mean()
            - distance[pooled, pooled].mean()
        ),
        # Self pairs lower both inner means of a perfect sampler's V by d/E and d/(E N).
        "ged_v_floor": float(within * (1 + 1 / count) / experts),
    }


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


def _expert_dice(draws: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean Dice of each expert's mask {p > 1/2} with that expert's own drawings."""
    masks = (probabilities > 0.5)[:, None]
    return float(
        np.mean([overlap(mask, drawn).dice() for mask, drawn in zip(masks, draws, strict=True)])
    )


def _calibration(draws: np.ndarray, answer: Answer) -> dict[str, np.ndarray]:
    """Return calibration sums against the true probabilities, inside the union of the drawings."""
    truth = draws.mean(1)
    union = np.asarray(draws.any((0, 1)))
    return {
        "consensus_ece": calibration_sums(
            answer.consensus_probability, truth.mean(0), within=union
        ),
        "expert_ece": calibration_sums(
            answer.probabilities, truth, within=np.stack([union] * len(truth))
        ),
    }
