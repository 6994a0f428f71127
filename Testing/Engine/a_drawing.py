"""A canvas, and the fast kind's drawing on it."""

import torch
from a_fast_model import a_fast_model, with_presence
from a_model import a_volume

from diffoseg.diffusion.sampling import SamplerSettings
from diffoseg.drawing.canvas import Canvas
from diffoseg.drawing.fast import FastDrawing
from diffoseg.drawing.watch import Watch
from diffoseg.space.model_grid import ModelGrid

LEVEL_SET = SamplerSettings("level-set", 1)


def a_canvas(size=(40, 36, 2)) -> Canvas:
    """A whole volume; the network sees 32 pixels, so that these are four tiles a slice."""
    volume, metadata = a_volume(size), a_fast_model().metadata
    grid = ModelGrid.fit(volume.geometry, metadata.spacing_mm)
    return Canvas.of(volume, grid, grid.window_of(None), metadata, torch.device("cpu"))


def drawing(settings=LEVEL_SET, model=None, presence=None, watch=None) -> FastDrawing:
    return FastDrawing(model or a_fast_model(), settings, 0, 16, 8, watch or Watch(), presence)


def an_analytic_model():
    """Its belief about the other pixels does not depend on the noisy mask: Bayes is exact."""
    model = with_presence(0.5)
    torch.nn.init.zeros_(model.fast.decoder.first.weight)
    torch.nn.init.zeros_(model.fast.decoder.first.bias)
    return model
