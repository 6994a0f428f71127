"""What drawing with either kind of network has in common: memory, noise, and who waits.

Everything that calls a network comes through here, and every call looks first whether it is still
wanted.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from ..diffusion.noise import NoiseField
from ..diffusion.sampling import SamplerSettings
from ..errors import ran_out_of_memory
from ..experts.panel import CONSENSUS
from ..model.model import Model
from ..space.model_grid import GridWindow
from .canvas import Canvas
from .drawn import Drawn
from .watch import Watch

Answer = TypeVar("Answer")


COHERENCE = 1.0
"""Correlation of the noise between the slices of one sample; measured by coherence.py."""


class Drawing(ABC):
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

    likely: float
    """Chance of a mark from which a tile of a whole volume is worth drawing."""

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

    @abstractmethod
    def tiles_to_ask(self, canvas: Canvas, answers: int, samples: int) -> int:
        """Return how many tiles the network will be asked about, for the one who waits."""

    @abstractmethod
    def search(self, canvas: Canvas) -> np.ndarray:
        """Return how likely anything is marked in each tile of a canvas, (S, tiles), in 0..1."""

    @abstractmethod
    def draw(self, canvas: Canvas, name: str, samples: int) -> Drawn:
        """Return what one expert, or the consensus, draws; after a cancel what was complete."""

    def outline(self, canvas: Canvas, name: str) -> Drawn | None:
        """Return what is known of an answer before any sample of it, or None where nothing is."""
        return None

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
