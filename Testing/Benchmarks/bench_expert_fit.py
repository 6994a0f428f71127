"""How an expert is learnt from a few cases: the product's own fit, and two that train more.

The rivals start where the fit does, at the mean of the known experts' codes, but change the network
itself: all biases of its decoder, or all of its weights. What they minimise is what the answers are
made of, the first belief and presence, on the same slices turned and mirrored, for as long as the
product's fit takes at most.
"""

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from diffoseg.cohorts.case import Case
from diffoseg.experts.local_expert import LocalExpert
from diffoseg.experts.panel import Expert
from diffoseg.model.model import Model
from diffoseg.model.stored import content_hash
from diffoseg.networks.fast import FastNetwork
from diffoseg.training.expert.fit import train_expert
from diffoseg.training.expert.slices import expert_slices
from diffoseg.training.slices import SliceSet, draw_batch

RIVAL_S = 10.0
"""Seconds that a rival trains."""
LEARNING_RATES = {"biases": 3e-3, "all weights": 1e-4}
_BATCH = 16
_PRESENCE = 0.02  # its weight in the training of the network itself


@dataclass(frozen=True)
class Taught:
    """A model that has learnt one expert.

    Attributes:
        model, row: ask the model about this row of its panel.
        seconds: that the fit took.
        loading: seconds that cutting the cases into slices took before.
        local: the expert's own numbers; None where the network itself was changed.
    """

    model: Model
    row: int
    seconds: float
    loading: float
    local: LocalExpert | None = None


def mean_expert(base: Model, name: str) -> LocalExpert:
    """Return the start of every fit as an expert: the mean of the known experts' codes."""
    code = base.codes[: base.known].detach().mean(0).cpu().numpy()
    title, kind = base.metadata.title, base.metadata.kind
    return LocalExpert(Expert(name), content_hash(base), title, kind, code, 0.0)


def teach(base: Model, cases: list[Case], name: str) -> Taught:
    """Teach a model one expert as the product does."""
    slices, loading = _slices(base, cases, name)
    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        local = train_expert(base, slices, Expert(name), Path(folder), device=base.device)
    seconds = time.perf_counter() - began
    return Taught(base.with_experts([local]), base.known, seconds, loading, local)


def _slices(base: Model, cases: list[Case], name: str) -> tuple[SliceSet, float]:
    began = time.perf_counter()
    slices = expert_slices(cases, name, base.metadata)
    return slices, time.perf_counter() - began


# --- rivals ---------------------------------------------------------------------------------------


def teach_rival(
    base: Model, cases: list[Case], name: str, rival: str, limit: float = RIVAL_S
) -> Taught:
    """Teach a copy of a model one expert, in place of its first, by changing the network.

    Args:
        base: whose network is copied.
        cases: what the expert drew.
        name: the expert's.
        rival: "biases" of the decoder or "all weights".
        limit: seconds.
    """
    slices, loading = _slices(base, cases, name)
    network = copy.deepcopy(base.fast)
    assert network is not None
    with torch.no_grad():
        network.codes[0] = base.codes[: base.known].mean(0)
    began = time.perf_counter()
    _train(network, slices, list(_trained(network, rival)), LEARNING_RATES[rival], limit)
    seconds = time.perf_counter() - began
    return Taught(replace(base, fast=network), 0, seconds, loading)


def _trained(network: FastNetwork, rival: str) -> Iterable[nn.Parameter]:
    named = network.named_parameters() if rival == "all weights" else _biases(network)
    for _, values in named:
        yield values


def _biases(network: FastNetwork) -> Iterable[tuple[str, nn.Parameter]]:
    parts = (*network.decoder.named_parameters(), *network.presence.named_parameters())
    return ((name, values) for name, values in parts if name.endswith("bias"))


def _train(
    network: FastNetwork,
    slices: SliceSet,
    trained: list[nn.Parameter],
    learning_rate: float,
    limit: float,
) -> None:
    network.requires_grad_(False)
    for values in trained:
        values.requires_grad_(True)
    optimizer = torch.optim.Adam(trained, learning_rate)
    ends, step = time.perf_counter() + limit, 0
    edge = slices.images.shape[-1]
    while time.perf_counter() < ends:
        batch = draw_batch(slices, step, size=_BATCH, edge=edge, seed=0)
        optimizer.zero_grad(set_to_none=True)
        _loss(network, batch.images, batch.masks[:, 0]).backward()
        optimizer.step()
        step += 1
    network.requires_grad_(True)


def _loss(network: FastNetwork, images: np.ndarray, masks: np.ndarray) -> Tensor:
    """Return nats a pixel of the first belief where anything is marked, and those of presence."""
    device = network.codes.device
    wanted = torch.from_numpy(masks > 0).to(device).float()
    there = wanted.flatten(1).any(1)
    features = network.encode(torch.from_numpy(images).to(device))
    code = network.codes[[0] * len(wanted)]
    none = torch.zeros(len(wanted), device=device)
    logits = network.step(features, torch.zeros_like(wanted), none, code).logits
    errors = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    of_masks = errors.mean((1, 2))[there].sum() / there.sum().clamp(min=1)
    presence = network.presence_logit(features, code)
    seen = functional.binary_cross_entropy_with_logits(presence, there.float())
    return of_masks + _PRESENCE * seen
