"""A tiny random model, a stand-in whose answer is known, and a volume for both."""

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from a_tiny_network import TINY

from diffoseg.diffusion import CategoricalSchedule
from diffoseg.experts.panel import ExpertPanel
from diffoseg.model.metadata import ModelMetadata
from diffoseg.model.model import Model
from diffoseg.networks.unet import UNet, widen
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.intensity import IntensityMapping
from diffoseg.space.volume import Volume

PATCH = 32
REGION = Box((6, 6, 3), (22, 22, 9))
EVERYONE = ("consensus", "Ann", "Bob")


@cache
def a_model() -> Model:
    """A network with random weights, answers that vary, and a short chain."""
    torch.manual_seed(0)
    consensus = UNet(replace(TINY, prompt_size=(16, 16)))
    for values in consensus.parameters():
        values.data += 0.1 * torch.randn_like(values)
    personal = widen(consensus, 2)
    for values in personal.parameters():
        values.data += 0.1 * torch.randn_like(values)
    metadata = ModelMetadata(
        title="random",
        intensity=IntensityMapping("window", -1000.0, 200.0),
        spacing_mm=0.7,
        patch=PATCH,
        steps=4,
        mask_distance=80.0,
    )
    schedule = CategoricalSchedule.cosine(50, "exact")
    return Model(consensus, personal, schedule, ExpertPanel.of("Ann", "Bob"), metadata)


class BrightPixels(Model):
    """A stand-in with a known answer: each pixel's probability is its mapped intensity."""

    def predict_x0(self, x_t, t, image, expert=None):
        foreground = (image[:, 0] + 1) / 2
        return torch.stack([1 - foreground, foreground], 1)


def a_pixelwise_model() -> Model:
    return BrightPixels(**{name: getattr(a_model(), name) for name in a_model().__match_args__})


def a_volume(size=(40, 36, 8), spacing=(0.7, 0.7, 2.0)) -> Volume:
    random = np.random.default_rng(1)
    k, j, i = np.mgrid[: size[2], : size[1], : size[0]]
    middle = [(n - 1) / 2 for n in size]
    distance = np.sqrt(
        ((i - middle[0]) * spacing[0]) ** 2
        + ((j - middle[1]) * spacing[1]) ** 2
        + ((k - middle[2]) * spacing[2]) ** 2
    )
    hu = np.where(distance < 5, 0, -850) + random.normal(0, 20, distance.shape)
    geometry = Geometry(size, spacing, (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return Volume(hu.astype(np.float32), geometry, "CT")
