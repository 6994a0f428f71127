"""The learning curve of a training, as numbers; ``curve_picture`` draws it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CurvePoint:
    """What one validation found; ``loss`` is the mean training loss since the one before."""

    iteration: int
    loss: float
    validation: dict[str, float]
