"""Ship a trained model with the program: half precision, a notice and its history.

    python Testing/Benchmarks/ship_weights.py RUN --history "..." [--name NAME]

RUN is the folder of train_phantom.py, or of train_lidc.py; its curve becomes the card's picture.
"""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch

from diffoseg.cohorts.order_statistics import OF_FOUR
from diffoseg.model.cards import DEFAULT_MODEL
from diffoseg.model.model import load_model
from diffoseg.model.stored import save_model
from diffoseg.training.run_files import CURVE

MODELS = Path(__file__).parents[2] / "Resources" / "Models"
NOTICE = "For demonstration and testing, not for clinical use."


def main() -> int:
    """Write Resources/Models/NAME.safetensors and the picture of its training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--history", required=True, help="on what, how long, from what")
    parser.add_argument("--name", default=DEFAULT_MODEL, help="(default: that of the default)")
    arguments = parser.parse_args()
    model = load_model(arguments.run / "model.safetensors")
    training = {"notice": NOTICE, **model.metadata.training, "history": arguments.history}
    panel = OF_FOUR if model.panel.names == OF_FOUR.names else model.panel
    model = replace(model, panel=panel, metadata=replace(model.metadata, training=training))
    path = MODELS / f"{arguments.name}.safetensors"
    save_model(model, path, dtype=torch.float16)
    shutil.copyfile(arguments.run / CURVE, MODELS / f"{arguments.name}-training.png")
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
