"""How well held-out cases are drawn, in numbers that a reader knows: Dice with what was drawn.

Compared is what an outline is everywhere (``comparison.outline``), not where probability exceeds
one half: where an expert includes a part half the time, the latter is no better with the expert's
own law than with the consensus', and tells them apart by chance. Only slices are counted that the
expert marked; whether anything is marked is judged by presence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...comparison.outline import outline
from ...device.choice import mixed_precision
from ...model.model import Model
from ...networks.fast import Features

_MOST_SLICES = 64
_CHUNK = 16


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Return 2 |A and B| / (|A| + |B|) of two masks, not both empty."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@dataclass(frozen=True)
class HeldOut:
    """Slices that one expert marked, to be drawn by others.

    Attributes:
        rows: of the slices looked at, int (n,).
        cases: number of the case of each, int (n,).
        drawn: what the expert drew, bool (n, e, e).
    """

    rows: np.ndarray
    cases: np.ndarray
    drawn: np.ndarray

    @classmethod
    def of(cls, masks: np.ndarray, cases: Sequence[str]) -> "HeldOut":
        """Choose among the slices that were marked: all of them, or as many, evenly spread.

        Args:
            masks: bool (N, e, e).
            cases: names of the cases of the N slices.
        """
        marked = np.flatnonzero(masks.any((1, 2)))
        if len(marked) > _MOST_SLICES:
            marked = marked[np.linspace(0, len(marked) - 1, _MOST_SLICES).round().astype(int)]
        numbers = np.unique(np.array(cases), return_inverse=True)[1]
        return cls(marked, numbers[marked], masks[marked])

    def by_case(self, probability: np.ndarray) -> np.ndarray:
        """Return each case's mean Dice, in the order of the cases' numbers, (cases,).

        Args:
            probability: of the rows, (n, e, e).
        """
        overlaps = np.array(
            [
                dice(outline(map_, 1.0), mask)
                for map_, mask in zip(probability, self.drawn, strict=True)
            ]
        )
        return np.array([overlaps[self.cases == case].mean() for case in np.unique(self.cases)])


@torch.inference_mode()
def first_belief(model: Model, features: Features, code: Tensor) -> np.ndarray:
    """Return the probability of each pixel, given that anything is marked, (n, e, e) float32.

    Args:
        model: of the fast kind.
        features: of n slices.
        code: of whom to draw each slice like, (n, W).
    """
    edge = features.levels[0].shape[-1]
    parts = []
    for first in range(0, len(code), _CHUNK):
        part = slice(first, first + _CHUNK)
        count = len(code[part])
        nothing = torch.zeros(count, edge, edge, device=model.device)
        with mixed_precision(model.device):
            belief = model.fast_belief(
                features.part(part), nothing, nothing.new_zeros(count), code[part]
            )
        parts.append(belief.logits.sigmoid().float())
    return torch.cat(parts).cpu().numpy()


@torch.inference_mode()
def comparators(
    model: Model, features: Features, score: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the scores of the consensus, and of each of the base's own experts by name.

    Args:
        model: of the fast kind.
        features: of n slices.
        score: of probabilities (n, e, e).
    """
    count = len(features.summary)
    total, weight = 0.0, np.zeros(count)
    scores = {}
    for row in range(model.known):
        belief = first_belief(model, features, model.codes[[row] * count])
        presence = model.presence_logit(features, row).sigmoid().cpu().numpy()
        scores[model.panel[row].name] = score(belief)
        total = total + presence[:, None, None] * belief
        weight += presence
    return score(total / np.maximum(weight, 1e-9)[:, None, None]), scores
