"""How a model's answers compare with readers who drew each case once: no law can be asked again.

Judged is what a user gets: the answers on the scan's own voxels. A slice counts where some reader
marked it, and a reader is a fair measure of a reader: beside each number of the model stands that
of the readers among themselves. A reader who left a lesion out has drawn an empty mask.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from ..cohorts.case import Case
from ..cohorts.order_statistics import OF_FOUR, order_statistics
from ..comparison.measures import crop_to_region, surface_distances, volume_interval
from ..comparison.overlap import overlap
from ..comparison.result import Comparison, ExpertResult
from ..experts.panel import CONSENSUS
from ..space.model_grid import ModelGrid
from .metrics import (
    calibration_sums,
    dice_match,
    dice_max,
    dice_soft,
    generalized_energy_distance,
    hm_iou,
    mean_distance,
    published,
)

LITERATURE_SAMPLES = 100
_BAND = (0.05, 0.95)
_LEVELS_SEED = 0x1E7E1

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class CaseScores:
    """What is kept of one case: numbers, no pixel.

    Attributes:
        case, patient: names; the patient is the unit of every interval.
        tags: of the case.
        numbers: of the whole case; what cannot be said of it is missing.
        slices: of each slice that some reader marked.
        calibration: ``metrics.calibration_sums`` where the consensus is unsure, as lists.
    """

    case: str
    patient: str
    tags: Mapping[str, str]
    numbers: Numbers
    slices: tuple[Numbers, ...]
    calibration: list[list[float]]

    def values(self) -> dict[str, Any]:
        """Return all of it, JSON-able."""
        return {**asdict(self), "slices": [dict(row) for row in self.slices]}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Undo ``values``; raises TypeError or KeyError for anything else."""
        return cls(**{**values, "slices": tuple(values["slices"])})


def scored(case: Case, comparison: Comparison, *, persistent: bool) -> CaseScores:
    """Return the scores of the answers on one case.

    Args:
        case: drawn by two readers or more.
        comparison: the answers on it, the consensus among them, of two samples or more.
        persistent: whether readers are the same persons throughout, so that an expert of the model
            is compared with the reader of that name. Of others, where there are four, the four
            laws are compared with their ranks.
    """
    axis = ModelGrid.fit(comparison.geometry, spacing_mm=1.0).axes[0]

    def shown(masks: np.ndarray) -> np.ndarray:
        return np.moveaxis(masks, -1 - axis, -3)

    readers = np.stack([crop_to_region(mask, comparison) for mask in case.masks.values()])
    consensus = comparison.results[CONSENSUS]
    slices = _slices(shown(readers), consensus, shown)
    truth = shown(readers).mean(0)
    unsure = (consensus.probability > _BAND[0]) & (consensus.probability < _BAND[1])
    sums = calibration_sums(shown(consensus.probability), truth, bins=10, within=shown(unsure))
    numbers = {
        **_volumes(readers, consensus, comparison),
        **_overlaps(readers, consensus, comparison),
        **_flicker(shown(readers), shown(consensus.mask)[None], shown(consensus.samples)),
        **_of_experts(case, comparison, persistent),
        "presence stated": consensus.presence,
        "presence true": float(readers.any((1, 2, 3)).mean()),
    }
    return CaseScores(
        case.name,
        case.patient,
        dict(case.tags),
        numbers,
        tuple(slices),
        sums.tolist(),
    )


def _slices(readers: np.ndarray, consensus: ExpertResult, shown: Any) -> list[Numbers]:
    """Return the numbers of each slice that some reader marked; readers (R, S, h, w)."""
    samples, outline = shown(consensus.samples), shown(consensus.mask)
    probability = shown(consensus.probability)
    levels = np.random.default_rng(_LEVELS_SEED).random(len(samples))
    rows: list[Numbers] = []
    for index in np.flatnonzero(readers.any((0, 2, 3))):
        drawn = readers[:, index]
        sets = probability[None, index] > levels[:, None, None]
        rows.append(
            {
                "slice": float(index),
                "readers marking": float(drawn.any((1, 2)).sum()),
                "presence": float(samples[:, index].any((1, 2)).mean()),
                **_distances(drawn, samples[:, index]),
                **_published(drawn, samples[:, index]),
                "GED_U of level sets": generalized_energy_distance(drawn, sets),
                "HM-IoU of level sets": hm_iou(drawn, sets),
                **_beside_readers("Dice", drawn, outline[index]),
            }
        )
    return rows


