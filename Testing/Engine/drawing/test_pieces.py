"""Masks drawn in pieces: they keep to the probability that was stated, from one step on."""

from dataclasses import replace

import numpy as np
import pytest
from a_drawing import a_canvas, an_analytic_model, drawing
from a_model import a_volume

import diffoseg
from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.diffusion.sampling import SamplerSettings
from diffoseg.evaluation.phantoms import ModelPredictor, truth_slices
from diffoseg.model.calibration import IDENTITY

IN_PIECES = replace(IDENTITY, reach=8.0)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_mean_of_masks_in_pieces_is_the_probability_where_bayes_is_exact(steps):
    model = replace(an_analytic_model(), calibration=IN_PIECES)
    settings = SamplerSettings("ddim", steps)
    drawn = drawing(settings, model).draw(a_canvas((30, 30, 1)), "Bob", 200)

    error = (drawn.samples > 0.5).mean(0) - drawn.probability
    assert np.abs(error).max() < 5 * 0.5 / 200**0.5
    assert abs(error.mean()) < 0.05


def test_a_border_in_pieces_is_smoother_than_one_of_single_pixels():
    settings, canvas = SamplerSettings("ddim", 3), a_canvas((30, 30, 1))
    edges = []
    for calibration in (IDENTITY, IN_PIECES):
        model = replace(an_analytic_model(), calibration=calibration)
        masks = drawing(settings, model).draw(canvas, "Bob", 20).samples > 0.5
        edges.append((masks[..., 1:] != masks[..., :-1]).mean())
    assert edges[1] < 0.7 * edges[0]


def test_masks_in_pieces_are_the_same_bytes_whatever_the_batch():
    model = replace(an_analytic_model(), calibration=IN_PIECES)
    volume = a_volume((30, 30, 3))
    first, second = (
        diffoseg.Segmenter(model, batch_size=size).segment(volume, samples=3, steps=3, seed=1)
        for size in (1, 16)
    )
    for name in first.results:
        assert np.array_equal(first.results[name].samples, second.results[name].samples)


@pytest.mark.slow
def test_samples_of_the_phantom_weights_keep_to_the_probability_they_state():
    model = diffoseg.load_model("diffoseg-phantom")
    if model.fast is None or not model.calibration.reach:
        pytest.skip("These weights draw each pixel by itself.")
    predictor = ModelPredictor(model)
    drift, size = [], []
    for case in truth_slices(
        PhantomCohort(seed=71, cases=4, kind=CROSSING), model.metadata, draws=2
    ):
        for expert in model.experts:
            masks = predictor.samples(case.image, expert, 48, seed=0)
            stated = predictor.probability(case.image, expert)
            noise = masks.mean(0) * (1 - masks.mean(0)) / 47
            band = (stated > 0.05) & (stated < 0.95)
            drift.append(((masks.mean(0) - stated) ** 2 - noise)[band].mean() if band.any() else 0)
            size.append(masks.sum((1, 2)).mean() / max(1.0, stated.sum()))
    assert np.mean(drift) < 0.07**2
    assert abs(np.mean(size) - 1) < 0.15
