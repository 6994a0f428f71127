"""Stage I: the consensus. One network learns the law of all experts' masks taken together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..diffusion.schedule import CategoricalSchedule
from ..experts.consensus import draw_target
from ..experts.panel import ExpertPanel
from ..model.metadata import ModelMetadata
from ..model.model import Model
from ..networks.config import UNetConfig
from ..networks.unet import UNet
from .loop import LoopSettings, Progress, train
from .objective import (
    Examples,
    centre_crop,
    denoising_loss,
    mask_distance_of,
    validation,
    validation_rows,
)
from .slices import Batch, SliceSet


def train_consensus(
    training: SliceSet,
    held_out: SliceSet,
    config: UNetConfig,
    metadata: ModelMetadata,
    settings: LoopSettings,
    folder: Path,
    *,
    strategy: str = "single",
    device: torch.device,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Model:
    """Train a consensus network and return the model that holds it alone.

    Args:
        training: slices to learn from.
        held_out: slices of other patients, for validation.
        config: the network's sizes, with no experts.
        metadata: what the model says of itself; its mask distance is measured here.
        settings: length, rate and seed.
        folder: where the run keeps its checkpoint and curve, and is taken up again.
        strategy: how one target is drawn from several experts' masks (``consensus``).
        device: where to train.
        progress: called at every validation.
        cancel: asked at every iteration.

    Raises InputError when not every case was drawn by the same experts.
    """
    training, held_out = training.of_the_same_experts(), held_out.of_the_same_experts()
    torch.manual_seed(settings.seed)
    network = UNet(config)
    schedule = CategoricalSchedule.cosine(variant="exact")
    distance = mask_distance_of(training)
    examples = _validation_examples(held_out, settings.edge, device)

    def batch_loss(network: UNet, batch: Batch) -> Tensor:
        target = _target(batch.masks, strategy, batch.random)
        images = torch.from_numpy(batch.images).to(device)
        shown = Examples(images, target.to(device), experts=None)
        return denoising_loss(network, schedule, distance, shown, batch.random)

    run = train(
        network,
        training,
        batch_loss,
        lambda network: validation(network, schedule, examples),
        settings,
        folder,
        identity={"network": config.to_dict(), "consensus strategy": strategy},
        device=device,
        progress=progress,
        cancel=cancel,
    )
    return Model(
        consensus=run.average.cpu(),
        personal=None,
        schedule=schedule,
        panel=ExpertPanel.of(*training.experts),
        metadata=metadata.with_training(
            distance, {"stage1": {"strategy": strategy, **run.summary()}}
        ),
    )


def _target(masks: np.ndarray, strategy: str, random: np.random.Generator) -> Tensor:
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    return draw_target(torch.from_numpy(masks).long(), strategy, generator)


def _validation_examples(held_out: SliceSet, edge: int, device: torch.device) -> Examples:
    chosen = held_out.take(validation_rows(held_out))
    random = np.random.Generator(np.random.Philox(key=[0, 2]))
    return Examples(
        torch.from_numpy(centre_crop(chosen.images, edge)).to(device),
        _target(centre_crop(chosen.masks, edge), "single", random).to(device),
        experts=None,
    )
