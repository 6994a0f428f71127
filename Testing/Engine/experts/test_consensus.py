"""How one target is drawn from several masks: the chance of each pixel, and how pixels join."""

from itertools import combinations

import pytest
import torch

from diffoseg.errors import InputError
from diffoseg.experts.consensus import STRATEGIES, draw_target

DRAWS = 20_000


def stairs(experts):
    """Masks (M, 1, M + 1) of which pixel k is marked by k experts."""
    return torch.stack([torch.arange(experts + 1) > row for row in range(experts)])[:, None]


def many(masks, strategy, draws=DRAWS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return draw_target(masks.expand(draws, *masks.shape), strategy, generator)


def intersection_by_enumeration(experts):
    """P(marked) at k = 0..M: the mean over subset sizes of the share of subsets that agree."""
    masks = stairs(experts)[:, 0]
    sizes = [
        torch.stack([masks[list(chosen)].all(0) for chosen in combinations(range(experts), size)])
        for size in range(1, experts + 1)
    ]
    return torch.stack([agreed.float().mean(0) for agreed in sizes]).mean(0)


@pytest.mark.parametrize("experts", [1, 3, 4])
@pytest.mark.parametrize("strategy", ["single", "level", "soft"])
def test_a_pixel_is_marked_as_often_as_experts_marked_it(strategy, experts):
    drawn = many(stairs(experts), strategy)
    marked = drawn[:, 1] if strategy == "soft" else drawn.float()

    expected = torch.arange(experts + 1) / experts
    torch.testing.assert_close(marked.mean((0, 1)), expected, rtol=0, atol=0.015)


@pytest.mark.parametrize("strategy", ["single", "level", "soft", "intersection"])
def test_what_nobody_or_everybody_marked_is_certain(strategy):
    drawn = many(stairs(4), strategy)
    marked = drawn[:, 1] if strategy == "soft" else drawn

    assert (marked[..., 0] == 0).all()
    assert (marked[..., 4] == 1).all()


def test_the_published_intersection_has_its_published_chances():
    expected = intersection_by_enumeration(4)
    torch.testing.assert_close(expected, torch.tensor([0, 1 / 16, 1 / 6, 3 / 8, 1]))

    marked = many(stairs(4), "intersection").float().mean((0, 1))

    torch.testing.assert_close(marked, expected, rtol=0, atol=0.012)


def test_every_expert_is_left_out_of_the_intersection_equally_often():
    masks = torch.eye(4, dtype=torch.int64)[:, None]  # each expert marks a pixel of their own

    marked = many(masks, "intersection").float().mean((0, 1))

    torch.testing.assert_close(marked, torch.full((4,), 1 / 16), rtol=0, atol=0.008)


def test_single_returns_one_of_the_drawn_masks_each_as_often():
    masks = torch.randint(3, (3, 4, 5), generator=torch.Generator().manual_seed(1))

    drawn = many(masks, "single")

    same = (drawn[:, None] == masks).flatten(2).all(2)
    assert (same.sum(1) == 1).all()
    torch.testing.assert_close(same.float().mean(0), torch.full((3,), 1 / 3), rtol=0, atol=0.015)


def test_levels_of_one_image_are_nested():
    masks = torch.rand(4, 6, 6, generator=torch.Generator().manual_seed(1)) > 0.5

    drawn = many(masks, "level", draws=50).bool()

    one, other = drawn[:, None], drawn[None]
    inside = (one <= other).flatten(2).all(2)
    assert (inside | inside.T).all()
    assert len({tuple(mask.flatten().tolist()) for mask in drawn}) > 2


def test_soft_is_the_mean_of_the_masks_for_every_class():
    masks = torch.tensor([0, 1, 2, 2]).view(4, 1, 1)

    torch.testing.assert_close(
        draw_target(masks, "soft", classes=3).flatten(), torch.tensor([0.25, 0.25, 0.5])
    )


def test_images_of_one_batch_are_drawn_independently():
    masks = torch.eye(2, dtype=torch.int64).view(2, 1, 2)

    first, second = many(masks, "single", draws=2 * DRAWS)[:, 0, 0].view(2, DRAWS)

    assert abs((first == second).float().mean() - 0.5) < 0.015


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_image_is_drawn_as_a_batch_of_one(strategy):
    masks = torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(1)) > 0.5
    batch = draw_target(masks[None], strategy, torch.Generator().manual_seed(7))

    alone = draw_target(masks, strategy, torch.Generator().manual_seed(7))

    assert torch.equal(alone, batch[0])
    assert alone.dtype == (torch.float32 if strategy == "soft" else torch.int64)


@pytest.mark.parametrize("strategy", ["single", "level", "intersection"])
def test_the_same_generator_draws_the_same_target(strategy):
    masks = stairs(4)

    assert torch.equal(many(masks, strategy, seed=3), many(masks, strategy, seed=3))
    assert not torch.equal(many(masks, strategy, seed=3), many(masks, strategy, seed=4))


@pytest.mark.parametrize("strategy", ["level", "intersection"])
def test_strategies_for_two_classes_refuse_a_third(strategy):
    with pytest.raises(InputError, match="two classes"):
        draw_target(torch.full((4, 2, 2), 2), strategy)
    with pytest.raises(InputError, match="two classes"):
        draw_target(torch.zeros(4, 2, 2), strategy, classes=3)


def test_unknown_strategies_and_shapes_are_refused():
    with pytest.raises(InputError, match="single, level, soft, intersection"):
        draw_target(stairs(4), "majority")
    with pytest.raises(InputError, match="experts, rows, columns"):
        draw_target(torch.zeros(5, 5), "single")
    with pytest.raises(InputError, match="none of them"):
        draw_target(torch.zeros(0, 5, 5), "single")
