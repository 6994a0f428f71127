"""The fast kind, measured in this process on the product's own way: ``Segmenter``.

So that nothing flatters the times, presence is made certain: every sample of every expert is drawn
in every tile, which is the costliest case. ``as_it_comes`` leaves presence as it is, on a phantom.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from bench_machine import Record
from torch.utils.flop_counter import FlopCounterMode

from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.comparison.result import ExpertResult
from diffoseg.drawing.request import SegmentationRequest
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.drawing.watch import Watch
from diffoseg.model.model import Model, load_model
from diffoseg.model.stored import content_hash
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.volume import Volume

_SLICE_MM = 2.0
_CERTAIN = 50.0  # a logit

Size = tuple[int, int, int]
"""Voxels (i, j, k)."""


@dataclass(frozen=True)
class Question:
    """What is asked of the fast kind.

    Attributes:
        weights: a file, or None for the default ones.
        device: where it computes.
        half: whether it may use bfloat16 where the machine is faster so.
        patch: field of view in pixels; None for that of the weights.
        size: voxels (i, j, k) of the region, each of the model's own spacing in plane.
        samples: of each answer.
        alone: whether the first expert alone is asked, not the consensus and all of them.
        preset: by name.
        steps: instead of the preset's.
        as_it_comes: a phantom and the presence that the model finds there.
    """

    weights: str | None
    device: str
    size: Size
    samples: int
    half: bool = True
    patch: int | None = None
    alone: bool = False
    preset: str = "standard"
    steps: int | None = None
    as_it_comes: bool = False

    def asked(self, model: Model) -> dict[str, Any]:
        """Return what ``Segmenter.segment`` is told besides the volume and the region."""
        return {
            "experts": model.experts[:1] if self.alone else None,
            "samples": self.samples,
            "preset": self.preset,
            "steps": self.steps,
        }

    def model(self) -> Model:
        """Return the weights as the question has them."""
        model = load_model(self.weights)
        assert model.fast is not None
        if self.patch is not None:
            model = replace(model, metadata=replace(model.metadata, patch=self.patch))
        if not self.as_it_comes:
            torch.nn.init.constant_(model.fast.presence[-1].bias, _CERTAIN)
        return model

    def segmenter(self) -> Segmenter:
        """Return the product's own way to an answer."""
        with precision(self.half):
            return Segmenter(self.model(), self.device)


def about(weights: str | None) -> Record:
    """Return what the weights say about themselves."""
    model = load_model(weights)
    facts = model.metadata
    names = ("title", "kind", "patch", "sampler", "steps", "steps_curve")
    said = {name: getattr(facts, name) for name in names}
    return {"hash": content_hash(model), "experts": list(model.experts), **said}


def answers(runs: int, least: int, limit_s: float, **asked: Any) -> Record:
    """Time whole answers, after one that warms up.

    ``runs`` times, or fewer where they take longer than ``limit_s`` seconds, but never fewer than
    ``least``. On a single slice the first answer counts the operations too; of a region, where a
    whole answer takes long, it has one sample only.
    """
    question = Question(**asked)
    segmenter = question.segmenter()
    scan, region = _scan(question, segmenter.model.metadata.spacing_mm)
    told = question.asked(segmenter.model)
    with precision(question.half):
        if question.size[2] > 1:
            counted, before = {}, segmenter.segment(scan, region, **{**told, "samples": 1})
        else:
            with counted_calls(segmenter.model) as calls, FlopCounterMode(display=False) as counter:
                before = segmenter.segment(scan, region, **told)
            counted = {"calls": calls, "flops": counter.get_total_flops()}
        again = partial(segmenter.segment, scan, region, **told)
        seconds = list(_repeated(again, runs, least, limit_s))
    return {
        "seconds_median": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "runs": len(seconds),
        "sampler": before.provenance["sampler"],
        "steps": before.provenance["steps"],
        **counted,
    }


def first(began: float, **asked: Any) -> Record:
    """Time what a reader waits for: from the start of the process, and once it is warm.

    ``began`` is the clock, ``time.time``, when the process was started.
    """
    question = Question(**asked)
    segmenter = question.segmenter()
    ready = time.time() - began
    scan, region = _scan(question, segmenter.model.metadata.spacing_mm)
    with precision(question.half):
        cold = _waits(segmenter, scan, region, question)
        warm = _waits(segmenter, scan, region, question)
    return {"ready_s": ready, "cold": cold, "warm": warm}


