"""Write the card of the phantom weights: what they are, how they were trained, how good they are.

    python Testing/Benchmarks/model_card.py TRUTH.md [RELIABILITY.png]

TRUTH.md is what truth.py found for these very weights; the card refuses another's. The picture is
reliability.py's. Card and pictures lie beside the weights.
"""

import argparse
import shutil
import sys
from pathlib import Path

from diffoseg.model.cards import PHANTOMS, find_model
from diffoseg.model.model import Model, load_model
from diffoseg.model.stored import content_hash


def main() -> int:
    """Write the card of the phantom weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("reliability", type=Path, nargs="?")
    arguments = parser.parse_args()
    path = find_model(PHANTOMS)
    model = load_model(path)
    truth = arguments.truth.read_text(encoding="utf-8")
    if content_hash(model) not in truth:
        print(f"{arguments.truth.name} was measured with other weights. Run truth.py again.")
        return 2
    picture = ""
    if arguments.reliability is not None:
        kept = path.with_name(f"{path.stem}-reliability.png")
        shutil.copyfile(arguments.reliability, kept)
        picture = f"![reliability]({kept.name})\n"
    text = card(model, truth, picture, f"{path.stem}-training.png")
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    return 0


def card(model: Model, truth: str, reliability: str, curve: str) -> str:
    """Return the model card as Markdown."""
    about, network = model.metadata, model.fast
    assert network is not None
    done = about.training["fast"]
    return f"""# {about.title}

For demonstration and testing, **not for clinical use**. Trained on synthetic phantoms alone;
nothing here says how it draws on patients.

| | |
|---|---|
| kind | fast: an image encoder that runs once, a light decoder that runs every step |
| knows | {", ".join(model.experts)}; their consensus is the mixture of all |
| learnt from | these and {network.config.population} other experts, who drew some cases each |
| values | {model.parameter_count:,}, float16 |
| reads | CT, {about.intensity.low:g} to {about.intensity.high:g} HU |
| field of view | {about.patch} x {about.patch} pixels of {about.spacing_mm:g} mm around a lesion |
| draws with | {about.sampler}, {about.steps} steps |
| mask distance | D = {about.mask_distance:.0f} pixels |
| content hash | `{content_hash(model)}` |

## How it was trained

    python Testing/Benchmarks/train_phantom.py runs/default --iterations {done["iterations"]}

{done["iterations"]} iterations of {done["batch"]} slices, seed {done["seed"]}.
{about.training["history"]}

![training]({curve})

## Calibration

Its logits are stretched and shifted by what held-out experts drew (`diffoseg/calibration.py`).
Below, what it says against what the experts of held-out phantoms do.

{reliability}
{_lowered(truth)}
## Limits

* Simulated experts on simulated nodules: the styles are made up, and real readers do not draw so.
* One kind of lesion, near the middle of the region; give it a region of about 45 mm.
* Two-dimensional: each slice is seen alone, and the slices of a sample are kept together by
  sharing their noise.
* An outline is where the probability exceeds one half. Where an expert takes one of two lobes by
  the toss of a coin, both lie near one half and the outline between them means little; the samples
  show the choice.
* The spread says nothing about scans unlike its training; the program names such before it answers.
"""


def _lowered(truth: str) -> str:
    """Return a report as a section of another page: every heading one level down."""
    lines = ("#" + line if line.startswith("#") else line for line in truth.splitlines())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
