"""One outline: how a lesion is drawn where it is drawn at all."""

import numpy as np
import pytest

from diffoseg.comparison.outline import (
    LEAST_PRESENCE,
    LEAST_SHARE,
    NOWHERE,
    outline,
    outline_level,
)
from diffoseg.comparison.overlap import overlap


def test_it_is_the_best_of_all_level_sets():
    random = np.random.default_rng(0)
    for _ in range(50):
        p = random.random((5, 6)) ** 3
        levels = [p >= level for level in np.unique(p) if level > LEAST_SHARE]
        expected = [2 * p[mask].sum() / (mask.sum() + p.sum()) for mask in levels]
        assert np.array_equal(outline(p, 1.0), levels[int(np.argmax(expected))])


def test_of_what_is_certain_it_is_that():
    mask = np.zeros((6, 6))
    mask[1:4, 2:5] = 1
    assert np.array_equal(outline(mask, 1.0), mask > 0)


def test_it_takes_in_a_part_that_is_drawn_half_the_time():
    """Nine pixels always, nine by the toss of a coin: half of them gained beats all missed."""
    p = np.zeros((6, 6))
    p[:3, :3], p[3:, 3:] = 1, 0.5
    both, core = p > 0, p > 0.5
    scores = overlap(np.stack([both, core]), np.stack([both, core])).dice().mean(1)
    assert scores[0] >= scores[1]
    assert np.array_equal(outline(p, 1.0), both)


def test_it_is_the_same_however_likely_anybody_draws_anything():
    given = np.random.default_rng(1).random((8, 8)).astype(np.float32)
    for presence in (0.3, 0.5, 0.9):
        assert np.array_equal(outline(presence * given, presence), outline(given, 1.0))


def test_nothing_is_outlined_that_fewer_than_one_in_four_would_mark():
    probability = np.full((4, 4), 0.2, np.float32)
    assert outline_level(probability, LEAST_PRESENCE - 0.01) == NOWHERE
    assert not outline(probability, LEAST_PRESENCE - 0.01).any()
    assert outline(probability, LEAST_PRESENCE).all()


def test_faint_doubt_all_over_a_large_region_does_not_paint_it():
    p = np.full((60, 60), 0.1)
    p[:3, :3] = 0.95
    assert np.array_equal(outline(p, 1.0), p > 0.5)


def test_of_an_empty_map_nothing_is_outlined():
    assert not outline(np.zeros((4, 4), np.float32), 1.0).any()


def test_the_level_is_at_most_half_the_presence():
    """At the best level the gain of the last voxel is half of the Dice that is expected."""
    random = np.random.default_rng(2)
    for presence in (0.4, 0.7, 1.0):
        p = presence * random.random((20, 20)) ** 4
        assert presence / 3 <= outline_level(p, presence) <= presence / 2 + 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_level_parts_the_outline_from_all_else_in_any_precision(dtype: type):
    random = np.random.default_rng(3)
    for _ in range(200):
        p = np.round(random.random(30) * 8).astype(dtype) / 8
        level = outline_level(p, 1.0)
        inside = p > np.float32(level)
        assert p[inside].min() > level >= p[~inside].max(initial=0)
