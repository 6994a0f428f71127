"""Coverage and excess of volumes, by enumeration of small laws."""

from itertools import product

import numpy as np
import pytest

from diffoseg.evaluation.phantoms import TruthCase
from diffoseg.evaluation.volumes import (
    SAMPLES,
    binomial_interval,
    coverage,
    excess,
    perfect_volumes,
    score_volumes,
    true_volumes,
)

LAW = np.array([0.0, 0.0, 0.0, 1.0, 2.5])  # equally likely; three of five drawings are empty


def every(values, count):
    return [np.array(chosen) for chosen in product(values, repeat=count)]


def test_coverage_with_ties_by_chance_is_what_the_count_says_for_any_law():
    exact = [coverage(drawn, LAW)[1].mean() for drawn in every(LAW, 3)]

    assert np.mean(exact) == pytest.approx((3 - 1) / (3 + 1))


def test_coverage_without_ties_is_the_same_either_way():
    random = np.random.default_rng(0)
    inclusive, exact = coverage(random.random(19), random.random(500))

    np.testing.assert_array_equal(inclusive, exact)


def test_coverage_counts_the_ends_and_all_between():
    inclusive, exact = coverage(np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.0, 3.0, 4.0, 5.0]))

    np.testing.assert_array_equal(inclusive, [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(exact, [0, 0.5, 1, 0.5, 0])


def test_coverage_of_drawings_that_are_all_empty_is_full_yet_not_by_merit():
    inclusive, exact = coverage(np.zeros(19), np.zeros(4))

    assert inclusive.mean() == 1
    assert exact.mean() == pytest.approx(0.9)


def test_excess_is_on_average_the_squared_difference_of_the_distribution_functions():
    other = np.array([0.0, 2.0])
    found = np.mean([excess(x, v) for x in every(other, 2) for v in every(LAW, 2)])

    ends = np.array([0.0, 1.0, 2.0, 2.5])
    of_law = np.array([(end >= LAW).mean() for end in ends[:-1]])
    of_other = np.array([(end >= other).mean() for end in ends[:-1]])
    assert found == pytest.approx((np.diff(ends) * (of_law - of_other) ** 2).sum())


def test_excess_of_the_right_law_is_nothing_on_average():
    found = np.mean([excess(x, v) for x in every(LAW, 2) for v in every(LAW, 2)])

    assert found == pytest.approx(0)


def a_case(random, patient="p"):
    """One phantom of one slice whose drawings have random areas, by two experts."""
    areas = random.integers(0, 30, (2, SAMPLES + 40))
    draws = np.arange(30).reshape(1, 5, 6) < areas[..., None, None, None]
    return TruthCase(patient, np.zeros((1, 1, 5, 6), np.float32), draws, ("Ada", "Ben"), (0,), 0.5)


def test_volumes_are_pixels_times_what_one_is_worth():
    case = a_case(np.random.default_rng(0))

    np.testing.assert_array_equal(true_volumes(case), case.draws.sum((2, 3, 4)) / 2)


def test_true_drawings_in_the_methods_place_cover_as_they_should():
    random = np.random.default_rng(1)
    cases = [a_case(random, f"p{index}") for index in range(200)]
    scored = [perfect_volumes(case, seed) for seed, case in enumerate(cases)]
    exact = np.array([part.value("volume_coverage_exact") for part in scored])
    gap = np.array([part.value("volume_excess") for part in scored])

    assert abs(exact.mean() - 0.9) < 3 * exact.std() / np.sqrt(200) < 0.015
    assert abs(gap.mean()) < 3 * gap.std() / np.sqrt(200)


def test_the_binomial_interval_counts_one_drawing_of_each_expert():
    drawn = np.tile(np.arange(SAMPLES, dtype=float), (2, 1))
    truth = np.array([[5.0, 99.0], [99.0, 5.0]])  # the first of one is covered, of the other not
    scored = score_volumes("p", drawn, truth)

    found = binomial_interval(scored)
    assert found.value == 0.5
    assert found.low == pytest.approx(1 - np.sqrt(0.975))  # two trials, one success
    assert scored.by_expert["volume_coverage"].tolist() == [[0.5, 0.5]]
