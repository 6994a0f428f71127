"""Plain rivals of the default weights: trained on the same real readers, judged on the same.

python Testing/Benchmarks/lidc_rivals.py train experts|majority STRIPS OUT [--iterations N]
python Testing/Benchmarks/lidc_rivals.py score STRIPS [MODEL] --rivals EXPERTS MAJORITY [--every N]

A rival is the paper's denoiser in the compact size with nothing to denoise: one map of the majority
vote, or a head for each of the four laws. Each answers with fixed masks (cut at one half) and with
level sets of its maps. They keep the weights of their best validation, on fold 2 as the model's.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from lidc_readers import SEEN_BY_NO_TRAINING, Seen, held_out, most_typical
from lidc_strips import slices_of_strips
from train_lidc import HELD_OUT, LEARNT_FROM

from diffoseg.cohorts.order_statistics import OF_FOUR
from diffoseg.comparison.outline import outline
from diffoseg.comparison.overlap import overlap
from diffoseg.evaluation.intervals import interval, patient_weights
from diffoseg.evaluation.metrics import generalized_energy_distance
from diffoseg.evaluation.phantoms import ModelPredictor
from diffoseg.experts.panel import CONSENSUS
from diffoseg.model.model import Model, load_model
from diffoseg.networks.config import compact_config
from diffoseg.training.baselines import Baseline, FixedMasks, LevelSets, train_baseline
from diffoseg.training.loop import LoopSettings


def main() -> int:
    """Train a rival, or score what was trained."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train")
    train.add_argument("kind", choices=("experts", "majority"))
    train.add_argument("strips", type=Path)
    train.add_argument("out", type=Path)
    train.add_argument("--iterations", type=int, default=3000)
    train.set_defaults(run=_train)
    score = commands.add_parser("score")
    score.add_argument("strips", type=Path)
    score.add_argument("model", nargs="?")
    score.add_argument("--rivals", type=Path, nargs=2, required=True)
    score.add_argument("--every", type=int, default=1, help="every how many nodules")
    score.add_argument("--samples", type=int, default=16)
    score.set_defaults(run=_score)
    arguments = parser.parse_args()
    arguments.run(arguments)
    return 0


def _train(arguments: argparse.Namespace) -> None:
    rival = train_baseline(
        slices_of_strips(arguments.strips, LEARNT_FROM, seed=1).drawn_by_first(len(OF_FOUR)),
        slices_of_strips(arguments.strips, HELD_OUT, seed=2).drawn_by_first(len(OF_FOUR)),
        arguments.kind,
        compact_config("stage1", image_channels=1),
        LoopSettings(
            iterations=arguments.iterations,
            batch=16,
            edge=load_model(None).metadata.patch,
            seed=1,
            every=100,
        ),
        device=torch.device("cpu"),
        progress=lambda done, total, what: print(f"{done}/{total} {what}", flush=True),
    )
    rival.save(arguments.out)


def _score(arguments: argparse.Namespace) -> None:
    """Print Dice of one outline with each reader, and GED_U of samples, for every method."""
    model = load_model(arguments.model)
    experts, majority = (Baseline.load(path) for path in arguments.rivals)
    rivals = {
        "a head for each law, fixed masks": FixedMasks(experts),
        "a head for each law, level sets": LevelSets(experts),
        "majority, a fixed mask": FixedMasks(majority),
        "majority, level sets": LevelSets(majority),
    }
    found: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for seen in held_out(arguments.strips, SEEN_BY_NO_TRAINING, model, arguments.every):
        for name, measure, value in _scored(seen, model, rivals, arguments.samples):
            found[name, measure].append((seen.nodule.patient, value))
    for (name, measure), values in sorted(found.items()):
        scores = np.array([value for _, value in values])
        weights = patient_weights([patient for patient, _ in values])
        patients = len({patient for patient, _ in values})
        estimate = interval(float(scores.mean()), weights @ scores / weights.sum(1), patients)
        print(f"{measure:<6} {name:<34} {estimate}")


def _scored(
    seen: Seen, model: Model, rivals: dict[str, FixedMasks], samples: int
) -> Iterator[tuple[str, str, float]]:
    """Yield (method, measure, value) of every slice of a nodule that somebody marked."""
    diffusion = ModelPredictor(model).volumes(seen.images, CONSENSUS, samples, seed=0)
    for index in np.flatnonzero(seen.drawings.any((0, 2, 3))):
        readers = seen.drawings[:, index]
        marked = readers[readers.any((1, 2))]
        image = seen.images[index]
        drawn = {
            "DiffOSeg": diffusion[:, index],
            **{name: rival.samples(image, CONSENSUS, samples, 0) for name, rival in rivals.items()},
        }
        for name, masks in drawn.items():
            yield name, "GED_U", generalized_energy_distance(readers, masks)
            yield name, "empty", float(1 - masks.any((1, 2)).mean())
            typical = most_typical(masks)
            if len(marked) > 1:
                yield name, "medoid", float(overlap(typical[None], marked).dice().mean())
        for name, rival in rivals.items():
            if len(marked) > 1:
                drawing = _outline(rival.probability(image, CONSENSUS))
                yield name, "Dice", float(overlap(drawing[None], marked).dice().mean())


def _outline(probability: np.ndarray) -> np.ndarray:
    """Return the outline given that something is there, for which the greatest value stands."""
    return outline(np.minimum(probability / max(float(probability.max()), 1e-6), 1), 1.0)


if __name__ == "__main__":
    sys.exit(main())
