"""Train a model on real readers: the fast kind, on LIDC-IDRI's nodules, by one command.

python Testing/Benchmarks/train_lidc.py STRIPS OUT [--iterations N] [--from WEIGHTS]

STRIPS is the folder that lidc_strips.py reads. Folds 0 and 1 are seen by no training, fold 2 stops
and calibrates it, folds 3 to 8 are learnt from. A run that was stopped goes on where it was.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from lidc_strips import SPACING_MM, slices_of_strips

from diffoseg.cohorts.order_statistics import OF_FOUR
from diffoseg.model.model import load_model
from diffoseg.model.stored import save_model
from diffoseg.training.fast import train_fast
from diffoseg.training.loop import LoopSettings

TITLE = "DiffOSeg on LIDC-IDRI's readers"
NOTICE = (
    "A research model for nodules that somebody points at: not a detector, not for clinical use."
    " Its experts are laws, not persons."
)
DATA = (
    "LIDC-IDRI (CC BY 3.0; cropped, 8 bit, rasterised), folds 3 to 8 learnt from, fold 2"
    " calibrates, folds 0 and 1 unseen. Armato et al., The Cancer Imaging Archive 2015, doi"
    " 10.7937/K9/TCIA.2015.LO9QL9SX; Med Phys 38:915-931 (2011); Clark et al., J Digit Imaging"
    " 26:1045-1057 (2013)."
)
LEARNT_FROM, HELD_OUT = frozenset(range(3, 9)), frozenset({2})


def main() -> int:
    """Read the strips, train, and save the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("strips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--from", dest="start", metavar="WEIGHTS", help="(default: the built-in)")
    arguments = parser.parse_args()
    start = load_model(arguments.start)
    metadata = replace(
        start.metadata,
        title=TITLE,
        spacing_mm=SPACING_MM,
        training={"notice": NOTICE, "data": DATA},
        steps_curve={},
    )
    model = train_fast(
        slices_of_strips(arguments.strips, LEARNT_FROM, seed=1),
        slices_of_strips(arguments.strips, HELD_OUT, seed=2),
        metadata,
        LoopSettings(
            iterations=arguments.iterations,
            batch=arguments.batch,
            edge=metadata.patch,
            learning_rate=arguments.rate,
            seed=5,
            every=100,
        ),
        arguments.out,
        named=len(OF_FOUR),
        start=start,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        progress=lambda done, total, what: print(f"{done}/{total} {what}", flush=True),
    )
    model = replace(model, panel=OF_FOUR)
    save_model(model, arguments.out / "model.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
