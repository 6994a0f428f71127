"""Measure a model on real readers whom no training has seen: LIDC-IDRI's nodules, folds 0 and 1.

python Testing/Benchmarks/lidc_readers.py STRIPS [MODEL] [--every N] [--samples N] [--out JSON]

Each nodule is seen in a window about its middle, slice by slice, as four readers drew or left it.
Only slices that somebody marked are scored, as in the literature, but split by patient.
"""

import argparse
import json
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lidc_strips import INTENSITY, READERS, Nodule, nodules, on_model_grid

from diffoseg.comparison.outline import outline
from diffoseg.comparison.overlap import overlap
from diffoseg.evaluation.intervals import Estimate, interval, patient_weights
from diffoseg.evaluation.metrics import generalized_energy_distance, mean_distance
from diffoseg.evaluation.phantoms import ModelPredictor
from diffoseg.model.model import Model, load_model
from diffoseg.training.objective import centre_crop

SEEN_BY_NO_TRAINING = frozenset({0, 1})
PUBLISHED_SAMPLES = 100
_LARGE_MM = 20.0
_BAND = (0.05, 0.95)
_BINS = 10


@dataclass(frozen=True)
class Seen:
    """One nodule as the model sees it: images (S, 1, e, e), drawings (READERS, S, e, e) bool."""

    nodule: Nodule
    images: np.ndarray
    drawings: np.ndarray


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return what reads the strips, the model, and how many nodules and samples."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("strips", type=Path)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--every", type=int, default=1, help="every how many nodules (default: 1)")
    parser.add_argument("--samples", type=int, default=16)
    return parser


def main() -> int:
    """Score and print; with --out, keep the numbers."""
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    rows = [
        row
        for seen in held_out(arguments.strips, SEEN_BY_NO_TRAINING, model, arguments.every)
        for row in _scored(seen, ModelPredictor(model), arguments.samples)
    ]
    found = summary(rows)
    count = {what: len({row[what] for row in rows}) for what in ("nodule", "patient")}
    print(f"{len(rows)} slices of {count['nodule']} nodules of {count['patient']} patients")
    for name, estimate in found.items():
        print(f"{name:<44} {estimate}")
    if arguments.out is not None:
        values = {name: [each.value, each.low, each.high] for name, each in found.items()}
        arguments.out.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return 0


def held_out(folder: Path, folds: Collection[int], model: Model, every: int) -> Iterator[Seen]:
    """Yield every so many nodules of some folds as a model sees them."""
    edge = model.metadata.patch
    for number, nodule in enumerate(nodules(folder, folds)):
        if number % every:
            continue
        images = INTENSITY.apply(on_model_grid(nodule.hu, nodule.spacing_mm)).astype(np.float32)
        drawings = on_model_grid(nodule.drawings, nodule.spacing_mm) > 0.5
        yield Seen(nodule, centre_crop(images[:, None], edge), centre_crop(drawings, edge))


def _scored(seen: Seen, predictor: ModelPredictor, samples: int) -> Iterator[dict[str, object]]:
    """Yield a row for each slice that somebody marked."""
    drawn = predictor.volumes(seen.images, "consensus", samples, seed=0)
    answer = predictor.answered("consensus")
    assert answer.probability is not None
    areas = [_area(predictor, seen, name) for name in predictor.model.experts]
    volumes, truth = drawn.sum((1, 2, 3)), seen.drawings.sum((1, 2, 3))
    low, high = np.quantile(volumes, (0.05, 0.95))
    of_nodule = {
        "patient": seen.nodule.patient,
        "nodule": seen.nodule.name,
        "volume in the interval": float(np.mean((truth >= low) & (truth <= high))),
        "tightest to widest in order": float(np.all(np.diff(areas) >= 0)),
        "large": seen.nodule.spacing_mm * _widest(seen.nodule.drawings) > _LARGE_MM,
    }
    for index in np.flatnonzero(seen.drawings.any((0, 2, 3))):
        yield {
            **of_nodule,
            "exact": bool(seen.nodule.exact[index]),
            **_of_slice(
                seen.drawings[:, index],
                answer.probability[index],
                _presence(predictor, seen.images[index]),
                drawn[:, index],
            ),
        }


