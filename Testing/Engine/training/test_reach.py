"""The reach of a border is found again in masks that were drawn with a known one."""

import numpy as np
import torch

from diffoseg.diffusion.noise import NoiseField
from diffoseg.training.reach import fitted_reach

SIDE = 32


def blurred_disks(count):
    """Beliefs of disks whose borders lie within a few pixels, (count, 32, 32) float32."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    inside = random.uniform(5, 9, (count, 1, 1)) - np.hypot(rows, columns)
    return (1 / (1 + np.exp(-inside / random.uniform(2, 4, (count, 1, 1))))).astype(np.float32)


def drawn(beliefs, reach):
    field = NoiseField(5, "someone", (0, 0), (SIDE, SIDE))
    rows = [(number, 0) for number in range(len(beliefs))]
    uniform = field.smooth(rows, 1, reach) if reach else field.draw(rows, 1)
    return (uniform < torch.from_numpy(beliefs)).numpy()


def test_the_reach_that_masks_were_drawn_with_is_found():
    beliefs = blurred_disks(64)
    found, scores = fitted_reach(beliefs, drawn(beliefs, 16.0), np.arange(64) // 4)
    assert found in (11.0, 16.0)
    assert min(scores, key=scores.get) == f"{found:g}"


def test_pixels_that_are_drawn_each_by_itself_have_none():
    beliefs = blurred_disks(32)
    assert fitted_reach(beliefs, drawn(beliefs, 0.0), np.arange(32) // 4)[0] == 0


def test_of_few_patients_no_reach_is_learnt():
    beliefs = blurred_disks(8)
    assert fitted_reach(beliefs, drawn(beliefs, 8.0), np.arange(8) % 7) == (0.0, {})
