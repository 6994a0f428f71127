"""How good a method is where the true law of every expert's drawing is known.

A method is asked for samples and probabilities of held-out slices, and is scored against many
fresh drawings of the same slices by every expert. The same scores of the experts' own drawings
are the bounds: ``oracle`` is a perfect sampler, ``humans`` are people in the method's place.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .errors import InputError
from .experts import CONSENSUS
from .intervals import Estimate, interval, patient_weights
from .metrics import calibration_error
from .scoring import Answer, Scores, between_experts, left_out, score

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TruthSlice:
    """One held-out slice and what the experts draw on it.

    Attributes:
        patient: whose slice it is; the unit of every interval.
        image: mapped intensities, (C, h, w) float32.
        draws: R independent drawings by each of E experts, (E, R, h, w) bool, R >= 2.
        experts: E names.
    """

    patient: str
    image: np.ndarray
    draws: np.ndarray
    experts: tuple[str, ...]


class Predictor(Protocol):
    """A method under test. ``expert`` is a name from the slice, or "consensus"."""

    def samples(self, image: np.ndarray, expert: str, n: int, seed: int) -> np.ndarray:
        """Return n masks of a (C, h, w) image as ``expert`` might draw them, (n, h, w) bool."""

    def probability(self, image: np.ndarray, expert: str) -> np.ndarray:
        """Return the probability that ``expert`` includes each pixel, (h, w), 0..1."""


@dataclass(frozen=True)
class Measure:
    """What one column of a table says, and which way is up ("lower", "higher", or neither)."""

    title: str
    better: str = ""


MEASURES: dict[str, Measure] = {
    "mixture_ged": Measure("GED_U of all experts together", "lower"),
    "consensus_ged": Measure("GED_U of the consensus samples", "lower"),
    "expert_ged": Measure("GED_U of each expert", "lower"),
    "expert_dice": Measure("Dice of each expert", "higher"),
    "hm_iou": Measure("HM-IoU", "higher"),
    "ged_v": Measure("GED_V, one drawing an expert", "lower"),
    "ged_v_floor": Measure("floor of GED_V"),
    "consensus_ece": Measure("ECE of the consensus", "lower"),
    "expert_ece": Measure("ECE of each expert", "lower"),
    "presence_error": Measure("presence error", "lower"),
    "empty_rate": Measure("empty masks"),
    "true_empty_rate": Measure("empty drawings"),
}


@dataclass(frozen=True)
class Evaluation:
    """Scores of one method on S slices; a bound may lack some measures.

    Attributes:
        patients: the patient of each slice.
        scores: measure to one value a slice, (S,).
        calibration: measure to ``metrics.calibration_sums`` of each slice, (S, bins, 3).
        samples: masks asked for, of each expert on each slice.
    """

    patients: tuple[str, ...]
    scores: dict[str, np.ndarray]
    calibration: dict[str, np.ndarray]
    samples: int

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that there are, in the order of MEASURES."""
        return tuple(name for name in MEASURES if name in self.scores or name in self.calibration)

    def estimate(self, measure: str) -> Estimate:
        """Return the mean over slices (a calibration error: over all pixels) and its interval."""
        replicates = self.replicates(measure, patient_weights(self.patients))
        return interval(self.value(measure), replicates, len(set(self.patients)))

    def value(self, measure: str) -> float:
        """Return the estimate alone."""
        return float(self.replicates(measure, np.ones((1, len(self.patients))))[0])

    def replicates(self, measure: str, weights: np.ndarray) -> np.ndarray:
        """Return the value of ``measure`` under each row of slice ``weights`` (B, S), (B,)."""
        if measure in self.calibration:
            return calibration_error(np.tensordot(weights, self.calibration[measure], axes=1))
        return weights @ self.scores[measure] / weights.sum(1)

    def to_dict(self) -> dict[str, Any]:
        """Return estimates and the scores of every slice as plain numbers, ready for JSON."""
        estimates = {name: vars(self.estimate(name)) for name in self.measures}
        return {
            "samples": self.samples,
            "estimates": estimates,
            "patients": list(self.patients),
            "scores": {name: values.tolist() for name, values in self.scores.items()},
            "calibration": {name: sums.tolist() for name, sums in self.calibration.items()},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Evaluation":
        """Read what ``to_dict`` wrote."""
        return cls(
            patients=tuple(stored["patients"]),
            scores={name: np.array(values) for name, values in stored["scores"].items()},
            calibration={name: np.array(sums) for name, sums in stored["calibration"].items()},
            samples=stored["samples"],
        )


def paired_difference(first: Evaluation, second: Evaluation, measure: str) -> Estimate:
    """Return first minus second with its interval over the patients that both were scored on.

    Raises InputError when they were not scored on the same slices.
    """
    if first.patients != second.patients:
        raise InputError("Two methods can be compared only on the same slices, in one order.")
    weights = patient_weights(first.patients)
    return interval(
        first.value(measure) - second.value(measure),
        first.replicates(measure, weights) - second.replicates(measure, weights),
        len(set(first.patients)),
    )


def evaluate(
    predictor: Predictor,
    truth_slices: Sequence[TruthSlice],
    samples: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a method on held-out slices whose truth is known.

    Args:
        predictor: the method; every question gets a seed of its own.
        truth_slices: at least one slice, all with the same experts.
        samples: masks to ask for, of each expert and of the consensus; at least 2.
        seed: names all the questions' seeds.
        progress: told (slices done, slices, what) after each slice.

    Raises:
        InputError: ``samples`` is below 2, or there is no slice.
    """
    scored = []
    for index, case in enumerate(truth_slices):
        scored.append(score(case.draws, _ask(predictor, case, samples, (seed, index))))
        if progress is not None:
            progress(index + 1, len(truth_slices), "Evaluating")
    return _gathered(truth_slices, scored, samples)


def oracle(truth_slices: Sequence[TruthSlice], samples: int = 16, seed: int = 0) -> Evaluation:
    """Score the experts' own drawings: half of them, as a perfect method, against the rest.

    The floor or the ceiling of every measure. Needs R >= 4 drawings by each expert, and takes
    no more than R/2 samples.
    """
    scored = []
    for index, case in enumerate(truth_slices):
        half = case.draws.shape[1] // 2
        drawn, truth = case.draws[:, :half], case.draws[:, half:]
        count = min(samples, half)
        random = np.random.default_rng([seed, index])
        chosen = random.integers(0, len(drawn), count), random.permutation(half)[:count]
        marginals = drawn.mean(1)
        answer = Answer(drawn[:, :count], drawn[chosen], marginals, marginals.mean(0))
        scored.append(score(truth, answer))
    return _gathered(truth_slices, scored, samples)


def humans(truth_slices: Sequence[TruthSlice]) -> dict[str, Evaluation]:
    """Score people in the method's place, one drawing against another.

    "another expert": each expert stands in for every other one, and for the mixture of all the
    others (GED_U of all experts together). "same expert again": a second drawing by each expert.
    """
    another, again = [], []
    for case in truth_slices:
        distance, dice = between_experts(case.draws)
        others = ~np.eye(len(distance), dtype=bool)
        own = np.diagonal(distance)
        again.append({"expert_dice": np.diagonal(dice).mean(), "expert_ged": 0.0})
        if others.any():
            pairs = 2 * distance - own[:, None] - own[None]
            another.append(
                {
                    "mixture_ged": left_out(distance),
                    "expert_ged": pairs[others].mean(),
                    "expert_dice": dice[others].mean(),
                }
            )
    rows = {"another expert": another, "same expert again": again}
    return {
        name: _gathered(truth_slices, [(scores, {}) for scores in scored], samples=1)
        for name, scored in rows.items()
        if scored
    }


def _gathered(
    truth_slices: Sequence[TruthSlice], scored: Sequence[Scores], samples: int
) -> Evaluation:
    if not scored:
        raise InputError("There is no slice to evaluate on; give at least one.")
    scores, sums = scored[0]
    return Evaluation(
        patients=tuple(case.patient for case in truth_slices),
        scores={name: np.array([row[name] for row, _ in scored]) for name in scores},
        calibration={name: np.stack([row[name] for _, row in scored]) for name in sums},
        samples=samples,
    )


def _ask(predictor: Predictor, case: TruthSlice, count: int, key: tuple[int, int]) -> Answer:
    names = (*case.experts, CONSENSUS)
    seeds = np.random.SeedSequence(key).generate_state(len(names)).tolist()
    masks = [
        predictor.samples(case.image, name, count, seed)
        for name, seed in zip(names, seeds, strict=True)
    ]
    maps = [predictor.probability(case.image, name) for name in names]
    return Answer(np.stack(masks[:-1]), masks[-1], np.stack(maps[:-1]), maps[-1])


def markdown_table(
    evaluations: Mapping[str, Evaluation], measures: Sequence[str] | None = None
) -> str:
    """Return one row a method, one column a measure: value and 95 % interval over patients."""
    columns = [name for name in measures or MEASURES if _known(evaluations, name)]
    titles = [_titled(name) for name in columns]
    rows = [
        [name, *(str(row.estimate(at)) if at in row.measures else "–" for at in columns)]
        for name, row in evaluations.items()
    ]
    return _markdown(["method", *titles], rows)


def differences_table(
    ours: str, evaluations: Mapping[str, Evaluation], measures: Sequence[str]
) -> str:
    """Return ``ours`` minus every other method, paired, with 95 % intervals over patients."""
    rows = [
        [f"{ours} − {name}"]
        + [str(paired_difference(evaluations[ours], rival, measure)) for measure in measures]
        for name, rival in evaluations.items()
        if name != ours and set(measures) <= set(rival.measures)
    ]
    return _markdown(["difference", *map(_titled, measures)], rows)


def _known(evaluations: Mapping[str, Evaluation], measure: str) -> bool:
    return any(measure in evaluation.measures for evaluation in evaluations.values())


def _titled(measure: str) -> str:
    arrow = {"lower": " ↓", "higher": " ↑"}.get(MEASURES[measure].better, "")
    return MEASURES[measure].title + arrow


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
