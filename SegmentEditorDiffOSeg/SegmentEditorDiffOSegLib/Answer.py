"""What the model answered for one expert, and the sink that takes it from a run, without qt."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DiffOSegLib.scene.RunRequest import RunRequest


@dataclass(frozen=True)
class Answer:
    """The probability that one expert, or the consensus, would include each voxel of the region.

    Attributes:
        expert: the expert's name, or "consensus".
        color: red-green-blue in 0..1, the expert's own.
        samples: how many drawings there are.
        probability: (K, J, I) float32 in 0..1 on the answered region.
        level: of the probability that the model's own outline is cut at, in 0..1.
        ijkToRas: (4, 4), from an index (i, j, k) of ``probability`` to mm in the volume's own
            space, its parent transform left off.
        cut: for each of (i, j, k), whether the volume goes on before and behind the region.
        preset: that it was drawn with; None where a number of steps stood in its place.
        presence: that was given; None where the model predicted it.
    """

    expert: str
    color: tuple[float, float, float]
    samples: int
    probability: np.ndarray
    level: float
    ijkToRas: np.ndarray
    cut: tuple[tuple[bool, bool], ...] = ((True, True),) * 3
    preset: str | None = None
    presence: float | None = None

    def reachesEdge(self, threshold: float) -> bool:
        """Return whether what is drawn would go on beyond the region, as far as one can tell."""
        faces = [
            self.probability.take(index, axis)
            for axis, ends in zip((2, 1, 0), self.cut, strict=True)
            for index, cut in zip((0, -1), ends, strict=True)
            if cut
        ]
        return any((face > np.float32(threshold)).any() for face in faces)


class AnswerSink:
    """Takes the one answer of a run, in the sink protocol of DiffOSegLib.run.Logic.

    Args:
        volumeIjkToRas: (4, 4) of the whole volume, as it was when the run was asked for.
        volumeSize: its voxels along (i, j, k).
        onAnswer: called with the Answer. Not called again once the sink was abandoned.
    """

    def __init__(
        self,
        volumeIjkToRas: np.ndarray,
        volumeSize: Sequence[int],
        onAnswer: Callable[[Answer], None],
    ):
        self._volumeIjkToRas, self._volumeSize = volumeIjkToRas, tuple(volumeSize)
        self._onAnswer: Callable[[Answer], None] | None = onAnswer
        self._regionIjkToRas = volumeIjkToRas
        self._cut: tuple[tuple[bool, bool], ...] = ()
        self._preset: str | None = None
        self._presence: float | None = None

    def begin(self, request: RunRequest, started: dict[str, Any]) -> None:
        """Learn what was asked, and where in the volume the answer will lie."""
        self._preset, self._presence = request.presetUsed, request.presence
        start, size = started["region"]["start"], started["region"]["size"]
        shift = np.eye(4)
        shift[:3, 3] = start
        self._regionIjkToRas = self._volumeIjkToRas @ shift
        ends = zip(start, size, self._volumeSize, strict=True)
        self._cut = tuple((first > 0, first + n < whole) for first, n, whole in ends)

    def addOutline(self, outline: dict[str, Any], folder: Path) -> Iterator[None]:
        """Take the probabilities before there are drawings: the preview needs no more."""
        return self.addExpert(outline, folder)

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
                    level=float(result["level"]),
                    ijkToRas=self._regionIjkToRas,
                    cut=self._cut,
                    preset=self._preset,
                    presence=self._presence,
                )
            )

    def finish(self, done: dict[str, Any], folder: Path) -> Iterator[None]:
        """Nothing is left to do: one answer is all there is."""
        yield from ()

    def abandon(self) -> None:
        """Take nothing any more: nobody waits for the answer."""
        self._onAnswer = None
