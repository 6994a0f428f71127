"""Turn a trained model into the default weights: half precision, a title and a notice.

python Testing/Benchmarks/default_weights.py runs/stage2/model.safetensors
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from diffoseg.weights import DEFAULT_MODEL, load_model, save_model

MODELS = Path(__file__).parents[2] / "Resources" / "Models"
TITLE = "DiffOSeg on synthetic lung nodules"
NOTICE = "For demonstration and testing, not for clinical use."


def main() -> int:
    """Write Resources/Models/<default name>.safetensors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path)
    model = load_model(parser.parse_args().trained)
    training = {**model.metadata.training, "notice": NOTICE}
    model = replace(model, metadata=replace(model.metadata, title=TITLE, training=training))
    path = MODELS / f"{DEFAULT_MODEL}.safetensors"
    save_model(model, path, dtype=torch.float16)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
