"""A new expert for a frozen fast network: the code, and the bias of presence, that fit a few cases.

What is found is the most probable code given what the expert drew: of the least

    sum over slices [CE of the mask / pixels + w CE of presence] + u'u / 2 + (bias / spread)^2 / 2

where CE is the cross-entropy in nats, of all pixels of a slice at noise levels drawn as in the
base's own training or with nothing of the mask left to see, and the code lies u standard deviations
from what ``prior`` expects. With no case that is the mean of all experts; the more cases,
the less the prior says.

Beside the final code one code is fitted for each fold of held-out patients, on the others' slices.
Their cross-entropy on the patients that they have not seen tells when to stop, and their Dice how
good the expert will be on the next case.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import CancelledError, InputError
from ...experts.local_expert import LocalExpert
from ...experts.panel import Expert
from ...model.model import Model
from ...model.stored import content_hash
from ...networks.fast import FastNetwork
from ..checkpoint import read_checkpoint, write_checkpoint
from ..run_files import CHECKPOINT
from ..slices import SliceSet
from .curve import ExpertPoint
from .lesson import Lesson, heed
from .objective import objective
from .settings import ExpertSettings
from .validation import first_belief

Progress = Callable[[int, int, str], None]

_WARM_UP = 5
_LAST_RATE = 0.05  # of the peak rate
_MOMENTS = (0.9, 0.95)
_SURE = 1e-4  # probabilities nearer to 0 or 1 count as this near in a cross-entropy


def train_expert(
    base: Model,
    slices: SliceSet,
    expert: Expert,
    folder: Path,
    *,
    corrects: str = "",
    settings: ExpertSettings | None = None,
    device: torch.device,
    point: Callable[[ExpertPoint], None] | None = None,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> LocalExpert:
    """Teach a new expert to a model, which stays as it is.

    Args:
        base: of the fast kind.
        slices: what the expert drew, one drawing (M = 1) of each slice; at least one is marked.
        expert: name, description and colour of the new one.
        folder: for the checkpoint; a run there is taken up again, with the same result as if it
            had never been stopped.
        corrects: name of the base's expert about whom the new one is expected; "" is nobody.
        settings: how long and how fast; None is the default.
        device: where to compute; the base is moved there.
        point: called with every look at the held-out cases, those of a resumed run included.
        progress: called after every step with (steps done, steps in all, what is happening).
        cancel: asked before every step, and more often while the cases are first looked at.

    Raises:
        InputError: the base is of the kind "paper" or lacks the corrected expert, nothing is
            marked, the folder holds another run, or a number is none any more.
        CancelledError: ``cancel`` said so; the checkpoint is kept.
    """
    if base.fast is None:
        raise InputError(
            "Weights of the paper's kind cannot be taught a new expert. Choose weights of the fast"
            " kind."
        )
    settings = settings or ExpertSettings()
    if not slices.masks.any():
        raise InputError("No slice is marked, so there is nothing to learn. Add a marked case.")
    with _frozen(base.to(device).fast):
        lesson = Lesson(base, slices, expert, corrects, settings, device, cancel)
        return _taught(lesson, folder, point, progress, cancel)


def _taught(
    lesson: Lesson,
    folder: Path,
    point: Callable[[ExpertPoint], None] | None,
    progress: Progress | None,
    cancel: Callable[[], bool] | None,
) -> LocalExpert:
    """Go on with the lesson to its end; see ``train_expert``."""
    settings, state = lesson.settings, _State(lesson)
    if (folder / CHECKPOINT).exists():
        state.resume(folder)
    if point is not None:
        for seen in state.points:
            point(seen)
    started = time.perf_counter() - state.seconds
    if not state.points:
        state.look()
        state.save(folder)
        if point is not None:
            point(state.points[-1])
    while state.step < settings.steps:
        try:
            heed(cancel)
        except CancelledError:
            state.seconds = time.perf_counter() - started
            state.save(folder)
            raise
        state.advance()
        if state.step % settings.every == 0 or state.step == settings.steps:
            state.look()
            state.seconds = time.perf_counter() - started
            state.save(folder)
            if point is not None:
                point(state.points[-1])
        if progress is not None:
            progress(state.step, settings.steps, f"teaching {lesson.expert.name}")
    return state.taught()


@contextmanager
def _frozen(network: FastNetwork | None) -> Iterator[None]:
    """Spare the gradients of the network's own weights meanwhile."""
    assert network is not None
    wanted = [values for values in network.parameters() if values.requires_grad]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for values in wanted:
            values.requires_grad_(True)