def volume(size: Size, region: Size, **asked: Any) -> Record:
    """Answer in a region of a large volume, for the peak of the memory alone."""
    question = Question(size=region, **asked)
    segmenter = question.segmenter()
    spacing = segmenter.model.metadata.spacing_mm
    scan = _noise(size, spacing)
    with precision(question.half):
        started = time.perf_counter()
        segmenter.segment(scan, _middle(scan.geometry, region), **question.asked(segmenter.model))
    return {"seconds": time.perf_counter() - started, "scan_mib": scan.array.nbytes >> 20}


@contextmanager
def precision(half: bool) -> Iterator[None]:
    """Let torch say that this machine has no bfloat16, unless ``half``."""
    with ExitStack() as stack:
        if not half:
            stack.enter_context(patch.object(torch.cpu, "_is_avx512_bf16_supported", _no))
            stack.enter_context(patch.object(torch.cuda, "is_bf16_supported", _no))
        yield


def _no(*_: Any) -> bool:
    return False


@contextmanager
def counted_calls(model: Model) -> Iterator[Record]:
    """Count the calls of the encoder and of the decoder, and the images and masks in them."""
    calls = {"encoder": 0, "images": 0, "decoder": 0, "masks": 0}
    network = model.fast
    assert network is not None

    def count(call: str, rows: str) -> Callable[..., None]:
        def hook(_module: Any, inputs: tuple[Any, ...], _output: Any) -> None:
            calls[call] += 1
            calls[rows] += len(inputs[-1])

        return hook

    hooks = [
        network.encoder.register_forward_hook(count("encoder", "images")),
        network.decoder.register_forward_hook(count("decoder", "masks")),
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _repeated(run: Callable[[], Any], runs: int, least: int, limit_s: float) -> Iterator[float]:
    begun = time.perf_counter()
    for done in range(runs):
        started = time.perf_counter()
        if done >= least and started - begun > limit_s:
            return
        run()
        yield time.perf_counter() - started


def _waits(segmenter: Segmenter, scan: Volume, region: Box, question: Question) -> Record:
    """Return the seconds until the first progress, the first result, and the end."""
    started = time.perf_counter()
    at: dict[str, float] = {}

    def note(what: str) -> None:
        at.setdefault(what, time.perf_counter() - started)

    asked = question.asked(segmenter.model)
    request = SegmentationRequest(scan, region, **asked, seed=0, renewal=0.0, presence=None)
    for event in segmenter.stream(request, Watch(lambda *_: note("first_progress_s"))):
        if isinstance(event, ExpertResult):
            note("first_result_s")
    note("all_s")
    return at


def _scan(question: Question, spacing_mm: float) -> tuple[Volume, Box]:
    """Return a volume and the region in its middle that is asked about."""
    if not question.as_it_comes:
        scan = _noise(question.size, spacing_mm)
        return scan, _middle(scan.geometry, question.size)
    i, j, k = question.size
    room = 16
    size = (k, j + 2 * room, i + 2 * room)
    spacing = (spacing_mm, spacing_mm, _SLICE_MM)
    case = PhantomCohort(seed=9003, cases=1, size=size, spacing=spacing)[0]
    return case.volume, _middle(case.volume.geometry, question.size)


def _noise(size: Size, spacing_mm: float) -> Volume:
    """Return lung tissue without anything in it, a slice at a time so that it takes no more."""
    i, j, k = size
    random = np.random.default_rng(0)
    array = np.empty((k, j, i), np.float32)
    for plane in array:
        plane[:] = random.normal(-860, 40, (j, i))
    spacing = (spacing_mm, spacing_mm, _SLICE_MM)
    geometry = Geometry(size, spacing, (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return Volume(array, geometry, "CT")


def _middle(geometry: Geometry, size: Size) -> Box:
    """Return the box of ``size`` voxels in the middle of an upright volume."""
    wanted, there = np.array(size), np.array(geometry.size)
    spacing = np.array(geometry.spacing)
    low = (there - wanted) // 2
    lower = (low - 0.5) * spacing + 1e-3
    upper = (low + wanted - 0.5) * spacing - 1e-3
    return Box(tuple(lower + geometry.origin), tuple(upper + geometry.origin))
