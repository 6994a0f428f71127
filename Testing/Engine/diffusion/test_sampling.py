"""Samplers against enumeration, and against the exact denoiser of a mask law written out whole."""

from functools import partial
from itertools import pairwise
from math import log

import numpy as np
import pytest
import torch
from mask_law import SIZE, MaskLaw

from diffoseg.diffusion import CategoricalSchedule, information, noisy_probs, posterior
from diffoseg.diffusion.noise import NoiseField
from diffoseg.diffusion.sampling import (
    SamplerSettings,
    binary_chain,
    chain,
    ddim,
    information_times,
    linear_times,
    plan,
    published_skip,
)
from diffoseg.errors import InputError

exact = CategoricalSchedule.cosine(250, "exact")
published = CategoricalSchedule.cosine(250, "published")
DISTANCE = 80.0


def uniforms(shape, seed=0):
    """A noise source for one chain, in the order in which the chain asks."""
    generator = torch.Generator().manual_seed(seed)
    return lambda index: torch.rand(shape, generator=generator)


def final(states):
    *_, last = states
    return last


# Time grids


def test_linear_times_are_those_of_the_published_code():
    assert linear_times(250, 8) == (250, 214, 179, 143, 108, 72, 37, 1)
    assert linear_times(250, 250) == tuple(range(250, 0, -1))
    assert linear_times(250, 1) == (250,)


@pytest.mark.parametrize("schedule", [exact, published, CategoricalSchedule.linear(40)])
@pytest.mark.parametrize("distance", [1.0, 80.0, 3000.0])
def test_information_times_are_distinct_falling_and_as_many_as_asked(schedule, distance):
    for steps in (1, 2, 3, 4, 16, 39, schedule.T):
        times = information_times(schedule, steps, distance)
        assert len(times) == steps
        assert times[0] == schedule.T
        assert times[-1] >= 1
        assert all(s < t for t, s in pairwise(times))


def test_information_times_part_the_information_in_equal_ratios():
    steps = 9
    times = torch.tensor(information_times(exact, steps, DISTANCE)[1:])
    values = information(exact, DISTANCE)[times - 1].log()
    part = log(200 / 0.05) / (steps - 1)
    expected = log(0.05) + part * (torch.arange(steps - 1, dtype=torch.float64) + 0.5)
    torch.testing.assert_close(values, expected, rtol=0, atol=0.1)


@pytest.mark.parametrize("steps", [0, -3, 251])
@pytest.mark.parametrize("name", ["ancestral", "posterior", "ddim", "published-skip"])
def test_an_impossible_number_of_steps_is_refused(name, steps):
    with pytest.raises(InputError):
        plan(SamplerSettings(name, steps), exact, DISTANCE)


def test_plan_gives_every_sampler_its_times_and_kernel():
    spread = information_times(exact, 16, DISTANCE)
    assert plan(SamplerSettings("ddim", 16), exact, DISTANCE) == (spread, ddim)
    assert plan(SamplerSettings("posterior", 16), exact, DISTANCE) == (spread, posterior)
    skip = plan(SamplerSettings("published-skip", 16), exact, DISTANCE)
    assert skip == (linear_times(250, 16), published_skip)
    every = plan(SamplerSettings("ancestral", 250), exact, DISTANCE)
    assert every == (linear_times(250, 250), posterior)


def test_plan_refuses_an_unknown_sampler_and_ancestral_sampling_in_few_steps():
    with pytest.raises(InputError, match="ddim"):
        plan(SamplerSettings("euler", 16), exact, DISTANCE)
    with pytest.raises(InputError, match="all 250 steps"):
        plan(SamplerSettings("ancestral", 16), exact, DISTANCE)


