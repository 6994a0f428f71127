"""The enumerable law: its numbers against brute force, its denoiser against Bayes by hand."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch

from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.oracle import MaskLaw, slice_law
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.errors import InputError


@dataclass(frozen=True)
class Levels:
    """alpha_bar falls from 1 to 0 in ten equal steps."""

    def level(self, t):
        return 1 - t / 10


@pytest.fixture
def tiny():
    masks = np.array([[[0, 0]], [[1, 0]], [[1, 1]], [[1, 0]]], bool)
    return MaskLaw(masks, np.array([0.1, 0.3, 0.4, 0.2]), np.array([0, 0, 0, 1]))


@pytest.fixture(scope="module")
def law():
    return slice_law(PhantomCohort(seed=5, kind=CROSSING), 2, 5)


def test_marginal_presence_and_distance_equal_sums_over_pairs(tiny):
    np.testing.assert_allclose(tiny.marginal(), [[0.9, 0.4]])
    assert tiny.presence() == pytest.approx(0.9)
    pairs = [
        tiny.weights[i] * tiny.weights[j] * (tiny.masks[i] ^ tiny.masks[j]).sum()
        for i, j in product(range(4), repeat=2)
    ]
    assert tiny.mean_hamming() == pytest.approx(sum(pairs))


def test_conditioning_is_bayes_rule(tiny):
    drawn = tiny.given(expert=0, present=True)
    np.testing.assert_allclose(drawn.weights, [3 / 7, 4 / 7])
    np.testing.assert_allclose(drawn.marginal(), [[1, 4 / 7]])
    assert tiny.given(present=False).presence() == 0
    with pytest.raises(InputError, match="No mask"):
        tiny.given(expert=1, present=False)


def test_samples_come_in_the_laws_proportions(tiny):
    samples = tiny.sample(20000, np.random.default_rng(0))
    np.testing.assert_allclose(samples.mean(0), tiny.marginal(), atol=0.015)
    assert (samples[:, 0, 1] <= samples[:, 0, 0]).all()


@pytest.mark.parametrize("t", [0, 3, 7, 10])
def test_the_denoiser_equals_bayes_with_the_kernel_as_a_matrix(tiny, t):
    a = Levels().level(t)
    kernel = a * np.eye(2) + (1 - a) / 2
    denoise = tiny.exact_denoiser(Levels())
    seen = [(0, 0), (1, 0), (1, 1)] + ([(0, 1)] if t else [])
    for x_t in seen:
        chance = [
            w * kernel[int(m[0, 0]), x_t[0]] * kernel[int(m[0, 1]), x_t[1]]
            for m, w in zip(tiny.masks, tiny.weights, strict=True)
        ]
        expected = np.tensordot(np.array(chance) / sum(chance), tiny.masks, 1)
        told = denoise(torch.tensor([[x_t]]), t)
        assert told.shape == (1, 2, 1, 2)
        np.testing.assert_allclose(told[0, 1].numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(told.sum(1).numpy(), 1)


def test_the_denoiser_is_an_average_of_the_law_over_noise(law):
    # Tower rule: averaged over x_t, E[x0 | x_t] is the marginal.
    rng, t = np.random.default_rng(1), 9
    x0 = law.sample(600, rng).astype(np.int64)
    redrawn = rng.random(x0.shape) >= Levels().level(t)
    x_t = np.where(redrawn, rng.integers(0, 2, x0.shape), x0)
    told = law.exact_denoiser(Levels())(torch.from_numpy(x_t), t)[:, 1].numpy()
    np.testing.assert_allclose(told.mean(0), law.marginal(), atol=0.09)


def test_the_denoiser_finds_the_mask_again_when_the_noise_is_little(law):
    x0 = law.given(present=True).sample(8, np.random.default_rng(2)).astype(np.int64)
    flipped = np.random.default_rng(3).random(x0.shape) < 0.05
    told = law.exact_denoiser(Levels())(torch.from_numpy(np.where(flipped, 1 - x0, x0)), 1)
    np.testing.assert_array_equal(told.argmax(1).numpy(), x0)


def test_a_slice_law_is_sound_and_crosses(law):
    assert law.masks.shape[1:] == (64, 64)
    assert law.weights.sum() == pytest.approx(1)
    assert 40 < len(law.masks) < 700
    for expert in range(4):
        own = law.given(expert=expert)
        assert len(np.unique(own.masks.reshape(len(own.masks), -1), axis=0)) == len(own.masks)
    flat = law.given(expert=2, present=True).masks.reshape(-1, 64 * 64)
    nested = [(a <= b).all() or (b <= a).all() for a in flat for b in flat]
    assert np.mean(nested) < 0.5


def test_a_slice_law_agrees_with_fresh_drawings():
    cohort, k = PhantomCohort(seed=5, kind=CROSSING), 5
    scene, view = cohort.scene(2)
    law = slice_law(cohort, 2, k, hands=8)
    truth = cohort.case_truth(2, 200)
    rows, cols = (round(c) - 32 for c in scene.center[1:])
    rows, cols = np.clip([rows, cols], 0, 32)
    for row, style in enumerate(cohort.experts):
        drawn = truth[style.name][:, k, rows : rows + 64, cols : cols + 64]
        own = law.given(expert=row)
        assert own.presence() == pytest.approx(view.presence(style)[k], abs=0.01)
        # The standard error of 200 drawings is .035; a hand moves edges by a pixel.
        assert np.abs(gaussian(own.marginal()) - gaussian(drawn.mean(0))).max() < 0.13


def gaussian(probability):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(probability.astype(float), 2)


def test_a_law_whose_parts_do_not_fit_is_refused(tiny):
    with pytest.raises(InputError, match="add up to 1"):
        MaskLaw(tiny.masks, tiny.weights * 2, tiny.experts)
    with pytest.raises(InputError, match="M weights"):
        MaskLaw(tiny.masks, tiny.weights[:2], tiny.experts)
