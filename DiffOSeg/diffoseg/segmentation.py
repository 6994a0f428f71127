"""The main job: a volume and a region in, the consensus and every expert's drawings out."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .applicability import warnings_for
from .canvas import Canvas
from .errors import CancelledError, InputError, OutOfMemoryError
from .experts import CONSENSUS
from .geometry import Box, GridWindow, ModelGrid
from .job import Comparison, ExpertResult
from .model import Model
from .noise import NoiseField
from .sampling import ChainState, SamplerSettings, chain, plan
from .version import __version__
from .volume import Volume
from .weights import content_hash

Progress = Callable[[int, int, str], None]

PRESENT = 0.01
"""In a whole volume, only tiles where the first prediction exceeds this are sampled."""

COHERENCE = 1.0
"""Correlation of the noise between the slices of one sample; measured by coherence.py."""

_MOST_SAMPLES = 1000
_MICRO_BATCH = {"cpu": 8, "cuda": 64, "mps": 16}


class _Watch:
    """Counts steps for the one who waits, and stops when that one has had enough."""

    def __init__(self, progress: Progress | None, cancel: Callable[[], bool] | None):
        self.progress = progress
        self.cancel = cancel
        self.done = 0
        self.total = 0

    def step(self, what: str) -> None:
        if self.cancel is not None and self.cancel():
            raise CancelledError("Stopped as asked; nothing was written.")
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, what)


@dataclass(frozen=True)
class _Run:
    """What one call of ``segment`` asks for, checked."""

    names: tuple[str, ...]
    samples: int
    settings: SamplerSettings
    seed: int
    grid: ModelGrid
    watch: _Watch


class Segmenter:
    """Answers with one model on one device.

    The same seed gives the same bytes whatever ``batch_size``, per device and thread setting.

    Args:
        model: whose experts are asked.
        device: "cpu", "cuda", "mps" or None for the best there is.
        batch_size: slices that go through the sampling chain together; bounds the memory.
    """

    def __init__(
        self, model: Model, device: str | torch.device | None = None, batch_size: int = 64
    ):
        self.device = torch.device(device) if device is not None else best_device()
        self.model = model.to(self.device)
        self.batch_size = batch_size
        self.micro_batch = _MICRO_BATCH.get(self.device.type, 8)

    def segment(
        self,
        image: Volume,
        region: Box | None = None,
        experts: Sequence[str] | None = None,
        samples: int = 8,
        steps: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Comparison:
        """Return what the consensus and each expert would draw in ``region`` of ``image``.

        Args:
            image: one volume, any orientation and spacing.
            region: where to answer, LPS mm; None searches the whole volume first.
            experts: names, "consensus" among them where wanted; None asks all the model has.
            samples: plausible drawings of each, 1..1000.
            steps: network evaluations a sample; None takes the model's own number.
            seed: names the draw.
            progress: called with (steps done, steps in all, what is happening).
            cancel: asked between steps.

        Raises:
            InputError: a setting, an expert or the region is impossible, or the model tells more
                than two classes apart.
            CancelledError: ``cancel`` said so.
            OutOfMemoryError: the device has too little memory.
        """
        started = time.perf_counter()
        run = _Run(
            names=self._names(experts),
            samples=samples,
            settings=self._settings(samples, steps),
            seed=seed,
            grid=ModelGrid.fit(image.geometry, self.model.metadata.spacing_mm),
            watch=_Watch(progress, cancel),
        )
        try:
            with torch.inference_mode():
                canvas = self._canvas(run, image, region)
                prepared = time.perf_counter()
                results = self._results(run, canvas)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise OutOfMemoryError(
                f"The {self.device.type} has too little free memory for this region."
                " Choose a smaller region, or another device."
            ) from error
        start, size = run.grid.region_of(canvas.answer)
        slugs = self.model.panel.slugs()
        return Comparison(
            results=results,
            geometry=image.geometry,
            region_geometry=image.geometry.crop(start, size),
            region_start=start,
            colors={name: self.model.panel.color_of(name) for name in run.names},
            slugs={name: slugs[name] for name in run.names},
            warnings=warnings_for(image, run.grid, canvas, self.model.metadata, region is None),
            provenance=self._provenance(run, region),
            timings={
                "prepare_s": prepared - started,
                "sample_s": time.perf_counter() - prepared,
            },
        )

    def _results(self, run: _Run, canvas: Canvas) -> dict[str, ExpertResult]:
        chunks = -(-run.samples * canvas.window.size[0] // self.batch_size)
        run.watch.total = len(run.names) * run.settings.steps * chunks
        return {
            name: _result(name, self._sample(run, canvas, name), run.grid, canvas)
            for name in run.names
        }

    def _names(self, experts: Sequence[str] | None) -> tuple[str, ...]:
        has = ((CONSENSUS,) if self.model.consensus is not None else ()) + self.model.experts
        if experts is None:
            return has
        if not experts:
            raise InputError("No expert was asked for. Name at least one, or the consensus.")
        for name in experts:
            if name != CONSENSUS:
                self.model.panel.index_of(name)
            elif name not in has:
                raise InputError("These weights hold no consensus. Ask for experts by name.")
        return tuple(name for name in has if name in experts)

    def _settings(self, samples: int, steps: int | None) -> SamplerSettings:
        if self.classes > 2:
            raise InputError(
                f"These weights tell {self.classes} classes apart; only two classes, a lesion and"
                " its background, can be compared as masks."
            )
        if not 1 <= samples <= _MOST_SAMPLES:
            raise InputError(f"{samples} samples were asked for. Choose from 1 to {_MOST_SAMPLES}.")
        metadata = self.model.metadata
        return SamplerSettings(metadata.sampler, metadata.steps if steps is None else steps)

    def _canvas(self, run: _Run, image: Volume, region: Box | None) -> Canvas:
        """Return what to look at: the region, or what a search of the whole volume finds."""
        metadata = self.model.metadata
        canvas = Canvas.of(image, run.grid, run.grid.window_of(region), metadata, self.device)
        if region is not None:
            return canvas
        found = self._search(run, canvas)
        around = canvas.window_around(found)
        return Canvas.of(image, run.grid, around, metadata, self.device).only_near(canvas, found)

    def _search(self, run: _Run, canvas: Canvas) -> np.ndarray:
        """Return the tiles of a canvas in which anything would be marked, (S, tiles) bool.

        The first prediction, from pure noise, is the probability that a pixel is marked; the
        consensus stands for all experts, and without one every expert is asked, so that what is
        found does not depend on who is to draw it. Where the probability exceeds PRESENT nowhere,
        the tile where it is highest is returned.
        """
        names = (CONSENSUS,) if self.model.consensus is not None else self.model.experts
        highest = np.zeros(tuple(canvas.active.shape), np.float32)
        run.watch.total = len(names) * len(canvas.images)
        for name in names:
            noise = self._noise(name, run.seed, canvas.window)
            for index, best in enumerate(highest):
                np.maximum(best, self._likeliest(canvas, name, noise, index), out=best)
                run.watch.step("searching the volume")
        run.watch.done = 0
        return highest >= min(PRESENT, float(highest.max()))

    def _likeliest(self, canvas: Canvas, name: str, noise: NoiseField, index: int) -> list[float]:
        """Return the highest probability of a mark in every tile of one slice."""
        x_T = (noise.draw([(0, canvas.window.start[0] + index)], 0) * self.classes).long()
        prediction = self._predict(canvas, name, [(0, index)], x_T, self.model.schedule.T)
        foreground = prediction[0, 1:].sum(0)
        tiles = range(len(canvas.tiling.corners))
        return [float(foreground[canvas.tiling.place(tile)].max()) for tile in tiles]

    def _sample(self, run: _Run, canvas: Canvas, name: str) -> np.ndarray:
        """Return each sample's foreground probability at the last step, (N, S, H, W) float32."""
        slices = canvas.window.size[0]
        rows = [(sample, index) for sample in range(run.samples) for index in range(slices)]
        finished = np.empty((len(rows), *canvas.window.size[1:]), np.float32)
        for first in range(0, len(rows), self.batch_size):
            chunk = rows[first : first + self.batch_size]
            for state in self._chain(run, canvas, name, chunk):  # noqa: B007
                run.watch.step(_spoken(name))
            finished[first : first + len(chunk)] = state.x0_probs[:, 1:].sum(1).cpu().numpy()
        return finished.reshape(run.samples, *canvas.window.size)

    def _chain(
        self, run: _Run, canvas: Canvas, name: str, rows: Sequence[tuple[int, int]]
    ) -> Iterator[ChainState]:
        """Sample the (sample, slice) ``rows`` together."""
        schedule = self.model.schedule
        times, kernel = plan(run.settings, schedule, self.model.metadata.mask_distance)
        noise = self._noise(name, run.seed, canvas.window)
        keys = [(sample, canvas.window.start[0] + index) for sample, index in rows]
        return chain(
            lambda x_t, t: self._predict(canvas, name, rows, x_t, t),
            (len(rows), self.classes, *canvas.window.size[1:]),
            schedule,
            times,
            kernel,
            partial(noise.draw, keys),
        )

    def _predict(
        self,
        canvas: Canvas,
        name: str,
        rows: Sequence[tuple[int, int]],
        x_t: Tensor,
        t: int,
    ) -> Tensor:
        expert = None if name == CONSENSUS else self.model.panel.index_of(name)

        def predict_tiles(tiles: Tensor, images: Tensor) -> Tensor:
            count = len(tiles)
            times = torch.full((count,), t, device=self.device)
            asked = None if expert is None else torch.full_like(times, expert)
            return self.model.predict_x0(tiles, times, images, asked)

        slices = [index for _, index in rows]
        return canvas.tiling.predict(
            x_t,
            canvas.images[slices],
            canvas.active[slices],
            predict_tiles,
            self.classes,
            self.micro_batch,
            [canvas.offset_of(*row) for row in rows],
        )

    def _noise(self, name: str, seed: int, window: GridWindow) -> NoiseField:
        return NoiseField(
            seed=seed,
            expert=name,
            start=(window.start[1], window.start[2]),
            size=(window.size[1], window.size[2]),
            coherence=COHERENCE,
            device=self.device,
        )

    @property
    def classes(self) -> int:
        """K of the model; only 2 can be answered as masks of one lesion."""
        return len(self.model.metadata.classes)

    def _provenance(self, run: _Run, region: Box | None) -> dict[str, object]:
        metadata = self.model.metadata
        return {
            "code_version": __version__,
            "weights_title": metadata.title,
            "weights_hash": content_hash(self.model),
            "notice": str(metadata.training.get("notice", "")),
            "sampler": run.settings.name,
            "steps": run.settings.steps,
            "samples": run.samples,
            "seed": run.seed,
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "region_lps_mm": None if region is None else [*region.lower, *region.upper],
            "model_spacing_mm": metadata.spacing_mm,
        }


def best_device() -> torch.device:
    """Return a CUDA card if there is one, else the CPU; MPS only when asked for by name."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _spoken(name: str) -> str:
    return "the consensus" if name == CONSENSUS else name


def _result(name: str, finished: np.ndarray, grid: ModelGrid, canvas: Canvas) -> ExpertResult:
    """Map each sample back onto the input's voxels and sum up."""
    start, size = grid.region_of(canvas.answer)
    total = np.zeros(tuple(reversed(size)), np.float64)
    samples = np.empty((len(finished), *total.shape), bool)
    for sample, maps in zip(samples, finished, strict=True):
        probability = grid.to_input(maps, canvas.window, start, size)
        total += probability
        sample[:] = probability > 0.5
    mean = (total / len(finished)).astype(np.float32)
    return ExpertResult(
        name=name,
        probability=mean,
        mask=mean > 0.5,
        samples=samples,
        presence=float(samples.any((1, 2, 3)).mean()),
    )
