"""Measure how much a drawing flickers from slice to slice, beside the experts' own drawings.

    python Testing/Benchmarks/coherence.py [WEIGHTS] --cases N

The *flicker* of a drawing is the mean of 1 - IoU between its masks on neighbouring slices, over
the neighbours of which at least one is marked: 0 where every slice repeats the last, 1 where none
overlaps the next. A lesion that tapers flickers too, so the experts' own drawings of the same
phantoms, on the same grid, are the yardstick. A *gap* is a drawing with an unmarked slice between
two marked ones. Differences are paired: samples minus drawings of the same phantom and the same
expert, with a 95 % interval over phantoms (bootstrap).

The samples are drawn with several correlations of the noise between slices; presence is drawn once
for all slices of a sample, as everywhere.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffoseg.cohorts.case import Case
from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.device.allocator import keep_freed_memory
from diffoseg.drawing import drawing
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.evaluation.intervals import Estimate, interval, patient_weights
from diffoseg.model.cards import PHANTOMS
from diffoseg.model.model import load_model
from diffoseg.model.presets import PRESETS, STANDARD
from diffoseg.space.geometry import Box

SEED = 9002
DRAWS = 16
COHERENCES = (0.0, 0.5, 0.9, 1.0)

Drawings = Mapping[str, np.ndarray]
"""Expert to masks, bool (N, K, J, I)."""


@dataclass(frozen=True)
class Flicker:
    """Of one set of drawings of every phantom.

    Attributes:
        flicker: (phantoms, experts), NaN where nothing is marked.
        gaps: share of the marked drawings with a gap, (phantoms, experts), NaN alike.
    """

    flicker: np.ndarray
    gaps: np.ndarray

    @classmethod
    def of(cls, phantoms: Sequence[Drawings]) -> "Flicker":
        """Measure the drawings of phantoms, all by the same experts."""
        measured = [[(flicker(n), gaps(n)) for n in drawn.values()] for drawn in phantoms]
        both = np.array(measured)
        return cls(both[..., 0], both[..., 1])


def flicker(drawings: np.ndarray) -> float:
    """Return the flicker of drawings (N, K, J, I) bool; NaN where nothing is marked."""
    first, second = drawings[:, :-1], drawings[:, 1:]
    union = (first | second).sum((2, 3))
    overlap = (first & second).sum((2, 3))
    marked = union > 0
    return float((1 - overlap[marked] / union[marked]).mean()) if marked.any() else float("nan")


def gaps(drawings: np.ndarray) -> float:
    """Return the share of the marked drawings (N, K, J, I) bool with an unmarked slice between."""
    marked = drawings.any((2, 3))
    marked = marked[marked.any(1)]
    if not len(marked):
        return float("nan")
    before = np.logical_or.accumulate(marked, 1)
    after = np.logical_or.accumulate(marked[:, ::-1], 1)[:, ::-1]
    return float((before & after & ~marked).any(1).mean())


def paired(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Return the mean of first minus second, (phantoms, experts), where neither is NaN."""
    difference = first - second
    known = ~np.isnan(difference)
    total, count = np.where(known, difference, 0).sum(1), known.sum(1)
    weights = patient_weights([str(phantom) for phantom in range(len(difference))])
    replicates = weights @ total / np.maximum(weights @ count, 1)
    return interval(float(total.sum() / count.sum()), replicates, len(difference))


def samples_of(segmenter: Segmenter, cohort: PhantomCohort, **asked: Any) -> list[Drawings]:
    """Return the samples of every expert on every phantom, drawn as asked."""
    everyone = []
    for case in cohort:
        experts = segmenter.model.experts
        answer = segmenter.segment(case.volume, _one_view(case), experts, **asked)
        everyone.append({name: result.samples for name, result in answer.results.items()})
    return everyone


def _one_view(case: Case) -> Box:
    """Return the case's region, a little narrower in plane, so that one tile holds it."""
    lower, upper = np.array(case.region.lower), np.array(case.region.upper)
    inward = np.array([1.0, 1.0, 0.0])
    return Box(tuple(lower + inward), tuple(upper - inward))


def main() -> int:
    """Print the flicker of the experts, and of the model at every correlation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--preset", choices=PRESETS, default=STANDARD)
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--correlations", type=float, nargs="+", default=COHERENCES)
    arguments = parser.parse_args()
    keep_freed_memory()
    segmenter = Segmenter(load_model(arguments.weights or PHANTOMS), "cpu")
    cohort = PhantomCohort(seed=SEED, cases=arguments.cases, kind=CROSSING)
    truth = Flicker.of([cohort.case_truth(index, DRAWS) for index in range(len(cohort))])
    asked = {"samples": arguments.samples, "steps": arguments.steps, "preset": arguments.preset}
    print(f"{'':24}{'flicker':>8}  {'minus the experts':28}{'gaps':>8}")
    print(_row("experts' own drawings", truth, ""), flush=True)
    for coherence in arguments.correlations:
        drawing.COHERENCE = coherence
        found = Flicker.of(samples_of(segmenter, cohort, **asked))
        difference = str(paired(found.flicker, truth.flicker))
        print(_row(f"samples, correlation {coherence:g}", found, difference), flush=True)
    return 0


def _row(label: str, found: Flicker, difference: str) -> str:
    mean, with_gap = np.nanmean(found.flicker), np.nanmean(found.gaps)
    return f"{label:24}{mean:8.3f}  {difference:28}{with_gap:8.1%}"


if __name__ == "__main__":
    sys.exit(main())
