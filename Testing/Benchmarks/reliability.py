"""Draw a reliability diagram: what was said against what was true, pixel by pixel.

python Testing/Benchmarks/reliability.py PICTURE NAME=EVALUATION.json [NAME=EVALUATION.json ...]

Each evaluation is what ``Evaluation.to_dict`` gives, as JSON. A method that says 30 % where in
truth 30 % of the drawings mark a pixel lies on the diagonal. Only pixels that anyone marks are
counted; the background would be right anyhow.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diffoseg.evaluation.evaluate import Evaluation
from diffoseg.evaluation.metrics import calibration_error

PANELS = {"consensus_ece": "Consensus", "expert_ece": "Each expert"}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by all eyes (Okabe and Ito)


def draw_reliability(path: Path, evaluations: Mapping[str, Evaluation]) -> None:
    """Draw one panel each for the consensus and the experts, and one curve for each evaluation.

    Args:
        path: the picture to write; its ending says the format.
        evaluations: by the name that stands beside the curve, such as "before calibration".
    """
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(PANELS), squeeze=False)[0]
    for panel, (measure, title) in zip(panels, PANELS.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
        for number, (name, evaluation) in enumerate(evaluations.items()):
            said, true, share = points(evaluation.calibration[measure].sum(0))
            error = float(calibration_error(evaluation.calibration[measure].sum(0)))
            colour = _COLOURS[number % len(_COLOURS)]
            panel.plot(said, true, color=colour, label=f"{name}: ECE {error:.3f}")
            panel.scatter(said, true, s=6 + 220 * share, color=colour, alpha=0.6)
        panel.set_title(title)
        panel.set_xlabel("probability said")
        panel.set_ylabel("true probability")
        panel.set_aspect("equal")
        panel.grid(alpha=0.3)
        panel.legend(loc="upper left", frameon=False)
    figure.savefig(path, dpi=110)


def points(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean probability said, mean true one, and share of the pixels, of each bin in use.

    ``sums`` are calibration sums (bins, 3) as ``metrics.calibration_sums`` gives them.
    """
    count, said, true = np.asarray(sums, float).T
    used = count > 0
    return said[used] / count[used], true[used] / count[used], count[used] / count.sum()


def main() -> int:
    """Read the evaluations and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("evaluations", nargs="+", metavar="NAME=FILE")
    arguments = parser.parse_args()
    pairs = [given.partition("=")[::2] for given in arguments.evaluations]
    read = {
        name: Evaluation.from_dict(json.loads(Path(file).read_text(encoding="utf-8")))
        for name, file in pairs
    }
    draw_reliability(arguments.picture, read)
    return 0


if __name__ == "__main__":
    sys.exit(main())
