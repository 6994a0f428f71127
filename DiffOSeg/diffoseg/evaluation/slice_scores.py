"""The numbers of each slice that some reader marked: the model, what rivals it, and the readers.

Two rivals come from the model's own map and need no sampler: its level sets, and its one outline
taken for all that there is. A reader is a fair measure of both, so each one stands in for a method
too, in turn, against the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..comparison.overlap import overlap
from .metrics import (
    dice_match,
    dice_max,
    dice_soft,
    ged_floor,
    generalized_energy_distance,
    hm_iou,
    mean_distance,
    per_expert_dice,
    published,
)

LITERATURE_SAMPLES = 100
LEVEL_SETS, ONE_OUTLINE, MAJORITY = " of level sets", " of one outline", " of the majority"
ONE_READER, TWO_READERS = " of one reader", " of two readers"

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Slices:
    """One case, cut into its S slices; bool all.

    Attributes:
        readers: (R, S, h, w).
        samples: of the consensus, (n, S, h, w).
        level_sets: of its probability, (n, S, h, w).
        outline: (S, h, w).
        majority: where its probability exceeds one half, (S, h, w).
        persons, answers: drawings and outlines of the experts whom the model knows, in one order,
            (E, S, h, w); none of them as (0, S, h, w).
    """

    readers: np.ndarray
    samples: np.ndarray
    level_sets: np.ndarray
    outline: np.ndarray
    majority: np.ndarray
    persons: np.ndarray
    answers: np.ndarray


def slice_scores(of: Slices) -> tuple[Numbers, ...]:
    """Return the numbers of every slice that some reader marked; what cannot be said is missing."""
    return tuple(_of_one(of, int(at)) for at in np.flatnonzero(of.readers.any((0, 2, 3))))


def beside_readers(
    name: str, readers: np.ndarray, outlines: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return the Dice of outlines with those who marked, and theirs; nothing for one alone.

    The same pairs stand on all sides: whoever marked, left out in turn.

    Args:
        name: of the measure.
        readers: (R, ...) bool.
        outlines: by what is added to the name, (...) bool.
    """
    marking = readers[readers.reshape(len(readers), -1).any(1)]
    if len(marking) < 2:
        return {}
    pairs = overlap(marking, marking).dice()
    return {
        **{
            name + whose: float(overlap(mask[None], marking).dice().mean())
            for whose, mask in outlines.items()
        },
        name + TWO_READERS: float(pairs[~np.eye(len(marking), dtype=bool)].mean()),
    }


def _of_one(of: Slices, at: int) -> Numbers:
    readers, samples = of.readers[:, at], of.samples[:, at]
    alone = np.repeat(of.outline[None, at], len(samples), axis=0)
    methods = {"": samples, LEVEL_SETS: of.level_sets[:, at], ONE_OUTLINE: alone}
    outlines = {"": of.outline[at], MAJORITY: of.majority[at]}
    return {
        "slice": float(at),
        "readers marking": float(readers.any((1, 2)).sum()),
        "presence": float(samples.any((1, 2)).mean()),
        **{
            measure + whose: value
            for whose, masks in methods.items()
            for measure, value in _distances(readers, masks).items()
        },
        "floor of GED_V": ged_floor(readers, len(samples)),
        "floor of GED_V of 100": ged_floor(readers, LITERATURE_SAMPLES),
        **_published(readers, samples),
        **_one_reader(readers),
        **beside_readers("Dice", readers, outlines),
        **_experts(of.persons[:, at], of.answers[:, at]),
    }


def _distances(readers: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Return how far two sets of masks are, (n, h, w) each."""
    unbiased = generalized_energy_distance(readers, masks)
    within = mean_distance(readers), mean_distance(masks)
    counts = len(readers), LITERATURE_SAMPLES
    return {
        "GED_U": unbiased,
        "GED_V": generalized_energy_distance(readers, masks, statistic="V"),
        "GED_V of 100": unbiased + sum(d / n for d, n in zip(within, counts, strict=True)),
        "HM-IoU": hm_iou(readers, masks),
        "Dice_soft": dice_soft(readers, masks),
        "Dice_max": dice_max(readers, masks),
        "Dice_match": dice_match(readers, masks),
    }


def _published(readers: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    return {
        "published GED": published.ged(readers, samples),
        "published Dice_soft": published.dice_soft(readers, samples),
        "published Dice_max": published.dice_max(readers, samples),
        "published Dice_match": published.dice_match(readers, samples),
    }


def _one_reader(readers: np.ndarray) -> dict[str, float]:
    """Return the distances of each reader, as one outline, to the others; of three at the least."""
    count = len(readers)
    if count < 3:
        return {}
    distance = 1 - overlap(readers, readers).iou(1.0)
    near = distance.sum(1) / (count - 1)
    # Of the others' pairs: all ordered ones, without the row and the column of who is left out.
    among = (distance.sum() - 2 * distance.sum(1)) / ((count - 1) * (count - 2))
    return {
        f"GED_U{ONE_READER}": float((2 * near - among).mean()),
        f"HM-IoU{ONE_READER}": float(1 - near.mean()),
    }


def _experts(persons: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """Return the Dice of each expert's outline with what that expert drew, and what is reported."""
    if len(persons) < 2:
        return {}
    return {
        "Dice of each expert": float(per_expert_dice(persons, answers).mean()),
        "published Dice of each expert": float(published.dice_each(persons, answers).mean()),
    }
