"""The fast kind: one network learns everyone's masks and presence at once.

Each image of a batch is encoded once and shown with some drawings of it. What is minimised is the
cross-entropy per pixel of the clean mask where there is one, and that of presence: from the image
alone, and from a noisy mask. A share of the named experts' masks is shown without saying whose they
are, so that the network also knows the mixture.

Besides the experts whom the model will know by name there may be others who drew some cases only.
Each of them has a code too, so that the codes fill the space in which a new expert will be found.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..diffusion.losses import draw_times
from ..diffusion.posterior import q_sample
from ..diffusion.schedule import CategoricalSchedule
from ..errors import InputError
from ..experts.panel import ExpertPanel
from ..model.metadata import ModelMetadata
from ..model.model import Model
from ..model.stored import content_hash
from ..networks.fast import FastConfig, FastNetwork, Features
from .calibrate import calibrated
from .loop import LoopSettings, Progress, train
from .objective import centre_crop, mask_distance_of, mean_dice, validation_rows
from .slices import Batch, SliceSet

STEPS = 8
"""Steps a sample; with presence and expert told apart, more of them gained nothing measurable."""

_NEW_CODE = 0.5  # spread of the codes of others, at first, as a share of that of a new network
_WHOEVER = 0.12  # share of the named experts' masks that are shown without saying whose they are
_SHOWN = 2  # drawings of a slice that are shown, about; more slices teach more than more drawings
_EMPTY = 0.4  # share of the empty ones among them that presence is learnt from
_PRESENCE = 0.02  # weight of presence, in nats a mask, against the mask's nats a pixel


def train_fast(
    training: SliceSet,
    held_out: SliceSet,
    metadata: ModelMetadata,
    settings: LoopSettings,
    folder: Path,
    *,
    named: int | None = None,
    mask_distance: float | None = None,
    start: Model | None = None,
    device: torch.device,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Model:
    """Train a fast network on masks of all experts and return its model, calibrated.

    Args:
        training: slices to learn from.
        held_out: slices of other patients, for the curve and the calibration.
        metadata: of the model, of the kind "fast"; the mask distance is measured here, or is that
            of ``start``, whose network knows time by it.
        settings: how long and how fast.
        folder: where the checkpoint and the curve go; a run there is taken up again.
        named: how many of the slices' experts, the first ones, the model shall know by name; None
            is all. The others have to be drawn like the named ones, on some slices only.
        mask_distance: pixels in which two drawings of a slice differ; None measures it over all
            drawings, which is wrong where one drawing is there under two names.
        start: a fast model of as many named experts to begin with, instead of from nothing.
        device: where to train.
        progress: called at every validation.
        cancel: asked at every iteration.

    Raises InputError when ``start`` has another number of experts or another kind of image, or
    when the network cannot look at squares of the settings' edge.
    """
    schedule = CategoricalSchedule.cosine(variant="exact")
    experts = training.experts[:named]
    torch.manual_seed(settings.seed)
    network = _begun(training, len(experts), len(metadata.image_channels), start, mask_distance)
    network.config.check_patch(settings.edge)
    distance = float(network.config.mask_distance)
    shown = held_out.take(validation_rows(held_out))

    run = train(
        network,
        training,
        lambda network, batch: fast_loss(network, schedule, distance, batch, device),
        lambda network: _validation(network, shown, settings.edge, device),
        settings,
        folder,
        identity={
            "kind": "fast",
            "named experts": len(experts),
            "start": None if start is None else content_hash(start),
        },
        device=device,
        progress=progress,
        cancel=cancel,
    )
    model = Model(
        consensus=None,
        personal=None,
        schedule=schedule,
        panel=ExpertPanel.of(*experts),
        metadata=metadata.with_training(distance, {"fast": run.summary()}),
        fast=run.average,
    )
    return calibrated(model, held_out, settings.edge).to("cpu")


def _begun(
    training: SliceSet,
    named: int,
    channels: int,
    start: Model | None,
    mask_distance: float | None,
) -> FastNetwork:
    """Return a network to train: new, or with all that ``start`` has learnt but its population."""
    others = len(training.experts) - named
    if start is None:
        distance = max(1, round(mask_distance or mask_distance_of(training)))
        return FastNetwork(FastConfig(channels, distance, named, others))
    learnt = start.fast
    if learnt is None or (learnt.config.experts, learnt.config.image_channels) != (named, channels):
        raise InputError(
            f"The model to begin with is not a fast one of {named} experts and {channels} image"
            " channels. Begin with another one, or from nothing."
        )
    network = FastNetwork(replace(learnt.config, population=others))
    state = dict(learnt.state_dict(), population=network.population.detach())
    # New codes start amid the known ones, so that nobody begins as a stranger to the decoder.
    state["population"] = learnt.codes[:-1].detach().mean(0) + _NEW_CODE * state["population"]
    network.load_state_dict(state)
    return network


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
    drawn_by = torch.from_numpy(batch.drawn_by).to(device)
    marked = masks.flatten(2).any(2)  # (B, M)
    image, drawing = _rows(marked, batch.random)
    mask, there = masks[image, drawing], marked[image, drawing].float()
    noisy, survival = _noised(mask, schedule, mask_distance, batch.random)
    expert = drawn_by[image, drawing]
    unsaid = torch.from_numpy(batch.random.random(len(image)) < _WHOEVER).to(device)
    whoever = unsaid & (expert < network.config.experts)
    code = torch.where(whoever[:, None], network.codes[network.anyone], _codes(network, expert))
    belief = network.step(features.rows(image), noisy, survival, code)
    errors = functional.binary_cross_entropy_with_logits(
        belief.logits, mask.float(), reduction="none"
    ).mean((1, 2))
    of_masks = (errors * there).sum() / there.sum().clamp(min=1)
    seen = functional.binary_cross_entropy_with_logits(belief.presence, there)
    return of_masks + _PRESENCE * (seen + _presence_loss(network, features, marked, drawn_by))


def _rows(marked: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return image and number of the drawings to learn from: some, fewer of the empty ones."""
    share = min(1.0, _SHOWN / marked.shape[1])
    lot = torch.from_numpy(random.random(tuple(marked.shape))).to(marked.device)
    image, drawing = (lot < torch.where(marked, share, _EMPTY * share)).nonzero(as_tuple=True)
    if len(image) == 0:
        image = drawing = torch.zeros(1, dtype=torch.int64, device=marked.device)
    return image, drawing


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


