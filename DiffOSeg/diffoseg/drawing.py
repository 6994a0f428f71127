"""Drawing on a canvas: the search of a whole volume, and the sampling chains of each expert.

Everything that calls the network is here, and every call looks first whether it is still wanted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .canvas import Canvas
from .errors import CancelledError, ran_out_of_memory
from .experts import CONSENSUS
from .geometry import GridWindow
from .model import Model
from .noise import NoiseField
from .sampling import ChainState, SamplerSettings, chain, plan

Progress = Callable[[int, int, str], None]

PRESENT = 0.01
"""In a whole volume, only tiles where the first prediction exceeds this are sampled."""

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


class Drawing:
    """One run of a model, on the device that it is on.

    Args:
        model: who draws.
        settings: how to sample.
        seed: names the draw.
        batch_size: slices that go through the sampling chain together; bounds the memory.
        micro_batch: tiles a network call.
        watch: told of every call.
    """

    def __init__(
        self,
        model: Model,
        settings: SamplerSettings,
        seed: int,
        batch_size: int,
        micro_batch: int,
        watch: Watch,
    ):
        self.model = model
        self.settings = settings
        self.seed = seed
        self.batch_size = batch_size
        self.places = micro_batch
        self.micro_batch = micro_batch
        """Tiles a network call; halved where the memory does not suffice."""
        self.watch = watch

    @torch.inference_mode()
    def search(self, canvas: Canvas) -> np.ndarray:
        """Return the tiles of a canvas in which anything would be marked, (S, tiles) bool.

        The first prediction, from pure noise, is the probability that a pixel is marked; the
        consensus stands for all experts, and without one every expert is asked, so that what is
        found does not depend on who is to draw it. Where the probability exceeds PRESENT nowhere,
        the tile where it is highest is returned.
        """
        names = (CONSENSUS,) if self.model.consensus is not None else self.model.experts
        highest = np.zeros(tuple(canvas.active.shape), np.float32)
        self.watch.begin(len(names) * highest.size)
        rows = [(0, index) for index in range(len(highest))]
        for name in names:
            for first in range(0, len(rows), self.places):
                chunk = rows[first : first + self.places]
                best = highest[first : first + len(chunk)]
                np.maximum(best, self._likeliest(canvas, name, chunk), out=best)
        return highest >= min(PRESENT, float(highest.max()))

    @torch.inference_mode()
    def draw(self, canvas: Canvas, name: str, samples: int) -> np.ndarray:
        """Return each sample's foreground probability at the last step, (n, S, H, W) float32.

        n is ``samples``, or after a cancel as many as were complete by then.
        """
        slices = canvas.window.size[0]
        rows = [(sample, index) for sample in range(samples) for index in range(slices)]
        finished = np.empty((len(rows), *canvas.window.size[1:]), np.float32)
        done = 0
        try:
            for first in range(0, len(rows), self.batch_size):
                chunk = rows[first : first + self.batch_size]
                *_, last = self._chain(canvas, name, chunk)
                finished[first : first + len(chunk)] = last.x0_probs[:, 1:].sum(1).cpu().numpy()
                done = first + len(chunk)
        except CancelledError:
            pass  # the watch remembers
        complete = done // slices
        return finished[: complete * slices].reshape(complete, *canvas.window.size)

    def _likeliest(self, canvas: Canvas, name: str, rows: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return the highest probability of a mark in every tile of some slices, (rows, tiles)."""
        uniform = self._noise(name, canvas.window).draw(_keys(canvas, rows), 0)
        x_T = (uniform * len(self.model.metadata.classes)).long()
        prediction = self._predict(
            canvas, name, rows, "searching the volume", x_T, self.model.schedule.T
        )
        foreground = prediction[:, 1:].sum(1)
        tiles = range(len(canvas.tiling.corners))
        highest = [foreground[:, *canvas.tiling.place(tile)].amax((1, 2)) for tile in tiles]
        return torch.stack(highest, 1).cpu().numpy()

    def _chain(
        self, canvas: Canvas, name: str, rows: Sequence[tuple[int, int]]
    ) -> Iterator[ChainState]:
        """Sample the (sample, slice) ``rows`` together."""
        schedule, metadata = self.model.schedule, self.model.metadata
        times, kernel = plan(self.settings, schedule, metadata.mask_distance)
        return chain(
            partial(self._predict, canvas, name, rows, spoken(name)),
            (len(rows), len(metadata.classes), *canvas.window.size[1:]),
            schedule,
            times,
            kernel,
            partial(self._noise(name, canvas.window).draw, _keys(canvas, rows)),
        )

    def _predict(
        self,
        canvas: Canvas,
        name: str,
        rows: Sequence[tuple[int, int]],
        what: str,
        x_t: Tensor,
        t: int,
    ) -> Tensor:
        slices = [index for _, index in rows]
        return canvas.tiling.predict(
            x_t,
            canvas.images[slices],
            canvas.active[slices],
            partial(self._ask, name, t),
            len(self.model.metadata.classes),
            self.places,
            [canvas.offset_of(*row) for row in rows],
            lambda tiles: self.watch.step(tiles, what),
        )

    def _ask(self, name: str, t: int, tiles: Tensor, images: Tensor) -> Tensor:
        """Ask the network about tiles, in as many calls as the memory makes necessary."""
        while True:
            try:
                return torch.cat(
                    [
                        self._call(name, t, *part)
                        for part in zip(
                            tiles.split(self.micro_batch),
                            images.split(self.micro_batch),
                            strict=True,
                        )
                    ]
                )
            except Exception as error:
                if self.micro_batch == 1 or not ran_out_of_memory(error):
                    raise
            self._halve(tiles.device)

    def _call(self, name: str, t: int, tiles: Tensor, images: Tensor) -> Tensor:
        self.watch.look()
        times = torch.full((len(tiles),), t, device=tiles.device)
        row = None if name == CONSENSUS else self.model.panel.index_of(name)
        asked = None if row is None else torch.full_like(times, row)
        return self.model.predict_x0(tiles, times, images, asked)

    def _halve(self, device: torch.device) -> None:
        self.micro_batch //= 2
        if device.type == "cuda":
            torch.cuda.empty_cache()
        self.watch.say(
            f"The memory of the {device.type} was short, so the network now looks at"
            f" {self.micro_batch} instead of {2 * self.micro_batch} tiles at a time; it is slower."
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


def _keys(canvas: Canvas, rows: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (sample, slice) with slices counted on the model's grid, which names their noise."""
    return [(sample, canvas.window.start[0] + index) for sample, index in rows]