class _State:
    """What a checkpoint has to bring back.

    ``place`` holds, for each fold and last for the final expert, the code in standard deviations
    from the prior's mean and the bias of presence, (folds + 1, W + 1).
    """

    def __init__(self, lesson: Lesson):
        self.lesson = lesson
        width = lesson.network.config.code_width
        self.place = torch.zeros(
            lesson.folds + 1, width + 1, device=lesson.device, requires_grad=True
        )
        rate = lesson.settings.learning_rate
        self.optimizer = torch.optim.Adam([self.place], lr=rate, betas=_MOMENTS)
        self.step = 0
        self.seconds = 0.0
        self.begun = datetime.now(UTC).date().isoformat()
        self.losses: list[float] = []
        self.points: list[ExpertPoint] = []
        self.kept: list[Tensor] = []
        self.by_case: list[list[float]] = []
        self._compared: tuple[np.ndarray, dict[str, np.ndarray]] | None = None

    def advance(self) -> None:
        """Take one optimiser step for all folds at once."""
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(self.step, self.lesson.settings)
        self.optimizer.zero_grad(set_to_none=True)
        total, of_final = objective(self.lesson, self.place, self.step)
        total.backward()
        if not math.isfinite(of_final):
            raise InputError(
                "Teaching came upon a number that is none. Check the cases for broken values."
            )
        self.optimizer.step()
        self.losses.append(of_final)
        self.step += 1

    def look(self) -> None:
        """Draw the held-out cases, each with the code that has not seen it."""
        lesson, loss = self.lesson, self._loss_since()
        self.kept.append(self.place.detach()[-1].clone())
        if not lesson.folds:
            none = math.nan
            self.points.append(ExpertPoint(self.step, loss, none, none, none, none, ""))
            self.by_case.append([])
            return
        fold = torch.from_numpy(lesson.fold_of[lesson.held_out.rows]).to(lesson.device)
        code = lesson.prior.code(self.place.detach()[fold, :-1])
        belief = first_belief(lesson.base, lesson.shown, code)
        by_case = lesson.held_out.by_case(belief)
        consensus, experts = self.compared
        name = max(experts, key=lambda name: float(experts[name].mean()))
        self.points.append(
            ExpertPoint(
                step=self.step,
                loss=loss,
                held_out=_cross_entropy(belief, lesson.held_out.drawn),
                dice=float(by_case.mean()),
                consensus=float(consensus.mean()),
                best=float(experts[name].mean()),
                best_name=name,
            )
        )
        self.by_case.append(by_case.tolist())

    def _loss_since(self) -> float:
        """Return the mean loss since the look before, and forget it; at the start that of now."""
        losses, self.losses = self.losses, []
        if not losses:
            with torch.no_grad():
                losses = [objective(self.lesson, self.place, self.step)[1]]
        return sum(losses) / len(losses)

    @property
    def compared(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Dice by case of the others; drawn once."""
        if self._compared is None:
            self._compared = self.lesson.others()
        return self._compared

    def taught(self) -> LocalExpert:
        """Return the expert as it was when held-out cases were drawn best."""
        lesson = self.lesson
        chosen = len(self.kept) - 1
        if lesson.folds:
            chosen = min(range(len(self.points)), key=lambda index: self.points[index].held_out)
        place = self.kept[chosen]
        slices, settings = lesson.slices, asdict(lesson.settings)
        return LocalExpert(
            expert=lesson.expert,
            base_hash=content_hash(lesson.base),
            base_title=lesson.base.metadata.title,
            kind=lesson.base.metadata.kind,
            code=lesson.prior.code(place[:-1]).cpu().numpy(),
            presence_bias=float(place[-1]),
            training={
                "cases": len(set(slices.cases)),
                "slices": len(slices),
                "marked_slices": int(lesson.marked.sum()),
                "date": self.begun,
                "seconds": round(self.seconds, 1),
                "device": lesson.device.type,
                "seed": settings.pop("seed"),
                "corrects": lesson.corrects,
                "settings": {**settings, "stopped_at": self.points[chosen].step},
                "validation": self._validation(chosen),
            },
        )

    def _validation(self, chosen: int) -> dict[str, Any]:
        """Return what held-out cases say of the expert, and the verdict."""
        point, by_case = self.points[chosen], np.array(self.by_case[chosen])
        if not self.lesson.folds:
            return {"folds": 0, "cases": 0, "verdict": "unproven"}
        consensus, _ = self.compared
        better = round(point.dice, 2) > round(point.consensus, 2)  # as far as people are told
        return {
            "folds": self.lesson.folds,
            "cases": len(by_case),
            "dice": point.dice,
            "consensus": point.consensus,
            "best": point.best,
            "best_name": point.best_name,
            "better": float((by_case > consensus).mean()),
            "verdict": "use" if better else "like consensus",
        }

    def save(self, folder: Path) -> None:
        """Write the checkpoint into ``folder``; raises InputError where that fails."""
        folder.mkdir(parents=True, exist_ok=True)
        moments = self.optimizer.state_dict()["state"].get(0, {})
        kept = {str(index): place for index, place in enumerate(self.kept)}
        groups = {"place": {"now": self.place}, "moments": moments, "kept": kept}
        facts = {
            "identity": self.lesson.identity(),
            "step": self.step,
            "seconds": self.seconds,
            "begun": self.begun,
            "losses": self.losses,
            "points": [asdict(point) for point in self.points],
            "by_case": self.by_case,
        }
        write_checkpoint(folder / CHECKPOINT, groups, facts)

    def resume(self, folder: Path) -> None:
        """Take up the run that ``folder`` holds; raises InputError if it is another one."""
        groups, facts = read_checkpoint(folder / CHECKPOINT)
        mine, theirs = self.lesson.identity(), facts.get("identity", {})
        other = [name for name in sorted(mine) if mine[name] != theirs.get(name)]
        if other:
            raise InputError(
                f"The folder holds another training ({', '.join(other)} differ). Go on with that"
                " one, or use another folder to start anew."
            )
        with torch.no_grad():
            self.place.copy_(groups["place"]["now"])
        if moments := groups.get("moments"):
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": {0: moments}})
        self.kept = [place.to(self.place.device) for place in _in_order(groups.get("kept", {}))]
        self.step, self.seconds, self.begun = facts["step"], facts["seconds"], facts["begun"]
        self.losses, self.by_case = facts["losses"], facts["by_case"]
        self.points = [ExpertPoint(**point) for point in facts["points"]]


def _cross_entropy(probability: np.ndarray, drawn: np.ndarray) -> float:
    sure = np.clip(probability, _SURE, 1 - _SURE)
    return float(-np.log(np.where(drawn, sure, 1 - sure)).mean())


def _rate(step: int, settings: ExpertSettings) -> float:
    """Return the rate of one step: a linear warm-up, then half a cosine."""
    warm = min(1.0, (step + 1) / _WARM_UP)
    wave = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    return settings.learning_rate * warm * (_LAST_RATE + (1 - _LAST_RATE) * wave)


def _in_order(named: dict[str, Tensor]) -> list[Tensor]:
    return [named[str(index)] for index in range(len(named))]
