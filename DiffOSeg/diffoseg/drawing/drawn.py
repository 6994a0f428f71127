"""What goes through the network, and what one expert draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

from ..space.model_grid import GridWindow


@dataclass(frozen=True)
class Rows:
    """Slices of samples that go through the network, in the order of the whole run.

    Attributes:
        keys: (sample, slice of the canvas) of each.
        active: which tiles the network is asked about, bool (B, tiles).
        offsets: active tiles in all the rows of the run before each.
    """

    keys: Sequence[tuple[int, int]]
    active: Tensor
    offsets: Sequence[int]

    @classmethod
    def of(cls, keys: Sequence[tuple[int, int]], active: Tensor) -> Self:
        """Return the rows of a whole run."""
        counts = active.sum(1)
        return cls(keys, active, (counts.cumsum(0) - counts).tolist())

    def part(self, first: int, stop: int) -> "Rows":
        """Return some of them, one after the other."""
        chosen = slice(first, stop)
        return Rows(self.keys[chosen], self.active[chosen], self.offsets[chosen])

    def on_grid(self, window: GridWindow) -> list[tuple[int, int]]:
        """Return (sample, slice) with slices counted on the model's grid, as noise is named."""
        return [(sample, window.start[0] + index) for sample, index in self.keys]


@dataclass(frozen=True)
class Drawn:
    """What one expert draws on a canvas.

    Attributes:
        samples: (n, S, H, W) float32; a sample's mask is where it exceeds 0.5. It is the
            foreground probability at the last step; where a mask is cut from a belief, by one
            level or in pieces, one half more than the belief exceeds the level.
        probability: that a pixel is marked, (S, H, W) float32; None where only samples tell.
        presence: probability that anything is marked on the canvas, in 0..1; None where only
            samples tell.
    """

    samples: np.ndarray
    probability: np.ndarray | None = None
    presence: float | None = None
