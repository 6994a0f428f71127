"""Stage II: the experts. The consensus network, widened, learns each expert's own preference."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import WeightsError
from ..experts.panel import ExpertPanel
from ..model.model import Model
from ..model.stored import content_hash
from ..networks.unet import UNet, widen
from .loop import LoopSettings, Progress, train
from .objective import Examples, centre_crop, denoising_loss, validation, validation_rows
from .slices import Batch, SliceSet


def train_personal(
    training: SliceSet,
    held_out: SliceSet,
    base: Model,
    settings: LoopSettings,
    folder: Path,
    *,
    device: torch.device,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Model:
    """Train the experts' network from ``base`` and return the model that holds both networks.

    Each slice of a batch is shown with one expert drawn at random, and that expert's mask. Raises
    WeightsError when ``base`` has no consensus network to start from, and InputError when not every
    case was drawn by the same experts.
    """
    if base.consensus is None:
        raise WeightsError("Stage II starts from a stage I model, and these weights hold none.")
    training, held_out = training.of_the_same_experts(), held_out.of_the_same_experts()
    torch.manual_seed(settings.seed)
    network = widen(base.consensus, experts=len(training.experts))
    schedule, distance = base.schedule, base.metadata.mask_distance
    examples = _validation_examples(held_out, settings.edge, device)

    def batch_loss(network: UNet, batch: Batch) -> Tensor:
        experts = batch.random.integers(0, batch.masks.shape[1], len(batch.masks))
        shown = _examples(batch.images, batch.masks, experts, device)
        return denoising_loss(network, schedule, distance, shown, batch.random)

    run = train(
        network,
        training,
        batch_loss,
        lambda network: validation(network, schedule, examples),
        settings,
        folder,
        identity={"stage 1 weights": content_hash(base)},
        device=device,
        progress=progress,
        cancel=cancel,
    )
    return replace(
        base,
        personal=run.average.cpu(),
        panel=ExpertPanel.of(*training.experts),
        metadata=base.metadata.with_training(distance, {"stage2": run.summary()}),
    )


def _validation_examples(held_out: SliceSet, edge: int, device: torch.device) -> Examples:
    chosen = held_out.take(validation_rows(held_out))
    experts = np.arange(len(chosen)) % len(chosen.experts)
    return _examples(
        centre_crop(chosen.images, edge), centre_crop(chosen.masks, edge), experts, device
    )


def _examples(
    images: np.ndarray, masks: np.ndarray, experts: np.ndarray, device: torch.device
) -> Examples:
    labels = masks[np.arange(len(masks)), experts].astype(np.int64)
    return Examples(
        torch.from_numpy(np.ascontiguousarray(images)).to(device),
        torch.from_numpy(labels).to(device),
        torch.from_numpy(experts).to(device),
    )
