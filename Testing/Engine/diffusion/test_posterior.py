"""The equations against enumeration, closed forms and the published code's stored numbers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from diffoseg.diffusion import (
    CategoricalSchedule,
    cross_entropy,
    draw_categorical,
    draw_times,
    information,
    posterior,
    posterior_kl,
    q_sample,
    times_of_information,
)
from diffoseg.errors import InputError

PARITY = Path(__file__).parents[2] / "Data" / "parity"
TOLERANCE = 2e-5
TIMES = (1, 2, 100, 250)

published = CategoricalSchedule.cosine(250, "published")
exact = CategoricalSchedule.cosine(250, "exact")


@pytest.fixture(scope="module")
def stored():
    with np.load(PARITY / "schedule.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def golden_noisy_mask(seed):
    """x_t of the golden files, by the recipe that they were made with, sub-sampled as they are."""
    name_crc32_of_noisy_mask = 0x751F7BD9
    rng = np.random.Generator(np.random.Philox(key=[seed, name_crc32_of_noisy_mask]))
    return torch.from_numpy(rng.integers(0, 2, (2, 128, 128)))[:, ::4, ::4]


def kernel(level, classes):
    """Row c is the law of a label that was c before noise of this level."""
    return level * torch.eye(classes) + (1 - level) / classes


def random_probs(batch, classes, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, size, size, generator=generator).mul(2).softmax(1)


def random_labels(batch, classes, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, classes, (batch, size, size), generator=generator)


def test_published_cosine_schedule_has_the_stored_numbers_to_the_bit(stored):
    assert torch.equal(published.beta, stored["betas"])
    assert torch.equal(published.alpha, stored["alphas"])
    assert torch.equal(published.alpha_bar, stored["cumalphas"])


def test_published_linear_schedule_has_the_stored_numbers(stored):
    linear = CategoricalSchedule.linear(250, "published")
    torch.testing.assert_close(linear.beta, stored["lin_betas"], rtol=0, atol=1e-7)
    torch.testing.assert_close(linear.alpha_bar, stored["lin_cumalphas"], rtol=1e-5, atol=1e-7)


def test_exact_levels_are_the_product_of_the_alphas_as_measured_in_the_method_notes():
    products = {1: 0.99980575, 125: 0.49384344, 249: 3.885978e-5, 250: 3.885928e-8}
    for t, product in products.items():
        assert float(exact.level(t)) == pytest.approx(product, rel=2e-6)
    torch.testing.assert_close(exact.beta, published.beta)


def test_level_is_one_at_time_zero_and_falls_for_an_int_or_a_tensor_of_times():
    for schedule in (published, exact, CategoricalSchedule.linear(40)):
        levels = schedule.level(torch.arange(schedule.T + 1))
        assert levels[0] == 1
        assert bool((levels.diff() < 0).all())
        assert schedule.level(7) == levels[7]


def test_a_schedule_survives_json_and_is_equal_to_its_copy():
    for schedule in (published, exact, CategoricalSchedule.linear(40, "exact")):
        copy = CategoricalSchedule.from_description(json.loads(json.dumps(schedule.description)))
        assert copy == schedule
        assert torch.equal(copy.alpha_bar, schedule.alpha_bar)
    assert published != exact


@pytest.mark.parametrize(
    "wrong", [("cosin", 250, "exact"), ("cosine", 0, "exact"), ("linear", 9, "x")]
)
def test_an_unknown_schedule_is_refused(wrong):
    with pytest.raises(InputError):
        CategoricalSchedule(*wrong)


def test_noise_draws_have_the_stored_probabilities(stored):
    uniform = torch.rand(4, 32, 32, generator=torch.Generator().manual_seed(0))
    drawn = q_sample(stored["x0"], stored["t"], published, uniform)
    assert torch.equal(drawn, (uniform >= stored["q_probs"][:, 0]).long())
    labels = stored["x0"].argmax(1)
    assert torch.equal(drawn, q_sample(labels, stored["t"], published, uniform))


@pytest.mark.parametrize("belief", ["x0", "soft_x0"])
def test_one_step_posterior_has_the_stored_probabilities(stored, belief):
    name = {"x0": "theta_post", "soft_x0": "theta_post_prob"}[belief]
    t = stored["t"]
    result = posterior(stored["xt"].argmax(1), stored[belief], published, t, t - 1)
    torch.testing.assert_close(result, stored[name], rtol=0, atol=TOLERANCE)


def golden_predictions():
    for stage, suffixes in ((1, [""]), (2, [f"_expert{e}" for e in range(4)])):
        for t in TIMES:
            for suffix in suffixes:
                yield pytest.param(stage, t, suffix, id=f"stage{stage}-t{t}{suffix}")


@pytest.mark.parametrize(("stage", "t", "suffix"), [*golden_predictions()])
def test_posterior_has_the_published_networks_stored_numbers(stage, t, suffix):
    with np.load(PARITY / f"golden_stage{stage}.npz") as file:
        foreground = torch.from_numpy(file[f"x0_t{t}{suffix}"])
        expected = torch.from_numpy(file[f"posterior_t{t}{suffix}"])
    x0_probs = torch.stack([1 - foreground, foreground], 1)

    result = posterior(golden_noisy_mask(stage), x0_probs, published, t, t - 1)

    torch.testing.assert_close(result[:, 1], expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize(("t", "s"), [(250, 249), (250, 100), (100, 40), (3, 1), (9, 0), (1, 0)])
def test_posterior_equals_bayes_by_enumeration(classes, t, s):
    a_t, a_s = exact.level(t), exact.level(s)
    to_s, to_t = kernel(a_s, classes), kernel(a_t / a_s, classes)
    belief = random_probs(1, classes, 1)[0, :, 0, 0]
    for seen in range(classes):
        joint = to_s * to_t[:, seen]  # [x_0, x_s], given x_t = seen
        expected = belief @ (joint / joint.sum(1, keepdim=True))

        result = posterior(torch.full((1, 1, 1), seen), belief.view(1, -1, 1, 1), exact, t, s)

        torch.testing.assert_close(result.flatten(), expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("t", "s"), [(250, 17), (125, 124), (60, 5)])
def test_posterior_averaged_over_the_noise_gives_the_earlier_noise(classes, t, s):
    a_t, a_s = exact.level(t), exact.level(s)
    for clean in range(classes):
        belief = torch.eye(classes)[clean].view(1, -1, 1, 1)
        result = sum(
            kernel(a_t, classes)[clean, seen]
            * posterior(torch.full((1, 1, 1), seen), belief, exact, t, s).flatten()
            for seen in range(classes)
        )
        torch.testing.assert_close(result, kernel(a_s, classes)[clean], rtol=0, atol=1e-5)


@pytest.mark.parametrize("schedule", [published, exact])
@pytest.mark.parametrize("classes", [2, 4])
def test_posterior_sums_to_one_and_takes_a_time_for_each_map_of_a_batch(schedule, classes):
    x_t, belief = random_labels(6, classes, 8), random_probs(6, classes, 8)
    t = torch.tensor([250, 250, 180, 60, 2, 1])
    s = torch.tensor([249, 3, 179, 20, 1, 0])
    together = posterior(x_t, belief, schedule, t, s)
    torch.testing.assert_close(together.sum(1), torch.ones(6, 8, 8), rtol=0, atol=2e-6)
    assert bool((together >= 0).all())
    for b in range(6):
        alone = posterior(x_t[b, None], belief[b, None], schedule, int(t[b]), int(s[b]))
        torch.testing.assert_close(together[b], alone[0], rtol=0, atol=1e-7)


@pytest.mark.parametrize("schedule", [published, exact])
def test_posterior_at_time_zero_is_the_belief(schedule):
    belief = random_probs(2, 2, 8)
    for t in (1, 2, 250):
        result = posterior(random_labels(2, 2, 8), belief, schedule, t, 0)
        torch.testing.assert_close(result, belief, rtol=0, atol=1e-6)


def test_published_posterior_over_a_longer_way_uses_its_levels_alone():
    x_t, belief = random_labels(1, 2, 4), random_probs(1, 2, 4)
    a_t, a_s = published.alpha_bar[99], published.alpha_bar[39]
    to_s, to_t = kernel(a_s, 2), kernel(a_t / a_s, 2)
    joint = to_s[:, :, None] * to_t[None]  # [x_0, x_s, x_t]
    law = joint / joint.sum(1, keepdim=True)
    expected = torch.einsum("bcij,cskij,bkij->bsij", belief, law[..., None, None], _hot(x_t))
    torch.testing.assert_close(posterior(x_t, belief, published, 100, 40), expected)


def _hot(labels):
    return torch.nn.functional.one_hot(labels, 2).movedim(-1, 1).float()


@pytest.mark.parametrize(("t", "s"), [(5, 5), (3, 7), (251, 4), (4, -1)])
def test_posterior_refuses_times_out_of_order_or_range(t, s):
    with pytest.raises(InputError):
        posterior(random_labels(1, 2, 4), random_probs(1, 2, 4), exact, t, s)


@pytest.mark.parametrize("classes", [2, 3])
def test_drawn_labels_have_the_asked_probabilities(classes):
    probs = random_probs(1, classes, 1)
    uniform = ((torch.arange(10_000) + 0.5) / 10_000).view(-1, 1, 1)
    labels = draw_categorical(probs.expand(10_000, -1, -1, -1), uniform)
    shares = torch.bincount(labels.flatten(), minlength=classes) / 10_000
    torch.testing.assert_close(shares, probs.flatten(), rtol=0, atol=1e-4)


def test_a_certain_label_is_drawn_at_every_uniform_number():
    extremes = torch.tensor([0.0, 0.5, 1 - 2**-24]).view(3, 1, 1)
    for label in range(3):
        certain = torch.eye(3)[label].view(1, 3, 1, 1).expand(3, -1, -1, -1)
        assert bool((draw_categorical(certain, extremes) == label).all())


@pytest.mark.parametrize("schedule", [published, exact])
@pytest.mark.parametrize("classes", [2, 3])
def test_posterior_kl_is_the_sum_of_torchs_divergences_over_the_batch_size(schedule, classes):
    x0, x_t = random_labels(3, classes, 6, seed=1), random_labels(3, classes, 6, seed=2)
    belief, t = random_probs(3, classes, 6), torch.tensor([2, 90, 250])
    truth = torch.eye(classes)[x0].movedim(-1, 1)
    p, q = (posterior(x_t, x, schedule, t, t - 1).movedim(1, -1) for x in (truth, belief))
    expected = kl_divergence(Categorical(p), Categorical(q)).sum() / 3
    result = posterior_kl(x0, x_t, belief, t, schedule)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(posterior_kl(truth, x_t, belief, t, schedule), result)


def test_posterior_kl_of_the_truth_is_zero_and_of_its_opposite_is_finite():
    x0, x_t = random_labels(2, 2, 6), random_labels(2, 2, 6, seed=3)
    truth, t = _hot(x0), torch.tensor([1, 80])
    assert float(posterior_kl(x0, x_t, truth, t, published)) == pytest.approx(0, abs=1e-4)
    worst = posterior_kl(x0, x_t, 1 - truth, torch.tensor([1, 1]), published)
    assert float(worst) == pytest.approx(36 * -math.log(1e-12), rel=1e-5)


@pytest.mark.parametrize("schedule", [published, exact])
def test_posterior_kl_of_the_first_time_is_the_cross_entropy(schedule):
    x0, x_t = random_labels(2, 3, 6), random_labels(2, 3, 6, seed=3)
    logits = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(5))
    result = posterior_kl(x0, x_t, logits.softmax(1), torch.tensor([1, 1]), schedule)
    expected = -logits.log_softmax(1).gather(1, x0[:, None]).sum() / 2
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(cross_entropy(x0, logits), expected)


def test_cross_entropy_takes_a_soft_mask():
    soft, logits = random_probs(2, 2, 4), random_probs(2, 2, 4, seed=8).log()
    torch.testing.assert_close(cross_entropy(soft, logits), -(soft * logits).sum() / 2)


def test_information_is_a_squared_times_the_distance_late_and_falls_with_time():
    values = information(exact, 80.0)
    late = exact.alpha_bar[199].double()
    assert float(values[199]) == pytest.approx(80 * float(late) ** 2, rel=0.02)
    assert bool((values.diff() < 0).all())
    for distance in (0.0, -1.0, math.nan):
        with pytest.raises(InputError):
            information(exact, distance)


def test_times_of_information_invert_it():
    times = torch.tensor([3, 40, 111, 249])
    values = information(exact, 80.0)[times - 1]
    assert torch.equal(times_of_information(exact, values, 80.0), times)


def test_training_times_are_the_stated_mixture():
    n, distance = 40_000, 1e7  # at so large a distance only the latest times decide
    times = draw_times(n, exact, distance, torch.Generator().manual_seed(0))
    first = int(times_of_information(exact, torch.tensor(200.0), distance))
    assert 230 < first < 245
    below = float((times < first).float().mean())  # drawn uniformly in t, and never otherwise
    error = 4 * math.sqrt(0.25 / n)
    assert below == pytest.approx(0.45 * (first - 1) / 250, abs=error)
    last = float(
        (draw_times(n, exact, 80.0, torch.Generator().manual_seed(1)) == 250).float().mean()
    )
    assert last == pytest.approx(0.1 + 0.45 / 250, abs=4 * math.sqrt(0.09 / n))


def test_published_training_times_are_uniform():
    n = 50_000
    times = draw_times(n, published, None, torch.Generator().manual_seed(0))
    counts = torch.bincount(times, minlength=251)[1:].double()
    chi_squared = float(((counts - n / 250) ** 2 / (n / 250)).sum())
    assert len(counts) == 250
    assert abs(chi_squared - 249) < 5 * math.sqrt(2 * 249)


def test_training_times_repeat_with_the_seed_and_differ_from_one_call_to_the_next():
    one, two = (torch.Generator().manual_seed(4) for _ in range(2))
    first = draw_times(64, exact, 80.0, one)
    assert torch.equal(first, draw_times(64, exact, 80.0, two))
    assert not torch.equal(first, draw_times(64, exact, 80.0, one))
