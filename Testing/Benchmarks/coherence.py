"""Measure how much a sample flickers from slice to slice, beside the experts' own drawings.

    python Testing/Benchmarks/coherence.py [WEIGHTS] --cases N

Flicker is the mean of 1 - IoU between the masks of neighbouring slices of one drawing, over
neighbours of which at least one is marked. The samples are drawn with several correlations of the
noise between slices; the one whose flicker is nearest to the experts' own is the right one.
"""

import argparse
import sys

import numpy as np

from diffoseg import segmentation
from diffoseg.allocator import keep_freed_memory
from diffoseg.cohorts.case import Case
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.geometry import Box
from diffoseg.segmentation import Segmenter
from diffoseg.weights import load_model

SEED = 9002
COHERENCES = (0.0, 0.5, 0.9, 1.0)


def flicker(drawings: np.ndarray) -> float:
    """Return the flicker of drawings (N, K, J, I) bool; NaN where nothing is marked."""
    first, second = drawings[:, :-1], drawings[:, 1:]
    union = (first | second).sum((2, 3))
    overlap = (first & second).sum((2, 3))
    marked = union > 0
    return float((1 - overlap[marked] / union[marked]).mean()) if marked.any() else float("nan")


def _one_view(case: Case) -> Box:
    """Return the case's region, a little narrower in plane, so that one tile holds it."""
    lower, upper = np.array(case.region.lower), np.array(case.region.upper)
    inward = np.array([1.0, 1.0, 0.0])
    return Box(tuple(lower + inward), tuple(upper - inward))


def main() -> int:
    """Print the flicker of the experts and of the model at every correlation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--samples", type=int, default=4)
    arguments = parser.parse_args()
    keep_freed_memory()
    model = load_model(arguments.weights)
    cohort = PhantomCohort(seed=SEED, cases=arguments.cases)
    truth = [
        flicker(drawings)
        for index in range(len(cohort))
        for drawings in cohort.case_truth(index, 16).values()
    ]
    print(f"experts' own drawings  {np.nanmean(truth):.3f}")
    for coherence in COHERENCES:
        segmentation.COHERENCE = coherence
        found = [
            flicker(result.samples)
            for case in cohort
            for result in Segmenter(model, "cpu")
            .segment(case.volume, _one_view(case), model.experts, arguments.samples)
            .results.values()
        ]
        print(f"samples, correlation {coherence:.1f}  {np.nanmean(found):.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
