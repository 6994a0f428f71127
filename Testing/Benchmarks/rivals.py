"""Train one of the plain rivals of the default weights, with the same slices and steps.

    python Testing/Benchmarks/rivals.py experts COHORT SPLIT_FOLDER OUT.safetensors --iterations N

SPLIT_FOLDER is where stage I wrote its split, so that the same patients are held out. A rival is
the denoiser's own network with other heads, so that equal iterations are equal compute; the CPU
seconds that it took are stored with it.
"""

import argparse
import sys
from pathlib import Path

import torch

from diffoseg.cohorts.folder import read_cohort
from diffoseg.commands.progress import Progress
from diffoseg.model.model import load_model
from diffoseg.networks.config import compact_config
from diffoseg.training.baselines import train_baseline
from diffoseg.training.loop import LoopSettings
from diffoseg.training.prepare import prepare


def main() -> int:
    """Train the rival that the command line names and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("majority", "experts"))
    parser.add_argument("cohort", type=Path)
    parser.add_argument("stage1", type=Path, help="folder of the stage I run: split and model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    metadata = load_model(arguments.stage1 / "model.safetensors").metadata
    training, held_out = prepare(
        read_cohort(arguments.cohort), metadata, arguments.stage1, arguments.seed
    )
    settings = LoopSettings(
        iterations=arguments.iterations,
        batch=arguments.batch,
        edge=metadata.patch,
        seed=arguments.seed,
    )
    with Progress() as progress:
        baseline = train_baseline(
            training,
            held_out,
            arguments.kind,
            compact_config("stage1", image_channels=1),
            settings,
            device=torch.device("cpu"),
            progress=progress,
        )
    baseline.save(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
