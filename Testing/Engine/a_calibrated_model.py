"""A model of the fast kind that a known calibration corrects."""

import torch

from diffoseg.diffusion import CategoricalSchedule
from diffoseg.experts.panel import ExpertPanel
from diffoseg.model.calibration import Calibration, Stretch
from diffoseg.model.metadata import ModelMetadata
from diffoseg.model.model import Model
from diffoseg.networks.fast import FastConfig, FastNetwork
from diffoseg.space.intensity import IntensityMapping

D = 50


SOME = Calibration(
    Stretch(1.5, -0.25),
    (-6.9, 0.0, 2.0),
    (Stretch(1.2, 0.1), Stretch(0.8, 0.3), Stretch(1.0, 0.0)),
    7.5,
)


def a_fast_model(calibration=SOME):
    torch.manual_seed(0)
    return Model(
        None,
        None,
        CategoricalSchedule.cosine(40, "exact"),
        ExpertPanel.of("Ann", "Bo"),
        ModelMetadata(
            title="Test",
            kind="fast",
            intensity=IntensityMapping("window", -1000, 400),
            spacing_mm=0.7,
            patch=16,
            mask_distance=D,
        ),
        FastNetwork(FastConfig(1, D, 2, encoder_widths=(8, 8), decoder_widths=(8, 8))),
        calibration,
    )
