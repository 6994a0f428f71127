"""How good the volumes of whole drawings are, and how often their intervals hold the truth."""

import numpy as np
from scipy import stats

from .evaluate import Evaluation
from .intervals import Estimate
from .phantoms import ModelPredictor, TruthCase
from .scoring import Scores

SAMPLES = 19
"""Drawings whose smallest and largest volume are the ends of the product's 90 % interval."""


def volumes_of(predictor: ModelPredictor, case: TruthCase, seed: int) -> np.ndarray:
    """Return volumes of SAMPLES whole drawings like each expert of a phantom, (E, SAMPLES) ml."""
    drawn = [predictor.volumes(case.images, name, SAMPLES, seed) for name in case.experts]
    return np.array(drawn).sum((2, 3, 4)) * case.voxel_ml


def true_volumes(case: TruthCase) -> np.ndarray:
    """Return the volumes of the experts' own drawings, (E, R) ml."""
    return case.draws.sum((2, 3, 4)) * case.voxel_ml


def score_volumes(patient: str, drawn: np.ndarray, truth: np.ndarray) -> Evaluation:
    """Score one phantom: volumes (E, SAMPLES) against those of true drawings (E, R), R >= 2."""
    cells = [_score(*pair) for pair in zip(drawn, truth, strict=True)]
    by_expert = {name: np.array([cell[name] for cell in cells]) for name in cells[0]}
    values = {name: float(column.mean()) for name, column in by_expert.items()}
    return Evaluation.of_slices([patient], [Scores(values, by_expert)], samples=SAMPLES)


def _score(drawn: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    inclusive, exact = coverage(drawn, truth)
    return {
        "volume_coverage": float(inclusive.mean()),
        "volume_coverage_exact": float(exact.mean()),
        "volume_first_covered": float(inclusive[0]),
        "volume_excess": excess(drawn, truth),
    }


def coverage(drawn: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the range of n drawn volumes covers each of R true ones, (R,) twice.

    The first is 0 or 1, with the ends inside. Where volumes are equal, as those of empty drawings
    are, that covers more often than (n - 1) / (n + 1) even if the law is right. The second breaks
    ties by chance, in closed form: of m equal volumes and the true one, each is the outermost with
    probability 1 / (m + 1). Its mean is (n - 1) / (n + 1), whatever the law, if it is the same.
    """
    below = (drawn[None] < truth[:, None]).sum(1)
    above = (drawn[None] > truth[:, None]).sum(1)
    alike = len(drawn) - below - above
    inclusive = (below + alike > 0) & (above + alike > 0)
    outside = ((below == 0).astype(float) + (above == 0)) / (alike + 1)
    return inclusive.astype(float), 1 - outside


def excess(drawn: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean CRPS of drawn volumes above that of the true law, in their unit; unbiased.

    E|X - V| - E|X - X'| / 2 - E|V - V'| / 2, the integral of the squared difference of the two
    distribution functions (Gneiting & Raftery 2007, doi 10.1198/016214506000001437, equation 21).
    """
    across = np.abs(drawn[:, None] - truth[None]).mean()
    return float(across - (_mean_gap(drawn) + _mean_gap(truth)) / 2)


def _mean_gap(values: np.ndarray) -> float:
    """Return the mean distance of two different entries."""
    count = len(values)
    return float(np.abs(values[:, None] - values[None]).sum() / (count * (count - 1)))


def binomial_interval(evaluation: Evaluation) -> Estimate:
    """Return the share of first true drawings that were covered, with its exact 95 % interval.

    One drawing of each expert of each phantom, each counted as one trial (Clopper & Pearson 1934).
    """
    covered = evaluation.by_expert["volume_first_covered"]
    found = stats.binomtest(int(covered.sum()), covered.size).proportion_ci(0.95, "exact")
    return Estimate(float(covered.mean()), float(found.low), float(found.high))


def perfect_volumes(case: TruthCase, seed: int) -> Evaluation:
    """Score true drawings in the method's place, against the other true ones."""
    truth = true_volumes(case)
    order = np.random.default_rng(seed).permutation(truth.shape[1])
    return score_volumes(case.patient, truth[:, order[:SAMPLES]], truth[:, order[SAMPLES:]])
