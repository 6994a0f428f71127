"""Estimates from numbers of cases, with intervals over patients.

Numbers are summed within each patient first, so that memory goes with the patients and not with
their slices.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from .intervals import Estimate, interval, patient_weights
from .metrics import calibration_error
from .readers import CaseScores

Pick = Callable[[CaseScores], Iterable[float]]


def estimate(cases: Iterable[CaseScores], pick: Pick) -> Estimate | None:
    """Return the mean of what is picked from cases; None of fewer than two patients."""
    totals: dict[str, np.ndarray] = {}
    for case in cases:
        values = list(pick(case))
        if values:
            _add(totals, case.patient, np.array([sum(values), len(values)]))
    return _resampled(totals, _mean)


def calibration(
    cases: Iterable[CaseScores], pick: Callable[[CaseScores], Sequence[Sequence[float]]]
) -> Estimate | None:
    """Return the expected calibration error of all picked sums; None of fewer than two patients."""
    totals: dict[str, np.ndarray] = {}
    for case in cases:
        sums = np.array(pick(case))
        if sums.any():
            _add(totals, case.patient, sums)
    return _resampled(totals, calibration_error)


def of_slices(name: str, beside: Sequence[str] = ()) -> Pick:
    """Pick a number of every slice that has it, and all those ``beside`` it."""
    needed = {name, *beside}
    return lambda case: [row[name] for row in case.slices if needed <= row.keys()]


def of_case(name: str, beside: Sequence[str] = ()) -> Pick:
    """Pick a number of the case, if it has it and all those ``beside`` it."""
    needed = {name, *beside}
    return lambda case: [case.numbers[name]] if needed <= case.numbers.keys() else []


def less(pick: Pick, rival: Pick) -> Pick:
    """Pick the difference of two numbers that come in the same places."""
    return lambda case: [a - b for a, b in zip(pick(case), rival(case), strict=True)]


def _add(totals: dict[str, np.ndarray], patient: str, values: np.ndarray) -> None:
    totals[patient] = totals[patient] + values if patient in totals else values


def _resampled(
    totals: Mapping[str, np.ndarray], statistic: Callable[[np.ndarray], np.ndarray]
) -> Estimate | None:
    """Return a statistic of the sum over patients, each with all that is known of them."""
    if len(totals) < 2:
        return None
    sums = np.stack([totals[patient] for patient in sorted(totals)])
    flat = sums.reshape(len(sums), -1)
    again = (_weights(len(sums)) @ flat).reshape(-1, *sums.shape[1:])
    return interval(float(statistic(sums.sum(0))), statistic(again), len(sums))


def _mean(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])


@lru_cache(maxsize=1)
def _weights(patients: int) -> np.ndarray:
    return patient_weights([f"{number:09d}" for number in range(patients)])
