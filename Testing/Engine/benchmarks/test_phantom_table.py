"""The table beside LIDC-IDRI: its rows on nodules made by hand, and the phantoms' own, coarsely."""

import re
from pathlib import Path

import numpy as np
import pytest
from phantom_table import LIDC, Lesion, lesions_of_phantoms, table, verdict, within

from diffoseg.cohorts.kinds import CROSSING, NODULES
from diffoseg.cohorts.phantom import PhantomCohort

SPACING = (2.0, 1.0, 1.0)
NAMES = list(LIDC)
PAGE = Path(__file__).parents[3] / "Docs" / "benchmarks.md"


def a_box(depth, height, width, start=(2, 4, 4)):
    mask = np.zeros((8, 24, 24), bool)
    k, j, i = start
    mask[k : k + depth, j : j + height, i : i + width] = True
    return mask


NOTHING = np.zeros((8, 24, 24), bool)


def test_four_equal_masks_differ_in_nothing():
    found = table([Lesion(np.stack([a_box(3, 6, 6)] * 4), SPACING, "")])
    assert found[NAMES[0]] == (0, 0, 0, 100)
    assert found[NAMES[3]] == (0, 0)
    assert found[NAMES[4]] == (1, 1)
    assert found[NAMES[5]] == (1,)
    assert found[NAMES[6]] == (0, 0)
    assert found[NAMES[8]] == (0,)
    diameter = (6 * 3 * 36 * 2 / np.pi) ** (1 / 3)
    assert found[NAMES[2]] == pytest.approx([diameter] * 3)


def test_what_nobody_marked_does_not_count():
    marked = np.stack([a_box(3, 6, 6), NOTHING, NOTHING, NOTHING])
    found = table([Lesion(marked, SPACING, ""), Lesion(marked & False, SPACING, "")])
    assert found[NAMES[0]] == (100, 0, 0, 0)
    assert found[NAMES[1]] == (100, 0, 0, 0)
    assert found[NAMES[3]][0] == 0.5  # three of six pairs have one mask, three have none


def test_nested_and_shifted_masks_have_the_distances_that_can_be_counted():
    masks = np.stack([a_box(2, 6, 6), a_box(4, 6, 6), NOTHING, NOTHING])
    found = table([Lesion(masks, SPACING, "")])
    assert found[NAMES[4]] == pytest.approx((1, 2 * 72 / (72 + 144)))
    assert found[NAMES[9]] == (2.0,)  # one of two ends, by two slices of 2 mm
    assert found[NAMES[7]] == (0,)

    apart = np.stack([a_box(2, 6, 10), a_box(2, 6, 10, start=(2, 4, 8)), NOTHING, NOTHING])
    assert table([Lesion(apart, SPACING, "")])[NAMES[7]] == (100,)


def test_level_sets_cost_nothing_where_masks_are_nested_and_much_where_they_cross():
    nested = np.stack([a_box(1, 6, 6 + n) for n in range(4)])
    parts = np.stack(
        [a_box(1, 4, 4, start=(2, 4 + 8 * (n % 2), 4 + 8 * (n // 2))) for n in range(4)]
    )
    crossing = parts | a_box(1, 4, 4, start=(2, 8, 8))
    assert table([Lesion(nested, SPACING, "")])[NAMES[8]][0] == pytest.approx(0, abs=1e-6)
    assert table([Lesion(crossing, SPACING, "")])[NAMES[8]][0] > 0.02


def test_a_fifth_is_a_fifth():
    assert within((1.2, 0.8, 1.21), (1.0, 1.0, 1.0)) == [True, True, False]
    assert verdict((1.0, 3.0), (1.0, 1.0)) == "not value 2"
    assert verdict((3.0,), (1.0,)) == "no"


@pytest.fixture(scope="module")
def measured():
    sizes = {NODULES: (20, 64, 64), CROSSING: (12, 64, 64)}
    return {
        kind: table(lesions_of_phantoms(PhantomCohort(seed=1, cases=50, size=size, kind=kind)))
        for kind, size in sizes.items()
    }


def test_readers_of_the_nodules_kind_are_in_the_neighbourhood_of_real_ones(measured):
    found = measured[NODULES]
    one, _, _, four = found[NAMES[0]]
    assert one > 15
    assert four > 15
    assert found[NAMES[2]][1] == pytest.approx(5.6, rel=0.4)
    assert found[NAMES[3]][1] == pytest.approx(0.336, abs=0.12)
    assert found[NAMES[5]][0] == pytest.approx(1.57, rel=0.4)
    assert found[NAMES[8]][0] < 0.006


def test_the_crossing_kind_is_a_stress_test_and_not_in_that_neighbourhood(measured):
    ours, stress = measured[NODULES], measured[CROSSING]
    assert stress[NAMES[7]][0] > 3 * max(ours[NAMES[7]][0], 5)
    assert stress[NAMES[8]][0] > 2 * ours[NAMES[8]][0]
    assert stress[NAMES[0]][0] < 15


def test_the_page_says_how_the_table_is_measured_and_that_crossing_exaggerates():
    page = re.sub(r"\s+", " ", PAGE.read_text("utf-8"))
    assert "Testing/Benchmarks/phantom_table.py --kind crossing" in page
    assert "eight times" in page
    for name in NAMES:
        assert f"| {name} |" in page
