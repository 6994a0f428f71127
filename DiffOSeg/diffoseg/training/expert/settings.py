"""How a new expert is taught, and how long that takes; without torch, so that Slicer can ask."""

from dataclasses import dataclass

MOST_FOLDS = 3
"""In how many parts the patients are held out at most."""


@dataclass(frozen=True)
class ExpertSettings:
    """How long and how fast a new expert is taught.

    The defaults were chosen on simulated experts of their own (Testing/Benchmarks/NOTES.md).

    Attributes:
        seed: names the whole run; the same seed gives the same expert.
        steps: optimiser steps.
        rows: drawings a step, at least 2; half as many for each fold, which is only to validate.
        learning_rate: Adam's peak rate, in standard deviations of the known experts' codes.
        pixels: how many pixels of a drawing tell as much as one independent observation;
            neighbouring pixels of a mask repeat each other.
        bias_spread: standard deviation of what is added to the logit of presence.
        every: steps between two looks at the held-out cases, each followed by a checkpoint.
    """

    seed: int = 0
    steps: int = 40
    rows: int = 16
    learning_rate: float = 0.15
    pixels: float = 30.0
    bias_spread: float = 1.0
    every: int = 5


_TILES_A_ROW = 3.0  # a row is a tile's step forward and, twice as dear, back
_TILES_A_SLICE = 5.0  # a slice is encoded once, and drawn by everyone to compare with


def expected_seconds(slices: int, seconds_per_tile: float) -> float:
    """Return about how long teaching takes, once the cases are read.

    Args:
        slices: of all cases, at most ``expert_slices.MOST_SLICES``.
        seconds_per_tile: of one step of the network, see the worker's description.
    """
    settings = ExpertSettings()
    rows = settings.steps * settings.rows * (1 + MOST_FOLDS / 2)
    return (rows * _TILES_A_ROW + slices * _TILES_A_SLICE) * seconds_per_tile
