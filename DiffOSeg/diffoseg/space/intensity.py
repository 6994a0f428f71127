"""From scanner units to what a network reads."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import InputError

_KINDS = ("window", "percentiles")


@dataclass(frozen=True)
class IntensityMapping:
    """A straight line from [low, high] to [to_low, to_high], clipped at both ends.

    Attributes:
        kind: "window", where low and high are scanner units (HU); or "percentiles", where they are
            percentages of a *whole* volume's voxels and must be resolved on it first, so that a
            crop is mapped as the whole is.
        low: scanner units, or 0..100.
        high: the same, above ``low``.
        to_low: what ``low`` and all below become.
        to_high: what ``high`` and all above become.
    """

    kind: Literal["window", "percentiles"]
    low: float
    high: float
    to_low: float = -1.0
    to_high: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InputError(f"There is no intensity mapping {self.kind!r}: {' or '.join(_KINDS)}.")
        if not self.low < self.high:
            raise InputError(
                f"An intensity mapping goes from a low to a higher value, not from {self.low:g} to"
                f" {self.high:g}. Exchange or correct them."
            )
        if self.kind == "percentiles" and not (self.low >= 0 and self.high <= 100):
            raise InputError(
                f"Percentiles lie in 0..100, not at {self.low:g} and {self.high:g}. Correct them."
            )

    def resolve(self, volume: np.ndarray) -> "IntensityMapping":
        """Return the window that this mapping is on a whole volume, of any shape.

        A window is its own answer. Percentiles are those of the finite voxels; where they fall
        together (a constant volume), the window is one unit wide. Raises InputError for a volume
        without finite voxels.
        """
        if self.kind == "window":
            return self
        finite = volume[np.isfinite(volume)]
        if finite.size == 0:
            raise InputError("The volume holds no finite voxel. Choose another volume.")
        low, high = (float(value) for value in np.percentile(finite, (self.low, self.high)))
        return replace(self, kind="window", low=low, high=high if high > low else low + 1.0)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Map scanner units, any shape, to float32 in to_low..to_high; NaN becomes to_low.

        Raises InputError for percentiles, which are nothing without their volume.
        """
        if self.kind == "percentiles":
            raise InputError("Percentiles have to be resolved on the whole volume first.")
        share = (np.asarray(array, dtype=np.float32) - self.low) / (self.high - self.low)
        share = np.clip(np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
        return (self.to_low + share * (self.to_high - self.to_low)).astype(np.float32)
