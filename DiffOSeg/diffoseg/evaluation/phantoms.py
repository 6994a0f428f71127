"""A model measured on phantoms it has not seen, whose experts can be asked again and again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..cohorts.phantom import PhantomCohort
from ..diffusion.sampling import SamplerSettings
from ..drawing.canvas import Canvas
from ..drawing.drawn import Drawn
from ..drawing.kinds import drawing_for
from ..drawing.watch import Watch
from ..model.metadata import ModelMetadata
from ..model.model import Model
from ..space.model_grid import GridWindow, ModelGrid
from ..space.tiling import Tiling
from ..training.slices import centred_window
from .evaluate import TruthSlice

DRAWS = 32
"""Fresh drawings of each expert that a method is scored against."""

SLICES = 3
"""Slices of one phantom, evenly spread over those that may be marked."""

LEAST_PRESENCE = 0.02
"""A slice may be marked where the experts' mean presence is this or more.

The law itself chooses, never the drawings: slices chosen because somebody drew there would be drawn
on more often than any method could know.
"""

_BATCH = 64  # slices that go through the sampling chain together
_MICRO_BATCH = {"cpu": 4, "cuda": 64, "mps": 16}


@dataclass(frozen=True)
class TruthCase:
    """One held-out phantom on the model's grid, and what the experts draw on all of it.

    Attributes:
        patient: whose it is.
        images: mapped intensities of all its slices, (S, C, h, w) float32.
        draws: R whole drawings by each of E experts, (E, R, S, h, w) bool.
        experts: E names.
        chosen: the slices that are scored one by one.
        voxel_ml: volume of one voxel.
    """

    patient: str
    images: np.ndarray
    draws: np.ndarray
    experts: tuple[str, ...]
    chosen: tuple[int, ...]
    voxel_ml: float

    def slices(self) -> Iterator[TruthSlice]:
        """Yield the chosen slices alone."""
        for row in self.chosen:
            yield TruthSlice(self.patient, self.images[row], self.draws[:, :, row], self.experts)


def truth_cases(
    cohort: PhantomCohort,
    metadata: ModelMetadata,
    draws: int = DRAWS,
    chosen: Iterable[int] | None = None,
) -> Iterator[TruthCase]:
    """Yield phantoms on the model's grid, with so many drawings by each expert; default all."""
    for index in range(len(cohort)) if chosen is None else chosen:
        case = cohort[index]
        grid = ModelGrid.fit(case.volume.geometry, metadata.spacing_mm)
        window = centred_window(grid, case, metadata.patch)
        mapping = metadata.intensity.resolve(case.volume.array)
        images = mapping.apply(grid.slices(case.volume.array, window))
        truth = cohort.case_truth(index, draws)
        drawn = [
            [grid.slices(mask.astype(np.float32), window) > 0.5 for mask in masks]
            for masks in truth.values()
        ]
        yield TruthCase(
            patient=case.patient,
            images=images[:, None],
            draws=np.array(drawn),
            experts=tuple(truth),
            chosen=_chosen(cohort, index, window),
            voxel_ml=metadata.spacing_mm**2 * case.volume.geometry.spacing[2] / 1000,
        )


def truth_slices(
    cohort: PhantomCohort, metadata: ModelMetadata, draws: int = DRAWS
) -> Iterator[TruthSlice]:
    """Yield SLICES slices of every phantom, with so many drawings by each expert."""
    for case in truth_cases(cohort, metadata, draws):
        yield from case.slices()


def _chosen(cohort: PhantomCohort, index: int, window: GridWindow) -> tuple[int, ...]:
    """Return rows of a window that takes in whole slices of the phantom."""
    view = cohort.scene(index)[1]
    presence = np.mean([view.presence(style) for style in cohort.experts], 0)
    first, count = window.start[0], window.size[0]
    rows = np.flatnonzero(presence[first : first + count] >= LEAST_PRESENCE)
    places = np.linspace(0, len(rows) - 1, min(SLICES, len(rows))).round().astype(int)
    return tuple(rows[places].tolist())


class ModelPredictor:
    """A model as a method under test, on the way that the product takes: tiles, presence, chain.

    Args:
        model: on the device where it is to run.
        steps: network evaluations a mask; None takes the model's own number.
        sampler: its name; None takes the model's own.
        renewal: see ``sampling.ddim``.
    """

    def __init__(
        self,
        model: Model,
        steps: int | None = None,
        sampler: str | None = None,
        renewal: float = 0.0,
    ):
        metadata = model.metadata
        self.model = model
        settings = SamplerSettings(
            metadata.sampler if sampler is None else sampler,
            metadata.steps if steps is None else steps,
            renewal,
        )
        micro_batch = _MICRO_BATCH.get(model.device.type, 4)
        self._drawing = drawing_for(model)(model, settings, 0, _BATCH, micro_batch, Watch())
        self._seen: tuple[np.ndarray, Canvas] | None = None
        self._drawn: dict[str, Drawn] = {}

    def samples(self, image: np.ndarray, expert: str, n: int, seed: int) -> np.ndarray:
        """Return n masks of a (C, h, w) image as ``expert`` might draw them, (n, h, w) bool."""
        return self.volumes(image[None], expert, n, seed)[:, 0]

    def volumes(self, images: np.ndarray, expert: str, n: int, seed: int) -> np.ndarray:
        """Return n drawings of the slices (S, C, h, w) of one case, (n, S, h, w) bool."""
        self._drawing.seed = seed
        drawn = self._drawing.draw(self._canvas(images), expert, n)
        self._drawn[expert] = drawn
        return drawn.samples > 0.5

    def answered(self, expert: str) -> Drawn:
        """Return all that was answered when ``expert`` was last asked."""
        return self._drawn[expert]

    def probability(self, image: np.ndarray, expert: str) -> np.ndarray:
        """Return the probability map of the image that was just drawn on, (h, w), 0..1."""
        drawn = self._drawn[expert]
        maps = drawn.samples.mean(0) if drawn.probability is None else drawn.probability
        return maps[0]

    def presence(self, image: np.ndarray, expert: str) -> float | None:
        """Return the stated probability that anything is marked on the image just drawn on."""
        return self._drawn[expert].presence

    def _canvas(self, images: np.ndarray) -> Canvas:
        if self._seen is None or not np.array_equal(self._seen[0], images):
            kept = images.copy()  # the caller may go on with the same memory
            self._seen = (kept, _canvas_of(kept, self.model))
        return self._seen[1]


def _canvas_of(images: np.ndarray, model: Model) -> Canvas:
    """Return a canvas of slices that are on the model's grid and mapped already."""
    count, _, height, width = images.shape
    window = GridWindow((0, 0, 0), (count, height, width))
    tiling = Tiling.cover((height, width), model.metadata.patch)
    return Canvas(
        window=window,
        answer=window,
        images=torch.from_numpy(images).to(model.device),
        mapping=model.metadata.intensity,
        clipped=0.0,
        broken=0.0,
        flat=False,
        tiling=tiling,
        active=torch.ones(count, len(tiling.corners), dtype=torch.bool),
    )
