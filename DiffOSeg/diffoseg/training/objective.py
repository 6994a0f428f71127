"""What both stages minimise and measure: how well a network tells the clean mask from a noisy one.

The loss is the cross-entropy of the clean mask at times drawn by ``diffusion.draw_times``: the
paper's divergence (method, equation of its loss) weighs the early, undecided times so little that
a network trained for hours instead of weeks never learns the first step, and few-step sampling
stands on the first step.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..comparison.outline import outline
from ..comparison.overlap import overlap
from ..diffusion.losses import cross_entropy, draw_times
from ..diffusion.posterior import q_sample
from ..diffusion.schedule import CategoricalSchedule
from ..networks.unet import UNet
from .slices import SliceSet

_VALIDATION_SLICES = 96


@dataclass(frozen=True)
class Examples:
    """Images with one clean mask each, on the network's device.

    Attributes:
        images: (B, C, h, w) float32.
        labels: the clean masks, (B, h, w) int64, or probabilities (B, K, h, w) float32.
        experts: (B,) int64, whose masks these are, or None for the consensus.
    """

    images: Tensor
    labels: Tensor
    experts: Tensor | None


def denoising_loss(
    network: UNet,
    schedule: CategoricalSchedule,
    mask_distance: float,
    examples: Examples,
    random: np.random.Generator,
) -> Tensor:
    """Return the mean cross-entropy per pixel at randomly drawn times, a scalar in nats."""
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    device = examples.images.device
    times = draw_times(len(examples.labels), schedule, mask_distance, generator).to(device)
    count, _, height, width = examples.images.shape
    uniform = torch.from_numpy(random.random((count, height, width), dtype=np.float32)).to(device)
    classes = network.config.classes
    noisy = q_sample(examples.labels, times, schedule, uniform, classes)
    logits = network.logits(one_hot(noisy, classes), times, examples.images, examples.experts)
    return cross_entropy(examples.labels, logits.float()) / (height * width)


def validation(
    network: UNet, schedule: CategoricalSchedule, examples: Examples
) -> dict[str, float]:
    """Return measures on held-out examples, the same noise every time.

    "first step": cross-entropy per pixel of the very first prediction, from pure noise.
    "half way": the same where half of the information is left, at T / 2.
    "Dice": of the first prediction's outline with the drawn masks, over marked ones.
    """
    random = np.random.Generator(np.random.Philox(key=[0, 0]))
    uniform = torch.from_numpy(random.random(examples.labels.shape, dtype=np.float32))
    uniform = uniform.to(examples.images.device)
    found: dict[str, float] = {}
    for name, t in (("first step", schedule.T), ("half way", schedule.T // 2)):
        noisy = q_sample(examples.labels, t, schedule, uniform, network.config.classes)
        logits = _in_chunks(network, noisy, t, examples)
        found[name] = float(functional.cross_entropy(logits, examples.labels))
        if t == schedule.T:
            found["Dice"] = mean_dice(1 - logits.softmax(1)[:, 0], examples.labels > 0)
    return found


def mean_dice(probability: Tensor, drawn: Tensor) -> float:
    """Return the mean Dice of outlines with what was drawn, over marked slices; NaN without one.

    Args:
        probability: that a pixel is marked where anything is, in 0..1, (n, h, w).
        drawn: bool (n, h, w).
    """
    maps, masks = probability.float().cpu().numpy(), drawn.cpu().numpy()
    marked = np.flatnonzero(masks.any((1, 2)))
    found = [overlap(outline(maps[row], 1.0)[None], masks[[row]]).dice() for row in marked]
    return float(np.mean(found)) if found else math.nan


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return labels (B, H, W) as float (B, K, H, W)."""
    return functional.one_hot(labels, classes).movedim(-1, 1).float()


def validation_rows(slices: SliceSet) -> np.ndarray:
    """Return the rows that validation looks at: evenly spread, few enough to be quick."""
    count = min(_VALIDATION_SLICES, len(slices))
    return np.linspace(0, len(slices) - 1, count).round().astype(int)


def centre_crop(values: np.ndarray, edge: int) -> np.ndarray:
    """Return the middle ``edge`` x ``edge`` pixels of the last two axes."""
    top, left = ((length - edge) // 2 for length in values.shape[-2:])
    return values[..., top : top + edge, left : left + edge]


def mask_distance_of(slices: SliceSet) -> float:
    """Return D, the mean number of pixels in which two experts' marked masks of a slice differ."""
    marked = slices.masks > 0
    present = np.asarray(marked.any((2, 3)))
    total, pairs = 0.0, 0
    for first in range(marked.shape[1]):
        for second in range(first):
            both = np.flatnonzero(present[:, first] & present[:, second])
            total += float((marked[both, first] != marked[both, second]).sum())
            pairs += len(both)
    return max(1.0, total / max(1, pairs))


def _in_chunks(network: UNet, noisy: Tensor, t: int, examples: Examples) -> Tensor:
    parts = []
    for first in range(0, len(noisy), 32):
        rows = slice(first, first + 32)
        experts = None if examples.experts is None else examples.experts[rows]
        times = torch.full((len(noisy[rows]),), t, device=noisy.device)
        x_t = one_hot(noisy[rows], network.config.classes)
        parts.append(network.logits(x_t, times, examples.images[rows], experts).float())
    return torch.cat(parts)
