"""What the worker sends and writes for a run, without a worker: balls that experts differ about."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from diffoseg.experts.panel import CONSENSUS, ExpertPanel
from diffoseg.model.cards import ModelCard
from diffoseg.model.metadata import ModelMetadata
from diffoseg.space.intensity import IntensityMapping

EXPERTS = ("Dr. Müller", "日本 先生")
NOTICE = "For testing only."


def aCard(*experts: str) -> ModelCard:
    """Return the card of a model that answers the consensus and these experts."""
    mapping = IntensityMapping("window", -1000.0, 400.0, -1.0, 1.0)
    return ModelCard(
        name="phantom",
        path=Path("phantom.safetensors"),
        title="Phantom nodules",
        notice=NOTICE,
        panel=ExpertPanel.of(*(experts or EXPERTS)),
        has_consensus=True,
        metadata=ModelMetadata(
            title="Phantom nodules", intensity=mapping, spacing_mm=0.7, patch=64, mask_distance=1.0
        ),
        hash="4f1c" * 16,
    )


class FinishedRun:
    """A run's messages and files.

    Attributes:
        folder: where the files are.
        start, size: of the region, (i, j, k).
        probability: by the expert's name, (K, J, I) float32 on the region.
        asked: of the request, preset and presence.
    """

    def __init__(
        self,
        folder: Path,
        start: tuple[int, int, int] = (8, 10, 3),
        size: tuple[int, int, int] = (24, 20, 7),
        card: ModelCard | None = None,
        probability: Mapping[str, np.ndarray] | None = None,
        **asked: Any,
    ):
        self.folder, self.start, self.size, self.card = folder, start, size, card or aCard()
        self.asked = asked
        self.probability = dict(probability or self._balls())
        experts = [p for name, p in self.probability.items() if name != CONSENSUS]
        self.disagreement = np.std(experts, axis=0).astype(np.float32)
        np.save(folder / "disagreement.npy", self.disagreement)
        for name, probability in self.probability.items():
            np.save(folder / self.fileOf(name), probability)

    def _balls(self) -> dict[str, np.ndarray]:
        k, j, i = (np.arange(n) - (n - 1) / 2 for n in self.size[::-1])
        distance = np.sqrt((3 * k[:, None, None]) ** 2 + (j[:, None]) ** 2 + i**2)
        radii = np.linspace(5.0, 8.0, len(self.card.answers))
        return {
            name: (1 / (1 + np.exp(distance - radius))).astype(np.float32)
            for name, radius in zip(self.card.answers, radii, strict=True)
        }

    def fileOf(self, name: str) -> str:
        return f"probability_{self.card.panel.slugs()[name]}.npy"

    def maskOf(self, name: str, volumeNode: "slicer.vtkMRMLScalarVolumeNode") -> np.ndarray:
        """Return the truth on the volume's whole grid."""
        whole = np.zeros(volumeNode.GetImageData().GetDimensions()[::-1], bool)
        k, j, i = (slice(a, a + n) for a, n in zip(self.start[::-1], self.size[::-1], strict=True))
        whole[k, j, i] = self.probability[name] > 0.5
        return whole

    @property
    def request(self) -> Any:
        from DiffOSegLib.scene.RunRequest import RunRequest

        asked = tuple(self.probability), 8, None, 7, "auto"
        return RunRequest("", None, "", *asked, **self.asked)

    @property
    def started(self) -> dict[str, Any]:
        return {
            "event": "started",
            "region": {"start": list(self.start), "size": list(self.size)},
            "warnings": ["The slices are thick."],
            "experts": list(self.probability),
            "device": "cpu",
        }

    def result(self, name: str) -> dict[str, Any]:
        return {
            "event": "result",
            "expert": name,
            "slug": self.card.panel.slugs()[name],
            "color": list(self.card.panel.color_of(name)),
            "samples": 8,
            "presence": 0.9375,
            "level": 0.5,
            "volume_ml": 1.0,
            "interval": {"low": 0.9, "high": 1.1, "label": "range of 8 samples"},
            "probability": self.fileOf(name),
            "drawings": "samples.npy",
        }

    def row(self, name: str, **changed: Any) -> dict[str, Any]:
        row = {
            "name": name,
            "volume_ml": 1.23456,
            "interval": {"low": 1.1, "high": 1.4, "label": "range of 8 samples"},
            "difference_ml": -0.05,
            "difference_percent": -3.9,
            "diameter_mm": 14.25,
            "mean_intensity": -21.5,
            "presence": 0.9375,
            "dice": 0.91234,
            "surface_mm": 0.456,
            "surface_95_mm": 1.2,
        }
        return row | changed

    @property
    def done(self) -> dict[str, Any]:
        alone = dict.fromkeys(
            ("difference_ml", "difference_percent", "dice", "surface_mm", "surface_95_mm")
        )
        return {
            "event": "done",
            "stopped": False,
            "sentence": "Done.",
            "rows": [
                self.row(name, **(alone if name == CONSENSUS else {})) for name in self.probability
            ],
            "disagreement": "disagreement.npy",
            "provenance": {
                "code_version": "0.1.0",
                "weights_title": "Phantom nodules",
                "sampler": "ddim",
                "steps": 16,
                "samples": 8,
                "seed": 7,
                "device": "cpu",
                "region_lps_mm": [-1.5, 2.0, 3.0, 4.0, 5.0, 6.0],
                "notice": NOTICE,
            },
            "timings": {"sample_s": 1.0},
            "warnings": ["The slices are thick.", "Distances were left out."],
        }

    def steps(self, sink: Any) -> Iterator[None]:
        """Give everything to a sink, step by step."""
        sink.begin(self.request, self.started)
        for name in self.probability:
            yield from sink.addExpert(self.result(name), self.folder)
        yield from sink.finish(self.done, self.folder)

    def into(self, sink: Any) -> Any:
        """Give everything to a sink and return it."""
        for _ in self.steps(sink):
            pass
        return sink