# Kernels


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("schedule", [exact, published])
@pytest.mark.parametrize(("t", "s"), [(250, 249), (250, 30), (120, 60), (5, 1), (7, 0)])
@pytest.mark.parametrize("renewal", [0.0, 0.3, 1.0])
def test_ddim_keeps_the_noise_law_at_any_renewal(classes, schedule, t, s, renewal):
    for clean in range(classes):
        truth = torch.eye(classes)[clean].view(1, -1, 1, 1)
        seen_law = noisy_probs(truth, t, schedule).flatten()
        laws = [
            ddim(torch.full((1, 1, 1), seen), truth, schedule, t, s, renewal).flatten()
            for seen in range(classes)
        ]
        result = sum(p * law for p, law in zip(seen_law, laws, strict=True))
        expected = noisy_probs(truth, s, schedule).flatten()
        torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)
        assert min(float(law.min()) for law in laws) >= -1e-7


def test_ddim_without_renewal_keeps_the_label_or_takes_the_beliefs():
    belief, x_t = torch.rand(2, 3, 5, 5).softmax(1), torch.randint(0, 3, (2, 5, 5))
    kept = float((1 - exact.level(60)) / (1 - exact.level(90)))
    one_hot = torch.nn.functional.one_hot(x_t, 3).movedim(-1, 1)
    expected = kept * one_hot + (1 - kept) * belief
    torch.testing.assert_close(ddim(x_t, belief, exact, 90, 60), expected, rtol=0, atol=1e-6)


def test_ddim_with_full_renewal_forgets_the_label():
    belief = torch.rand(1, 2, 5, 5).softmax(1)
    one, other = (
        ddim(torch.full((1, 5, 5), label), belief, exact, 90, 60, renewal=1.0) for label in (0, 1)
    )
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_renewal_mixes_the_two_extremes_in_proportion():
    belief, x_t = torch.rand(1, 2, 5, 5).softmax(1), torch.randint(0, 2, (1, 5, 5))
    none, some, full = (ddim(x_t, belief, exact, 90, 60, renewal) for renewal in (0.0, 0.3, 1.0))
    torch.testing.assert_close(some, 0.7 * none + 0.3 * full, rtol=0, atol=1e-6)


def test_published_skip_is_the_true_posterior_for_one_step_and_wrong_for_more():
    belief, x_t = torch.rand(1, 2, 5, 5).softmax(1), torch.randint(0, 2, (1, 5, 5))
    right = posterior(x_t, belief, published, 90, 89)
    assert torch.equal(published_skip(x_t, belief, published, 90, 89), right)
    assert torch.equal(published_skip(x_t, belief, published, 90, 60), right)
    assert float((posterior(x_t, belief, published, 90, 60) - right).abs().max()) > 0.02


# The chain


def test_a_chain_asks_once_a_time_and_reports_every_step():
    asked = []

    def denoiser(x_t, t):
        asked.append((t, x_t.clone()))
        return torch.stack([torch.ones(x_t.shape), torch.zeros(x_t.shape)], 1)

    times = (250, 120, 7)
    states = list(chain(denoiser, (2, 2, 4, 4), exact, times, ddim, uniforms((2, 4, 4))))

    assert [state.t for state in states] == [t for t, _ in asked] == list(times)
    assert [(state.index, state.total) for state in states] == [(0, 3), (1, 3), (2, 3)]
    for state, (_, x_next) in zip(states[:-1], asked[1:], strict=True):
        assert torch.equal(state.x, x_next)
    assert torch.equal(states[-1].x, torch.zeros(2, 4, 4, dtype=torch.int64))


def test_a_chain_draws_each_noise_once_and_none_for_its_last_step():
    belief, drawn = torch.full((1, 2, 4, 4), 0.5), []

    def noise(index):
        drawn.append(index)
        return torch.rand(1, 4, 4)

    list(chain(lambda x, t: belief, (1, 2, 4, 4), exact, (250, 90, 40), posterior, noise))
    assert drawn == [0, 1, 2]


def test_the_last_state_is_the_likeliest_label_of_its_own_belief():
    belief = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(2)).softmax(1)
    state = final(
        chain(lambda x, t: belief, (3, 3, 6, 6), exact, (250, 9), posterior, uniforms((3, 6, 6)))
    )
    assert torch.equal(state.x, belief.argmax(1))
    assert state.x0_probs is belief


