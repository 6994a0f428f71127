"""The best and the human scores that there can be: experts' own drawings in a method's place."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .evaluate import Evaluation, TruthSlice, patients_of
from .scoring import Answer, Scores, between_experts, left_out, score


def oracle(truth_slices: Sequence[TruthSlice], samples: int = 16, seed: int = 0) -> Evaluation:
    """Score the experts' own drawings: half of them, as a perfect method, against the rest.

    The floor or the ceiling of every measure. Needs R >= 4 drawings by each expert, and takes
    no more than R/2 samples. Only for the Dice, whose mask suffers from few drawings, each drawing
    is left out in turn: all the others make the mask that it is compared with.
    """
    scored = []
    for index, case in enumerate(truth_slices):
        half = case.draws.shape[1] // 2
        drawn, truth = case.draws[:, :half], case.draws[:, half:]
        count = min(samples, half)
        random = np.random.default_rng([seed, index])
        chosen = random.integers(0, len(drawn), count), random.permutation(half)[:count]
        marginals = drawn.mean(1)
        answer = Answer(drawn[:, :count], drawn[chosen], marginals, marginals.mean(0))
        scored.append(_with_dice(score(truth, answer), _left_out_dice(case.draws)))
    return Evaluation.of_slices(patients_of(truth_slices), scored, samples)


def level_sets_of_truth(
    truth_slices: Sequence[TruthSlice], samples: int = 16, seed: int = 0
) -> Evaluation:
    """Score level sets of the *true* marginals, from half of the drawings, against the rest.

    The best that thresholding a probability map can do: presence is drawn first, and a mask is
    {marginal given presence > v} with one v ~ U(0, 1). Where this scores no worse than the oracle,
    the slices cannot tell a sampler of masks from a map. Needs R >= 4 drawings by each expert.
    """
    scored = []
    for index, case in enumerate(truth_slices):
        half = case.draws.shape[1] // 2
        known, truth = case.draws[:, :half], case.draws[:, half:]
        marginals = known.mean(1)
        present = known.any((2, 3)).mean(1)[:, None, None, None]
        given = marginals[:, None] / np.maximum(present, 1 / half)
        random = np.random.default_rng([seed, index])
        levels, coins = random.random((2, len(known), samples, 1, 1))
        masks = (given > levels) & (coins < present)
        who = np.arange(samples) % len(known)
        consensus = masks[random.permutation(who), np.arange(samples)]
        answer = Answer(masks, consensus, marginals, marginals.mean(0))
        scored.append(score(truth, answer))
    return Evaluation.of_slices(patients_of(truth_slices), scored, samples)


def humans(truth_slices: Sequence[TruthSlice]) -> dict[str, Evaluation]:
    """Score people in the method's place, one drawing against another.

    "another expert": each expert stands in for every other one, and for the mixture of all the
    others (GED_U of all experts together). "same expert again": a second drawing by each expert.
    """
    another, again = [], []
    for case in truth_slices:
        distance, dice = between_experts(case.draws)
        others = ~np.eye(len(distance), dtype=bool)
        own = np.diagonal(distance)
        again.append({"expert_dice": np.diagonal(dice).mean(), "expert_ged": 0.0})
        if others.any():
            pairs = 2 * distance - own[:, None] - own[None]
            another.append(
                {
                    "mixture_ged": left_out(distance),
                    "expert_ged": pairs[others].mean(),
                    "expert_dice": dice[others].mean(),
                }
            )
    rows = {"another expert": another, "same expert again": again}
    return {
        name: Evaluation.of_slices(
            patients_of(truth_slices), [Scores(values) for values in scored], samples=1
        )
        for name, scored in rows.items()
        if scored
    }


def _left_out_dice(draws: np.ndarray) -> np.ndarray:
    """Return the mean Dice of each drawing with the majority of the same expert's others, (E,)."""
    others = 2 * (draws.sum(1, keepdims=True) - draws) > draws.shape[1] - 1
    shared = (others & draws).sum((2, 3))
    total = others.sum((2, 3)) + draws.sum((2, 3))
    return np.where(total > 0, 2 * shared / np.maximum(total, 1), 1.0).mean(1)


def _with_dice(scores: Scores, dice: np.ndarray) -> Scores:
    """Return the scores with another Dice of each expert's own mask."""
    swapped = scores.by_expert["swap_dice"].copy()
    np.fill_diagonal(swapped, dice)
    return replace(
        scores,
        values=scores.values | {"expert_dice": float(dice.mean())},
        by_expert=scores.by_expert | {"swap_dice": swapped},
    )
