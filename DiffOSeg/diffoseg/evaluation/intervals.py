"""Estimates with their 95 % interval: a bootstrap over patients, never over slices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..errors import InputError

REPLICATES = 4000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval over patients."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def patient_weights(patients: Sequence[str], *, seed: int = 0) -> np.ndarray:
    """Return how often each slice occurs in each bootstrap sample of patients.

    A patient is drawn with all of its slices. The same patients and seed give the same weights,
    so that two methods scored on the same slices can be compared pair by pair.

    Args:
        patients: the patient of each of the S slices.
        seed: names the bootstrap samples.

    Returns:
        float64, (REPLICATES, S).

    Raises:
        InputError: fewer than two patients.
    """
    names, rows = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < 2:
        raise InputError("An interval over patients needs at least two of them; add cases.")
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), REPLICATES)
    return counts[:, rows].astype(np.float64)


def interval(value: float, replicates: np.ndarray, patients: int) -> Estimate:
    """Return ``value`` with the expanded percentile interval of its bootstrap ``replicates``.

    Percentiles of so few patients are too narrow; they are taken further out, as far as Student's
    t is wider than the normal law (Hesterberg 2015, doi 10.1080/00031305.2015.1089789, 5.3).
    """
    t = stats.t.ppf((1 + _CONFIDENCE) / 2, patients - 1)
    outside = stats.norm.cdf(-math.sqrt(patients / (patients - 1)) * t)
    low, high = np.quantile(replicates, [outside, 1 - outside])
    return Estimate(float(value), float(low), float(high))
