"""A law of masks that can be written out whole, so that its exact denoiser is known.

Four readers of one lesion with a solid core and a one-sided halo: each has a size bias, a chance
to include the halo and a chance to see nothing. Every mask is one of the law's equally likely
outcomes, and the belief about x_0 given x_t is Bayes' rule over them: two matrix products.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from diffoseg.diffusion import CategoricalSchedule

SIZE = 32
PER_READER = 64


@dataclass(frozen=True)
class MaskLaw:
    """Equally likely masks, flattened, float32 (M, N) of 0 and 1."""

    masks: Tensor

    @classmethod
    def of_four_readers(cls, seed: int) -> "MaskLaw":
        g = torch.Generator().manual_seed(seed)
        place = torch.arange(SIZE) - (SIZE - 1) / 2
        center = torch.randn(2, generator=g)
        y, x = torch.meshgrid(place - center[0], place - center[1], indexing="ij")
        angle, radius = torch.atan2(y, x), torch.hypot(x, y)
        halo = 1 + 0.6 * torch.sigmoid(3 * torch.cos(angle - 0.7))
        readers = [(-0.12, 0.1, 0.05), (0.0, 0.5, 0.1), (0.1, 0.9, 0.2), (0.05, 0.3, 0.4)]
        masks = []
        for bias, includes_halo, misses in readers:
            for _ in range(PER_READER):
                edge = 7 * (1 + bias + 0.04 * torch.randn(1, generator=g))
                for wave in (2, 3, 4, 5):
                    a, b = 0.05 * torch.randn(2, generator=g)
                    edge = edge * (1 + a * torch.cos(wave * angle) + b * torch.sin(wave * angle))
                with_halo, seen = torch.rand(2, generator=g) < torch.tensor(
                    [includes_halo, 1 - misses]
                )
                outline = edge * halo if with_halo else edge
                masks.append((radius < outline) & seen)
        return cls(torch.stack(masks).flatten(1).float())

    @property
    def mask_distance(self) -> float:
        """Mean number of pixels in which two different masks differ."""
        area = self.masks.sum(1)
        differing = area[:, None] + area[None] - 2 * self.masks @ self.masks.T
        return float(differing[differing > 0].mean())

    @property
    def empty_share(self) -> float:
        return float((self.masks.sum(1) == 0).float().mean())

    def denoiser(self, schedule: CategoricalSchedule):
        """Return the exact E[x_0 | x_t] of this law, as ``sampling.chain`` takes it."""
        area, pixels = self.masks.sum(1), self.masks.shape[1]

        def belief(x_t: Tensor, t: int) -> Tensor:
            level = float(schedule.level(t))
            flat = x_t.flatten(1).float()
            agreeing = pixels - flat.sum(1, keepdim=True) - area + 2 * flat @ self.masks.T
            weight = (agreeing.double() * log((1 + level) / (1 - level))).softmax(1).float()
            foreground = (weight @ self.masks).view(x_t.shape)
            return torch.stack([1 - foreground, foreground], 1)

        return belief

    def excess_energy_distance(self, samples: Tensor) -> float:
        """Return GED_U of samples (B, N) to this law, with d = 1 - IoU and IoU(empty, empty) = 1.

        The law's own term is exact, the samples' is over distinct pairs: 0 on average for samples
        of the law itself.
        """
        n = len(samples)
        between = _iou_distance(samples, self.masks).mean()
        within = _iou_distance(samples, samples).sum() / (n * (n - 1))
        return float(2 * between - within - _iou_distance(self.masks, self.masks).mean())


def _iou_distance(a: Tensor, b: Tensor) -> Tensor:
    common = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None] - common
    return torch.where(union > 0, 1 - common / union.clamp(min=1), torch.zeros(()))
