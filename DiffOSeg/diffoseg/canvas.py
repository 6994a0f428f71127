"""What the network looks at: a part of the volume on the model's grid, and which of it matters."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from .geometry import GridWindow, ModelGrid
from .metadata import ModelMetadata
from .tiling import Tiling
from .volume import Volume

_MARGIN = 8  # pixels of context that the network sees around a region larger than one tile


@dataclass(frozen=True)
class Canvas:
    """Slices of a volume, mapped, and covered by tiles.

    Attributes:
        window: where the canvas lies; holds the answered window and its margin.
        answer: the window in which an answer is wanted.
        images: (S, C, H, W) float32, intensity-mapped.
        tiling: how the network's field of view covers a slice.
        active: (S, tiles) bool; the others are background without asking the network.
    """

    window: GridWindow
    answer: GridWindow
    images: Tensor
    tiling: Tiling
    active: Tensor

    @classmethod
    def of(
        cls,
        image: Volume,
        grid: ModelGrid,
        answer: GridWindow,
        metadata: ModelMetadata,
        device: torch.device,
    ) -> Self:
        """Return the canvas for an answer in one window, every tile of it active."""
        window = _with_margin(answer, metadata.patch)
        mapping = metadata.intensity.resolve(image.array)
        mapped = mapping.apply(grid.slices(image.array, window))
        tiling = Tiling.cover((window.size[1], window.size[2]), metadata.patch)
        active = torch.ones(window.size[0], len(tiling.corners), dtype=torch.bool)
        return cls(window, answer, torch.from_numpy(mapped[:, None]).to(device), tiling, active)

    def offset_of(self, sample: int, index: int) -> int:
        """Return how many active tiles come before a slice of a sample, in that order."""
        counts = self.active.sum(1)
        return int(sample * counts.sum() + counts[:index].sum())

    def boxes(self) -> np.ndarray:
        """Return slice, row and column on the grid of every tile's corner, (S, tiles, 3) int."""
        slices, tiles = self.active.shape
        corners = np.empty((slices, tiles, 3), int)
        corners[..., 0] = np.arange(slices)[:, None] + self.window.start[0]
        corners[..., 1:] = np.array(self.tiling.corners) + self.window.start[1:]
        return corners

    def window_around(self, chosen: np.ndarray) -> GridWindow:
        """Return the smallest part of the answer that holds the chosen tiles, (S, tiles) bool."""
        corners = self.boxes()[chosen]
        size = np.array([1, self.tiling.edge, self.tiling.edge])
        low = np.maximum(corners.min(0), self.answer.start)
        high = np.minimum(corners.max(0) + size, np.add(self.answer.start, self.answer.size))
        return GridWindow(_triple(low), _triple(high - low))

    def only_near(self, other: "Canvas", chosen: np.ndarray) -> "Canvas":
        """Return this canvas with those tiles active that overlap a chosen tile of ``other``."""
        mine, theirs = self.boxes(), other.boxes()[chosen]
        apart = np.abs(mine[:, :, None] - theirs[None, None])
        near = (apart < np.array([1, self.tiling.edge, self.tiling.edge])).all(-1).any(-1)
        active = torch.from_numpy(near)
        return Canvas(self.window, self.answer, self.images, self.tiling, active)


def _with_margin(answer: GridWindow, patch: int) -> GridWindow:
    """Return the window grown to a tile, or by a margin where it is larger than a tile."""
    start, size = list(answer.start), list(answer.size)
    for axis in (1, 2):
        wanted = patch if size[axis] <= patch else size[axis] + 2 * _MARGIN
        start[axis] -= (wanted - size[axis]) // 2
        size[axis] = wanted
    return GridWindow(_triple(start), _triple(size))


def _triple(values: "np.ndarray | list[int]") -> tuple[int, int, int]:
    first, second, third = (int(value) for value in values)
    return first, second, third
