"""The main job: a volume and a region in, the consensus and every expert's drawings out."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .applicability import warnings_for
from .errors import CancelledError, InputError, OutOfMemoryError
from .experts import CONSENSUS
from .geometry import Box, GridWindow, ModelGrid
from .job import Comparison, ExpertResult
from .model import Model
from .noise import NoiseField
from .sampling import SamplerSettings, chain, plan
from .tiling import Tiling
from .version import __version__
from .volume import Volume
from .weights import content_hash

Progress = Callable[[int, int, str], None]

PRESENT = 0.01
"""In a whole volume, only tiles where the first prediction exceeds this are sampled."""

COHERENCE = 1.0
"""Correlation of the noise between the slices of one sample; measured in the model card."""

_MARGIN = 8  # pixels of context that the network sees around a region larger than one tile
_MOST_SAMPLES = 1000
_MICRO_BATCH = {"cpu": 8, "cuda": 64, "mps": 16}


@dataclass(frozen=True)
class _Canvas:
    """What the network looks at, on the model's grid.

    Attributes:
        window: where the canvas lies; holds the answered window and its margin.
        answer: the window in which the answer is given.
        images: (S, C, H, W) float32, intensity-mapped.
        active: (S, tiles) bool.
    """

    window: GridWindow
    answer: GridWindow
    images: Tensor
    tiling: Tiling
    active: Tensor


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
        names = self._names(experts)
        settings = self._settings(samples, steps)
        grid = ModelGrid.fit(image.geometry, self.model.metadata.spacing_mm)
        warnings = warnings_for(image, grid, self.model.metadata, region is None)
        watch = _Watch(progress, cancel)
        try:
            with torch.inference_mode():
                canvas = self._canvas(image, grid, region, names, seed, watch)
                prepared = time.perf_counter()
                rows = [(n, s) for n in range(samples) for s in range(canvas.window.size[0])]
                watch.total = len(names) * settings.steps * -(-len(rows) // self.batch_size)
                start, size = grid.region_of(canvas.answer)
                results = {
                    name: _result(
                        name,
                        self._sample(canvas, name, rows, samples, settings, seed, watch),
                        grid,
                        canvas.window,
                        (start, size),
                    )
                    for name in names
                }
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise OutOfMemoryError(
                f"The {self.device.type} has too little free memory for this region."
                " Choose a smaller region, or another device."
            ) from error
        return Comparison(
            results=results,
            geometry=image.geometry,
            region_geometry=image.geometry.crop(start, size),
            region_start=start,
            colors={name: self.model.panel.color_of(name) for name in names},
            slugs={name: self.model.panel.slugs()[name] for name in names},
            warnings=warnings,
            provenance=self._provenance(settings, samples, seed, region),
            timings={
                "prepare_s": prepared - started,
                "sample_s": time.perf_counter() - prepared,
            },
        )

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

    def _canvas(
        self,
        image: Volume,
        grid: ModelGrid,
        region: Box | None,
        names: Sequence[str],
        seed: int,
        watch: "_Watch",
    ) -> _Canvas:
        answer = grid.window_of(region)
        canvas = self._view(image, grid, answer)
        if region is not None:
            return canvas
        found = self._search(canvas, names, seed, watch)
        return self._view(image, grid, found)

    def _view(self, image: Volume, grid: ModelGrid, answer: GridWindow) -> _Canvas:
        window = _with_margin(answer, self.model.metadata.patch)
        mapped = self.model.metadata.intensity.resolve(image.array).apply(
            grid.slices(image.array, window)
        )
        tiling = Tiling.cover((window.size[1], window.size[2]), self.model.metadata.patch)
        active = torch.ones(window.size[0], len(tiling.corners), dtype=torch.bool)
        images = torch.from_numpy(mapped[:, None]).to(self.device)
        return _Canvas(window, answer, images, tiling, active)

    def _search(
        self, canvas: _Canvas, names: Sequence[str], seed: int, watch: "_Watch"
    ) -> GridWindow:
        """Return the part of the whole volume in which anyone asked would mark anything.

        The first prediction, from pure noise, is the probability that a pixel is marked. Where it
        exceeds PRESENT nowhere, the slice and tile where it is highest are returned.
        """
        name = CONSENSUS if CONSENSUS in names else names[0]
        T = self.model.schedule.T
        highest = np.zeros(tuple(canvas.active.shape), np.float32)
        watch.total = len(canvas.images)
        for index in range(len(canvas.images)):
            noise = self._noise(name, seed, canvas.window)
            x_T = (noise.draw([(0, canvas.window.start[0] + index)], 0) * self.classes).long()
            foreground = self._predict(canvas, name, [index], x_T, T, 0)[0, 1:].sum(0)
            for tile in range(len(canvas.tiling.corners)):
                highest[index, tile] = float(foreground[canvas.tiling.place(tile)].max())
            watch.step("searching the volume")
        watch.done = 0
        chosen = highest > min(PRESENT, float(highest.max()) * (1 - 1e-6))
        return _around(canvas, np.argwhere(chosen))

    def _sample(
        self,
        canvas: _Canvas,
        name: str,
        rows: Sequence[tuple[int, int]],
        samples: int,
        settings: SamplerSettings,
        seed: int,
        watch: "_Watch",
    ) -> Iterator[np.ndarray]:
        """Yield each sample's foreground probability at the last step, (S, H, W) float32."""
        slices = canvas.window.size[0]
        finished = np.empty((samples * slices, *canvas.window.size[1:]), np.float32)
        times, kernel = plan(settings, self.model.schedule, self.model.metadata.mask_distance)
        noise = self._noise(name, seed, canvas.window)
        for first in range(0, len(rows), self.batch_size):
            chunk = rows[first : first + self.batch_size]
            keys = [(sample, canvas.window.start[0] + index) for sample, index in chunk]
            states = chain(
                lambda x_t, t, chunk=chunk, first=first: self._predict(  # type: ignore[misc]
                    canvas, name, [index for _, index in chunk], x_t, t, first
                ),
                (len(chunk), self.classes, *canvas.window.size[1:]),
                self.model.schedule,
                times,
                kernel,
                lambda draw, keys=keys: noise.draw(keys, draw),  # type: ignore[misc]
            )
            for state in states:  # noqa: B007
                watch.step(_spoken(name))
            finished[first : first + len(chunk)] = state.x0_probs[:, 1:].sum(1).cpu().numpy()
        yield from finished.reshape(samples, *canvas.window.size)

    def _predict(
        self,
        canvas: _Canvas,
        name: str,
        slices: Sequence[int],
        x_t: Tensor,
        t: int,
        first_row: int,
    ) -> Tensor:
        expert = None if name == CONSENSUS else self.model.panel.index_of(name)

        def predict_tiles(tiles: Tensor, images: Tensor) -> Tensor:
            count = len(tiles)
            times = torch.full((count,), t, device=self.device)
            asked = None if expert is None else torch.full_like(times, expert)
            return self.model.predict_x0(tiles, times, images, asked)

        return canvas.tiling.predict(
            x_t,
            canvas.images[list(slices)],
            canvas.active[list(slices)],
            predict_tiles,
            self.classes,
            self.micro_batch,
            range(first_row, first_row + len(x_t)),
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

    def _provenance(
        self, settings: SamplerSettings, samples: int, seed: int, region: Box | None
    ) -> dict[str, object]:
        metadata = self.model.metadata
        return {
            "code_version": __version__,
            "weights_title": metadata.title,
            "weights_hash": content_hash(self.model),
            "notice": str(metadata.training.get("notice", "")),
            "sampler": settings.name,
            "steps": settings.steps,
            "samples": samples,
            "seed": seed,
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "region_lps_mm": None if region is None else [*region.lower, *region.upper],
            "model_spacing_mm": metadata.spacing_mm,
        }


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


def best_device() -> torch.device:
    """Return a CUDA card if there is one, else the CPU; MPS only when asked for by name."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _spoken(name: str) -> str:
    return "the consensus" if name == CONSENSUS else name


def _with_margin(answer: GridWindow, patch: int) -> GridWindow:
    """Return the window grown to a tile, or by a margin where it is larger than a tile."""
    start, size = list(answer.start), list(answer.size)
    for axis in (1, 2):
        wanted = patch if size[axis] <= patch else size[axis] + 2 * _MARGIN
        start[axis] -= (wanted - size[axis]) // 2
        size[axis] = wanted
    return GridWindow((start[0], start[1], start[2]), (size[0], size[1], size[2]))


def _around(canvas: _Canvas, places: np.ndarray) -> GridWindow:
    """Return the smallest window that holds the (slice, tile) ``places``, inside the answer's."""
    corners = np.array(canvas.tiling.corners)[places[:, 1]] + canvas.window.start[1:]
    first = [int(places[:, 0].min()) + canvas.window.start[0], *map(int, corners.min(0))]
    last = [int(places[:, 0].max()) + canvas.window.start[0] + 1]
    last += [int(corner) + canvas.tiling.edge for corner in corners.max(0)]
    start, size = [], []
    for low, high, begin, count in zip(
        first, last, canvas.answer.start, canvas.answer.size, strict=True
    ):
        start.append(max(low, begin))
        size.append(min(high, begin + count) - start[-1])
    return GridWindow((start[0], start[1], start[2]), (size[0], size[1], size[2]))


def _result(
    name: str,
    finished: Iterator[np.ndarray],
    grid: ModelGrid,
    window: GridWindow,
    region: tuple[Sequence[int], Sequence[int]],
) -> ExpertResult:
    """Map each sample back onto the input's voxels and sum up."""
    start, size = region
    total = np.zeros(tuple(reversed(size)), np.float64)
    samples = []
    for maps in finished:
        probability = grid.to_input(maps, window, start, size)
        total += probability
        samples.append(probability > 0.5)
    mean = (total / len(samples)).astype(np.float32)
    return ExpertResult(
        name=name,
        probability=mean,
        mask=mean > 0.5,
        samples=np.stack(samples),
        presence=float(np.mean([sample.any() for sample in samples])),
    )
