"""What the model answered for one expert, and the sink that takes it from a run: numpy alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Answer:
    """The probability that one expert, or the consensus, would include each voxel of the region.

    Attributes:
        expert: the expert's name, or "consensus".
        color: red-green-blue in 0..1, the expert's own.
        samples: how many drawings there are.
        probability: (K, J, I) float32 in 0..1 on the answered region.
        ijkToRas: (4, 4), from an index (i, j, k) of ``probability`` to mm in the volume's own
            space, its parent transform left off.
    """

    expert: str
    color: tuple[float, float, float]
    samples: int
    probability: np.ndarray
    ijkToRas: np.ndarray


class AnswerSink:
    """Takes the one answer of a run, in the sink protocol of DiffOSegLib.Logic.

    Args:
        volumeIjkToRas: (4, 4) of the whole volume, as it was when the run was asked for.
        onAnswer: called with the Answer. Not called again once the sink was abandoned.
    """

    def __init__(self, volumeIjkToRas: np.ndarray, onAnswer: Callable[[Answer], None]):
        self._volumeIjkToRas = volumeIjkToRas
        self._onAnswer: Callable[[Answer], None] | None = onAnswer
        self._regionIjkToRas = volumeIjkToRas

    def begin(self, started: dict[str, Any]) -> None:
        """Learn where in the volume the answer will lie."""
        shift = np.eye(4)
        shift[:3, 3] = started["region"]["start"]
        self._regionIjkToRas = self._volumeIjkToRas @ shift

    def addExpert(self, result: dict[str, Any], folder: Path) -> Iterator[None]:
        """Take the probabilities, before the run's folder is removed."""
        probability = np.load(Path(folder) / result["probability"])
        yield
        if self._onAnswer is not None:
            red, green, blue = (float(c) for c in result["color"])
            self._onAnswer(
                Answer(
                    expert=result["expert"],
                    color=(red, green, blue),
                    samples=int(result["samples"]),
                    probability=probability.astype(np.float32, copy=False),
                    ijkToRas=self._regionIjkToRas,
                )
            )

    def finish(self, done: dict[str, Any], folder: Path) -> Iterator[None]:
        """Nothing is left to do: one answer is all there is."""
        yield from ()

    def abandon(self) -> None:
        """Take nothing any more: nobody waits for the answer."""
        self._onAnswer = None
