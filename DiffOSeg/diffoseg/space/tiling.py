"""A canvas of any size seen through the network's own field of view.

A canvas is covered by overlapping squares of the size the network was trained on, whose predictions
are blended, so that nothing is ever asked outside what it was trained on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .field_of_view import OVERLAP, tile_corners

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
    def cover(cls, canvas: tuple[int, int], edge: int, overlap: float = OVERLAP) -> "Tiling":
        """Return the fewest evenly spread tiles that cover ``canvas`` with an overlap."""
        return cls(canvas, edge, tile_corners(canvas, edge, overlap))

    def place(self, tile: int) -> tuple[slice, slice]:
        """Return the rows and columns of the canvas that a tile covers."""
        top, left = self.corners[tile]
        return slice(top, top + self.edge), slice(left, left + self.edge)

    def expected(self, tiles: np.ndarray, which: Sequence[int], chances: np.ndarray) -> np.ndarray:
        """Return the mean blend of tiles of one canvas that are there together by one chance.

        A tile is there where its own chance exceeds one number u that is uniform in 0..1 and the
        same for all tiles. With B_k for the blend of the k likeliest tiles and c_k for the chance
        of the k-th, the mean over u is the sum of c_k (B_k - B_(k-1)).

        Args:
            tiles: (n, e, e) float32.
            which: n times the tile's number.
            chances: n in 0..1.

        Returns (H, W) float32, 0 where no tile is.
        """
        weight = _weight(self.edge).numpy()
        total, covered, mean = np.zeros((3, *self.canvas), np.float32)
        for number in np.argsort(-chances, kind="stable"):
            at = self.place(which[number])
            before = total[at] / np.maximum(covered[at], weight.min())
            total[at] += weight * tiles[number]
            covered[at] += weight
            mean[at] += chances[number] * (total[at] / covered[at] - before)
        return mean.clip(0, 1)

    def predict(
        self,
        x_t: Tensor,
        active: Tensor,
        predict_tiles: TilePrediction,
        classes: int,
        micro_batch: int,
        first: int,
        answered: Callable[[int], None] = lambda _: None,
    ) -> Tensor:
        """Return blended x_0 probabilities (B, K, H, W) of whole canvases.

        Args:
            x_t: noisy labels, int64, (B, H, W).
            active: bool, (B, tiles); the others are background without asking the network.
            predict_tiles: the network on ``micro_batch`` tiles, always.
            classes: K; class 0 is the background.
            micro_batch: tiles a network call.
            first: active tiles in all the rows of the run before these; see ``calls_about``.
            answered: told after each network call how many tiles it was about.
        """
        cut = Cut(self, active.to(x_t.device))
        tiles = cut.tiles(x_t)
        answers = [tiles.new_zeros(0, classes, self.edge, self.edge, dtype=torch.float32)]
        for call in calls_about(len(cut.pairs), first, micro_batch, micro_batch):
            pairs = [cut.pairs[number] for number in call.numbers]
            answers.append(predict_tiles(tiles[call.numbers], pairs)[call.places])
            answered(len(answers[-1]))
        blended = cut.joined(torch.cat(answers))
        blended[:, 0] += cut.nowhere
        return blended


@dataclass(frozen=True)
class Call:
    """One network call about tiles of a run.

    Attributes:
        numbers: which tile is at each place of the call; places of others are filled up.
        places: those that are not filled up.
    """

    numbers: list[int]
    places: slice


def calls_about(tiles: int, first: int, least: int, most: int) -> list[Call]:
    """Return the network calls about some tiles that follow each other in a run.

    What a library computes for one row of a batch depends on the batch's size and on the row's
    place in it (the last few numbers of an array take another code path), never on the other rows.
    So a tile's place, and the size of its call, follow from the tiles before it in the run alone,
    and it gets the same bytes whatever is asked together. The calls grow from ``least`` to ``most``
    tiles: few tiles fill few places in vain, and many are asked about in calls of the best size.

    Args:
        tiles: how many.
        first: tiles of the run before them.
        least: tiles of the first call.
        most: tiles of the largest; ``least`` times a power of two.
    """
    calls, number = [], first
    while number < first + tiles:
        start, size = _call_of(number, least, most)
        stop = min(start + size, first + tiles)
        mine = list(range(number - first, stop - first))
        before, after = number - start, start + size - stop
        filled = mine[:1] * before + mine + mine[:1] * after
        calls.append(Call(filled, slice(before, before + len(mine))))
        number = stop
    return calls


def _call_of(number: int, least: int, most: int) -> tuple[int, int]:
    """Return where the call that holds a tile starts, and its size: least, least, 2 least, ..."""
    if number < least:
        return 0, least
    if number >= most:
        return number - number % most, most
    size = least
    while 2 * size <= number:
        size *= 2
    return size, size


class Cut:
    """Canvases cut into their active tiles, and put together again.

    Attributes:
        pairs: (row, tile) of each of the n active tiles, in the order of the rows.

    Args:
        tiling: where the tiles lie.
        active: bool, (B, tiles), on the device of the canvases.
    """

    def __init__(self, tiling: Tiling, active: Tensor):
        self._tiling = tiling
        self._rows = len(active)
        found = active.nonzero()
        self.pairs: list[tuple[int, int]] = [(row, tile) for row, tile in found.tolist()]
        # Of each tile of the tiling: the rows that it is active in, and their numbers among all.
        self._of_tile = [
            (found[numbers, 0], numbers, *tiling.place(tile))
            for tile in range(len(tiling.corners))
            if len(numbers := (found[:, 1] == tile).nonzero()[:, 0])
        ]
        self._weight = _weight(tiling.edge).to(active.device)
        self._covered = self._weight.new_zeros(self._rows, *tiling.canvas)
        for chosen, _, rows, columns in self._of_tile:
            self._covered[chosen, rows, columns] += self._weight

    @property
    def nowhere(self) -> Tensor:
        """Where no active tile is, bool (B, H, W)."""
        return self._covered == 0

    def tiles(self, canvases: Tensor) -> Tensor:
        """Return the active tiles (n, e, e) of canvases (B, H, W)."""
        edge = self._tiling.edge
        tiles = canvases.new_empty(len(self.pairs), edge, edge)
        for chosen, numbers, rows, columns in self._of_tile:
            tiles[numbers] = canvases[chosen, rows, columns]
        return tiles

    def joined(self, tiles: Tensor) -> Tensor:
        """Return canvases (B, ..., H, W) of tiles (n, ..., e, e), blended; 0 where none is."""
        total = tiles.new_zeros(self._rows, *tiles.shape[1:-2], *self._tiling.canvas)
        weighed = tiles * self._weight
        for chosen, numbers, rows, columns in self._of_tile:
            total[chosen, ..., rows, columns] += weighed[numbers]
        covered = self._covered.masked_fill(self._covered == 0, 1.0)
        return total / covered.view(self._rows, *[1] * (tiles.ndim - 3), *self._tiling.canvas)


def _weight(edge: int) -> Tensor:
    """Return (edge, edge) weights that fall off linearly towards a tile's border, never to zero."""
    ramp = torch.minimum(torch.arange(1, edge + 1), torch.arange(edge, 0, -1)).float()
    return (ramp[:, None] * ramp[None, :]) / ramp.max() ** 2
