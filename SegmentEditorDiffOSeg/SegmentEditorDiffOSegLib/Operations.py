"""What Apply does to the selected segment, voxel by voxel: numpy alone.

Every operation acts inside the answered region only. Outside it the model has said nothing, so
what the reader drew there stays.
"""

from enum import StrEnum
from typing import NamedTuple

import numpy as np


class Operation(StrEnum):
    """How the result and the segment become one; the values are stored in scenes."""

    REPLACE = "replace"
    ADD = "add"
    SUBTRACT = "subtract"
    INTERSECT = "intersect"


class Edit(NamedTuple):
    """One step of an operation: these voxels are added to the segment, or removed from it."""

    adds: bool
    voxels: np.ndarray


def drawn(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return which voxels the result holds.

    Args:
        probability: (K, J, I) float32, negative where the model has not answered.
        threshold: 0 or more; a voxel is in above it, as in the engine's own masks.
    """
    return probability > np.float32(threshold)


def editsOf(operation: Operation, probability: np.ndarray, threshold: float) -> list[Edit]:
    """Return the steps that carry the operation out; arguments as of :func:`drawn`.

    Steps without a voxel are left out, so an empty list means that nothing would change.
    """
    result = drawn(probability, threshold)
    outsideResult = (probability >= 0) & ~result
    steps = {
        Operation.REPLACE: [Edit(False, outsideResult), Edit(True, result)],
        Operation.ADD: [Edit(True, result)],
        Operation.SUBTRACT: [Edit(False, result)],
        Operation.INTERSECT: [Edit(False, outsideResult)],
    }
    return [edit for edit in steps[operation] if edit.voxels.any()]
