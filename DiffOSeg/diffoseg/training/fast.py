"""The fast kind: one network learns everyone's masks and presence at once.

Each image of a batch is encoded once and shown with every expert's mask. What is minimised is the
cross-entropy per pixel of the clean mask where there is one, and that of presence: from the image
alone, and from a noisy mask. A share of the masks is shown without saying whose they are, so that
the network also knows the mixture.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..diffusion import CategoricalSchedule, draw_times, q_sample
from ..experts import ExpertPanel
from ..metadata import ModelMetadata
from ..model import Model
from ..networks.fast import FastConfig, FastNetwork, Features
from .loop import LoopSettings, Progress, train
from .objective import centre_crop, mask_distance_of, validation_rows
from .slices import Batch, SliceSet

STEPS = 8
"""Steps a sample; with presence and expert told apart, more of them gained nothing measurable."""

_WHOEVER = 0.12  # share of the masks that are shown without their expert
_EMPTY = 0.4  # share of the empty masks that presence is learnt from
_PRESENCE = 0.02  # weight of presence, in nats a mask, against the mask's nats a pixel


def train_fast(
    training: SliceSet,
    held_out: SliceSet,
    metadata: ModelMetadata,
    settings: LoopSettings,
    folder: Path,
    *,
    device: torch.device,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Model:
    """Train a fast network on masks of all experts and return its model.

    Args:
        training: slices to learn from.
        held_out: slices of other patients, for the curve.
        metadata: of the model, of the kind "fast"; the mask distance is measured here.
        settings: how long and how fast.
        folder: where the checkpoint and the curve go; a run there is taken up again.
        device: where to train.
        progress: called at every validation.
        cancel: asked at every iteration.
    """
    schedule = CategoricalSchedule.cosine(variant="exact")
    distance = mask_distance_of(training)
    torch.manual_seed(settings.seed)
    config = FastConfig(
        len(metadata.image_channels), max(1, round(distance)), len(training.experts)
    )
    shown = held_out.take(validation_rows(held_out))

    run = train(
        FastNetwork(config),
        training,
        lambda network, batch: fast_loss(network, schedule, distance, batch, device),
        lambda network: _validation(network, shown, settings.edge, device),
        settings,
        folder,
        identity={"kind": "fast"},
        device=device,
        progress=progress,
        cancel=cancel,
    )
    return Model(
        consensus=None,
        personal=None,
        schedule=schedule,
        panel=ExpertPanel.of(*training.experts),
        metadata=metadata.with_training(distance, {"fast": run.summary()}),
        fast=run.average.cpu(),
    )


def fast_loss(
    network: FastNetwork,
    schedule: CategoricalSchedule,
    mask_distance: float,
    batch: Batch,
    device: torch.device,
) -> Tensor:
    """Return what is minimised over one batch, a scalar in nats."""
    images = torch.from_numpy(np.ascontiguousarray(batch.images)).to(device)
    masks = torch.from_numpy(np.ascontiguousarray(batch.masks > 0)).to(device)  # (B, M, e, e)
    features = network.encode(images)
    marked = masks.flatten(2).any(2)  # (B, M)
    image, expert = _rows(marked, batch.random)
    mask, there = masks[image, expert], marked[image, expert].float()
    noisy, survival = _noised(mask, schedule, mask_distance, batch.random)
    whoever = torch.from_numpy(batch.random.random(len(image)) < _WHOEVER).to(device)
    code = network.codes[torch.where(whoever, network.anyone, expert)]
    belief = network.step(features.rows(image), noisy, survival, code)
    errors = functional.binary_cross_entropy_with_logits(
        belief.logits, mask.float(), reduction="none"
    ).mean((1, 2))
    of_masks = (errors * there).sum() / there.sum().clamp(min=1)
    seen = functional.binary_cross_entropy_with_logits(belief.presence, there)
    return of_masks + _PRESENCE * (seen + _presence_loss(network, features, marked))


def _rows(marked: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return image and expert of the masks to learn from: all that mark something, some empty."""
    empty = torch.from_numpy(random.random(tuple(marked.shape)) < _EMPTY).to(marked.device)
    image, expert = (marked | empty).nonzero(as_tuple=True)
    if len(image) == 0:
        image = expert = torch.zeros(1, dtype=torch.int64, device=marked.device)
    return image, expert


def _noised(
    mask: Tensor,
    schedule: CategoricalSchedule,
    mask_distance: float,
    random: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Return noisy masks, -1 or +1, and which share of their pixels has survived."""
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    times = draw_times(len(mask), schedule, mask_distance, generator)
    uniform = torch.from_numpy(random.random(tuple(mask.shape), dtype=np.float32)).to(mask.device)
    noisy = q_sample(mask.long(), times.to(mask.device), schedule, uniform, 2)
    # Of the last time the network is told that nothing at all is left, as at its first call.
    survival = schedule.level(times).masked_fill(times == schedule.T, 0.0)
    return 2.0 * noisy - 1, survival.to(mask.device)


def _presence_loss(network: FastNetwork, features: Features, marked: Tensor) -> Tensor:
    """Return the cross-entropy of presence from the image alone, everyone's and whoever's."""
    codes = network.codes[:, None].expand(-1, len(marked), -1)
    logits = torch.stack([network.presence_logit(features, code) for code in codes], 1)
    wanted = torch.cat([marked.float(), marked.float().mean(1, keepdim=True)], 1)
    return functional.binary_cross_entropy_with_logits(logits, wanted)


def _validation(
    network: FastNetwork, shown: SliceSet, edge: int, device: torch.device
) -> dict[str, float]:
    """Return "first step", cross-entropy per pixel, "Dice" of it, and "presence", on held-out."""
    images = torch.from_numpy(np.ascontiguousarray(centre_crop(shown.images, edge))).to(device)
    masks = torch.from_numpy(np.ascontiguousarray(centre_crop(shown.masks, edge)) > 0).to(device)
    features = network.encode(images)
    marked = masks.flatten(2).any(2)
    image, expert = marked.nonzero(as_tuple=True)
    none = torch.zeros(len(image), device=device)
    mask, code = masks[image, expert], network.codes[expert]
    logits = network.step(features.rows(image), mask.float(), none, code).logits
    predicted, drawn = logits > 0, mask
    overlap = 2 * (predicted & drawn).sum((1, 2)) / (predicted.sum((1, 2)) + drawn.sum((1, 2)))
    return {
        "first step": float(functional.binary_cross_entropy_with_logits(logits, mask.float())),
        "Dice": float(overlap.mean()),
        "presence": float(_presence_loss(network, features, marked)),
    }
