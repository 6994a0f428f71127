"""How well volumes are met that readers drew once each: bias, spread, and the law of them, in ml.

Bland & Altman 1986 (doi 10.1016/S0140-6736(86)90837-8) for the differences, and for the ratios, as
large lesions differ by more millilitres. A law is judged by how often its range holds a reader's
volume, and by its CRPS (Gneiting & Raftery 2007, doi 10.1198/016214506000001437, equation 21).
"""

import numpy as np

from ..comparison.measures import volume_interval
from ..comparison.result import ExpertResult
from .slice_scores import LEVEL_SETS, MAJORITY, ONE_READER
from .volumes import coverage

DIFFERENCE, LOG_RATIO, SQUARED = "volume difference, ml", "log volume ratio", " squared"


def volume_scores(
    readers: np.ndarray,
    consensus: ExpertResult,
    majority: np.ndarray,
    level_sets: np.ndarray,
    voxel_ml: float,
) -> dict[str, float]:
    """Return the numbers of one case.

    Bias is against the mean of those who marked. The law is judged against all readers, one who
    left the lesion out with a volume of 0.

    Args:
        readers: (R, K, J, I) bool.
        consensus: of two samples or more.
        majority: (K, J, I) bool.
        level_sets: (n, K, J, I) bool.
        voxel_ml: of one voxel.
    """
    drawn = readers.sum((1, 2, 3)) * voxel_ml
    interval = volume_interval(consensus, voxel_ml)
    assert interval is not None
    outline = int(consensus.mask.sum()) * voxel_ml
    found = {
        "outline, ml": outline,
        "volumes in the interval": float(
            ((drawn >= interval.low) & (drawn <= interval.high)).mean()
        ),
    }
    for whose, masks in (("", consensus.samples), (LEVEL_SETS, level_sets)):
        volumes = masks.sum((1, 2, 3)) * voxel_ml
        found[f"volume coverage{whose}"] = float(coverage(volumes, drawn)[1].mean())
        found[f"volume CRPS{whose}, ml"] = crps(volumes, drawn)
    if len(drawn) > 2:
        found[f"volume CRPS{ONE_READER}, ml"] = float(np.mean(_left_out(drawn)))
    marking = drawn[drawn > 0]
    if not len(marking):
        return found
    mean = float(marking.mean())
    found |= {"readers' mean, ml": mean, "outline empty": float(outline == 0)}
    for whose, volume in (("", outline), (MAJORITY, int(majority.sum()) * voxel_ml)):
        found[DIFFERENCE + whose] = volume - mean
        if volume > 0:
            found[LOG_RATIO + whose] = float(np.log(volume / mean))
    if len(marking) > 1:
        others = (marking.sum() - marking) / (len(marking) - 1)
        for name, values in (
            (DIFFERENCE, marking - others),
            (LOG_RATIO, np.log(marking / others)),
        ):
            found[name + ONE_READER] = float(values.mean())
            found[name + ONE_READER + SQUARED] = float((values**2).mean())
    return found


def crps(drawn: np.ndarray, true: np.ndarray) -> float:
    """Return the mean over true values y of E|X - y| - E|X - X'| / 2; unbiased, in their unit."""
    count = len(drawn)
    between = np.abs(drawn[:, None] - drawn).sum() / (count * (count - 1))
    return float(np.abs(drawn[:, None] - true).mean() - between / 2)


def _left_out(drawn: np.ndarray) -> list[float]:
    """Return the CRPS of the others' volumes for each one."""
    return [crps(np.delete(drawn, row), drawn[row : row + 1]) for row in range(len(drawn))]
