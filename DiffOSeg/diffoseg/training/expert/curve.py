"""How a new expert is learnt, look by look, as numbers; ``picture`` draws it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExpertPoint:
    """What one look at the held-out cases found.

    Attributes:
        step: after how many optimiser steps; the first is at 0, the mean of all experts.
        loss: mean cross-entropy per pixel of the drawings learnt from since the look before.
        held_out: cross-entropy per pixel of what was drawn on held-out cases.
        dice: mean over held-out cases of Dice with what this expert drew; see
            ``expert_validation``. NaN, like those that follow, where no case can be held out.
        consensus: the same of the base's consensus.
        best: the same of the base's expert who comes nearest.
        best_name: who that is; "" where there is none.
    """

    step: int
    loss: float
    held_out: float
    dice: float
    consensus: float
    best: float
    best_name: str
