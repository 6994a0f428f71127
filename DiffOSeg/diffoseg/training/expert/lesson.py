"""All that a new expert is taught from, and that stays the same meanwhile."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from ...errors import CancelledError
from ...experts.panel import Expert, ExpertPanel
from ...model.model import Model
from ...model.stored import content_hash
from ...networks.fast import Features
from ..slices import SliceSet
from .prior import prior_of
from .settings import MOST_FOLDS, ExpertSettings
from .validation import HeldOut, comparators

_ENCODED_AT_ONCE = 16


class Lesson:
    """What one expert drew, as the frozen base sees it, and who is held out.

    Attributes:
        prior: where the expert is expected among all that the base has learnt from.
        features: of the N slices.
        masks: what was drawn on each, bool (N, e, e).
        marked: whether anything was, bool (N,).
        folds: how many parts of the patients are held out in turn, 0 or 2 and more.
        fold_of: in which of them each slice is, int (N,); -1 is in none.
        learnt: the marked slices from which each fold learns, and last the final expert, bool (N,).
        held_out, shown: marked slices to validate on, and their features.
    """

    def __init__(
        self,
        base: Model,
        slices: SliceSet,
        expert: Expert,
        corrects: str,
        settings: ExpertSettings,
        device: torch.device,
        cancel: Callable[[], bool] | None,
    ):
        assert base.fast is not None
        self.base, self.network, self.slices = base, base.fast, slices
        self.expert, self.corrects, self.settings = expert, corrects, settings
        self.device, self.cancel = device, cancel
        own = ExpertPanel(base.panel[: base.known])
        corrected = own.index_of(corrects) if corrects else None
        self.prior = prior_of(self.network, corrected)
        self.features = _encoded(base, slices, cancel)
        self.masks = torch.from_numpy(np.ascontiguousarray(slices.masks[:, 0] > 0)).to(device)
        self.marked = self.masks.flatten(1).any(1)
        self.fold_of = _fold_of(slices.patients, self.marked.cpu().numpy())
        self.folds = int(self.fold_of.max()) + 1
        self.held_out = HeldOut.of(self.masks.cpu().numpy(), slices.cases)
        self.shown = self.features.rows(torch.from_numpy(self.held_out.rows).to(device))
        self.learnt = [
            torch.from_numpy(self.fold_of != fold).to(device) & self.marked
            for fold in range(self.folds)
        ] + [self.marked]

    def identity(self) -> dict[str, Any]:
        """Return what makes a run this run, JSON-able."""
        return {
            "base": content_hash(self.base),
            "slices": self.slices.fingerprint(),
            "cases": self.held_out.cases.tolist(),  # by which Dice is kept
            "expert": [self.expert.name, self.expert.description],
            "corrects": self.corrects,
            "settings": asdict(self.settings),
        }

    def others(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return Dice by case of the consensus and of the base's experts."""

        def score(probability: np.ndarray) -> np.ndarray:
            heed(self.cancel)
            return self.held_out.by_case(probability)

        return comparators(self.base, self.shown, score)


def heed(cancel: Callable[[], bool] | None) -> None:
    """Raise CancelledError where ``cancel`` says so."""
    if cancel is not None and cancel():
        raise CancelledError("Teaching was stopped; it can go on from where it was.")


@torch.no_grad()
def _encoded(base: Model, slices: SliceSet, cancel: Callable[[], bool] | None) -> Features:
    assert base.fast is not None
    images = torch.from_numpy(np.ascontiguousarray(slices.images)).split(_ENCODED_AT_ONCE)
    parts = []
    for part in images:
        heed(cancel)
        moved = part.to(base.device).contiguous(memory_format=torch.channels_last)
        parts.append(base.fast.encode(moved))
    return Features.joined(parts)


def _fold_of(patients: Sequence[str], marked: np.ndarray) -> np.ndarray:
    """Return in which fold each slice is held out, int (N,); -1 is in none.

    A patient's slices are in one fold, those of patients with nothing marked in none. There are at
    least two folds, or none at all where a single patient has anything marked.
    """
    named = dict.fromkeys(np.array(patients)[marked].tolist())
    fold = {name: number % MOST_FOLDS for number, name in enumerate(named)}
    if len(fold) < 2:
        return np.full(len(patients), -1)
    return np.array([fold.get(patient, -1) for patient in patients])
