"""What the fast network sees of a canvas before any noisy mask: once, for all samples and experts.

Features of each tile, the probability that each expert marks anything in it, and the first belief
about each pixel.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..model.model import Model
from ..networks.fast import FastNetwork, Features
from ..space.tiling import calls_about
from .canvas import Canvas

_TILES_KEPT = 512
"""Tiles whose features are kept together, 0.25 GB; of a larger canvas a group at a time."""

Answer = TypeVar("Answer")
Place = tuple[int, int]
"""(slice, tile)."""


class InParts(Protocol):
    """Calls the network about a number of tiles, in as many parts as the memory needs."""

    def __call__(self, count: int, call: Callable[[slice], Answer]) -> list[Answer]:
        """Return what ``call`` answers about each part."""


class Seen:
    """Some slices of a canvas as the network sees them.

    Attributes:
        slices: which slices of the canvas.
        places: (slice, tile) of each of the n active tiles.
        row: at which row of the features each of them is.
        features: of these tiles, float32 but under ``device.mixed_precision``.
    """

    def __init__(self, look: "Look", slices: range):
        self._look = look
        self._beliefs: dict[int, Tensor] = {}
        self.slices = slices
        found = look.canvas.active[slices.start : slices.stop].nonzero().tolist()
        self.places: list[Place] = [(slices.start + index, tile) for index, tile in found]
        self.row = {place: row for row, place in enumerate(self.places)}
        calls = look.calls(self.places)
        self.features = Features.joined([look.encode(asked).part(mine) for asked, mine in calls])

    def belief(self, expert: int) -> Tensor:
        """Return the probability that an expert who draws in a tile marks a pixel, (n, e, e)."""
        if expert not in self._beliefs:
            calls = self._look.calls(self.places)
            answers = [self._first(expert, asked)[mine] for asked, mine in calls]
            self._beliefs[expert] = torch.cat(answers)
        return self._beliefs[expert]

    def _first(self, expert: int, places: Sequence[Place]) -> Tensor:
        look, edge = self._look, self._look.canvas.tiling.edge
        rows = torch.tensor([self.row[place] for place in places], device=look.device)

        def believe(part: slice) -> Tensor:
            features = self.features.rows(rows[part])
            nothing = torch.zeros(len(features.summary), edge, edge, device=look.device)
            code = look.codes[[expert] * len(nothing)]
            return probability(look.model, features, nothing, 0.0, code)

        return torch.cat(look.in_parts(len(rows), believe))


class Look:
    """A whole canvas as the network sees it.

    Args:
        model: whose fast network looks.
        canvas: what is looked at.
        most: tiles of the largest network call; see ``tiling.calls_about``.
        in_parts: how the network is called.
        answered: told after each network call how many tiles were looked at for the first time.
    """

    def __init__(
        self,
        model: Model,
        canvas: Canvas,
        most: int,
        in_parts: InParts,
        answered: Callable[[int], None],
    ):
        assert model.fast is not None
        self.model = model
        self.network: FastNetwork = model.fast
        self.codes = model.codes
        self.canvas = canvas
        self.device = model.device
        self.in_parts = in_parts
        self._most = most
        self._answered = answered
        self._seen: Seen | None = None

    @cached_property
    def groups(self) -> tuple[range, ...]:
        """Slices of the canvas whose features are kept together, the first ones first."""
        groups, start, tiles = [], 0, 0
        for index, more in enumerate(self.canvas.active.sum(1).tolist()):
            if index > start and tiles + more > _TILES_KEPT:
                groups.append(range(start, index))
                start, tiles = index, 0
            tiles += more
        return (*groups, range(start, len(self.canvas.active)))

    def seen(self, slices: range) -> Seen:
        """Return one of the groups as the network sees it; kept until another one is asked for."""
        if self._seen is None or self._seen.slices != slices:
            self._seen = None  # before the next, so that there are never two
            self._seen = Seen(self, slices)
        return self._seen

    @cached_property
    def presence(self) -> np.ndarray:
        """Probability that each expert marks anything in a tile, (E, S, tiles) in 0..1.

        0 in tiles that are not active.
        """
        experts = len(self.model.panel)
        presence = np.zeros((experts, *self.canvas.active.shape), np.float32)
        for group in self.groups:
            seen = self.seen(group)
            at = tuple(np.array(seen.places, int).reshape(-1, 2).T)
            for expert in range(experts):
                found = self.model.presence_logit(seen.features, expert).sigmoid()
                presence[expert][at] = found.cpu().numpy()
            self._answered(len(seen.places))
        return presence

    def calls(self, places: Sequence[Place]) -> list[tuple[list[Place], slice]]:
        """Return the network calls about places: which each is about, and which are not filled."""
        calls = calls_about(len(places), 0, 1, self._most)
        return [([places[number] for number in call.numbers], call.places) for call in calls]

    def encode(self, places: Sequence[Place]) -> Features:
        """Return the features of tiles of the canvas."""
        place, images = self.canvas.tiling.place, self.canvas.images
        tiles = torch.stack([images[index][:, *place(tile)] for index, tile in places])
        tiles = tiles.contiguous(memory_format=torch.channels_last)
        return Features.joined(
            self.in_parts(len(tiles), lambda part: self.network.encode(tiles[part]))
        )


def probability(
    model: Model, features: Features, x: Tensor, survival: float, code: Tensor
) -> Tensor:
    """Return the belief that a pixel is marked by someone who marks anything, float32 (B, H, W).

    Args:
        model: whose fast network is asked, and whose calibration corrects it.
        features: of B tiles.
        x: noisy mask, -1 or +1, float (B, H, W).
        survival: share of the pixels that noise has left alone, in 0..1.
        code: of each row's expert, (B, code_width).
    """
    shares = torch.full((len(x),), survival, device=x.device)
    return model.fast_belief(features, x, shares, code).logits.sigmoid()
