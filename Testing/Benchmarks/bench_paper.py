"""The paper's network and its chain of 250 steps, measured in this process.

The published sizes, with random values, which changes neither speed nor memory. A step is what a
chain does between two noise levels: network, law, draw.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from bench_machine import Record, wait_for
from torch.utils.flop_counter import FlopCounterMode

from diffoseg.diffusion import CategoricalSchedule
from diffoseg.diffusion.sampling import SamplerSettings, chain, plan
from diffoseg.networks.config import Stage, published_config
from diffoseg.networks.unet import UNet

EXPERTS = 4
_MASK_DISTANCE = 100.0  # of no consequence to a chain that takes every step


def steps(
    stage: Stage, batch: int, edge: int, steps: int, runs: int, device: str, half: bool = False
) -> Record:
    """Time single steps of the chain of ``steps``; the first one warms up.

    ``half`` lets the network compute in bfloat16.
    """
    network = _network(stage, device)
    every = _timed_chain(network, stage, batch, edge, steps, half)
    seconds = [took for _, took in zip(range(runs + 1), every, strict=False)][1:]
    return {
        "step_seconds_median": statistics.median(seconds),
        "step_seconds_min": min(seconds),
        "steps_measured": len(seconds),
        "flops_per_sample_and_step": _flops(network, stage, edge),
    }


def whole_chain(stage: Stage, batch: int, edge: int, steps: int, device: str) -> Record:
    """Time one whole chain, and the median of its own steps."""
    seconds = list(_timed_chain(_network(stage, device), stage, batch, edge, steps))
    return {
        "seconds": sum(seconds),
        "seconds_computed": len(seconds) * statistics.median(seconds),
        "steps": len(seconds),
    }


def _network(stage: Stage, device: str) -> UNet:
    return UNet(published_config(stage, image_channels=1, experts=EXPERTS)).to(device).eval()


def _asked(stage: Stage, batch: int, device: Any) -> torch.Tensor | None:
    return None if stage == "stage1" else torch.zeros(batch, dtype=torch.long, device=device)


def _flops(network: UNet, stage: Stage, edge: int) -> int:
    """Return the operations of one call on one sample, a multiplication and an addition as two."""
    device = next(network.parameters()).device
    noisy, image = torch.zeros(1, 2, edge, edge).to(device), torch.zeros(1, 1, edge, edge)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(noisy, torch.ones(1, device=device), image.to(device), _asked(stage, 1, device))
    return counter.get_total_flops()


def _timed_chain(
    network: UNet, stage: Stage, batch: int, edge: int, steps: int, half: bool = False
) -> Iterator[float]:
    """Run a chain on one slice and yield the seconds of each of its steps."""
    device = next(network.parameters()).device
    draws = torch.Generator(device).manual_seed(0)
    image = torch.randn(1, 1, edge, edge, generator=draws, device=device)
    images = image.expand(batch, -1, -1, -1)
    expert = _asked(stage, batch, device)

    def denoiser(x_t: torch.Tensor, t: int) -> torch.Tensor:
        noisy = torch.nn.functional.one_hot(x_t, 2).movedim(-1, 1).float()
        precision = torch.autocast(device.type, torch.bfloat16) if half else nullcontext()
        with precision:
            return network(noisy, torch.full((batch,), t, device=device), images, expert).float()

    def noise(draw: int) -> torch.Tensor:
        return torch.rand(batch, edge, edge, generator=draws, device=device)

    schedule = CategoricalSchedule.cosine(steps)
    times, kernel = plan(SamplerSettings("ancestral", steps), schedule, _MASK_DISTANCE)
    with torch.inference_mode():
        before = time.perf_counter()
        for _ in chain(denoiser, (batch, 2, edge, edge), schedule, times, kernel, noise):
            wait_for(device.type)
            now = time.perf_counter()
            yield now - before
            before = now