def _codes(network: FastNetwork, expert: Tensor) -> Tensor:
    """Return the codes of experts by their place among the slices' experts, (..., code_width)."""
    known = torch.cat([network.codes[:-1], network.population])
    return known[expert]


def _presence_loss(
    network: FastNetwork, features: Features, marked: Tensor, drawn_by: Tensor
) -> Tensor:
    """Return the cross-entropy of presence from the image alone, of every drawing and whoever's."""
    named = (drawn_by < network.config.experts).float()
    whoever = (marked * named).sum(1) / named.sum(1).clamp(min=1)
    anyone = network.codes[network.anyone].expand(len(marked), 1, -1)
    codes = torch.cat([_codes(network, drawn_by), anyone], 1)  # (B, M + 1, code_width)
    logits = torch.stack([network.presence_logit(features, code) for code in codes.unbind(1)], 1)
    wanted = torch.cat([marked.float(), whoever[:, None]], 1)
    return functional.binary_cross_entropy_with_logits(logits, wanted)


def _validation(
    network: FastNetwork, shown: SliceSet, edge: int, device: torch.device
) -> dict[str, float]:
    """Return "first step", cross-entropy per pixel, "Dice" of it, and "presence", on held-out."""
    images = torch.from_numpy(np.ascontiguousarray(centre_crop(shown.images, edge))).to(device)
    masks = torch.from_numpy(np.ascontiguousarray(centre_crop(shown.masks, edge)) > 0).to(device)
    drawn_by = torch.from_numpy(shown.drawn_by).to(device)
    features = network.encode(images)
    marked = masks.flatten(2).any(2)
    image, drawing = (marked & (drawn_by < network.config.experts)).nonzero(as_tuple=True)
    none = torch.zeros(len(image), device=device)
    mask, code = masks[image, drawing], network.codes[drawn_by[image, drawing]]
    logits = network.step(features.rows(image), mask.float(), none, code).logits
    return {
        "first step": float(functional.binary_cross_entropy_with_logits(logits, mask.float())),
        "Dice": mean_dice(logits.sigmoid(), mask),
        "presence": float(_presence_loss(network, features, marked, drawn_by)),
    }
