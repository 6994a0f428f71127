"""Measure a weights file against the known truth of held-out phantoms, beside all its rivals.

    python Testing/Benchmarks/truth.py [WEIGHTS] [--majority FILE] [--experts FILE] [--paper FILE]

Writes RESULTS/truth-<date>-<hash>.json and .md. Every figure has a 95 % interval over patients, a
floor and a ceiling from the experts' own drawings, and the same phantoms for all methods. What is
done is kept phantom by phantom in --work, so that a run that was stopped goes on. With --store the
curve over the number of steps, and the steps chosen from it, are written into WEIGHTS.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from truth_report import (
    FIRST_BELIEF,
    MANY_STEPS,
    OURS,
    PAPER,
    PERFECT,
    TRUE_LEVELS,
    write_report,
)
from truth_run import Measured, Task, run

from diffoseg.cohorts.calibration import level_set_gate
from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import SHIFTS, PhantomCohort
from diffoseg.device.allocator import keep_freed_memory
from diffoseg.evaluation.bounds import humans, level_sets_of_truth, oracle
from diffoseg.evaluation.evaluate import Evaluation, Predictor, TruthSlice, evaluate
from diffoseg.evaluation.phantoms import ModelPredictor, TruthCase
from diffoseg.evaluation.volumes import perfect_volumes, score_volumes, true_volumes, volumes_of
from diffoseg.experts.panel import CONSENSUS
from diffoseg.model.cards import PHANTOMS, find_model
from diffoseg.model.model import Model, load_model
from diffoseg.model.presets import LEVEL_SET, chosen_steps
from diffoseg.model.stored import content_hash, save_model
from diffoseg.training.baselines import Baseline, FixedMasks, LevelSets

SEED, SHIFTED_SEED = 9001, 9101
CURVE = (1, 2, 4, 8, 16, 32)
FEWER_SAMPLES = 4  # one call of the network
LEVEL_RIVAL = "U-Net, level sets of the heads"
Slices = Callable[[TruthCase, int], list[TruthSlice]]
SECTIONS = ("main", "curve", "own", "volumes", "shifts", "paper")


def main() -> int:
    """Measure what is asked for and write the report."""
    arguments = _arguments()
    keep_freed_memory()
    weights = find_model(arguments.weights or PHANTOMS)
    model = load_model(weights)
    found = {}
    for name, (cohort, tasks) in Plan(arguments, model).sections():
        if name.split(",")[0] in arguments.only:
            found[name] = run(tasks, cohort, model.metadata, arguments.draws, arguments.work)
    if arguments.store and "curve" in found:
        _store(model, weights, found["curve"], arguments.samples)
    about: dict[str, Any] = {
        "weights": model.metadata.title,
        "hash": content_hash(model),
        "sampler": model.metadata.sampler,
        "steps": model.metadata.steps,
        "samples": arguments.samples,
        "draws": arguments.draws,
        "seed": SEED,
    }
    if "main" in found:
        gated = PhantomCohort(seed=SEED, cases=max(2, arguments.cases), kind=CROSSING)
        about["gate"] = level_set_gate(gated, 2 * arguments.draws)
    print(write_report(arguments.out, found, about))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="?", help="default: the phantom weights")
    parser.add_argument("--majority", type=Path, help="rival by rivals.py")
    parser.add_argument("--experts", type=Path, help="rival by rivals.py")
    parser.add_argument("--paper", type=Path, help="weights of the paper's kind")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--cases", type=int, default=48)
    parser.add_argument("--curve-cases", type=int, default=48)
    parser.add_argument("--own-cases", type=int, default=16)
    parser.add_argument("--volume-cases", type=int, default=24)
    parser.add_argument("--shift-cases", type=int, default=16)
    parser.add_argument("--paper-cases", type=int, default=24, help="at its own steps")
    parser.add_argument("--paper-many-cases", type=int, default=12, help=f"at {MANY_STEPS} steps")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--draws", type=int, default=64, help="of each expert, for the truth")
    parser.add_argument("--store", action="store_true", help="write the curve into WEIGHTS")
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results, metavar="RESULTS")
    work = Path(tempfile.gettempdir()) / "diffoseg-truth"
    parser.add_argument("--work", type=Path, default=work, help="where finished parts are kept")
    return parser.parse_args()


class Plan:
    """Which tasks there are."""

    def __init__(self, arguments: argparse.Namespace, model: Model):
        self.arguments = arguments
        self.model = model
        self.digest = f"{_digest_of(model)}, {model.metadata.sampler}, {model.metadata.steps} steps"
        self.cohort = PhantomCohort(seed=SEED, cases=10_000, kind=CROSSING)

    def sections(self) -> Iterator[tuple[str, tuple[PhantomCohort, list[Task]]]]:
        """Yield the name of each table, its phantoms and its tasks."""
        asked = self.arguments
        yield "main", (self.cohort, [*self._ours(asked.cases), *self._rivals(asked.cases)])
        curve = [self._steps(steps, asked.curve_cases) for steps in CURVE]
        yield "curve", (self.cohort, curve)
        own = [self._steps(n, asked.own_cases) for n in (self.model.metadata.steps, MANY_STEPS)]
        yield "own", (self.cohort, own)
        yield "volumes", (self.cohort, self._volumes(asked.volume_cases))
        for shift in SHIFTS:
            cohort = PhantomCohort(seed=SHIFTED_SEED, cases=10_000, shift=shift, kind=CROSSING)
            yield f"shifts, {shift}", (cohort, self._shifted(cohort, asked.shift_cases))
        if asked.paper is not None:
            yield "paper", (self.cohort, self._paper())

    def _ours(self, cases: int, strangers: Sequence[str] = ()) -> list[Task]:
        methods = {OURS: _once(lambda: ModelPredictor(self.model))}
        if self.model.fast is not None:
            methods[FIRST_BELIEF] = _once(lambda: ModelPredictor(self.model, 1, LEVEL_SET))
        return [
            self._task(name, self.digest, cases, make, strangers=strangers)
            for name, make in methods.items()
        ]

    def _rivals(self, cases: int, strangers: Sequence[str] = ()) -> list[Task]:
        asked, tasks = self.arguments, []
        for name, path, kind in (
            ("U-Net, majority vote", asked.majority, FixedMasks),
            ("U-Net, a head per expert", asked.experts, FixedMasks),
            (LEVEL_RIVAL, asked.experts, LevelSets),
        ):
            if path is not None:
                make = _once(lambda path=path, kind=kind: kind(Baseline.load(path)))
                tasks.append(self._task(name, _digest(path), cases, make, strangers=strangers))
        n = asked.samples

        def bound(name: str, measure: Callable[[TruthCase, int], Evaluation]) -> Task:
            return Task(name, f"{n} samples", cases, measure)

        return [
            *tasks,
            bound(TRUE_LEVELS, lambda case, i: level_sets_of_truth(list(case.slices()), n, i)),
            bound(PERFECT, lambda case, i: oracle(list(case.slices()), n, i)),
            *(
                bound(name, lambda case, _, name=name: humans(list(case.slices()))[name])
                for name in ("another expert", "same expert again")
            ),
        ]

    def _steps(self, steps: int, cases: int) -> Task:
        predictor = _once(lambda: Pooling(ModelPredictor(self.model, steps)))
        key = f"{_digest_of(self.model)}, {self.model.metadata.sampler}"
        return self._task(f"{steps} steps", key, cases, predictor, _one_slice)

    def _paper(self) -> list[Task]:
        asked = self.arguments
        paper = load_model(asked.paper)
        ours = _once(lambda: ModelPredictor(self.model))
        tasks = [self._task(OURS, self.digest, asked.paper_cases, ours, _one_slice)]
        for sampler, steps, n, cases in (
            ("ddim", paper.metadata.steps, asked.samples, asked.paper_cases),
            # Its published sampler, with fewer samples: the unbiased GED_U is only noisier.
            ("ancestral", paper.schedule.T, FEWER_SAMPLES, asked.paper_many_cases),
        ):
            make = _once(
                lambda sampler=sampler, steps=steps: Pooling(ModelPredictor(paper, steps, sampler))
            )
            name = f"{PAPER}, {sampler}, {steps} steps"
            tasks.append(self._task(name, _digest_of(paper), cases, make, _one_slice, samples=n))
        return tasks

    def _volumes(self, cases: int) -> list[Task]:
        predictor = ModelPredictor(self.model)

        def ours(case: TruthCase, index: int) -> Evaluation:
            drawn = volumes_of(predictor, case, index)
            return score_volumes(case.patient, drawn, true_volumes(case))

        return [
            Task(OURS, self.digest, cases, ours),
            Task(PERFECT, "volumes", cases, perfect_volumes),
        ]

    def _shifted(self, cohort: PhantomCohort, cases: int) -> list[Task]:
        known = set(cohort.panel.names) <= set(self.model.experts)
        strangers = () if known else self.model.experts
        tasks = [*self._ours(cases, strangers), *self._rivals(cases, strangers)]
        return [task for task in tasks if task.name in (OURS, FIRST_BELIEF, LEVEL_RIVAL, PERFECT)]

    def _task(
        self,
        name: str,
        digest: str,
        cases: int,
        make: Callable[[], Predictor],
        slices: Slices | None = None,
        strangers: Sequence[str] = (),
        samples: int | None = None,
    ) -> Task:
        n = samples or self.arguments.samples

        def measure(case: TruthCase, index: int) -> Evaluation:
            asked = list(case.slices()) if slices is None else slices(case, index)
            return evaluate(make(), asked, n, index, strangers=strangers)

        which = "all slices" if slices is None else slices.__name__
        return Task(name, f"{digest}, {n} samples, {which}", cases, measure)


class Pooling:
    """A model whose consensus is not asked for: its samples are the experts' own, in turns.

    It saves a fifth of the time where only experts and their mixture matter.
    """

    def __init__(self, predictor: ModelPredictor):
        self.predictor = predictor
        self._samples: list[np.ndarray] = []

    def samples(self, image: np.ndarray, expert: str, n: int, seed: int) -> np.ndarray:
        """Return n masks, (n, h, w) bool; the experts are asked before the consensus."""
        if expert != CONSENSUS:
            self._samples.append(self.predictor.samples(image, expert, n, seed))
            return self._samples[-1]
        drawn, self._samples = np.array(self._samples), []
        return np.array([drawn[index % len(drawn), index] for index in range(n)])

    def probability(self, image: np.ndarray, expert: str) -> np.ndarray:
        """Return an expert's map, or the mean of all, (h, w)."""
        if expert != CONSENSUS:
            return self.predictor.probability(image, expert)
        experts = self.predictor.model.experts
        return np.asarray(np.mean([self.predictor.probability(image, e) for e in experts], 0))

    def presence(self, image: np.ndarray, expert: str) -> float | None:
        """Return what the model states."""
        return self.predictor.presence(image, expert)


