"""What the network looks at: a part of the volume on the model's grid, and which of it matters."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..model.metadata import ModelMetadata
from ..space.field_of_view import window_seen
from ..space.geometry import triple
from ..space.intensity import IntensityMapping
from ..space.model_grid import GridWindow, ModelGrid
from ..space.tiling import Tiling
from ..space.volume import Volume

_FAINTEST = 0.005  # standard deviation of mapped intensities, -1..1, below which nothing is seen


@dataclass(frozen=True)
class Canvas:
    """Slices of a volume, mapped, and covered by tiles.

    Attributes:
        window: where the canvas lies; holds the answered window and its margin.
        answer: the window in which an answer is wanted.
        images: (S, C, H, W) float32, intensity-mapped.
        mapping: from scanner units to the images, a window.
        clipped: share of what was looked at that lies outside that window, in 0..1.
        broken: share of it that is no finite number, in 0..1.
        flat: whether it looks the same everywhere.
        tiling: how the network's field of view covers a slice.
        active: (S, tiles) bool; the others are background without asking the network.
    """

    window: GridWindow
    answer: GridWindow
    images: Tensor
    mapping: IntensityMapping
    clipped: float
    broken: float
    flat: bool
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
        window = window_seen(answer, metadata.patch)
        mapping = metadata.intensity.resolve(image.array)
        images = grid.slices(image.array, window)
        outside = broken = 0
        for plane in images:  # one at a time, in place: a whole scan is copied only once
            outside += int(np.count_nonzero((plane < mapping.low) | (plane > mapping.high)))
            broken += int(np.count_nonzero(~np.isfinite(plane)))
            plane[:] = mapping.apply(plane)
        tiling = Tiling.cover((window.size[1], window.size[2]), metadata.patch)
        return cls(
            window=window,
            answer=answer,
            images=torch.from_numpy(images[:, None]).to(device),
            mapping=mapping,
            clipped=outside / images.size,
            broken=broken / images.size,
            flat=bool(images.min() == images.max()),
            tiling=tiling,
            active=torch.ones(window.size[0], len(tiling.corners), dtype=torch.bool),
        )

    def to_search(self) -> "Canvas":
        """Return the canvas as it is searched: tiles side by side, without those that show nothing.

        A lesion across the border of two tiles is seen in either; drawing overlaps them again.
        """
        tiling = Tiling.cover(self.tiling.canvas, self.tiling.edge, overlap=0.0)
        shown = [self._contrast(*tiling.place(tile)) for tile in range(len(tiling.corners))]
        return replace(self, tiling=tiling, active=torch.stack(shown, 1) > _FAINTEST)

    def _contrast(self, rows: slice, columns: slice) -> Tensor:
        """Return the standard deviation of a part of each slice, (S,)."""
        return self.images[:, :, rows, columns].std((1, 2, 3), correction=0).cpu()

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
        return GridWindow(triple(low), triple(high - low))

    def only_near(self, other: "Canvas", chosen: np.ndarray) -> "Canvas":
        """Return this canvas with those tiles active that overlap a chosen tile of ``other``.

        Looked at was all of ``other``.
        """
        mine, theirs = self.boxes(), other.boxes()[chosen]
        apart = np.abs(mine[:, :, None] - theirs[None, None])
        near = (apart < np.array([1, self.tiling.edge, self.tiling.edge])).all(-1).any(-1)
        return replace(
            self,
            clipped=other.clipped,
            broken=other.broken,
            flat=other.flat,
            active=torch.from_numpy(near),
        )
