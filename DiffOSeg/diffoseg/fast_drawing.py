"""Drawing with the fast network: each tile encoded once, presence drawn first, then few steps.

An expert's probability map is the first belief, before any noisy mask, times presence; it needs no
sample. The samples only show its variety: whether anything is drawn in a tile is drawn first, and
the chain then runs where something is. The consensus is the mixture over the experts: its
probability is the mean of theirs, and each of its samples is drawn like one of them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .canvas import Canvas
from .drawing import Drawing, Drawn, Rows
from .errors import CancelledError
from .experts import CONSENSUS
from .networks.fast import FastNetwork, Features

_TILES_KEPT = 512
"""Tiles whose features are kept for a whole run, 0.25 GB; beyond it they are encoded anew."""


@dataclass(frozen=True)
class _Seen:
    """The features of a canvas' active tiles, and at which row each (slice, tile) is."""

    canvas: Canvas
    features: Features
    row: dict[tuple[int, int], int]


class FastDrawing(Drawing):
    """One run of a model that has a fast network; see ``Drawing``."""

    _seen: _Seen | None = None

    @property
    def network(self) -> FastNetwork:
        """The network that draws."""
        assert self.model.fast is not None
        return self.model.fast

    @torch.inference_mode()
    def draw(self, canvas: Canvas, name: str, samples: int) -> Drawn:
        """Return what one expert, or the consensus, draws; after a cancel what was complete."""
        everything = self._all_rows(canvas, samples)
        try:
            once = self._all_rows(canvas, samples=1)
            probability = self._first_belief(canvas, name, once)
            rows = self._present(canvas, name, everything)
        except CancelledError:  # the watch remembers
            return Drawn(np.empty((0, *canvas.window.size), np.float32))
        drawn = self._samples(canvas, name, rows)
        return Drawn(drawn, probability)

    def drawn_like(self, name: str, sample: int) -> int:
        """Return the row of the expert whose style a sample has.

        The samples of the consensus go round the experts, in an order that the seed decides.
        """
        if name != CONSENSUS:
            return self.model.panel.index_of(name)
        experts = len(self.model.panel)
        order = np.argsort(self._chances(name, sample // experts, "order", experts))
        return int(order[sample % experts])

    def _first_belief(self, canvas: Canvas, name: str, rows: Rows) -> np.ndarray:
        """Return the probability that a pixel is marked, before any step, (B, H, W) float32."""
        asked = range(len(self.model.panel)) if name == CONSENSUS else [self.drawn_like(name, 0)]
        maps = []
        for expert in asked:
            believe = partial(self._first_of_tiles, canvas, expert, rows)
            nothing = torch.zeros(len(rows.keys), *canvas.window.size[1:], dtype=torch.int64)
            belief = canvas.tiling.predict(
                nothing.to(self.model.device), rows.active, believe, 2, self.places, rows.offsets
            )
            maps.append(belief[:, 1].cpu().numpy())
        return np.stack(maps).mean(0)

    def _first_of_tiles(
        self,
        canvas: Canvas,
        expert: int,
        rows: Rows,
        tiles: Tensor,
        pairs: Sequence[tuple[int, int]],
    ) -> Tensor:
        places = [(rows.keys[row][1], tile) for row, tile in pairs]

        def believe(part: slice) -> Tensor:
            features = self._features(canvas, places[part])
            code = self.network.codes[[expert] * len(places[part])]
            none = torch.zeros(len(code), device=tiles.device)
            logits = self.network.step(features, tiles[part].float(), none, code).logits
            there = self.network.presence_logit(features, code).sigmoid()
            return logits.sigmoid() * there[:, None, None]

        marked = torch.cat(self._in_parts(len(tiles), believe))
        return torch.stack([1 - marked, marked], 1)

    def _present(self, canvas: Canvas, name: str, rows: Rows) -> Rows:
        """Return the rows with only those tiles active in which something is drawn.

        A sample has one chance for all its slices and tiles: it is marked wherever presence
        exceeds it, so that a lesion does not come and go from slice to slice.
        """
        samples = sorted({sample for sample, _ in rows.keys})
        chances = {n: self._chances(name, n, "presence", 1)[0] for n in samples}
        presence = {
            expert: self._presence_of_tiles(canvas, expert)
            for expert in {self.drawn_like(name, n) for n in samples}
        }
        present = np.stack(
            [
                presence[self.drawn_like(name, sample)][index] > chances[sample]
                for sample, index in rows.keys
            ]
        )
        active = rows.active & torch.from_numpy(present)
        skipped = int(rows.active.sum()) - int(active.sum())
        self.watch.total -= skipped * self.settings.steps
        return Rows.of(rows.keys, active)

    def _presence_of_tiles(self, canvas: Canvas, expert: int) -> np.ndarray:
        """Return the probability that an expert marks anything, (S, tiles) in 0..1."""
        presence = np.zeros(tuple(canvas.active.shape), np.float32)
        for part in self._calls_about(canvas):
            features = self._features(canvas, part)
            code = self.network.codes[[expert] * len(part)]
            found = self.network.presence_logit(features, code).sigmoid().cpu().numpy()
            presence[tuple(zip(*part, strict=True))] = found
        return presence

    def _call(
        self,
        canvas: Canvas,
        name: str,
        t: int,
        tiles: Tensor,
        keys: Sequence[tuple[int, int, int]],
    ) -> Tensor:
        features = self._features(canvas, [(index, tile) for _, index, tile in keys])
        code = self.network.codes[[self.drawn_like(name, sample) for sample, _, _ in keys]]
        survival = self.model.schedule.level(torch.full((len(tiles),), t)).to(tiles.device)
        marked = self.network.step(features, 2.0 * tiles - 1, survival, code).logits.sigmoid()
        return torch.stack([1 - marked, marked], 1)

    def _features(self, canvas: Canvas, places: Sequence[tuple[int, int]]) -> Features:
        """Return the features of tiles, each a (slice, tile)."""
        if int(canvas.active.sum()) > _TILES_KEPT:
            return self._encode(canvas, places)
        if self._seen is None or self._seen.canvas is not canvas:
            self._seen = self._look(canvas)
        seen = self._seen
        rows = torch.tensor([seen.row[place] for place in places], device=self.model.device)
        return seen.features.rows(rows)

    def _look(self, canvas: Canvas) -> _Seen:
        """Encode every active tile, each at a place of its call that the canvas decides."""
        calls = self._calls_about(canvas)
        seen = _joined([self._encode(canvas, part) for part in calls])
        places = [place for part in calls for place in part]
        # A call that was filled up holds its first tile again; both rows are the same.
        return _Seen(canvas, seen, {place: row for row, place in enumerate(places)})

    def _calls_about(self, canvas: Canvas) -> list[list[tuple[int, int]]]:
        """Return the active tiles in calls of one size, the last one filled up by its first."""
        places = [(index, tile) for index, tile in canvas.active.nonzero().tolist()]
        starts = range(0, len(places), self.places)
        calls = [places[first : first + self.places] for first in starts]
        return [part + part[:1] * (self.places - len(part)) for part in calls]

    def _encode(self, canvas: Canvas, places: Sequence[tuple[int, int]]) -> Features:
        images = torch.stack(
            [canvas.images[index][:, *canvas.tiling.place(tile)] for index, tile in places]
        )
        return _joined(self._in_parts(len(images), lambda part: self.network.encode(images[part])))

    def _chances(self, name: str, sample: int, what: str, count: int) -> np.ndarray:
        """Return uniforms in [0, 1), (count,), keyed like the noise by what they are for."""
        key = json.dumps([self.seed, name, sample, what])
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        bits = np.random.Philox(key=np.frombuffer(digest, "<u8").astype(np.uint64))
        return (bits.random_raw(count) >> np.uint64(11)) * 2.0**-53


def _joined(parts: Sequence[Features]) -> Features:
    levels = zip(*(part.levels for part in parts), strict=True)
    return Features(
        tuple(torch.cat(level) for level in levels), torch.cat([part.summary for part in parts])
    )
