"""Fitting a calibration: known distortions are found, few patients change nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from a_calibrated_model import a_fast_model
from a_training_set import METADATA
from scipy.optimize import minimize

from diffoseg.model.calibration import IDENTITY, Stretch
from diffoseg.training.calibrate import Witnesses, calibrated, fitted
from diffoseg.training.slices import SliceSet


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def witnesses(slope, offset, patients=40, each=200, seed=0, scatter=0.0):
    """Pixels whose logits the network has distorted, so that (slope, offset) puts them right."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), each)
    logit = random.normal(0, 2, len(patient))
    own = random.choice([-1.0, 1.0], len(patient))
    odd = random.normal(0, scatter, patients)[patient]
    marked = random.random(len(patient)) < sigmoid(slope * logit + offset + own + odd)
    return Witnesses(logit, own, marked, patient)


@pytest.mark.parametrize(("slope", "offset"), [(0.7, 0.0), (1.4, -0.4), (1.0, 0.6)])
def test_a_known_distortion_is_found(slope, offset):
    stretch, before, after = fitted(witnesses(slope, offset))
    assert abs(stretch.slope - slope) < 0.08
    assert abs(stretch.offset - offset) < 0.08
    assert after < before


def likeliest(some):
    """Return (slope, offset) of the greatest likelihood, by another route and without a prior."""
    start = [1.0, 0.0]
    return minimize(lambda v: some.loss(Stretch(*v)), start, method="Nelder-Mead", tol=1e-8).x


def test_with_plenty_of_patients_it_is_the_maximum_of_the_likelihood():
    many = witnesses(1.3, -0.5, patients=600)
    assert np.allclose(fitted(many)[0], likeliest(many), atol=3e-3)


def test_a_network_that_is_right_is_left_all_but_alone():
    stretch, before, after = fitted(witnesses(1.0, 0.0))
    assert abs(stretch.slope - 1) < 0.04
    assert abs(stretch.offset) < 0.04
    assert after <= before


@pytest.mark.parametrize("patients", [0, 1, 2, 7])
def test_of_few_patients_nothing_is_learnt(patients):
    stretch, before, after = fitted(witnesses(0.5, 1.0, patients))
    assert stretch == Stretch(1.0, 0.0)
    assert before == after


def test_pixels_that_say_the_same_count_once():
    few = witnesses(0.7, 0.3, patients=12)
    again = Witnesses(*(np.tile(part, 5) for part in vars(few).values()))
    assert np.allclose(fitted(few)[0], fitted(again)[0], atol=1e-6)


def test_patients_who_differ_among_themselves_are_trusted_less():
    alike = [witnesses(1.0, 0.5, 12, seed=n) for n in range(6)]
    unlike = [witnesses(1.0, 0.0, 12, seed=n, scatter=1.5) for n in range(6)]
    assert np.mean([abs(fitted(some)[0].offset - 0.5) for some in alike]) < 0.1
    kept = np.mean([abs(fitted(some)[0].offset) for some in unlike])
    assert kept < 0.7 * np.mean([abs(likeliest(some)[1]) for some in unlike])


def test_a_slope_is_above_nothing_even_where_the_network_is_upside_down():
    stretch, _, _ = fitted(witnesses(-2.0, 0.0, patients=200))
    assert stretch.slope > 0


# A whole network


def slices_drawn_from(model, slope, offset, presence, patients=30):
    """Slices on which both experts draw each pixel by chance, as the distorted network has it."""
    random = np.random.default_rng(1)
    images = random.normal(0, 1, (patients, 1, 20, 20)).astype(np.float32)
    network = model.fast
    masks = np.zeros((patients, 2, 20, 20), np.uint8)
    with torch.inference_mode():
        features = network.encode(torch.from_numpy(images[:, :, 2:18, 2:18].copy()))
        for expert in range(2):
            code = network.codes[[expert] * patients]
            logit = network.step(
                features, torch.zeros(patients, 16, 16), torch.zeros(patients), code
            ).logits.double()
            there = network.presence_logit(features, code).double()
            drawn = random.random(logit.shape) < sigmoid(slope * logit.numpy() + offset)
            present = random.random(patients) < sigmoid(presence * there.numpy())
            masks[:, expert, 2:18, 2:18] = drawn & present[:, None, None]
    names = tuple(f"P{n:02}" for n in range(patients))
    who = np.tile([0, 1], (patients, 1))
    return SliceSet(images, masks, who, names, ("Ann", "Bo"), np.zeros(patients, int), names)


def a_lively_model():
    """A model with logits that vary, and presences too."""
    model = a_fast_model(IDENTITY)
    model = replace(model, metadata=replace(METADATA, kind="fast", mask_distance=50.0))
    torch.manual_seed(5)
    with torch.no_grad():
        model.fast.decoder.out[2].weight.normal_(0, 0.35)
        model.fast.presence[2].weight.normal_(0, 2.0)
    return model


def test_the_first_belief_and_presence_of_a_network_are_put_right():
    model = a_lively_model()
    slices = slices_drawn_from(model, slope=0.6, offset=-0.4, presence=1.0)

    found = calibrated(model, slices, edge=16)

    slope, offset = found.calibration.of_context[0]
    assert abs(slope - 0.6) < 0.1
    assert abs(offset + 0.4) < 0.1
    assert abs(found.calibration.of_presence.slope - 1) < 0.3
    told = found.metadata.training["fast"]["calibration"]
    assert told["patients"] == 30
    assert told["context"][0][2] < told["context"][0][1]


def test_the_same_slices_give_the_same_calibration():
    model = a_lively_model()
    slices = slices_drawn_from(model, slope=0.6, offset=-0.4, presence=1.0)
    first, second = (calibrated(model, slices, edge=16) for _ in range(2))
    assert first.calibration == second.calibration
    assert first.metadata == second.metadata


def test_slices_that_nobody_marked_leave_the_pixels_as_they_are():
    model = a_lively_model()
    slices = slices_drawn_from(model, slope=1.0, offset=0.0, presence=1.0)
    empty = replace(slices, masks=np.zeros_like(slices.masks))

    found = calibrated(model, empty, edge=16)

    assert set(found.calibration.of_context) == {Stretch(1.0, 0.0)}
