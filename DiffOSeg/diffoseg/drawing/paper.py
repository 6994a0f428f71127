"""Drawing with the paper's networks: a chain for every sample, each step the whole network."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..diffusion.sampling import ChainState, chain, plan
from ..errors import CancelledError
from ..experts.panel import CONSENSUS
from .canvas import Canvas
from .drawing import Drawing, spoken
from .drawn import Drawn, Rows


class PaperDrawing(Drawing):
    """One run of a model that has the paper's networks; see ``Drawing``."""

    likely = 0.01

    def tiles_to_ask(self, canvas: Canvas, answers: int, samples: int) -> int:
        """Return how many tiles the network will be asked about, for the one who waits."""
        return answers * samples * self.settings.steps * int(canvas.active.sum())

    @torch.inference_mode()
    def search(self, canvas: Canvas) -> np.ndarray:
        """Return how likely the likeliest pixel of each tile is marked, (S, tiles), in 0..1.

        The first prediction, from pure noise, is that probability; the consensus stands for all
        experts, and without one every expert is asked, so that what is found does not depend on
        who is to draw it.
        """
        names = (CONSENSUS,) if self.model.has_consensus else self.model.experts
        highest = np.zeros(tuple(canvas.active.shape), np.float32)
        self.watch.begin(len(names) * highest.size)
        rows = self._all_rows(canvas, samples=1)
        for name in names:
            for first in range(0, len(highest), self.places):
                chunk = rows.part(first, first + self.places)
                best = highest[first : first + len(chunk.keys)]
                np.maximum(best, self._likeliest(canvas, name, chunk), out=best)
        return highest

    @torch.inference_mode()
    def draw(self, canvas: Canvas, name: str, samples: int) -> Drawn:
        """Return what one expert, or the consensus, draws; after a cancel what was complete."""
        return Drawn(self._samples(canvas, name, self._all_rows(canvas, samples)))

    def _samples(self, canvas: Canvas, name: str, rows: Rows) -> np.ndarray:
        """Return each sample's foreground probability at the last step, (n, S, H, W) float32."""
        slices = canvas.window.size[0]
        finished = np.empty((len(rows.keys), *canvas.window.size[1:]), np.float32)
        done = 0
        try:
            for first in range(0, len(finished), self.batch_size):
                chunk = rows.part(first, first + self.batch_size)
                *_, last = self._chain(canvas, name, chunk)
                finished[first : first + len(chunk.keys)] = _foreground(last.x0_probs)
                done = first + len(chunk.keys)
        except CancelledError:
            pass  # the watch remembers
        complete = done // slices
        return finished[: complete * slices].reshape(complete, *canvas.window.size)

    def _all_rows(self, canvas: Canvas, samples: int) -> Rows:
        """Return every slice of every sample, a sample's slices together."""
        slices = range(canvas.window.size[0])
        keys = [(sample, index) for sample in range(samples) for index in slices]
        return Rows.of(keys, canvas.active[[index for _, index in keys]])

    def _likeliest(self, canvas: Canvas, name: str, rows: Rows) -> np.ndarray:
        """Return the highest probability of a mark in every tile of some slices, (rows, tiles)."""
        foreground = self._first_belief(canvas, name, rows)
        tiles = range(len(canvas.tiling.corners))
        highest = [foreground[:, *canvas.tiling.place(tile)].max((1, 2)) for tile in tiles]
        return np.stack(highest, 1)

    def _first_belief(self, canvas: Canvas, name: str, rows: Rows) -> np.ndarray:
        """Return the probability that a pixel is marked, before any step, (B, H, W) float32."""
        uniform = self._noise(name, canvas.window).draw(rows.on_grid(canvas.window), 0)
        x_T = (uniform * len(self.model.metadata.classes)).long()
        T = self.model.schedule.T
        return _foreground(self._predict(canvas, name, rows, "searching the volume", x_T, T))

    def _chain(self, canvas: Canvas, name: str, rows: Rows) -> Iterator[ChainState]:
        """Sample ``rows`` together."""
        schedule, metadata = self.model.schedule, self.model.metadata
        times, kernel = plan(self.settings, schedule, metadata.mask_distance)
        return chain(
            partial(self._predict, canvas, name, rows, spoken(name)),
            (len(rows.keys), len(metadata.classes), *canvas.window.size[1:]),
            schedule,
            times,
            kernel,
            partial(self._noise(name, canvas.window).draw, rows.on_grid(canvas.window)),
        )

    def _predict(
        self,
        canvas: Canvas,
        name: str,
        rows: Rows,
        what: str,
        x_t: Tensor,
        t: int,
    ) -> Tensor:
        """Return the belief about whole slices, (B, K, H, W)."""
        return canvas.tiling.predict(
            x_t,
            rows.active,
            partial(self._ask, canvas, name, rows, t),
            len(self.model.metadata.classes),
            self.places,
            rows.offsets[0],
            lambda tiles: self.watch.step(tiles, what),
        )

    def _ask(
        self,
        canvas: Canvas,
        name: str,
        rows: Rows,
        t: int,
        tiles: Tensor,
        pairs: Sequence[tuple[int, int]],
    ) -> Tensor:
        """Ask the network about tiles, of which each is a (row, tile)."""
        keys = [(*rows.keys[row], tile) for row, tile in pairs]
        return torch.cat(
            self._in_parts(
                len(tiles), lambda part: self._call(canvas, name, t, tiles[part], keys[part])
            )
        )

    def _call(
        self,
        canvas: Canvas,
        name: str,
        t: int,
        tiles: Tensor,
        keys: Sequence[tuple[int, int, int]],
    ) -> Tensor:
        """Ask the network once, about tiles of which each is a (sample, slice, tile)."""
        images = torch.stack(
            [canvas.images[index][:, *canvas.tiling.place(tile)] for _, index, tile in keys]
        )
        times = torch.full((len(tiles),), t, device=tiles.device)
        row = None if name == CONSENSUS else self.model.panel.index_of(name)
        asked = None if row is None else torch.full_like(times, row)
        return self.model.predict_x0(tiles, times, images, asked)


def _foreground(probabilities: Tensor) -> np.ndarray:
    """Return what is not background of probabilities (B, K, H, W), float32 (B, H, W)."""
    return probabilities[:, 1:].sum(1).cpu().numpy()
