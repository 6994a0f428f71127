"""Slices that are learnt from in a second."""

import numpy as np
import torch
from torch import nn

from diffoseg.model.metadata import ModelMetadata
from diffoseg.space.intensity import IntensityMapping
from diffoseg.training.loop import LoopSettings
from diffoseg.training.slices import SliceSet

CPU = torch.device("cpu")


SETTINGS = LoopSettings(iterations=8, batch=4, edge=16, every=4, seed=3)


METADATA = ModelMetadata(
    title="test",
    intensity=IntensityMapping("window", -1000.0, 0.0),
    spacing_mm=0.7,
    patch=16,
    mask_distance=1.0,
)


def disks(count: int = 24) -> SliceSet:
    """Bright disks; expert A draws them, expert B draws them larger."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:20, :20]
    images, masks = [], []
    for _ in range(count):
        top, left = random.uniform(8, 12, 2)
        distance = np.hypot(rows - top, columns - left)
        images.append((distance < 3)[None] + random.normal(0, 0.1, (1, 20, 20)))
        masks.append([distance < 3, distance < 5])
    return SliceSet(
        images=np.array(images, np.float32),
        masks=np.array(masks, np.uint8),
        drawn_by=np.tile([0, 1], (count, 1)),
        patients=tuple(f"p{number}" for number in range(count)),
        experts=("A", "B"),
        positions=np.zeros(count, int),
        cases=tuple(f"c{number}" for number in range(count)),
    )


def assert_same_weights(first: nn.Module, second: nn.Module) -> None:
    for (name, one), other in zip(
        first.state_dict().items(), second.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
