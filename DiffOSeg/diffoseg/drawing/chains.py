"""Drawing on a canvas: the search of a whole volume, and the sampling chains of each expert.

Everything that calls the network is here, and every call looks first whether it is still wanted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..diffusion.noise import NoiseField
from ..diffusion.sampling import ChainState, SamplerSettings, chain, plan
from ..errors import CancelledError, ran_out_of_memory
from ..experts.panel import CONSENSUS
from ..model.model import Model
from ..space.model_grid import GridWindow
from .canvas import Canvas

Progress = Callable[[int, int, str], None]
Answer = TypeVar("Answer")

PRESENT = 0.01
"""In a whole volume, only tiles where a mark is more probable than this are sampled."""

COHERENCE = 1.0
"""Correlation of the noise between the slices of one sample; measured by coherence.py."""


@dataclass
class Watch:
    """Counts tiles for the one who waits, and knows when that one has had enough.

    Attributes:
        progress: told (tiles done, tiles in all, what is happening) after each network call.
        cancel: asked before each network call.
        note: told, in a sentence, what happened on the way.
        stopped: whether ``cancel`` said so.
    """

    progress: Progress | None = None
    cancel: Callable[[], bool] | None = None
    note: Callable[[str], None] | None = None
    stopped: bool = False
    done: int = 0
    total: int = 0

    def begin(self, total: int) -> None:
        """Start counting towards ``total`` tiles."""
        self.done, self.total = 0, total

    def enough(self) -> bool:
        """Ask, unless it has said so already, whether the one who waits has had enough."""
        self.stopped = self.stopped or (self.cancel is not None and self.cancel())
        return self.stopped

    def look(self) -> None:
        """Raise CancelledError where the one who waits has had enough."""
        if self.enough():
            raise CancelledError("Stopped as asked; nothing was written.")

    def step(self, tiles: int, what: str) -> None:
        """Count what a network call answered."""
        self.done += tiles
        if self.progress is not None:
            self.progress(self.done, self.total, what)

    def say(self, sentence: str) -> None:
        """Pass a sentence on."""
        if self.note is not None:
            self.note(sentence)


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


class Drawing:
    """One run of a model, on the device that it is on.

    Args:
        model: who draws.
        settings: how to sample.
        seed: names the draw.
        batch_size: slices that go through the sampling chain together; bounds the memory.
        micro_batch: tiles a network call.
        watch: told of every call.
        presence: what the probability that an expert marks anything on a canvas is set to, in
            (0, 1]; None leaves it to the model. Only the fast kind can be told.
    """

    def __init__(
        self,
        model: Model,
        settings: SamplerSettings,
        seed: int,
        batch_size: int,
        micro_batch: int,
        watch: Watch,
        presence: float | None = None,
    ):
        self.model = model
        self.settings = settings
        self.seed = seed
        self.batch_size = batch_size
        self.places = micro_batch
        self.micro_batch = micro_batch
        """Tiles a network call; halved where the memory does not suffice."""
        self.watch = watch
        self.presence = presence

    def tiles_to_ask(self, canvas: Canvas, answers: int, samples: int) -> int:
        """Return how many tiles the network will be asked about, for the one who waits."""
        return answers * samples * self.settings.steps * int(canvas.active.sum())

    @torch.inference_mode()
    def search(self, canvas: Canvas) -> np.ndarray:
        """Return the tiles of a canvas in which anything would be marked, (S, tiles) bool.

        The first prediction, from pure noise, is the probability that a pixel is marked; the
        consensus stands for all experts, and without one every expert is asked, so that what is
        found does not depend on who is to draw it. Where the probability exceeds PRESENT nowhere,
        the tile where it is highest is returned.
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
        return highest >= min(PRESENT, float(highest.max()))

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

    def _in_parts(self, count: int, call: Callable[[slice], Answer]) -> list[Answer]:
        """Call the network about ``count`` tiles, as many times as the memory makes necessary."""
        while True:
            size = min(self.micro_batch, count)
            try:
                answers = []
                for first in range(0, count, size):
                    self.watch.look()
                    answers.append(call(slice(first, first + size)))
                return answers
            except Exception as error:
                if size == 1 or not ran_out_of_memory(error):
                    raise
            self._halve(size)

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

    def _halve(self, size: int) -> None:
        """Look at half as many tiles at a time as there was no memory for."""
        self.micro_batch = size // 2
        device = self.model.device
        if device.type == "cuda":
            torch.cuda.empty_cache()
        self.watch.say(
            f"The memory of the {device.type} was short, so the network now looks at"
            f" {self.micro_batch} instead of {size} tiles at a time; it is slower."
        )

    def _noise(self, name: str, window: GridWindow) -> NoiseField:
        return NoiseField(
            seed=self.seed,
            expert=name,
            start=(window.start[1], window.start[2]),
            size=(window.size[1], window.size[2]),
            coherence=COHERENCE,
            device=self.model.device,
        )


def spoken(name: str) -> str:
    """Return how an expert or the consensus is called within a sentence."""
    return "the consensus" if name == CONSENSUS else name


def _foreground(probabilities: Tensor) -> np.ndarray:
    """Return what is not background of probabilities (B, K, H, W), float32 (B, H, W)."""
    return probabilities[:, 1:].sum(1).cpu().numpy()
