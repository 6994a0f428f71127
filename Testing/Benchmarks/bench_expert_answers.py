"""What a fast network says of the test phantoms: each expert's probability map, before any sample.

Presence times the first belief, both calibrated, as in the product. The slices are encoded once for
all experts that share a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from bench_expert_cohort import Phantom, packed
from bench_expert_outlines import above_half, best_outlines
from torch import Tensor

from diffoseg.drawing.fast_look import probability
from diffoseg.model.model import Model
from diffoseg.networks.fast import Features

_TOGETHER = 24  # slices a network call


@dataclass(frozen=True)
class Answer:
    """What is said of N phantoms.

    Attributes:
        maps: probability that each pixel is marked, (N, S, h, w) float32.
        there: probability that anything is marked in each phantom, (N,).
    """

    maps: np.ndarray
    there: np.ndarray

    def outlines(self) -> dict[str, np.ndarray]:
        """Return the masks "best" and "half" as bits, (N, bytes)."""
        best = best_outlines(self.maps, self.there)
        return {"best": packed(best), "half": packed(above_half(self.maps))}


class Answers:
    """A network that has looked at every slice of some phantoms.

    Args:
        model: whose fast network looks.
        phantoms: N of equally many slices.
    """

    def __init__(self, model: Model, phantoms: Sequence[Phantom]):
        assert model.fast is not None
        images = torch.from_numpy(np.concatenate([phantom.images for phantom in phantoms]))
        self._shape = (len(phantoms), len(phantoms[0].images), *images.shape[2:])
        with torch.inference_mode():
            parts = images.to(model.device).split(_TOGETHER)
            self._features = Features.joined([model.fast.encode(part) for part in parts])

    @torch.inference_mode()
    def of(self, model: Model, row: int) -> Answer:
        """Return what one expert answers.

        Args:
            model: with the network that has looked, whoever its experts are.
            row: of the expert in the model's panel.
        """
        presence = model.presence_logit(self._features, row).sigmoid()
        places = torch.arange(len(presence), device=model.device).split(_TOGETHER)
        beliefs = torch.cat([self._belief(model, row, part) for part in places])
        maps = (presence[:, None, None] * beliefs).cpu().numpy().reshape(self._shape)
        there = presence.cpu().numpy().reshape(self._shape[:2]).max(1)  # one chance for all slices
        return Answer(maps, there)

    def consensus(self, model: Model) -> Answer:
        """Return what the mixture of the model's base experts answers."""
        every = [self.of(model, row) for row in range(model.known)]
        maps, there = ([getattr(one, name) for one in every] for name in ("maps", "there"))
        return Answer(np.mean(maps, axis=0), np.mean(there, axis=0))

    def _belief(self, model: Model, row: int, part: Tensor) -> Tensor:
        features = self._features.rows(part)
        nothing = torch.zeros(len(part), *self._shape[2:], device=model.device)
        return probability(model, features, nothing, 0.0, model.codes[[row] * len(part)])