@pytest.mark.parametrize("classes", [2, 3])
def test_a_chain_starts_from_all_classes_alike(classes):
    first = []

    def denoiser(x_t, t):
        first.append(x_t)
        return torch.ones(1, classes, 300, 300) / classes

    list(chain(denoiser, (1, classes, 300, 300), exact, (250,), ddim, uniforms((1, 300, 300))))
    shares = torch.bincount(first[0].flatten(), minlength=classes) / 90_000
    torch.testing.assert_close(shares, torch.full((classes,), 1 / classes), rtol=0, atol=0.01)


def test_a_chain_is_a_function_of_its_noise_and_leaves_torchs_generator_alone():
    law = MaskLaw.of_four_readers(1)
    state = torch.random.get_rng_state()
    runs = [draw_masks(law, exact, 4, "ddim", n=8, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("kernel", [posterior, ddim, partial(ddim, renewal=0.5)])
def test_a_chain_of_one_pixel_has_the_enumerated_law(kernel):
    """With one pixel nothing is lost by drawing pixels apart, so any few steps are exact."""
    share = 0.3

    def denoiser(x_t, t):
        like = noisy_probs(torch.eye(2)[:, :, None, None], t, exact)[:, :, 0, 0]  # [x_0, x_t]
        joint = torch.tensor([1 - share, share])[:, None] * like
        return (joint / joint.sum(0))[:, x_t].movedim(0, 1)

    n, times = 40_000, (250, 100, 1)
    state = final(chain(denoiser, (n, 2, 1, 1), exact, times, kernel, uniforms((n, 1, 1))))
    assert float(state.x.float().mean()) == pytest.approx(share, abs=4 * (0.21 / n) ** 0.5)


# The chain of two classes in closed form

KERNELS = [posterior, ddim, partial(ddim, renewal=0.4), partial(ddim, renewal=1.0), published_skip]


def marked(denoiser):
    """A denoiser of two classes as ``binary_chain`` takes it."""

    def believe(x, t):
        assert x.dtype == torch.bool
        return denoiser(x.long(), t)[:, 1]

    return believe


def kept_uniforms(shape, draws, seed):
    """A noise source that two chains can share."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(draws, *shape, generator=generator).__getitem__


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("schedule", [exact, published])
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_the_closed_form_draws_the_very_masks_of_the_chain_at_every_step(kernel, schedule, steps):
    law = MaskLaw.of_four_readers(steps)
    times = information_times(schedule, steps, law.mask_distance)
    noise, denoiser = kept_uniforms((6, SIZE, SIZE), steps, seed=steps), law.denoiser(schedule)

    general = list(chain(denoiser, (6, 2, SIZE, SIZE), schedule, times, kernel, noise))
    closed = list(binary_chain(marked(denoiser), schedule, times, kernel, noise))

    assert len(closed) == steps
    for one, other in zip(general, closed, strict=True):
        assert (other.x.dtype, other.belief.dtype) == (torch.bool, torch.float32)
        assert torch.equal(one.x, other.x.long())
        assert torch.equal(one.x0_probs[:, 1], other.belief)


def test_a_pixel_as_likely_marked_as_not_ends_unmarked_in_both_chains():
    noise, half = kept_uniforms((2, 5, 5), 2, seed=0), torch.full((2, 5, 5), 0.5)
    both = torch.stack([half, half], 1)
    general = final(chain(lambda x, t: both, (2, 2, 5, 5), exact, (250, 9), ddim, noise))
    closed = final(binary_chain(lambda x, t: half, exact, (250, 9), ddim, noise))
    assert not closed.x.any()
    assert torch.equal(general.x, closed.x.long())


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_the_closed_form_never_leaves_a_sure_belief_at_its_end(kernel, sure):
    noise = kept_uniforms((1, 40, 40), 3, seed=1)
    belief = torch.full((1, 40, 40), sure)
    states = list(binary_chain(lambda x, t: belief, exact, (250, 120, 60), kernel, noise))
    assert (states[-1].x == bool(sure)).all()
    agreeing = [float((state.x == bool(sure)).float().mean()) for state in states]
    assert agreeing[0] < agreeing[1] < 1 == agreeing[2]


def test_the_closed_form_takes_beliefs_of_half_precision_at_their_own_value():
    noise, belief = kept_uniforms((2, 9, 9), 3, seed=1), torch.rand(2, 9, 9).bfloat16()
    half = list(binary_chain(lambda x, t: belief, exact, (250, 90, 9), ddim, noise))
    full = list(binary_chain(lambda x, t: belief.float(), exact, (250, 90, 9), ddim, noise))
    for one, other in zip(half, full, strict=True):
        assert one.belief.dtype == torch.float32
        assert torch.equal(one.x, other.x)


def test_a_step_of_the_closed_form_leaves_what_it_was_given_as_it_was():
    noise, beliefs, masks = kept_uniforms((2, 9, 9), 4, seed=1), [], []

    def denoiser(x, t):
        masks.append((x, x.clone()))
        beliefs.append((belief := torch.rand(2, 9, 9), belief.clone()))
        return belief

    before = [noise(index).clone() for index in range(4)]
    list(binary_chain(denoiser, exact, (250, 90, 30, 9), ddim, noise))
    assert all(torch.equal(now, then) for now, then in beliefs + masks)
    assert all(torch.equal(noise(index), then) for index, then in enumerate(before))


@pytest.mark.parametrize("kernel", [posterior, ddim, partial(ddim, renewal=0.5)])
def test_the_closed_form_of_one_pixel_has_the_enumerated_law(kernel):
    share = 0.3

    def denoiser(x, t):
        level = float(exact.level(t))
        agree, differ = (1 + level) / 2, (1 - level) / 2
        seen, unseen = torch.where(x, agree, differ), torch.where(x, differ, agree)
        return share * seen / (share * seen + (1 - share) * unseen)

    n = 40_000
    state = final(binary_chain(denoiser, exact, (250, 100, 1), kernel, uniforms((n, 1, 1))))
    assert float(state.x.float().mean()) == pytest.approx(share, abs=4 * (0.21 / n) ** 0.5)


def test_the_closed_form_has_the_law_of_the_masks_with_their_exact_denoiser():
    """Bayes' rule over all masks is the other route: each mask, and each pixel, by its share."""
    law, n = MaskLaw.of_four_readers(1), 384
    times = information_times(exact, 16, law.mask_distance)
    noise = uniforms((n, SIZE, SIZE), seed=0)
    state = final(binary_chain(marked(law.denoiser(exact)), exact, times, ddim, noise))
    masks = state.x.flatten(1).float()

    assert law.excess_energy_distance(masks) < 0.006
    assert float((masks.sum(1) == 0).float().mean()) == pytest.approx(law.empty_share, abs=0.06)
    scatter = (law.masks.var(0) / n).sqrt().clamp(min=1e-3)
    assert float(((masks.mean(0) - law.masks.mean(0)) / scatter).abs().mean()) < 2


def test_a_belief_drawn_in_pieces_keeps_the_chance_of_every_pixel_at_every_step():
    """One uniform for the whole mask: pixels go together, and yet each by its own belief."""
    n, belief = 6000, torch.linspace(0.05, 0.95, 9).expand(6000, 1, 9)
    noise, pieces = uniforms((n, 1, 9)), uniforms((n, 1, 1), seed=1)
    together = list(binary_chain(lambda x, t: belief, exact, (250, 120, 60), ddim, noise, pieces))[
        1
    ].x.float()
    alone = list(binary_chain(lambda x, t: belief, exact, (250, 120, 60), ddim, noise))[1].x.float()

    assert torch.allclose(together.mean(0), alone.mean(0), atol=0.03)
    assert together.sum(2).var() > 2 * alone.sum(2).var()


# Against the exact denoiser of a law of masks: what the sampler alone loses


def draw_masks(law, schedule, steps, name, n, seed):
    times, kernel = plan(SamplerSettings(name, steps), schedule, law.mask_distance)
    return masks_of_chain(law, schedule, times, kernel, n, seed)


def masks_of_chain(law, schedule, times, kernel, n, seed):
    noise = uniforms((n, SIZE, SIZE), seed)
    states = chain(law.denoiser(schedule), (n, 2, SIZE, SIZE), schedule, times, kernel, noise)
    return final(states).x.flatten(1).float()


def own_replicates(law, n, count):
    """GED_U of fresh draws of the law itself: what it scatters by when nothing is lost."""
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(0, len(law.masks), (count, n), generator=generator)
    return np.array([law.excess_energy_distance(law.masks[pick]) for pick in picks])


def test_draws_of_the_law_itself_have_no_excess_energy_distance():
    excess = own_replicates(MaskLaw.of_four_readers(1), 256, 64)
    assert abs(excess.mean()) < 4 * excess.std() / 8


def test_sixteen_informed_ddim_steps_lose_next_to_nothing_with_an_exact_denoiser():
    law = MaskLaw.of_four_readers(1)
    masks = draw_masks(law, exact, 16, "ddim", n=512, seed=0)
    assert law.excess_energy_distance(masks) < 0.006
    assert float((masks.sum(1) == 0).float().mean()) == pytest.approx(law.empty_share, abs=0.06)


def test_ten_strided_uniform_steps_lose_empty_masks_that_ten_informed_ddim_steps_keep():
    law = MaskLaw.of_four_readers(2)
    informed, uniform = (
        float((masks_of_chain(law, exact, *steps, n=1024, seed=1).sum(1) == 0).float().mean())
        for steps in (
            (information_times(exact, 10, law.mask_distance), ddim),
            (linear_times(250, 10), posterior),
        )
    )
    assert informed > uniform + 0.03


@pytest.mark.slow
def test_all_250_steps_have_the_very_law():
    laws, n = [MaskLaw.of_four_readers(seed) for seed in (1, 2)], 384
    scatter = np.sqrt(sum(own_replicates(law, n, 32).var() for law in laws)) / len(laws)
    excess = [
        law.excess_energy_distance(draw_masks(law, exact, 250, "ancestral", n, seed))
        for seed, law in enumerate(laws)
    ]
    assert abs(np.mean(excess)) < 4 * scatter


@pytest.mark.slow
def test_sixteen_informed_ddim_steps_stay_within_three_thousandths_over_many_laws():
    excess, empty = [], []
    for seed in range(8):
        law = MaskLaw.of_four_readers(seed)
        masks = draw_masks(law, exact, 16, "ddim", n=512, seed=seed)
        excess.append(law.excess_energy_distance(masks))
        empty.append(float((masks.sum(1) == 0).float().mean()) - law.empty_share)
    assert np.mean(excess) + 2 * np.std(excess) / np.sqrt(8) < 0.003
    assert abs(np.mean(empty)) < 0.03


@pytest.mark.slow
def test_the_published_skip_is_clearly_worse_than_the_true_posterior_at_the_same_times():
    times, excess = linear_times(250, 25), {published_skip: [], posterior: []}
    for seed in range(1, 6):
        law = MaskLaw.of_four_readers(seed)
        for kernel, values in excess.items():
            masks = masks_of_chain(law, published, times, kernel, n=512, seed=seed)
            values.append(law.excess_energy_distance(masks))
    skip, true = (np.array(values) for values in excess.values())
    assert skip.mean() > 0.01
    assert (skip - true).mean() > 3 * (skip - true).std() / np.sqrt(len(skip))


def test_four_steps_with_borders_drawn_in_pieces_lose_half_of_what_four_others_lose():
    n, lost = 256, {0.0: [], 8.0: []}
    for seed in range(3):
        law = MaskLaw.of_four_readers(seed)
        times = information_times(exact, 4, law.mask_distance)
        field = NoiseField(seed, "law", (0, 0), (SIZE, SIZE))
        rows = [(sample, 0) for sample in range(n)]
        for reach, found in lost.items():
            spread = partial(field.smooth, rows, reach=reach) if reach else None
            noise = uniforms((n, SIZE, SIZE), seed)
            believe = marked(law.denoiser(exact))
            state = final(binary_chain(believe, exact, times, ddim, noise, spread))
            found.append(law.excess_energy_distance(state.x.flatten(1).float()))
    assert np.mean(lost[8.0]) < 0.5 * np.mean(lost[0.0])