def _of_slice(
    readers: np.ndarray, probability: np.ndarray, presence: float, drawn: np.ndarray
) -> dict[str, object]:
    """Return the scores of one slice: readers (4, e, e), the answer, and samples (n, e, e)."""
    marked = readers[readers.any((1, 2))]
    given = np.minimum(probability / presence, 1)
    outlines = {
        "cut at one half": probability > 0.5,
        "cut at one half, given presence": given > 0.5,
        "the outline, given presence": outline(given, 1.0),
        "the outline, as drawn": outline(probability, presence),
        "most typical sample": most_typical(drawn),
    }
    pairs = overlap(marked, marked).dice()
    between = pairs[~np.eye(len(marked), dtype=bool)]
    distance = generalized_energy_distance(readers, drawn)
    band = (probability > _BAND[0]) & (probability < _BAND[1])
    return {
        "readers": len(marked),
        "reader against reader": float(between.mean()) if len(between) else np.nan,
        **{
            f"Dice, {name}": float(overlap(outline[None], marked).dice().mean())
            for name, outline in outlines.items()
        },
        "GED_U": distance,
        "GED_V of 100": distance
        + mean_distance(readers) / READERS
        + mean_distance(drawn) / PUBLISHED_SAMPLES,
        "presence stated": presence,
        "presence sampled": float(drawn.any((1, 2)).mean()),
        "presence true": len(marked) / READERS,
        "band": (probability[band], readers.mean(0)[band]),
    }


def most_typical(drawn: np.ndarray) -> np.ndarray:
    """Return the sample that marks anything and overlaps the others that do most (the medoid)."""
    marking = drawn[drawn.any((1, 2))]
    if not len(marking):
        return np.zeros(drawn.shape[1:], bool)
    return marking[int(overlap(marking, marking).dice().sum(1).argmax())]


def summary(rows: list[dict[str, object]]) -> dict[str, Estimate]:
    """Return every measure with its interval over patients."""
    two = [row for row in rows if row["readers"] != 1]
    dices = [name for name in rows[0] if name.startswith("Dice")]
    found: dict[str, Estimate] = {}
    for what, chosen in (
        ("", two),
        ("exact HU: ", [row for row in two if row["exact"]]),
        ("over 20 mm: ", [row for row in two if row["large"]]),
    ):
        for name in ("reader against reader", *dices):
            found[what + name] = _mean(chosen, name)
    for name in ("GED_U", "GED_V of 100", "presence stated", "presence sampled", "presence true"):
        found[name] = _mean(rows, name)
    one_each = list({row["nodule"]: row for row in rows}.values())
    for name in ("volume in the interval", "tightest to widest in order"):
        found[name] = _mean(one_each, name)
    for count in range(1, READERS + 1):
        some = [row for row in rows if row["readers"] == count]
        found[f"presence stated where {count} of 4 marked"] = _mean(some, "presence stated")
    error = _calibration_error(rows)
    found["ECE in the band"] = Estimate(error, error, error)
    return found


def _mean(rows: list[dict[str, object]], name: str) -> Estimate:
    values = np.array([row[name] for row in rows], float)
    if len({row["patient"] for row in rows}) < 2:
        return Estimate(np.nan, np.nan, np.nan)
    weights = patient_weights([str(row["patient"]) for row in rows])
    means = weights @ values / weights.sum(1)
    return interval(float(values.mean()), means, len({row["patient"] for row in rows}))


def _calibration_error(rows: list[dict[str, object]]) -> float:
    """Return the expected calibration error over the pixels that are uncertain."""
    said, true = (
        np.concatenate([row["band"][part] for row in rows])  # type: ignore[index]
        for part in (0, 1)
    )
    bins = np.minimum((said * _BINS).astype(int), _BINS - 1)
    count, total, right = (
        np.bincount(bins, weights, _BINS) for weights in (np.ones_like(said), said, true)
    )
    return float(np.abs(total - right).sum() / count.sum())


def _presence(predictor: ModelPredictor, image: np.ndarray) -> float:
    predictor.volumes(image[None], "consensus", 1, seed=0)
    presence = predictor.answered("consensus").presence
    assert presence is not None
    return presence


def _area(predictor: ModelPredictor, seen: Seen, expert: str) -> float:
    predictor.volumes(seen.images, expert, 1, seed=0)
    probability = predictor.answered(expert).probability
    assert probability is not None
    return float(probability.sum())


def _widest(drawings: np.ndarray) -> int:
    """Return the widest extent of what anybody marked, pixels."""
    marked = drawings.any((0, 1))
    return int(max(np.ptp(np.flatnonzero(marked.any(axis))) + 1 for axis in (0, 1)))


if __name__ == "__main__":
    sys.exit(main())
