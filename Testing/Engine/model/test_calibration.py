"""How a fast network's logits are corrected, and how the correction is kept with its weights."""

import json
import math
from dataclasses import replace

import pytest
import torch
from a_calibrated_model import SOME, D, a_fast_model
from a_weights_file import opened, rewrite

from diffoseg.errors import InputError, WeightsError
from diffoseg.model import stored
from diffoseg.model.calibration import IDENTITY, Calibration, Stretch
from diffoseg.model.model import load_model
from diffoseg.model.stored import content_hash, save_model
from diffoseg.networks.fast import information_of


def survival_of(information):
    """Return the share whose information it is, found by halving."""
    low, high = 0.0, 1.0 - 1e-9
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if D * middle * math.atanh(middle) < information else (low, middle)
        )
    return torch.tensor([low])


def test_the_identity_leaves_every_logit_as_it_is():
    logit = torch.linspace(-9, 9, 24).view(2, 3, 4)
    assert torch.equal(IDENTITY.context(logit, torch.tensor([0.0, 0.9]), D), logit)
    assert torch.equal(IDENTITY.presence(logit[:, 0, 0]), logit[:, 0, 0])


def test_presence_is_stretched_and_shifted():
    assert torch.allclose(SOME.presence(torch.tensor([2.0, -1.0])), torch.tensor([2.75, -1.75]))


@pytest.mark.parametrize(
    ("information", "slope", "offset"),
    [(0.0, 1.2, 0.1), (1.0, 0.8, 0.3), (math.e, 0.9, 0.15), (math.e**2, 1.0, 0.0), (400, 1, 0)],
)
def test_between_two_levels_a_correction_changes_in_proportion(information, slope, offset):
    # At no information the network itself tells no level below 1e-3 apart, whose log is -6.908.
    corrected = SOME.context(torch.full((1, 2, 2), 3.0), survival_of(information), D)
    assert torch.allclose(corrected, torch.full((1, 2, 2), 3.0 * slope + offset), atol=2e-3)


def test_each_row_of_a_batch_is_corrected_at_its_own_level():
    survival = torch.cat([survival_of(value) for value in (0.0, 1.0, 3.0)])
    logit = torch.randn(3, 4, 5)
    together = SOME.context(logit, survival, D)
    apart = [SOME.context(logit[n : n + 1], survival[n : n + 1], D) for n in range(3)]
    assert torch.equal(together, torch.cat(apart))


def test_a_single_level_corrects_all_alike():
    single = Calibration(log_information=(1.0,), of_context=(Stretch(2.0, 1.0),))
    logit = torch.randn(2, 3, 3)
    corrected = single.context(logit, torch.tensor([0.0, 0.999]), D)
    assert torch.allclose(corrected, 2 * logit + 1)


def test_the_order_of_pixels_is_never_changed():
    survival = survival_of(0.3)
    corrected = SOME.context(torch.linspace(-20, 20, 99).view(1, 9, 11), survival, D).flatten()
    assert (corrected.diff() > 0).all()
    assert math.isclose(float(information_of(survival, D)), 0.3, rel_tol=1e-3)


# In a file


@pytest.fixture
def a_file(tmp_path):
    save_model(a_fast_model(), tmp_path / "fast.safetensors")
    return tmp_path / "fast.safetensors"


def rewrite_with_fitting_hash(path, calibration):
    """As an attacker would: change the calibration and write the checksum that belongs to it."""
    _, header = opened(path)
    experts = json.loads(header["experts"])
    values = json.loads(calibration)
    header["calibration"] = calibration
    header["checksum"] = stored._checksum(header["content_hash"], experts, values)
    rewrite(path, change_header=lambda stored: stored.update(header))


def test_a_calibration_comes_back_as_it_was(a_file):
    assert load_model(a_file).calibration == SOME


def test_the_hash_of_a_model_is_that_of_what_was_trained_whatever_its_calibration():
    assert content_hash(a_fast_model()) == content_hash(a_fast_model(IDENTITY))


def test_a_file_from_before_calibration_is_read_as_it_was(tmp_path):
    path = tmp_path / "old.safetensors"
    save_model(a_fast_model(IDENTITY), path)
    _, header = opened(path)
    assert "calibration" not in header
    assert load_model(path).calibration == IDENTITY


def test_a_calibration_that_was_changed_or_taken_out_is_found(a_file):
    changed = json.dumps(replace(SOME, of_presence=Stretch(1.0, 0.0)).to_values())
    rewrite(a_file, change_header=lambda header: header.update(calibration=changed))
    with pytest.raises(WeightsError, match="changed"):
        load_model(a_file)

    rewrite(a_file, change_header=lambda header: header.pop("calibration"))
    with pytest.raises(WeightsError, match="changed"):
        load_model(a_file)


@pytest.mark.parametrize(
    "calibration",
    [
        '{"presence": [1, 0], "context": [], "reach": -3}',
        '{"presence": [1, 0], "context": [], "reach": 0.5}',
        '{"presence": [1, 0], "context": [], "reach": 1e9}',
        '{"presence": [1, 0], "context": [], "reach": null}',
        '{"presence": [1, 0], "context": []}',
        "[]",
        "3",
        '{"presence": [1, 0]}',
        '{"presence": [1, 0, 0], "context": [], "reach": 0}',
        '{"presence": ["1", 0], "context": [], "reach": 0}',
        '{"presence": [true, 0], "context": [], "reach": 0}',
        '{"presence": [0, 0], "context": [], "reach": 0}',
        '{"presence": [-1, 0], "context": [], "reach": 0}',
        '{"presence": [1e300, 0], "context": [], "reach": 0}',
        '{"presence": [1, -1e9], "context": [], "reach": 0}',
        '{"presence": [1, 1e999], "context": [], "reach": 0}',
        '{"presence": [1, 0], "context": {}, "reach": 0}',
        '{"presence": [1, 0], "context": [[0, 1]], "reach": 0}',
        '{"presence": [1, 0], "context": [[1e80, 1, 0]], "reach": 0}',
        '{"presence": [1, 0], "context": [[0, 1, 0], [0, 1, 0]], "reach": 0}',
        '{"presence": [1, 0], "context": [[1, 1, 0], [0, 1, 0]], "reach": 0}',
        '{"presence": [1, 0], "context": [[0, 0, 0]], "reach": 0}',
        '{"presence": [1, 0], "context": '
        + json.dumps([[n, 1, 0] for n in range(-40, 40)])
        + ', "reach": 0}',
        '{"presence": [1' + "0" * 400 + ', 0], "context": [], "reach": 0}',
    ],
)
def test_values_that_no_calibration_has_are_refused_even_with_a_fitting_checksum(
    a_file, calibration
):
    try:
        rewrite_with_fitting_hash(a_file, calibration)
    except ValueError:  # infinity has no JSON, so no checksum fits
        rewrite(a_file, change_header=lambda header: header.update(calibration=calibration))
    with pytest.raises(WeightsError):
        load_model(a_file)


@pytest.mark.parametrize("slope", [0.0, -1.0, math.nan, math.inf])
def test_a_calibration_that_turns_probabilities_round_cannot_be_made(slope):
    with pytest.raises(InputError):
        Calibration(Stretch(slope, 0.0))


def test_a_model_of_the_papers_kind_takes_no_calibration():
    from a_model import a_model

    with pytest.raises(InputError, match="fast"):
        replace(a_model(), calibration=SOME)
