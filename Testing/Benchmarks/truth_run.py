"""Tasks measured phantom by phantom, each kept as soon as it is done, so that a killed run goes on.

The phantoms are the outer loop: the truth of each is drawn once for all methods, all methods get
ahead together, and any two of them are compared on the phantoms that both have been measured on.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.evaluation.evaluate import Evaluation
from diffoseg.evaluation.phantoms import TruthCase, truth_cases
from diffoseg.model.metadata import ModelMetadata


@dataclass(frozen=True)
class Task:
    """One method measured in one way.

    Attributes:
        name: what the report calls it.
        key: all that decides its scores, beside the phantom; another key is another result.
        cases: on how many of the first phantoms.
        measure: from a phantom and its number to the scores of its slices, or of its volume.
    """

    name: str
    key: str
    cases: int
    measure: Callable[[TruthCase, int], Evaluation]


@dataclass(frozen=True)
class Measured:
    """What a task found.

    Attributes:
        evaluation: on all its phantoms.
        seconds: of CPU time that it took, all threads together.
    """

    evaluation: Evaluation
    seconds: float


def run(
    tasks: Sequence[Task], cohort: PhantomCohort, metadata: ModelMetadata, draws: int, folder: Path
) -> dict[str, Measured]:
    """Measure every task on its phantoms, but for what ``folder`` holds already; by name."""
    kept = _Kept(folder)
    most = max(task.cases for task in tasks)
    needed = [
        index
        for index in range(most)
        if any(index < task.cases and not kept.has(task, index, cohort, draws) for task in tasks)
    ]
    phantoms = truth_cases(cohort, metadata, draws, needed)
    for index, case in zip(needed, phantoms, strict=True):
        for task in tasks:
            if index >= task.cases or kept.has(task, index, cohort, draws):
                continue
            begun = time.process_time()
            evaluation = task.measure(case, index)
            seconds = time.process_time() - begun
            kept.keep(task, index, cohort, draws, evaluation, seconds)
            print(f"{case.patient} of {most}: {task.name}, {seconds:.1f} CPU s", flush=True)
    return {task.name: kept.all_of(task, cohort, draws) for task in tasks}


class _Kept:
    """Scores of single phantoms, a file each."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, task: Task, index: int, cohort: PhantomCohort, draws: int) -> bool:
        return self._path(task, index, cohort, draws).exists()

    def keep(
        self,
        task: Task,
        index: int,
        cohort: PhantomCohort,
        draws: int,
        evaluation: Evaluation,
        seconds: float,
    ) -> None:
        path = self._path(task, index, cohort, draws)
        facts = {"task": task.name, "seconds": seconds, "scores": evaluation.scores_to_dict()}
        half_written = path.with_suffix(".part")
        half_written.write_text(json.dumps(facts), encoding="utf-8")
        half_written.replace(path)

    def all_of(self, task: Task, cohort: PhantomCohort, draws: int) -> Measured:
        paths = [self._path(task, index, cohort, draws) for index in range(task.cases)]
        stored = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        parts = [Evaluation.from_dict(facts["scores"]) for facts in stored]
        return Measured(Evaluation.joined(parts), sum(facts["seconds"] for facts in stored))

    def _path(self, task: Task, index: int, cohort: PhantomCohort, draws: int) -> Path:
        about = [task.name, task.key, cohort.seed, cohort.shift, index, draws]
        return self.folder / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]}.json"
