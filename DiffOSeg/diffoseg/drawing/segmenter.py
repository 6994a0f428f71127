"""The main job: a volume and a region in, the consensus and every expert's drawings out."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ..comparison.outline import outline_level
from ..comparison.result import Comparison, ExpertResult
from ..device.choice import best_device
from ..diffusion.sampling import SamplerSettings, plan
from ..errors import CancelledError, InputError, OutOfMemoryError, ran_out_of_memory
from ..experts.panel import CONSENSUS
from ..model.model import Model
from ..model.presets import STANDARD, sampler_of
from ..model.stored import content_hash
from ..space.geometry import Box, Triple
from ..space.model_grid import ModelGrid
from ..space.volume import Volume
from ..version import __version__
from .applicability import warnings_for
from .canvas import Canvas
from .drawing import Drawing
from .drawn import Drawn
from .kinds import drawing_for
from .request import SegmentationRequest
from .search import found_in, sentence
from .watch import Progress, Watch

_MOST_SAMPLES = 1000
_MICRO_BATCH = {"cpu": 8, "cuda": 64, "mps": 16}


@dataclass(frozen=True)
class Started:
    """What is known when the sampling begins.

    Attributes:
        names: who is asked, in the order in which the results come.
        region_start: (i, j, k) index in the input grid of the region's first voxel.
        region_size: voxels of the region along (i, j, k).
        warnings: plain sentences on what lies outside the model's training.
    """

    names: tuple[str, ...]
    region_start: Triple
    region_size: Triple
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Outlined:
    """An answer as far as it is known before its samples are drawn; it comes again with them.

    Attributes:
        result: without samples.
    """

    result: ExpertResult


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
        *,
        preset: str = STANDARD,
        renewal: float = 0.0,
        presence: float | None = None,
    ) -> Comparison:
        """Return what the consensus and each expert would draw in ``region`` of ``image``.

        Args:
            image: and all others but the next two, see ``SegmentationRequest``.
            progress: called with (tiles done, tiles in all, what is happening).
            cancel: asked before every network call.

        Raises:
            InputError: a setting, an expert or the region is impossible, or the model tells more
                than two classes apart.
            CancelledError: ``cancel`` said so.
            OutOfMemoryError: the device has too little memory.
        """
        request = SegmentationRequest(
            image, region, experts, samples, steps, seed, preset, renewal, presence
        )
        events = self.stream(request, Watch(progress, cancel))
        comparison = next(event for event in events if isinstance(event, Comparison))
        if comparison.stopped:
            raise CancelledError("Stopped as asked; nothing was written.")
        return comparison

    def stream(
        self, request: SegmentationRequest, watch: Watch
    ) -> Iterator[Started | Outlined | ExpertResult | Comparison]:
        """Yield what ``segment`` returns as it comes: a start, each result, then all together.

        Where outlines need no sample they all come first.

        After a cancel the last is a Comparison with what was finished until then, which may be
        nothing; an expert that was being drawn is in it with the samples that were complete.

        Raises:
            InputError, OutOfMemoryError: as ``segment`` does.
            CancelledError: the one who waits had enough before there was a start.
        """
        begun = time.perf_counter()
        names = self._names(request.experts)
        self._check(request.samples, request.presence)
        drawing = self._drawing(request, watch)
        image, grid = request.image, self._grid(request.image)
        with self._saying_where_memory_ends():
            canvas, searched = self._canvas(image, grid, request.region, drawing)
        start, size = grid.region_of(canvas.answer)
        warnings = warnings_for(image, grid, canvas, self.model.metadata, searched)
        prepared = time.perf_counter()
        yield Started(names, start, size, warnings)
        results: dict[str, ExpertResult] = {}
        watch.begin(drawing.tiles_to_ask(canvas, len(names), request.samples))
        told = request.presence is not None
        for name in names:
            with self._saying_where_memory_ends():
                early = drawing.outline(canvas, name)
            if early is None:
                break
            yield Outlined(_result(name, early, told, grid, canvas, watch))
        for name in names:
            with self._saying_where_memory_ends():
                drawn = drawing.draw(canvas, name, request.samples)
                if len(drawn.samples):
                    results[name] = _result(name, drawn, told, grid, canvas, watch)
            if name in results:
                yield results[name]
            if watch.stopped:
                break
        yield Comparison(
            results=results,
            geometry=image.geometry,
            region_geometry=image.geometry.crop(start, size),
            region_start=start,
            colors={name: self.model.panel.color_of(name) for name in results},
            slugs={name: self.model.panel.slugs()[name] for name in results},
            warnings=warnings,
            provenance=self._provenance(request, drawing, names),
            timings={"prepare_s": prepared - begun, "sample_s": time.perf_counter() - prepared},
            stopped=watch.stopped,
        )

    def _grid(self, image: Volume) -> ModelGrid:
        return ModelGrid.fit(image.geometry, self.model.metadata.spacing_mm)

    def _drawing(self, request: SegmentationRequest, watch: Watch) -> Drawing:
        settings = self._settings(request.preset, request.steps, request.renewal)
        return drawing_for(self.model)(
            self.model,
            settings,
            request.seed,
            self.batch_size,
            self.micro_batch,
            watch,
            request.presence,
        )

    def _names(self, experts: Sequence[str] | None) -> tuple[str, ...]:
        has = ((CONSENSUS,) if self.model.has_consensus else ()) + self.model.experts
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

    def _check(self, samples: int, presence: float | None) -> None:
        metadata = self.model.metadata
        if len(metadata.classes) > 2:
            raise InputError(
                f"These weights tell {len(metadata.classes)} classes apart; only two classes, a"
                " lesion and its background, can be compared as masks."
            )
        if not 1 <= samples <= _MOST_SAMPLES:
            raise InputError(f"{samples} samples were asked for. Choose from 1 to {_MOST_SAMPLES}.")
        if presence is not None and not 0 < presence <= 1:
            raise InputError(f"A presence of {presence:g} is impossible. Use above 0, up to 1.")
        if presence is not None and metadata.kind != "fast":
            raise InputError(
                "These weights cannot be told how likely it is that an expert marks anything."
                " Leave the presence to them, or choose weights of the fast kind."
            )

    def _settings(self, preset: str, steps: int | None, renewal: float) -> SamplerSettings:
        metadata, schedule = self.model.metadata, self.model.schedule
        name, number = sampler_of(preset, metadata, self.model.calibration.reach, steps)
        if steps is None:  # care takes no more steps than there are
            number = min(number, schedule.T)
        settings = SamplerSettings(name, number, renewal)
        if metadata.kind == "fast":
            settings.check(schedule.T)
        else:
            plan(settings, schedule, metadata.mask_distance)  # refuses what has no chain, too
        return settings

    def _canvas(
        self, image: Volume, grid: ModelGrid, region: Box | None, drawing: Drawing
    ) -> tuple[Canvas, str]:
        """Return what to look at: the region, or what a search of the volume finds and says."""
        metadata = self.model.metadata
        canvas = Canvas.of(image, grid, grid.window_of(region), metadata, self.device)
        if region is not None:
            return canvas, ""
        whole = canvas.to_search()
        found = found_in(drawing.search(whole), drawing.likely)
        around = whole.window_around(found.tiles)
        near = Canvas.of(image, grid, around, metadata, self.device).only_near(whole, found.tiles)
        return near, sentence(found, whole, grid)

    @contextmanager
    def _saying_where_memory_ends(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"The {self.device.type} has too little free memory for this region."
                " Choose a smaller region, or another device."
            ) from error

    def _provenance(
        self, request: SegmentationRequest, drawing: Drawing, names: Sequence[str]
    ) -> dict[str, object]:
        metadata, region = self.model.metadata, request.region
        return {
            "code_version": __version__,
            "weights_title": metadata.title,
            "weights_hash": content_hash(self.model),
            "kind": metadata.kind,
            "local_experts": {e.name: e.hash for e in self.model.local if e.name in names},
            "notice": str(metadata.training.get("notice", "")),
            "preset": request.preset if request.steps is None else None,
            "sampler": drawing.settings.name,
            "steps": drawing.settings.steps,
            "renewal": request.renewal,
            "presence": request.presence,
            "samples": request.samples,
            "seed": request.seed,
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "micro_batch": drawing.micro_batch,
            "torch": torch.__version__,
            "region_lps_mm": None if region is None else [*region.lower, *region.upper],
            "model_spacing_mm": metadata.spacing_mm,
        }


def _result(
    name: str, drawn: Drawn, told: bool, grid: ModelGrid, canvas: Canvas, watch: Watch
) -> ExpertResult:
    """Map each sample, and the probability, back onto the input's voxels.

    Of a large region that takes a while: a cancel on the way keeps the samples that are mapped.
    """
    start, size = grid.region_of(canvas.answer)
    samples = np.empty((len(drawn.samples), *reversed(size)), bool)
    counted = drawn.probability is None
    total = np.zeros(samples.shape[1:] if counted else (), np.float64)
    stopped_before = watch.stopped
    for mapped, maps in enumerate(drawn.samples):
        if mapped and not stopped_before and watch.enough():
            samples = samples[:mapped]
            break
        sample = grid.to_input(maps, canvas.window, start, size)
        samples[mapped] = sample > 0.5
        if counted:
            total += sample
    if drawn.probability is None:
        probability = (total / len(samples)).astype(np.float32)
    else:
        probability = grid.to_input(drawn.probability, canvas.window, start, size)
    marked = np.asarray(samples.any((1, 2, 3)))
    presence = _presence(drawn, marked, float(probability.max()), told)
    level = outline_level(probability, presence)
    return ExpertResult(name, probability, probability > level, samples, presence, level)


def _presence(drawn: Drawn, marked: np.ndarray, highest: float, told: bool) -> float:
    """Return the probability that anything is marked in the answer, in 0..1.

    The model says it of all that it looks at, which a small region is only a part of. Of the
    samples that mark anything there, the share that also marks the region says the rest.

    Args:
        drawn: on the whole canvas.
        marked: whether the samples mark anything in the answer, bool (n,).
        highest: probability that a voxel of the answer is marked, of all the highest.
        told: whether the presence was given, which leaves it as it is.
    """
    if drawn.presence is None:
        return float(marked.mean())
    if told:
        return drawn.presence
    elsewhere = sum(bool((drawn.samples[row] > 0.5).any()) for row in np.flatnonzero(~marked))
    share = 1 - elsewhere / max(1, int(marked.sum()) + elsewhere)
    return max(highest, drawn.presence * share)
