"""How good a method is where the true law of every expert's drawing is known.

A method is asked for samples and probabilities of held-out slices, and is scored against many
fresh drawings of the same slices by every expert. bounds.py scores the experts' own drawings the
same way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from ..errors import InputError
from ..experts.panel import CONSENSUS
from .intervals import Estimate, interval, patient_weights
from .metrics import calibration_error
from .scoring import Answer, Scores, score

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


@runtime_checkable
class StatesPresence(Protocol):
    """A method that can tell how likely anything is marked, beside showing it by its samples."""

    def presence(self, image: np.ndarray, expert: str) -> float | None:
        """Return the probability that ``expert`` marks anything; None where only samples tell."""


@dataclass(frozen=True)
class Measure:
    """What one column of a table says.

    Attributes:
        title: for people.
        better: which way is up, "lower", "higher", or neither.
        is_square: whether the scores are squares, and the value is the root of their mean.
    """

    title: str
    better: str = ""
    is_square: bool = False


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
    "sample_drift": Measure("RMS of samples' mean − probability", "lower", is_square=True),
    "presence_bias": Measure("presence, stated − true"),
    "presence_rmse": Measure("RMS error of presence", "lower", is_square=True),
    "volume_coverage": Measure("90 % volume intervals that hold the truth"),
    "volume_coverage_exact": Measure("the same, ties broken by chance"),
    "volume_first_covered": Measure("the same, of the first drawing alone"),
    "volume_excess": Measure("CRPS of volumes above the experts' own, ml", "lower"),
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
        by_expert: measure to an array of each slice, whose axes are experts: of the method first,
            then those who drew, (S, E) or (S, P, E).
    """

    patients: tuple[str, ...]
    scores: dict[str, np.ndarray]
    calibration: dict[str, np.ndarray]
    samples: int
    by_expert: dict[str, np.ndarray] = field(default_factory=dict)

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
        mean = weights @ self.scores[measure] / weights.sum(1)
        return np.sqrt(np.maximum(mean, 0)) if MEASURES[measure].is_square else mean

    def of_experts(self, measure: str, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the mean over slices of a measure by expert, (E,) or (P, E).

        With ``weights`` (B, S), the same under each row of them, (B, E) or (B, P, E).
        """
        values = self.by_expert[measure]
        if weights is None:
            return np.asarray(values.mean(0))
        return np.tensordot(weights / weights.sum(1, keepdims=True), values, axes=1)

    def of_patients(self, patients: Sequence[str]) -> Self:
        """Return the evaluation on the slices of some patients alone."""
        rows = np.flatnonzero(np.isin(self.patients, patients))
        return replace(
            self,
            patients=tuple(self.patients[row] for row in rows),
            scores={name: values[rows] for name, values in self.scores.items()},
            calibration={name: sums[rows] for name, sums in self.calibration.items()},
            by_expert={name: values[rows] for name, values in self.by_expert.items()},
        )

    def expert_estimates(self, measure: str) -> list[Estimate]:
        """Return each expert's estimate of a measure by expert; of a table, of its diagonal."""
        found = self.of_experts(measure)
        resampled = self.of_experts(measure, patient_weights(self.patients))
        if found.ndim == 2:
            found, resampled = np.diagonal(found), np.diagonal(resampled, axis1=1, axis2=2)
        count = len(set(self.patients))
        return [interval(*pair, count) for pair in zip(found, resampled.T, strict=True)]

    @classmethod
    def of_slices(cls, patients: Sequence[str], scored: Sequence[Scores], samples: int) -> Self:
        """Return the evaluation whose slices have these patients and scores; at least one."""
        if not scored:
            raise InputError("There is no slice to evaluate on; give at least one.")

        def of_all(tables: list[dict[str, Any]]) -> dict[str, np.ndarray]:
            return {name: np.stack([table[name] for table in tables]) for name in tables[0]}

        return cls(
            patients=tuple(patients),
            scores=of_all([scores.values for scores in scored]),
            calibration=of_all([scores.sums for scores in scored]),
            samples=samples,
            by_expert=of_all([scores.by_expert for scores in scored]),
        )

    @classmethod
    def joined(cls, parts: "Sequence[Evaluation]") -> Self:
        """Return the evaluation of one method on the slices of all parts, one after the other."""

        def together(tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
            return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}

        return cls(
            patients=sum((part.patients for part in parts), ()),
            scores=together([part.scores for part in parts]),
            calibration=together([part.calibration for part in parts]),
            samples=parts[0].samples,
            by_expert=together([part.by_expert for part in parts]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return estimates and the scores of every slice as plain numbers, ready for JSON."""
        estimates = {name: vars(self.estimate(name)) for name in self.measures}
        return {"estimates": estimates, **self.scores_to_dict()}

    def scores_to_dict(self) -> dict[str, Any]:
        """Return the scores of every slice alone, of which one patient's are enough."""
        return {
            "samples": self.samples,
            "patients": list(self.patients),
            "scores": {name: values.tolist() for name, values in self.scores.items()},
            "calibration": {name: sums.tolist() for name, sums in self.calibration.items()},
            "by_expert": {name: values.tolist() for name, values in self.by_expert.items()},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Evaluation":
        """Read what ``to_dict`` wrote."""
        return cls(
            patients=tuple(stored["patients"]),
            scores={name: np.array(values) for name, values in stored["scores"].items()},
            calibration={name: np.array(sums) for name, sums in stored["calibration"].items()},
            samples=stored["samples"],
            by_expert={name: np.array(values) for name, values in stored["by_expert"].items()},
        )


def paired_difference(first: Evaluation, second: Evaluation, measure: str) -> Estimate:
    """Return first minus second with its interval over the patients that both were scored on.

    Raises InputError when they were not scored on the same slices.
    """
    return _paired(first, second, measure, np.subtract)


def paired_ratio(first: Evaluation, second: Evaluation, measure: str) -> Estimate:
    """Return first over second, a ratio of means, with its interval; see paired_difference."""
    return _paired(first, second, measure, np.divide)


def _paired(first: Evaluation, second: Evaluation, measure: str, compare: np.ufunc) -> Estimate:
    if first.patients != second.patients:
        raise InputError("Two methods can be compared only on the same slices, in one order.")
    weights = patient_weights(first.patients)
    return interval(
        float(compare(first.value(measure), second.value(measure))),
        compare(first.replicates(measure, weights), second.replicates(measure, weights)),
        len(set(first.patients)),
    )


def evaluate(
    predictor: Predictor,
    truth_slices: Sequence[TruthSlice],
    samples: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
    strangers: Sequence[str] = (),
) -> Evaluation:
    """Score a method on held-out slices whose truth is known.

    Args:
        predictor: the method; every question gets a seed of its own.
        truth_slices: at least one slice, all with the same experts.
        samples: masks to ask for, of each expert and of the consensus; at least 2.
        seed: names all the questions' seeds.
        progress: told (slices done, slices, what) after each slice.
        strangers: whom to ask instead of the slices' experts, where the method does not know them;
            then only measures of all experts together are scored.

    Raises:
        InputError: ``samples`` is below 2, or there is no slice.
    """
    scored = []
    for index, case in enumerate(truth_slices):
        answer = _ask(predictor, case, samples, (seed, index), strangers)
        scored.append(score(case.draws, answer))
        if progress is not None:
            progress(index + 1, len(truth_slices), "Evaluating")
    return Evaluation.of_slices(patients_of(truth_slices), scored, samples)


def patients_of(truth_slices: Sequence[TruthSlice]) -> tuple[str, ...]:
    """Return the patient of each slice."""
    return tuple(case.patient for case in truth_slices)


def _ask(
    predictor: Predictor,
    case: TruthSlice,
    count: int,
    key: tuple[int, int],
    strangers: Sequence[str],
) -> Answer:
    experts = tuple(strangers) or case.experts
    names = (*experts, CONSENSUS)
    seeds = np.random.SeedSequence(key).generate_state(len(names)).tolist()
    masks = [
        predictor.samples(case.image, name, count, seed)
        for name, seed in zip(names, seeds, strict=True)
    ]
    maps = [predictor.probability(case.image, name) for name in names]
    return Answer(
        np.stack(masks[:-1]),
        masks[-1],
        np.stack(maps[:-1]),
        maps[-1],
        _stated_presence(predictor, case.image, experts),
        experts_match=not strangers,
    )


def _stated_presence(
    predictor: Predictor, image: np.ndarray, experts: Sequence[str]
) -> np.ndarray | None:
    if not isinstance(predictor, StatesPresence):
        return None
    stated = [predictor.presence(image, expert) for expert in experts]
    return None if None in stated else np.array(stated)
