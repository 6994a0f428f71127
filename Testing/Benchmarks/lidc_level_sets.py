"""What diffusion adds over level sets of the same map, on real readers whom no training has seen.

python Testing/Benchmarks/lidc_level_sets.py STRIPS [MODEL] [--every N] [--samples N]

Both rows come from one network: its samples, and the level sets of its own probability map. Beside
the distance to the readers (GED) stand properties of whole drawings that GED hardly sees, and the
readers' own: how rough a border is, in how many parts a drawing falls, how often two drawings cross
(either reaches 2 mm beyond the other), how much a drawing changes from slice to slice, and how well
the law of the nodule's volume is met (CRPS, ml).
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from contourpy import contour_generator
from lidc_readers import SEEN_BY_NO_TRAINING, Seen, held_out, parser_of
from lidc_strips import SPACING_MM
from scipy.ndimage import distance_transform_edt, label

from diffoseg.comparison.overlap import overlap
from diffoseg.evaluation.intervals import Estimate, interval, patient_weights
from diffoseg.evaluation.metrics import generalized_energy_distance
from diffoseg.evaluation.phantoms import ModelPredictor
from diffoseg.evaluation.reader_volumes import crps
from diffoseg.model.model import load_model
from diffoseg.model.presets import LEVEL_SET

_DEEP_MM = 2.0
_MOST_PAIRS = 28  # of a slice's drawings
READERS = "the readers themselves"
MEASURES = {
    "GED_U": "GED_U",
    "roughness": "roughness, perimeter^2 / 4 pi area",
    "parts": "parts of a drawing",
    "crossing": "pairs of drawings that cross, %",
    "flicker": "1 - Dice from slice to slice",
    "volume CRPS": "CRPS of the volume, ml",
}


def main() -> int:
    """Score both methods and the readers, and print a table."""
    arguments = parser_of(__doc__).parse_args()
    model = load_model(arguments.model)
    methods = {
        "samples": ModelPredictor(model),
        "level sets of its map": ModelPredictor(model, 1, LEVEL_SET),
    }
    scores: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for seen in held_out(arguments.strips, SEEN_BY_NO_TRAINING, model, arguments.every):
        drawn = {
            name: method.volumes(seen.images, "consensus", arguments.samples, seed=0)
            for name, method in methods.items()
        }
        for name, masks in {**drawn, READERS: seen.drawings}.items():
            for measure, value in _scored(masks, seen, name == READERS):
                scores[name, measure].append((seen.nodule.patient, value))
    for measure, title in MEASURES.items():
        print(title)
        for name in (*methods, READERS):
            if (name, measure) in scores:
                print(f"  {name:<24} {_estimate(scores[name, measure])}")
    return 0


def _scored(masks: np.ndarray, seen: Seen, readers: bool) -> Iterator[tuple[str, float]]:
    """Yield (measure, value) of drawings (n, S, e, e) of one nodule."""
    voxel_ml = SPACING_MM**2 * abs(seen.nodule.slice_mm) / 1000
    if not readers:
        volumes = masks.sum((1, 2, 3)) * voxel_ml
        yield "volume CRPS", crps(volumes, seen.drawings.sum((1, 2, 3)) * voxel_ml)
    for index in np.flatnonzero(seen.drawings.any((0, 2, 3))):
        drawn = masks[:, index]
        if not readers:
            yield "GED_U", generalized_energy_distance(seen.drawings[:, index], drawn)
        marking = drawn[drawn.any((1, 2))]
        for mask in marking:
            yield "roughness", _roughness(mask)
            yield "parts", float(label(mask, np.ones((3, 3)))[1])
        for first, second in list(combinations(marking, 2))[:_MOST_PAIRS]:
            yield "crossing", 100.0 * _cross(first, second)
    for drawing in masks:
        for low, high in pairwise(drawing):
            if low.any() and high.any():
                yield "flicker", 1 - float(overlap(low[None], high[None]).dice()[0, 0])


def _roughness(mask: np.ndarray) -> float:
    """Return perimeter^2 / (4 pi area) of the border through the middle of the pixels' edges."""
    lines = contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5)
    perimeter = sum(np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines)
    return float(perimeter**2 / (4 * np.pi * mask.sum()))


def _cross(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether each of two masks reaches deep beyond the other."""
    return all(
        SPACING_MM * distance_transform_edt(~other)[mask].max() > _DEEP_MM
        for mask, other in ((first, second), (second, first))
    )


def _estimate(scores: list[tuple[str, float]]) -> Estimate:
    patients, values = [patient for patient, _ in scores], np.array([value for _, value in scores])
    weights = patient_weights(patients)
    means = weights @ values / weights.sum(1)
    return interval(float(values.mean()), means, len(set(patients)))


if __name__ == "__main__":
    sys.exit(main())