def _one_slice(case: TruthCase, index: int) -> list[TruthSlice]:
    """Return one slice of a phantom, the chosen ones in turns: more phantoms at the same cost."""
    slices = list(case.slices())
    return [slices[index % len(slices)]]


def _once(make: Callable[[], Predictor]) -> Callable[[], Predictor]:
    """Return ``make`` that makes only once, and only when it is called."""
    made: list[Predictor] = []

    def the_one() -> Predictor:
        if not made:
            made.append(make())
        return made[0]

    return the_one


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _digest_of(model: Model) -> str:
    """Return a name for what decides a model's answers at any number of steps."""
    digest = hashlib.sha256(repr((model.panel.names, model.calibration)).encode())
    for network in (model.consensus, model.personal, model.fast):
        for name, tensor in {} if network is None else network.state_dict().items():
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _store(model: Model, path: Path, curve: dict[str, Measured], samples: int) -> None:
    """Write the curve, and the steps chosen from it, into a weights file, in its own precision."""
    evaluations = [curve[f"{steps} steps"].evaluation for steps in CURVE]
    measured = {
        "steps": list(CURVE),
        **{
            measure: [round(scored.value(measure), 5) for scored in evaluations]
            for measure in ("mixture_ged", "hm_iou", "empty_rate")
        },
        "slices": len(evaluations[0].patients),
        "samples": samples,
    }
    metadata = replace(model.metadata, steps_curve=measured, steps=chosen_steps(measured))
    with safe_open(path, framework="pt") as stored:
        precision = {stored.get_tensor(name).dtype for name in stored.keys()}  # noqa: SIM118
    half = torch.float16 in precision
    save_model(replace(model, metadata=metadata), path, torch.float16 if half else torch.float32)
    print(f"{path.name} now takes {metadata.steps} steps.")


if __name__ == "__main__":
    sys.exit(main())
