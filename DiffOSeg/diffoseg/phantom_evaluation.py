"""A model measured on phantoms it has not seen, whose experts can be asked again and again."""

from collections.abc import Iterator

import numpy as np
import torch

from .cohorts.phantom import PhantomCohort
from .evaluation import TruthSlice
from .experts import CONSENSUS
from .geometry import ModelGrid
from .metadata import ModelMetadata
from .model import Model
from .sampling import SamplerSettings, chain, plan
from .training.slices import centred_window

DRAWS = 16
"""Fresh drawings of each expert that a method is scored against."""

SLICES = 3
"""Slices of one phantom, evenly spread over those that anyone marks."""


def truth_slices(cohort: PhantomCohort, metadata: ModelMetadata) -> Iterator[TruthSlice]:
    """Yield slices of every phantom on the model's grid, with DRAWS drawings by each expert."""
    for index, case in enumerate(cohort):
        grid = ModelGrid.fit(case.volume.geometry, metadata.spacing_mm)
        window = centred_window(grid, case, metadata.patch)
        mapping = metadata.intensity.resolve(case.volume.array)
        images = mapping.apply(grid.slices(case.volume.array, window))
        truth = cohort.case_truth(index, DRAWS)
        draws = np.array(
            [
                [grid.slices(mask.astype(np.float32), window) > 0.5 for mask in masks]
                for masks in truth.values()
            ]
        )  # (E, R, S, h, w)
        marked = np.flatnonzero(draws.any(axis=(0, 1, 3, 4)))
        chosen = np.linspace(0, len(marked) - 1, min(SLICES, len(marked))).round().astype(int)
        for row in marked[chosen]:
            yield TruthSlice(case.patient, images[row][None], draws[:, :, row], tuple(truth))


class ModelPredictor:
    """A model as a method under test: masks from its own sampler, probability as their mean.

    Args:
        model: on the device where it is to run.
        steps: network evaluations a mask; None takes the model's own number.
    """

    def __init__(self, model: Model, steps: int | None = None):
        metadata = model.metadata
        settings = SamplerSettings(metadata.sampler, metadata.steps if steps is None else steps)
        self.model = model
        self.times, self.kernel = plan(settings, model.schedule, metadata.mask_distance)
        self._means: dict[str, np.ndarray] = {}

    @torch.inference_mode()
    def samples(self, image: np.ndarray, expert: str, n: int, seed: int) -> np.ndarray:
        """Return n masks of a (C, h, w) image as ``expert`` might draw them, (n, h, w) bool."""
        device = self.model.device
        images = torch.from_numpy(image).to(device).expand(n, -1, -1, -1)
        row = None if expert == CONSENSUS else self.model.panel.index_of(expert)
        asked = None if row is None else torch.full((n,), row, device=device)
        random = torch.Generator().manual_seed(seed)
        size = image.shape[1:]
        for state in chain(  # noqa: B007
            lambda x_t, t: self.model.predict_x0(
                x_t, torch.full((n,), t, device=device), images, asked
            ),
            (n, len(self.model.metadata.classes), size[0], size[1]),
            self.model.schedule,
            self.times,
            self.kernel,
            lambda _: torch.rand(n, *size, generator=random).to(device),
        ):
            pass
        self._means[expert] = state.x0_probs[:, 1:].sum(1).mean(0).cpu().numpy()
        return (state.x > 0).cpu().numpy()

    def probability(self, image: np.ndarray, expert: str) -> np.ndarray:
        """Return the mean belief over the samples just drawn of this image, (h, w), 0..1."""
        return self._means[expert]
