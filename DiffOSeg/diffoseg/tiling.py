"""A canvas of any size seen through the network's own field of view.

A canvas is covered by overlapping squares of the size the network was trained on, whose predictions
are blended, so that nothing is ever asked outside what it was trained on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .field_of_view import tile_corners

TilePrediction = Callable[[Tensor, Sequence[tuple[int, int]]], Tensor]
"""(x_t int64 (n, e, e), n times which (row, tile) it is) -> x_0 probabilities (n, K, e, e)."""


@dataclass(frozen=True)
class Tiling:
    """Where the tiles of a canvas lie.

    Attributes:
        canvas: (H, W) in pixels, both at least ``edge``.
        edge: side of a tile.
        corners: top and left of every tile; together the tiles cover the canvas.
    """

    canvas: tuple[int, int]
    edge: int
    corners: tuple[tuple[int, int], ...]

    @classmethod
    def cover(cls, canvas: tuple[int, int], edge: int) -> "Tiling":
        """Return the fewest evenly spread tiles that cover ``canvas`` with the overlap asked."""
        return cls(canvas, edge, tile_corners(canvas, edge))

    def place(self, tile: int) -> tuple[slice, slice]:
        """Return the rows and columns of the canvas that a tile covers."""
        top, left = self.corners[tile]
        return slice(top, top + self.edge), slice(left, left + self.edge)

    def predict(
        self,
        x_t: Tensor,
        active: Tensor,
        predict_tiles: TilePrediction,
        classes: int,
        micro_batch: int,
        offsets: Sequence[int],
        answered: Callable[[int], None] = lambda _: None,
    ) -> Tensor:
        """Return blended x_0 probabilities (B, K, H, W) of whole canvases.

        The network always runs on exactly ``micro_batch`` tiles, and a tile's place among them
        follows from its row's offset, so that the same row gets the same bytes whatever is asked
        together: what a library computes for one row of a batch depends on the batch's size
        and on the row's place in it (the last few numbers of an array take another code path),
        never on the other rows.

        Args:
            x_t: noisy labels, int64, (B, H, W).
            active: bool, (B, tiles); the others are background without asking the network.
            predict_tiles: the network on ``micro_batch`` tiles.
            classes: K; class 0 is the background.
            micro_batch: tiles a network call.
            offsets: (B,) active tiles in all the rows of the whole run before each row.
            answered: told after each network call how many tiles it was about.
        """
        weight = _weight(self.edge).to(x_t.device)
        total = weight.new_zeros(len(x_t), classes, *self.canvas)
        covered = weight.new_zeros(len(x_t), *self.canvas)
        for places in _calls(active, micro_batch, offsets):
            any_pair = next(iter(places.values()))
            pairs = [places.get(place, any_pair) for place in range(micro_batch)]
            probabilities = predict_tiles(
                torch.stack([x_t[row][self.place(tile)] for row, tile in pairs]), pairs
            )
            for place, (row, tile) in places.items():
                rows, columns = self.place(tile)
                total[row, :, rows, columns] += probabilities[place] * weight
                covered[row, rows, columns] += weight
            answered(len(places))
        total[:, 0] += covered == 0
        return total / covered.masked_fill(covered == 0, 1.0)[:, None]


def _calls(
    active: Tensor, micro_batch: int, offsets: Sequence[int]
) -> list[dict[int, tuple[int, int]]]:
    """Return the network calls: for each, which (row, tile) is at which place of the batch."""
    calls: dict[int, dict[int, tuple[int, int]]] = {}
    for row, (tiles, offset) in enumerate(zip(active, offsets, strict=True)):
        for number, tile in enumerate(tiles.nonzero()[:, 0].tolist(), offset):
            call, place = divmod(number, micro_batch)
            calls.setdefault(call, {})[place] = (row, tile)
    return list(calls.values())


def _weight(edge: int) -> Tensor:
    """Return (edge, edge) weights that fall off linearly towards a tile's border, never to zero."""
    ramp = torch.minimum(torch.arange(1, edge + 1), torch.arange(edge, 0, -1)).float()
    return (ramp[:, None] * ramp[None, :]) / ramp.max() ** 2
