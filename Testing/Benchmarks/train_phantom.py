"""Train the phantom weights: the fast kind, on phantoms, by one command.

python Testing/Benchmarks/train_phantom.py OUT [--iterations N] [--from WEIGHTS]

Four named experts draw every phantom several times, and passing ones draw it besides, so that the
codes of experts fill their space. A run that was stopped goes on where it was. The result is
OUT/model.safetensors; ship_weights.py --name diffoseg-phantom ships it.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.model.metadata import ModelMetadata
from diffoseg.model.model import load_model
from diffoseg.model.stored import save_model
from diffoseg.space.intensity import IntensityMapping
from diffoseg.training.fast import STEPS, train_fast
from diffoseg.training.loop import LoopSettings
from diffoseg.training.prepare import ROOM
from diffoseg.training.slices import SliceSet, slices_of

COHORT = PhantomCohort(seed=3, cases=3000, draws=3, passing=2, kind=CROSSING)
HELD_OUT = PhantomCohort(seed=4, cases=60, passing=2, kind=CROSSING)
METADATA = ModelMetadata(
    title="DiffOSeg on synthetic lung nodules",
    kind="fast",
    image_channels=("CT",),
    intensity=IntensityMapping("window", -1000.0, 400.0),
    spacing_mm=0.7,
    patch=64,
    mask_distance=1.0,  # measured by the training
    steps=STEPS,
    modality="CT",
)
NAMED = len(COHORT.experts)
_PART = 25  # cases a process makes at once


def slices_of_phantoms(cohort: PhantomCohort) -> SliceSet:
    """Return the slices of a whole cohort, made by as many processes as there are cores."""
    parts = range(0, len(cohort), _PART)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return SliceSet.joined(list(pool.map(partial(_part, cohort), parts)))


def _part(cohort: PhantomCohort, first: int) -> SliceSet:
    cases = (cohort[index] for index in range(first, min(first + _PART, len(cohort))))
    edge = METADATA.patch + ROOM
    return slices_of(cases, spacing_mm=METADATA.spacing_mm, intensity=METADATA.intensity, edge=edge)


def main() -> int:
    """Make the slices, train, and save the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--iterations", type=int, default=10000)
    parser.add_argument("--from", dest="start", metavar="WEIGHTS")
    arguments = parser.parse_args()
    start = load_model(arguments.start) if arguments.start else None
    model = train_fast(
        slices_of_phantoms(COHORT),
        slices_of_phantoms(HELD_OUT),
        METADATA if start is None else start.metadata,
        LoopSettings(iterations=arguments.iterations, batch=16, edge=METADATA.patch, seed=3),
        arguments.out,
        named=NAMED,
        start=start,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        progress=lambda done, total, what: print(f"{done}/{total} {what}", flush=True),
    )
    save_model(model, arguments.out / "model.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
