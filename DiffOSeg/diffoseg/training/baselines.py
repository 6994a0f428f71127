"""The cheap rivals that a diffusion model has to beat: plain U-Nets, on the same slices.

A rival is the denoiser itself, layer for layer, with nothing to denoise: no noisy mask and no
time, one sigmoid map for each head instead. It is trained by the same loop (optimiser, schedule,
average, augmentation) with the cross-entropy of the drawn masks, and keeps the weights of its
best validation, so that it does not lose by training too long.
"""

import copy
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError, WeightsError
from ..experts.panel import CONSENSUS
from ..networks.config import UNetConfig
from ..networks.unet import UNet
from .loop import LoopSettings, Progress, Run, train
from .objective import centre_crop, validation_rows
from .slices import Batch, SliceSet

Kind = Literal["majority", "experts"]

_FORMAT = "diffoseg-baseline-1"
_TRIAL = (4, 20)  # iterations that warm up, and iterations that are timed


class PlainUNet(nn.Module):
    """The denoiser of ``config`` with a blank mask and time 0: image in, one map for each head."""

    def __init__(self, config: UNetConfig, heads: int):
        super().__init__()
        self.heads = heads
        self.unet = UNet(replace(config, classes=max(2, heads), experts=0))

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, H, W) to the logits of the foreground, (B, heads, H, W)."""
        count, _, height, width = image.shape
        blank = image.new_zeros(count, self.unet.config.classes, height, width)
        return self.unet.logits(blank, image.new_zeros(count), image)[:, : self.heads]


@dataclass(frozen=True)
class Baseline:
    """A trained plain U-Net.

    Attributes:
        network: in evaluation mode.
        kind: "majority", one map of the experts' majority vote, or "experts", one map for each.
        experts: their names, in the order of the heads.
        training: settings, iterations, wall-clock and CPU seconds, the best validation.
    """

    network: PlainUNet
    kind: Kind
    experts: tuple[str, ...]
    training: dict[str, Any]

    @torch.inference_mode()
    def maps(self, image: np.ndarray) -> np.ndarray:
        """Return the probability of the foreground of each head, (heads, h, w) float32."""
        device = next(self.network.parameters()).device
        shown = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).to(device)
        return self.network(shown[None])[0].float().sigmoid().cpu().numpy()

    def save(self, path: Path) -> None:
        """Write weights and description as one safetensors file."""
        facts = {
            "config": self.network.unet.config.to_dict(),
            "kind": self.kind,
            "experts": self.experts,
            "training": self.training,
        }
        metadata = {"format": _FORMAT, "facts": json.dumps(facts)}
        save_file(self.network.state_dict(), path, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> "Baseline":
        """Read what ``save`` wrote; raises WeightsError when it is damaged or something else."""
        try:
            with safe_open(path, framework="pt") as stored:
                metadata = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise WeightsError(
                f"{path.name} is missing or damaged, so there is no baseline; train it anew."
            ) from error
        if metadata.get("format") != _FORMAT:
            raise WeightsError(f"{path.name} is not a baseline of this version; train it anew.")
        facts = json.loads(metadata["facts"])
        heads = _heads(facts["kind"], facts["experts"])
        network = PlainUNet(UNetConfig.from_dict(facts["config"]), heads)
        network.load_state_dict(tensors)
        return cls(network.eval(), facts["kind"], tuple(facts["experts"]), facts["training"])


def train_baseline(
    training: SliceSet,
    held_out: SliceSet,
    kind: Kind,
    config: UNetConfig,
    settings: LoopSettings,
    *,
    device: torch.device,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Baseline:
    """Train one plain U-Net and return it with the weights of its best validation.

    Args:
        training: slices to learn from.
        held_out: slices of other patients, to choose the weights by.
        kind: "majority" or "experts".
        config: the sizes of the denoiser that it stands against.
        settings: as for the denoiser; ``affordable_iterations`` finds the length for a budget.
        device: where to train.
        progress: called at every validation.
        cancel: asked at every iteration.
    """
    training, held_out = training.of_the_same_experts(), held_out.of_the_same_experts()
    torch.manual_seed(settings.seed)
    network = PlainUNet(config, _heads(kind, training.experts))
    best = _Best(held_out, kind, settings.edge, device)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run: Run[PlainUNet] = train(
            network,
            training,
            lambda network, batch: _loss(network, batch.images, batch.masks, kind, device),
            best.look_at,
            settings,
            Path(folder),
            identity={"kind": kind},
            device=device,
            progress=progress,
            cancel=cancel,
        )
    summary = {**run.summary(), "cpu_seconds": round(time.process_time() - started, 1)}
    run.average.load_state_dict(best.weights)
    return Baseline(
        network=run.average.cpu(),
        kind=kind,
        experts=tuple(training.experts),
        training={**summary, "best_validation": best.loss},
    )


def affordable_iterations(
    seconds: float,
    training: SliceSet,
    kind: Kind,
    config: UNetConfig,
    settings: LoopSettings,
    *,
    device: torch.device,
) -> int:
    """Return how many iterations fit into a budget, timed on this machine.

    ``seconds`` are of CPU time, all threads together, where the device is the CPU, so that other
    jobs on the machine do not change the budget; of wall-clock time on any other device.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    first, timed = _TRIAL
    network = PlainUNet(config, _heads(kind, training.experts))
    marks: list[float] = []

    def timed_loss(network: PlainUNet, batch: Batch) -> Tensor:
        marks.append(clock())
        return _loss(network, batch.images, batch.masks, kind, device)

    total = first + timed
    trial = replace(settings, iterations=total, every=total)
    with tempfile.TemporaryDirectory() as folder:
        train(
            network,
            training,
            timed_loss,
            lambda _: {},
            trial,
            Path(folder),
            identity={"kind": kind},
            device=device,
        )
    each = (marks[-1] - marks[first - 1]) / (total - first)
    return max(1, int(seconds / each))


