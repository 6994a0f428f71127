"""Noise: uniform, repeatable, and a function of the place in the model grid alone."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from diffoseg.diffusion.noise import NoiseField
from diffoseg.errors import InputError


def a_field(**changes):
    settings = {"seed": 0, "expert": "Expert 1", "start": (0, 0), "size": (64, 64)}
    return NoiseField(**{**settings, **changes})


@pytest.mark.parametrize("coherence", [0.0, 0.4, 1.0])
def test_noise_is_uniform_at_any_coherence(coherence):
    u = a_field(size=(320, 320), coherence=coherence).draw([(0, 0), (1, 5)], 3)
    assert u.dtype == torch.float32
    assert u.shape == (2, 320, 320)
    assert float(u.min()) >= 0
    assert float(u.max()) < 1
    for one in u:
        assert kstest(one.flatten().numpy(), "uniform").pvalue > 1e-3


def test_two_neighbouring_pixels_are_independent():
    z = norm.ppf(a_field(size=(256, 256)).draw([(0, 0)], 0)[0].double().numpy() + 2**-26)
    error = 4 / 256
    assert abs(np.mean(z[1:] * z[:-1])) < error
    assert abs(np.mean(z[:, 1:] * z[:, :-1])) < error


@pytest.mark.parametrize("coherence", [0.0, 0.5, 1.0])
def test_another_seed_expert_sample_or_draw_is_independent_noise(coherence):
    base = {"coherence": coherence, "size": (128, 128)}
    fields = [
        a_field(**base).draw([(0, 0)], 0),
        a_field(**base, seed=1).draw([(0, 0)], 0),
        a_field(**base, expert="Expert 2").draw([(0, 0)], 0),
        a_field(**base).draw([(1, 0)], 0),
        a_field(**base).draw([(0, 0)], 1),
        a_field(**{**base, "start": (128, 0)}).draw([(0, 0)], 0),
        a_field(**{**base, "start": (0, -128)}).draw([(0, 0)], 0),
    ]
    correlation = np.corrcoef(torch.stack(fields).flatten(1).numpy())
    assert np.abs(correlation - np.eye(len(fields))).max() < 5 / 128


@pytest.mark.parametrize("coherence", [0.0, 0.25, 0.8, 1.0])
def test_two_slices_of_a_sample_correlate_as_asked(coherence):
    u = a_field(size=(256, 256), coherence=coherence).draw([(0, 0), (0, 1), (0, -7)], 2)
    z = norm.ppf(u.double().numpy() + 2**-25).reshape(3, -1)
    correlation = np.corrcoef(z)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(correlation, coherence, atol=4 / 256)


@pytest.mark.parametrize("coherence", [0.3, 1.0])
@pytest.mark.parametrize(("start", "size"), [((-70, 3), (9, 200)), ((63, 64), (2, 64))])
def test_a_window_sees_what_the_whole_grid_has_there(start, size, coherence):
    whole = a_field(start=(-128, -64), size=(320, 320), coherence=coherence).draw([(2, 4)], 1)
    row, column = start[0] + 128, start[1] + 64
    expected = whole[:, row : row + size[0], column : column + size[1]]
    assert torch.equal(
        a_field(start=start, size=size, coherence=coherence).draw([(2, 4)], 1), expected
    )


@pytest.mark.parametrize("coherence", [0.0, 0.3, 1.0])
def test_neither_batch_nor_order_changes_anybodys_noise(coherence):
    field = a_field(coherence=coherence)
    rows = [(0, 0), (0, 1), (3, 1), (1, 0)]
    together = field.draw(rows, 5)
    for place in (2, 0, 3, 1):
        assert torch.equal(field.draw([rows[place]], 5)[0], together[place])


def test_another_python_process_draws_the_same_bytes():
    script = (
        "import hashlib; from diffoseg.diffusion.noise import NoiseField;"
        "u = NoiseField(7, 'Dr. Ωmega', (-3, 5), (40, 70), 0.6).draw([(0, 2), (1, -1)], 4);"
        "print(hashlib.sha256(u.numpy().tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    here = NoiseField(7, "Dr. Ωmega", (-3, 5), (40, 70), 0.6).draw([(0, 2), (1, -1)], 4)
    assert other.stdout.decode().strip() == hashlib.sha256(here.numpy().tobytes()).hexdigest()


def test_the_numbers_of_one_seed_never_change():
    u = a_field().draw([(0, 0)], 0)[0, 0, :4]
    assert (u * 2**24).long().tolist() == [11696077, 6415006, 3026792, 11109519]


@pytest.mark.parametrize("coherence", [-0.1, 1.5, float("nan")])
def test_an_impossible_coherence_is_refused(coherence):
    with pytest.raises(InputError):
        a_field(coherence=coherence)


# Alike in neighbours


@pytest.mark.parametrize("reach", [3.0, 8.5])
def test_smooth_noise_is_uniform_in_every_pixel(reach):
    u = a_field(size=(12, 12), start=(-3, 5)).smooth([(n, 0) for n in range(3000)], 1, reach)
    assert float(u.min()) >= 0
    assert float(u.max()) < 1
    for row, column in ((0, 0), (3, 7), (11, 11)):
        assert kstest(u[:, row, column].numpy(), "uniform").pvalue > 1e-3


def test_neighbours_are_alike_within_the_reach_and_strangers_beyond_it():
    u = a_field(size=(256, 256)).smooth([(n, 0) for n in range(12)], 1, 10.0)
    z = norm.ppf(u.double().numpy() + 2**-25)
    found = [np.mean(z[:, :, : 256 - far] * z[:, :, far:]) for far in (0, 4, 10, 20, 40)]
    np.testing.assert_allclose(found, [1.0, 0.9, 0.5, 0.05, 0.0], atol=0.07)


def test_smooth_noise_does_not_depend_on_the_window_or_the_batch():
    whole = a_field(start=(-5, 9)).smooth([(2, 0), (3, 0)], 4, 8.0)
    part = a_field(start=(0, 12), size=(20, 30)).smooth([(3, 0)], 4, 8.0)
    assert torch.equal(part[0], whole[1, 5:25, 3:33])


def test_smooth_noise_is_independent_of_the_plain_one():
    field = a_field(size=(256, 256))
    pair = torch.stack([field.draw([(0, 0)], 1)[0], field.smooth([(0, 0)], 1, 4.0)[0]])
    assert abs(np.corrcoef(pair.flatten(1).numpy())[0, 1]) < 0.05


def test_slices_of_a_sample_share_their_smooth_noise_too():
    u = a_field().smooth([(0, 0), (0, 7), (1, 0)], 1, 6.0)
    assert torch.equal(u[0], u[1])
    assert not torch.equal(u[0], u[2])
