"""The training loop that both stages share: optimiser, average, validation, resume.

A stage brings its network, the loss of one batch, and a validation; the loop brings the rest.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ..device.choice import mixed_precision
from ..errors import CancelledError, InputError
from .checkpoint import read_checkpoint, write_checkpoint
from .curve import CurvePoint
from .curve_picture import draw_curve
from .run_files import CHECKPOINT, CURVE
from .slices import Batch, SliceSet, draw_batch

Progress = Callable[[int, int, str], None]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to learn.

    Attributes:
        iterations: optimiser steps.
        batch: slices a step.
        edge: side of the square crops, pixels.
        learning_rate: AdamW's peak rate; a linear warm-up, then a cosine to one hundredth of it.
        ema: decay of the weights' running average, which is what a run returns.
        seed: names the whole run; the same seed gives the same curve.
        every: iterations between two validations, each followed by a checkpoint.
    """

    iterations: int
    batch: int = 16
    edge: int = 64
    learning_rate: float = 1e-3
    ema: float = 0.998
    seed: int = 0
    every: int = 250


_WARM_UP = 100
_WEIGHT_DECAY = 1e-4
_GRADIENT_NORM = 1.0


class Run(Generic[Network]):
    """One training run: everything that a checkpoint has to bring back."""

    def __init__(
        self,
        network: Network,
        settings: LoopSettings,
        identity: Mapping[str, Any],
        device: torch.device,
    ):
        network.to(device).train()
        if device.type == "cuda":
            _to_channels_last(network)
        self.network = network
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.settings = settings
        self.identity = dict(identity)
        self.device = device
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        self.iteration = 0
        self.curve: list[CurvePoint] = []
        self.losses: list[float] = []
        self.seconds = 0.0

    def summary(self) -> dict[str, Any]:
        """Return what a model says of its training: settings, seconds and the last validation.

        Without what could not be measured, such as Dice where no held-out slice is marked.
        """
        last = self.curve[-1].validation
        return {
            **asdict(self.settings),
            "device": self.device.type,
            "seconds": round(self.seconds),
            "validation": {name: value for name, value in last.items() if math.isfinite(value)},
        }

    def save(self, folder: Path) -> None:
        """Write the checkpoint and the curve's picture into ``folder``."""
        moments = {
            f"{index}.{name}": value
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        groups = {
            "network": dict(self.network.state_dict()),
            "average": dict(self.average.state_dict()),
            "optimizer": moments,
        }
        facts = {
            "settings": asdict(self.settings),
            "identity": self.identity,
            "iteration": self.iteration,
            "curve": [asdict(point) for point in self.curve],
            "losses": self.losses,
            "seconds": self.seconds,
        }
        write_checkpoint(folder / CHECKPOINT, groups, facts)
        draw_curve(folder / CURVE, self.curve)

    def resume(self, folder: Path) -> None:
        """Take up the run that ``folder`` holds; raises InputError if it is another one.

        A run that has ended can be given more iterations: its learning rate then goes on as if it
        had been as long from the start.
        """
        groups, facts = read_checkpoint(folder / CHECKPOINT)
        mine = {**asdict(self.settings), **self.identity}
        theirs = {**facts["settings"], **facts["identity"]}
        other = [name for name in sorted(mine | theirs) if mine.get(name) != theirs.get(name)]
        ended = facts["iteration"] >= facts["settings"]["iterations"] < self.settings.iterations
        if other and not (other == ["iterations"] and ended):
            raise InputError(
                f"The output folder holds a training run with other settings ({', '.join(other)})."
                " Use those to go on with it, or another folder to start anew."
            )
        self.network.load_state_dict(groups["network"])
        self.average.load_state_dict(groups["average"])
        state: dict[int, dict[str, Any]] = {}
        for key, value in groups["optimizer"].items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.iteration = facts["iteration"]
        self.losses = facts["losses"]
        self.seconds = facts["seconds"]
        self.curve = [CurvePoint(**point) for point in facts["curve"]]


def train(
    network: Network,
    slices: SliceSet,
    batch_loss: Callable[[Network, Batch], Tensor],
    validate: Callable[[Network], dict[str, float]],
    settings: LoopSettings,
    folder: Path,
    *,
    identity: Mapping[str, Any],
    device: torch.device,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Run[Network]:
    """Train ``network`` on ``slices`` and return the run, whose ``average`` is the result.

    Goes on where a checkpoint in ``folder`` left off, if that run had the same settings, slices
    and ``identity``: JSON-able, all else that makes it this run. Raises InputError when it is
    another run, or when the loss is no longer a number (the last good checkpoint is kept), and
    CancelledError when ``cancel`` says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity = {**identity, "slices": slices.fingerprint()}
    run = Run(network, settings, identity, device)
    if (folder / CHECKPOINT).exists():
        run.resume(folder)
    started = time.perf_counter()
    while run.iteration < settings.iterations:
        if cancel is not None and cancel():
            run.seconds += time.perf_counter() - started
            run.save(folder)
            raise CancelledError("Training was stopped; the same command goes on with it.")
        _step(run, slices, batch_loss)
        if run.iteration % settings.every == 0 or run.iteration == settings.iterations:
            _take_stock(run, validate)
            run.seconds += time.perf_counter() - started
            started = time.perf_counter()
            run.save(folder)
            _report(run, progress)
    return run


def _to_channels_last(network: nn.Module) -> None:
    for values in network.parameters():
        if values.ndim == 4:  # the prompts have five axes, which this layout does not know
            values.data = values.data.contiguous(memory_format=torch.channels_last)


def _step(
    run: Run[Network], slices: SliceSet, batch_loss: Callable[[Network, Batch], Tensor]
) -> None:
    settings = run.settings
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate_at(run.iteration, settings)
    batch = draw_batch(
        slices, run.iteration, size=settings.batch, edge=settings.edge, seed=settings.seed
    )
    # Dropout is the one draw that torch makes itself; keyed alike, it resumes alike.
    torch.manual_seed(int(batch.random.integers(2**31)))
    run.optimizer.zero_grad(set_to_none=True)
    with mixed_precision(run.device):
        loss = batch_loss(run.network, batch)
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), _GRADIENT_NORM)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise InputError(
            f"The loss stopped being a number after iteration {run.iteration}. The last good"
            " checkpoint is kept; check the images for broken values or lower the learning rate."
        )
    run.optimizer.step()
    run.iteration += 1
    run.losses.append(value)
    _follow(run.average, run.network, min(settings.ema, run.iteration / (run.iteration + 10)))


def _take_stock(run: Run[Network], validate: Callable[[Network], dict[str, float]]) -> None:
    with torch.inference_mode():
        measured = validate(run.average)
    run.curve.append(CurvePoint(run.iteration, sum(run.losses) / len(run.losses), measured))
    run.losses = []


def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the running average towards the network: average = decay*average + (1-decay)*network."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        for kept, new in zip(average.buffers(), network.buffers(), strict=True):
            kept.lerp_(new, 1 - decay) if kept.is_floating_point() else kept.copy_(new)


def _report(run: Run[Any], progress: Progress | None) -> None:
    if progress is None:
        return
    point = run.curve[-1]
    measured = ", ".join(f"{name} {value:.4f}" for name, value in point.validation.items())
    progress(run.iteration, run.settings.iterations, f"loss {point.loss:.4f}, {measured}")


def learning_rate_at(iteration: int, settings: LoopSettings) -> float:
    """Return the rate of one iteration: linear warm-up, then half a cosine down to a hundredth."""
    warm = min(1.0, (iteration + 1) / _WARM_UP)
    phase = iteration / max(1, settings.iterations)
    return settings.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * phase)))