class FixedMasks:
    """The rival that draws every expert's mask where the map is above one half, always the same.

    Its consensus samples are the masks of experts drawn at random.
    """

    def __init__(self, baseline: Baseline):
        self.baseline = baseline
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def samples(self, image: np.ndarray, expert: str, n: int, seed: int) -> np.ndarray:
        """Return n masks, (n, h, w) bool; raises InputError for an unknown expert."""
        random = np.random.default_rng(seed)
        maps = self._maps_of(image, expert)
        return maps[random.integers(0, len(maps), n)] > self._levels(random, n)

    def probability(self, image: np.ndarray, expert: str) -> np.ndarray:
        """Return the expert's map, or the mean over the experts, (h, w)."""
        return np.asarray(self._maps_of(image, expert).mean(0))

    def _levels(self, random: np.random.Generator, n: int) -> np.ndarray:
        return np.full((n, 1, 1), 0.5)

    def _maps_of(self, image: np.ndarray, expert: str) -> np.ndarray:
        """Return the maps that stand for ``expert``: that one's, or all for the consensus."""
        if self._last is None or self._last[0] is not image:  # an image is asked about many times
            self._last = (image, self.baseline.maps(image))
        maps = self._last[1]
        if expert == CONSENSUS:
            return maps
        if expert not in self.baseline.experts:
            known = ", ".join((CONSENSUS, *self.baseline.experts))
            raise InputError(f"There is no expert {expert!r} in this baseline. It knows: {known}.")
        row = self.baseline.experts.index(expert) if self.baseline.kind == "experts" else 0
        return maps[row : row + 1]


class LevelSets(FixedMasks):
    """The strongest cheap rival: mask = {map > u} with one u ~ U(0, 1) for each mask."""

    def _levels(self, random: np.random.Generator, n: int) -> np.ndarray:
        return random.random((n, 1, 1))


class _Best:
    """Validates an average network and keeps the weights that did best so far."""

    def __init__(self, held_out: SliceSet, kind: Kind, edge: int, device: torch.device):
        chosen = held_out.take(validation_rows(held_out))
        self.images, self.masks = (centre_crop(a, edge) for a in (chosen.images, chosen.masks))
        self.kind, self.device = kind, device
        self.loss = float("inf")
        self.weights: dict[str, Tensor] = {}

    def look_at(self, network: PlainUNet) -> dict[str, float]:
        parts = [slice(first, first + 32) for first in range(0, len(self.images), 32)]
        losses = [
            float(_loss(network, self.images[part], self.masks[part], self.kind, self.device))
            for part in parts
        ]
        loss = float(np.average(losses, weights=[len(self.images[part]) for part in parts]))
        if loss < self.loss:
            self.loss, self.weights = loss, copy.deepcopy(network.state_dict())
        return {"cross-entropy": loss}


def _loss(
    network: PlainUNet, images: np.ndarray, masks: np.ndarray, kind: Kind, device: torch.device
) -> Tensor:
    """Return the mean cross-entropy per pixel and head of a batch, in nats."""
    shown = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    target = torch.from_numpy(_targets(masks, kind)).to(device)
    return functional.binary_cross_entropy_with_logits(network(shown).float(), target)


def _targets(masks: np.ndarray, kind: Kind) -> np.ndarray:
    """Return (B, heads, h, w) float32; a pixel is in the majority vote by more than half."""
    marked = masks > 0
    if kind == "majority":
        marked = marked.mean(1, keepdims=True) > 0.5
    return marked.astype(np.float32)


def _heads(kind: Kind, experts: Sequence[str]) -> int:
    return 1 if kind == "majority" else len(experts)
