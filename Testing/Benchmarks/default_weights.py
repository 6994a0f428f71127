"""Make a trained model the default weights: half precision, a title, a notice and its history.

    python Testing/Benchmarks/default_weights.py RUN --history "..."

RUN is the folder of train_default.py; its curve becomes the card's picture.
"""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch

from diffoseg.model.cards import DEFAULT_MODEL
from diffoseg.model.model import load_model
from diffoseg.model.stored import save_model
from diffoseg.training.run_files import CURVE

MODELS = Path(__file__).parents[2] / "Resources" / "Models"
TITLE = "DiffOSeg on synthetic lung nodules"
NOTICE = "For demonstration and testing, not for clinical use."


def main() -> int:
    """Write Resources/Models/<default name>.safetensors and the picture of its training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--history", required=True, help="on what, how long, from what")
    arguments = parser.parse_args()
    model = load_model(arguments.run / "model.safetensors")
    training = {**model.metadata.training, "notice": NOTICE, "history": arguments.history}
    model = replace(model, metadata=replace(model.metadata, title=TITLE, training=training))
    path = MODELS / f"{DEFAULT_MODEL}.safetensors"
    save_model(model, path, dtype=torch.float16)
    shutil.copyfile(arguments.run / CURVE, MODELS / f"{DEFAULT_MODEL}-training.png")
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
