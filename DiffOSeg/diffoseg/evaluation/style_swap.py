"""Whether a method tells the experts apart: each one's answer, scored on everyone's drawings.

The table has the method's experts as rows and those who drew as columns. A column is won where its
own expert's answer is the best of all rows; a method that draws all experts alike wins one column
in E by luck.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .evaluate import Evaluation
from .intervals import Estimate, interval, patient_weights

LOWER = {"swap_ged": True, "swap_dice": False}
"""Whether less is better."""


@dataclass(frozen=True)
class StyleSwap:
    """What swapping the experts does.

    Attributes:
        table: mean score of each expert (row) on each expert's drawings (column), (E, E).
        columns_won: share of the experts whose own answer is the best on their drawings, scores
            meant over patients; its interval is over patients too.
        patients_won: the same for one patient at a time, scores meant over that patient's slices.
            It holds the noise of few slices and samples: compare it with the perfect sampler's.
    """

    table: np.ndarray
    columns_won: Estimate
    patients_won: Estimate


def style_swap(evaluation: Evaluation, measure: str = "swap_ged") -> StyleSwap:
    """Return the style-swap table by ``measure``, "swap_ged" or "swap_dice", and who wins it.

    Raises InputError where the method was asked about strangers, or fewer than two patients.
    """
    table = evaluation.of_experts(measure)
    if table.shape[0] != table.shape[1]:
        raise InputError("Styles can be swapped only among the experts that the method knows.")
    sign = 1 if LOWER[measure] else -1
    names = tuple(dict.fromkeys(evaluation.patients))
    resampled = evaluation.of_experts(measure, patient_weights(evaluation.patients))
    one_each = np.array([[name == other for other in evaluation.patients] for name in names], float)
    by_patient = _won(sign * evaluation.of_experts(measure, one_each))
    weights = patient_weights(names)
    return StyleSwap(
        table=table,
        columns_won=interval(float(_won(sign * table)), _won(sign * resampled), len(names)),
        patients_won=interval(
            float(by_patient.mean()), weights @ by_patient / weights.sum(1), len(names)
        ),
    )


def _won(tables: np.ndarray) -> np.ndarray:
    """Return the share of columns whose least entry is on the diagonal, (..., E, E) to (...)."""
    others = tables + np.where(np.eye(tables.shape[-1], dtype=bool), np.inf, 0)
    return np.asarray((np.diagonal(tables, axis1=-2, axis2=-1) < others.min(-2)).mean(-1))


def nearest(evaluation: Evaluation, measure: str = "swap_ged") -> tuple[np.ndarray, np.ndarray]:
    """Return the best row of each column, (E,) int, and its mean score, (E,).

    It was chosen on the same patients, so its score flatters a little.
    """
    table = evaluation.of_experts(measure)
    rows = (table if LOWER[measure] else -table).argmin(0)
    return rows, table[rows, np.arange(table.shape[1])]