def _distances(readers: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    """Return the distance between two sets of masks, and what it is by custom, (n, h, w) each."""
    unbiased = generalized_energy_distance(readers, samples)
    within = mean_distance(readers), mean_distance(samples)
    counts = len(readers), LITERATURE_SAMPLES
    return {
        "GED_U": unbiased,
        "GED_V": generalized_energy_distance(readers, samples, statistic="V"),
        "GED_V of 100": unbiased + sum(d / n for d, n in zip(within, counts, strict=True)),
        "HM-IoU": hm_iou(readers, samples),
        "Dice_soft": dice_soft(readers, samples),
        "Dice_max": dice_max(readers, samples),
        "Dice_match": dice_match(readers, samples),
    }


def _published(readers: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    return {
        "published GED": published.ged(readers, samples),
        "published Dice_soft": published.dice_soft(readers, samples),
        "published Dice_max": published.dice_max(readers, samples),
        "published Dice_match": published.dice_match(readers, samples),
    }


def _beside_readers(name: str, readers: np.ndarray, outline: np.ndarray) -> dict[str, float]:
    """Return the Dice of an outline with those who marked, and theirs; nothing for one alone.

    The same pairs stand on both sides: whoever marked, left out in turn.
    """
    marking = readers[readers.reshape(len(readers), -1).any(1)]
    if len(marking) < 2:
        return {}
    pairs = overlap(marking, marking).dice()
    return {
        f"{name} with a reader": float(overlap(outline[None], marking).dice().mean()),
        f"{name} of two readers": float(pairs[~np.eye(len(marking), dtype=bool)].mean()),
    }


def _overlaps(
    readers: np.ndarray, consensus: ExpertResult, comparison: Comparison
) -> dict[str, float]:
    """Return 3-D overlap and surface distances of the outline with readers, and among these."""
    found = _beside_readers("3-D Dice", readers, consensus.mask)
    marking = readers[readers.any((1, 2, 3))]
    geometry = comparison.region_geometry
    others = [surface_distances(consensus.mask, reader, geometry) for reader in marking]
    among = [
        surface_distances(first, second, geometry)
        for row, first in enumerate(marking)
        for second in marking[:row]
    ]
    for name, pairs in (("with a reader", others), ("of two readers", among)):
        known = np.array([pair for pair in pairs if pair is not None])
        if len(known):
            found[f"surface {name}, mm"], found[f"95 % surface {name}, mm"] = known.mean(0).tolist()
    return found


def _volumes(
    readers: np.ndarray, consensus: ExpertResult, comparison: Comparison
) -> dict[str, float]:
    """Return volumes, ml, and which share of the readers' lies in the samples' interval."""
    voxel = comparison.geometry.voxel_volume_ml
    drawn = readers.sum((1, 2, 3)) * voxel
    interval = volume_interval(consensus, voxel)
    assert interval is not None
    present = drawn[drawn > 0]
    return {
        "outline, ml": int(consensus.mask.sum()) * voxel,
        "readers' mean, ml": float(present.mean()) if len(present) else 0.0,
        "volumes in the interval": float(
            ((drawn >= interval.low) & (drawn <= interval.high)).mean()
        ),
    }


def _flicker(readers: np.ndarray, outline: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    """Return the mean 1 - Dice of slices next to each other that both hold something."""
    found = {}
    for name, drawings in (("readers", readers), ("outline", outline), ("samples", samples)):
        steps = [
            1 - float(overlap(low[None], high[None]).dice()[0, 0])
            for drawing in drawings
            for low, high in pairwise(drawing)
            if low.any() and high.any()
        ]
        if steps:
            found[f"flicker of {name}"] = float(np.mean(steps))
    return found


def _of_experts(case: Case, comparison: Comparison, persistent: bool) -> dict[str, float]:
    """Return how each expert's outline overlaps what that person, or that law, drew."""
    own = dict(case.masks)
    if not persistent:
        own = order_statistics(case) if len(case.masks) == len(OF_FOUR) else {}
    pairs = {
        name: (result, crop_to_region(own[name], comparison))
        for name, result in comparison.results.items()
        if name in own and own[name].any()
    }
    found = {
        f"3-D Dice of {name}": float(overlap(result.mask[None], mask[None]).dice()[0, 0])
        for name, (result, mask) in pairs.items()
    }
    agreed = comparison.results[CONSENSUS].mask
    for name, (_, mask) in pairs.items():
        found[f"3-D Dice of the consensus with {name}"] = float(
            overlap(agreed[None], mask[None]).dice()[0, 0]
        )
    laws = [comparison.results[name] for name in OF_FOUR.names if name in comparison.results]
    if not persistent and len(laws) == len(OF_FOUR):
        sizes = [float(law.probability.sum()) for law in laws]
        found["laws in their order"] = float(all(a <= b for a, b in pairwise(sizes)))
    return found
