"""What the worker does when it is asked: describe the device, run a job.

Needs torch from its first line on; ``worker`` imports it when there is something to do.
"""

import importlib
import math
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..comparison.measures import Interval, disagreement, table, volume_interval
from ..comparison.result import Comparison, ExpertResult
from ..device.choice import chosen_device, line_about, mixed_precision, why
from ..drawing.fast_look import probability
from ..drawing.segmenter import Outlined, Segmenter, Started
from ..drawing.watch import Watch
from ..errors import WeightsError
from ..experts.local_expert import load_expert
from ..experts.panel import CONSENSUS
from ..files.atomic import replacing
from ..model.cards import find_model
from ..model.model import load_model
from ..space.volume import Volume
from ..training.expert.settings import expected_seconds
from ..version import __version__
from .job import SegmentationJob

Event = dict[str, Any]
Send = Callable[[Event], None]

_DISTANCES = "monai.metrics"  # takes seconds to import
_SECONDS_BETWEEN = 0.1  # of two progress events
_SECONDS_OF_PACE = 1.0  # until the time left is worth saying
_MEASURED_CALLS = 2
_SOME_SLICES = 30  # of a few cases, for what a training is expected to take


class Engine:
    """Keeps one model loaded, on one device, between two jobs."""

    def __init__(self) -> None:
        self._loaded: tuple[object, Segmenter] | None = None
        self._taught: tuple[object, Segmenter] | None = None
        self._seconds_per_tile: dict[object, float] = {}  # by what is loaded

    def segmenter(
        self, model: str, device: torch.device, expert_files: Sequence[str] = ()
    ) -> Segmenter:
        """Return the segmenter of a model's name or file, with the experts in these files.

        Loaded anew only if a file has changed.
        """
        path = find_model(model)
        wanted = (_state(path), device)
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = self._taught = None  # that memory is free before the next needs it
            self._loaded = wanted, Segmenter(load_model(path), device)
        base = self._loaded[1]
        if not expert_files:
            return base
        files = [Path(file) for file in expert_files]
        taught = (wanted, *map(_state, files))
        if self._taught is None or self._taught[0] != taught:
            with_them = base.model.with_experts([load_expert(file) for file in files])
            self._taught = taught, Segmenter(with_them, device)
        return self._taught[1]

    def describe(self, choice: str, model: str = "") -> Event:
        """Return the description of a device, and how fast a model is there.

        Raises InputError where there is no device of this kind.
        """
        device = chosen_device(choice)
        pace = None
        with suppress(WeightsError):  # there is no such model
            pace = self.seconds_per_tile(device, model)
        return {
            "event": "description",
            "device": device.type,
            "line": line_about(device),
            "because": why(choice, device),
            "seconds_per_tile": pace,
            "seconds_per_expert": None if pace is None else expected_seconds(_SOME_SLICES, pace),
            "versions": {
                "diffoseg": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    def run(
        self, folder: Path, begin: Callable[[], bool], cancelled: Callable[[], bool], send: Send
    ) -> None:
        """Answer the job in a folder, with results written into the folder.

        Args:
            folder: holds ``job.json`` and ``image.npy``.
            begin: asked once, when all is loaded; False: nobody waits for an answer any more.
            cancelled: asked before every network call.
            send: takes the events; their "id" is the caller's business.

        Raises:
            CancelledError: ``cancelled`` said so before there was anything to keep.
            DiffOSegError: as the parts do that read, draw and write.
        """
        job = SegmentationJob.read(folder)
        segmenter = self.segmenter(job.model, chosen_device(job.device), job.expert_files)
        volume = job.volume(folder)
        if not begin():
            return
        watch = Watch(
            progress=Pace(send),
            cancel=cancelled,
            note=lambda sentence: send({"event": "note", "sentence": sentence}),
        )
        events = segmenter.stream(job.request(volume), watch)
        begun = time.perf_counter()
        try:
            for event in events:
                if isinstance(event, Started):
                    send(_started(event, segmenter))
                elif isinstance(event, Outlined):
                    send(_outlined(event.result, segmenter, job, folder))
                elif isinstance(event, ExpertResult):
                    send(_written(event, segmenter, job, folder))
                else:
                    send(_done(event, volume, job, folder, time.perf_counter() - begun))
        finally:
            if segmenter.device.type == "cuda":
                torch.cuda.empty_cache()  # Slicer draws with the same memory

    def warm_up(self) -> None:
        """Import what the table needs, in a moment when nobody waits."""
        with suppress(Exception):  # without it the table lacks distances
            importlib.import_module(_DISTANCES)

    def seconds_per_tile(self, device: torch.device, model: str) -> float:
        """Return the seconds that a tile takes with a model; raises WeightsError without one."""
        segmenter = self.segmenter(model, device)
        assert self._loaded is not None
        loaded, _ = self._loaded
        if loaded not in self._seconds_per_tile:
            self._seconds_per_tile[loaded] = _measured(segmenter)
        return self._seconds_per_tile[loaded]


class Pace:
    """Turns the tiles done into progress events, a few a second, with the time that is left."""

    def __init__(self, send: Send):
        self._send = send
        self._said = -math.inf
        self._total = 0
        self._done = 0
        self._first = (0.0, 0)

    def __call__(self, done: int, total: int, what: str) -> None:
        """Send how far it is, unless that was sent a moment ago."""
        now = time.perf_counter()
        begins = total > self._total or done <= self._done  # a search, then the sampling
        self._total, self._done = total, done  # less in all, where nothing is there to draw
        if begins:
            self._first = (now, done)
        elif now - self._said < _SECONDS_BETWEEN and done < total:
            return
        self._said = now
        self._send(
            {
                "event": "progress",
                "done": done,
                "total": total,
                "what": what[:1].upper() + what[1:],
                "seconds_left": self._left(now, done),
            }
        )

    def _left(self, now: float, done: int) -> float | None:
        begun, first = self._first
        if done == first or now - begun < _SECONDS_OF_PACE:
            return None
        return (now - begun) / (done - first) * (self._total - done)


def _state(path: Path) -> tuple[Path, int, int]:
    """Return what tells one content of a file from another; raises WeightsError without a file."""
    try:
        state = path.stat()
    except OSError as error:
        raise WeightsError(f"{path.name}: cannot be read ({error.strerror}).") from error
    return path, state.st_mtime_ns, state.st_size


def _started(started: Started, segmenter: Segmenter) -> Event:
    return {
        "event": "started",
        "region": {"start": list(started.region_start), "size": list(started.region_size)},
        "warnings": list(started.warnings),
        "experts": list(started.names),
        "device": segmenter.device.type,
    }


def _outlined(
    result: ExpertResult, segmenter: Segmenter, job: SegmentationJob, folder: Path
) -> Event:
    """Write one expert's probability and return what the event says of the answer."""
    panel = segmenter.model.panel
    slug = panel.slugs()[result.name]
    before = "" if len(result.samples) else "early_"  # what is being read is not written again
    return {
        "event": "outline",
        "expert": result.name,
        "slug": slug,
        "color": list(panel.color_of(result.name)),
        "samples": len(result.samples),
        "presence": result.presence,
        "level": result.level,
        "volume_ml": int(result.mask.sum()) * job.geometry.voxel_volume_ml,
        "probability": _saved(folder, f"{before}probability_{slug}.npy", result.probability),
    }


def _written(
    result: ExpertResult, segmenter: Segmenter, job: SegmentationJob, folder: Path
) -> Event:
    """Write one expert's arrays and return what the event says of them."""
    known = _outlined(result, segmenter, job, folder)
    interval = volume_interval(result, job.geometry.voxel_volume_ml)
    slug = known["slug"]
    return {
        **known,
        "event": "result",
        "interval": _interval(interval),
        "drawings": _saved(folder, f"samples_{slug}.npy", np.packbits(result.samples, axis=-1)),
    }


def _done(
    comparison: Comparison, volume: Volume, job: SegmentationJob, folder: Path, seconds: float
) -> Event:
    between = disagreement(comparison)
    # Whoever stops a run does not wait for seconds of imports.
    rows = table(comparison, volume, surfaces=not comparison.stopped or _DISTANCES in sys.modules)
    return plain(
        {
            "event": "done",
            "stopped": comparison.stopped,
            "sentence": _sentence(comparison, job.samples, seconds),
            "rows": [asdict(row) | {"interval": _interval(row.interval)} for row in rows],
            "disagreement": None
            if between is None
            else _saved(folder, "disagreement.npy", between),
            "provenance": comparison.provenance,
            "timings": comparison.timings,
            "warnings": comparison.warnings,
        }
    )


def _sentence(comparison: Comparison, samples: int, seconds: float) -> str:
    """Return what is there, in a sentence for people."""
    if not comparison.results:
        return "Stopped as asked, before anything was complete."
    each = f"{samples} sample{'s' if samples > 1 else ''} each"
    parts = ", ".join(
        ("Consensus" if name == CONSENSUS else name)
        + ("" if len(result.samples) == samples else f" ({len(result.samples)} of {samples})")
        for name, result in comparison.results.items()
    )
    if comparison.stopped:
        return f"Stopped as asked. Kept of {each}: {parts}."
    return f"Done in {seconds:.0f} s, {each}: {parts}."


def _interval(interval: Interval | None) -> Event | None:
    if interval is None:
        return None
    return {"low": interval.low, "high": interval.high, "label": interval.label}


def _saved(folder: Path, name: str, array: np.ndarray) -> str:
    """Write an array under its name, whole or not at all, and return the name."""
    with replacing(folder / name) as part, part.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    return name


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; numbers that are none become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _measured(segmenter: Segmenter) -> float:
    """Return the seconds that one tile takes, after a first call that does not count."""
    seconds = []
    with torch.inference_mode():
        step = _one_step(segmenter)
        for _ in range(1 + _MEASURED_CALLS):
            begun = time.perf_counter()
            step().cpu()
            seconds.append(time.perf_counter() - begun)
    return min(seconds[1:]) / segmenter.micro_batch


def _one_step(segmenter: Segmenter) -> Callable[[], torch.Tensor]:
    """Return a call of the network as a chain makes it at every step, on blank tiles."""
    model, tiles, edge = segmenter.model, segmenter.micro_batch, segmenter.model.metadata.patch
    device = segmenter.device
    images = torch.zeros(tiles, len(model.metadata.image_channels), edge, edge, device=device)
    masks = torch.zeros(tiles, edge, edge, dtype=torch.long, device=device)
    times = torch.ones(tiles, dtype=torch.long, device=device)
    if model.fast is not None:
        with mixed_precision(device):
            features, code = model.fast.encode(images), model.codes[torch.zeros_like(times)]

        def step() -> torch.Tensor:
            with mixed_precision(device):
                return probability(model, features, masks.float(), 0.5, code)

        return step
    rows = None if model.has_consensus else torch.zeros_like(times)
    return lambda: model.predict_x0(masks, times, images, rows)
