"""How a model's answers compare with readers who drew each case once: no law can be asked again.

Judged is what a user gets: the answers on the scan's own voxels. A slice counts where some reader
marked it, and a reader is a fair measure of a reader: beside each number of the model stands that
of the readers among themselves. A reader who left a lesion out has drawn an empty mask. Where a
case shows several lesions, all that is marked counts as one drawing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any, Self

import numpy as np

from ..cohorts.case import Case
from ..cohorts.order_statistics import OF_FOUR, order_statistics
from ..comparison.measures import crop_to_region, surface_distances
from ..comparison.overlap import overlap
from ..comparison.result import Comparison, ExpertResult
from ..experts.panel import CONSENSUS
from ..space.geometry import Geometry
from ..space.model_grid import ModelGrid
from .metrics import calibration_sums
from .reader_volumes import volume_scores
from .slice_scores import (
    MAJORITY,
    TWO_READERS,
    Numbers,
    Slices,
    beside_readers,
    slice_scores,
)

_BAND = (0.05, 0.95)
_BINS = 10


@dataclass(frozen=True)
class CaseScores:
    """What is kept of one case: numbers, no pixel.

    Attributes:
        case, patient: names; the patient is the unit of every interval.
        tags: of the case.
        numbers: of the whole case; what cannot be said of it is missing.
        slices: of each slice that some reader marked; none where nobody marked any.
        calibration: ``metrics.calibration_sums`` where the consensus is unsure, as lists.
        presence: the same of whole slices, of all that were looked at: the share of samples and of
            readers that mark anything there.
        persons: by the name of an expert, or law, whom the model knows: its presence as "stated",
            whether it "marked", and if so the 3-D Dice "of NAME" of every answer, and of the
            "others" who marked.
    """

    case: str
    patient: str
    tags: Mapping[str, str]
    numbers: Numbers
    slices: tuple[Numbers, ...]
    calibration: list[list[float]]
    presence: list[list[float]]
    persons: Mapping[str, Numbers]

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
    sets = _level_sets(consensus, case.name)
    majority = consensus.probability > 0.5
    outlines = {"": consensus.mask, MAJORITY: majority}
    own = _drawn_by_experts(case, comparison, persistent)
    answers = np.array([comparison.results[name].mask for name in own], bool)
    of = Slices(
        shown(readers),
        shown(consensus.samples),
        shown(sets),
        shown(consensus.mask),
        shown(majority),
        shown(np.array(list(own.values()), bool).reshape(-1, *majority.shape)),
        shown(answers.reshape(-1, *majority.shape)),
    )
    voxel = comparison.geometry.voxel_volume_ml
    everything = sum(int(mask.sum()) for mask in case.masks.values())
    numbers = {
        "readers marking": float(readers.any((1, 2, 3)).sum()),
        "presence stated": consensus.presence,
        "presence true": float(readers.any((1, 2, 3)).mean()),
        **({"drawn in the region": int(readers.sum()) / everything} if everything else {}),
        **volume_scores(readers, consensus, majority, sets, voxel),
        **beside_readers("3-D Dice", readers, outlines),
        **_surfaces(readers, outlines, comparison.region_geometry),
        **_flicker(of),
        **({} if persistent else _order_of_laws(comparison)),
    }
    return CaseScores(
        case.name,
        case.patient,
        dict(case.tags),
        numbers,
        slice_scores(of),
        _calibration(of, shown(consensus.probability)),
        _presence_of_slices(of),
        _persons(own, comparison),
    )


def _level_sets(consensus: ExpertResult, name: str) -> np.ndarray:
    """Return as many level sets of the map as there are samples, at levels by chance.

    Chance is keyed by the case: levels that all cases shared would be an error that no interval
    over patients could see.
    """
    digest = hashlib.sha256(f"level sets of {name}".encode()).digest()
    random = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    levels = random.random(len(consensus.samples), np.float32)
    return np.asarray(consensus.probability[None] > levels[:, None, None, None])


def _calibration(of: Slices, probability: np.ndarray) -> list[list[float]]:
    unsure = (probability > _BAND[0]) & (probability < _BAND[1])
    sums = calibration_sums(probability, of.readers.mean(0), bins=_BINS, within=unsure)
    return [[float(value) for value in row] for row in sums]


def _presence_of_slices(of: Slices) -> list[list[float]]:
    stated, true = (masks.any((2, 3)).mean(0) for masks in (of.samples, of.readers))
    return [[float(value) for value in row] for row in calibration_sums(stated, true, bins=_BINS)]


def _surfaces(
    readers: np.ndarray, outlines: Mapping[str, np.ndarray], geometry: Geometry
) -> dict[str, float]:
    """Return 3-D surface distances, mm, to those who marked, and among these; as Dice does."""
    marking = readers[readers.any((1, 2, 3))]
    if len(marking) < 2:
        return {}
    pairs = {name: [(mask, reader) for reader in marking] for name, mask in outlines.items()}
    pairs[TWO_READERS] = list(combinations(marking, 2))
    found: dict[str, float] = {}
    for whose, both in pairs.items():
        known = [surface_distances(*pair, geometry) for pair in both]
        if all(distances is not None for distances in known):
            mean, far = np.array(known, float).mean(0).tolist()
            found |= {f"surface{whose}, mm": mean, f"95 % surface{whose}, mm": far}
    return found


def _flicker(of: Slices) -> dict[str, float]:
    """Return the mean 1 - Dice of slices next to each other that both hold something."""
    drawings = {
        "readers": of.readers,
        "outline": of.outline[None],
        "samples": of.samples,
        "level sets": of.level_sets,
    }
    found = {}
    for name, several in drawings.items():
        steps = [
            1 - float(overlap(low[None], high[None]).dice()[0, 0])
            for drawing in several
            for low, high in pairwise(drawing)
            if low.any() and high.any()
        ]
        if steps:
            found[f"flicker of {name}"] = float(np.mean(steps))
    return found


def _order_of_laws(comparison: Comparison) -> dict[str, float]:
    """Return whether the four laws' maps are of the sizes that their names say."""
    if not set(OF_FOUR.names) <= comparison.results.keys():
        return {}
    sizes = [float(comparison.results[name].probability.sum()) for name in OF_FOUR.names]
    return {"laws in their order": float(all(a <= b for a, b in pairwise(sizes)))}


def _drawn_by_experts(
    case: Case, comparison: Comparison, persistent: bool
) -> dict[str, np.ndarray]:
    """Return what persons, or laws, drew whom the model knows by name, in the region."""
    own = dict(case.masks)
    if not persistent:
        own = order_statistics(case) if len(case.masks) == len(OF_FOUR) else {}
    return {
        name: crop_to_region(own[name], comparison) for name in comparison.results if name in own
    }


def _persons(own: Mapping[str, np.ndarray], comparison: Comparison) -> dict[str, Numbers]:
    """Return how each answer overlaps what each person, or law, drew."""
    outlines = np.stack([result.mask for result in comparison.results.values()])
    found: dict[str, Numbers] = {}
    for name, drawn in own.items():
        row = {
            "stated": comparison.results[name].presence,
            "marked": float(drawn.any()),
        }
        if drawn.any():
            dice = overlap(drawn[None], outlines).dice()[0].tolist()
            row |= {f"of {who}": d for who, d in zip(comparison.results, dice, strict=True)}
            others = [mask for other, mask in own.items() if other != name and mask.any()]
            if others:
                row["others"] = float(overlap(drawn[None], np.stack(others)).dice().mean())
        found[name] = row
    return found
