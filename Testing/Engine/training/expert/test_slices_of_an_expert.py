"""One expert's slices: where windows lie, what is kept, and that many cases take no more memory."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from a_cohort import GRIDS, METADATA, a_case, a_mask, an_image
from a_stored_mask import stored_otherwise
from hypothesis import given, settings
from hypothesis import strategies as st

from diffoseg.cohorts.case import Case
from diffoseg.errors import CancelledError, InputError
from diffoseg.space.geometry import Box
from diffoseg.space.volume import Volume
from diffoseg.training.expert.slices import expert_slices


def test_a_lesion_gives_its_slices_and_all_empty_ones_about_them():
    found = expert_slices([a_case()], "Ann", METADATA)

    marked = found.masks.any((1, 2, 3))
    assert sorted(found.positions[marked]) == [10, 11, 12, 13]
    assert sorted(found.positions[~marked]) == [7, 8, 9, 14, 15, 16]
    assert found.images.shape == (10, 1, 32, 32)
    assert found.masks.shape == (10, 1, 32, 32)
    assert found.experts == ("Ann",)
    assert set(found.patients) == {"patient of one"}


def test_pixels_are_the_volume_s_own_and_the_lesion_is_in_their_middle():
    case = a_case()

    found = expert_slices([case], "Ann", METADATA)

    row = int(np.flatnonzero(found.positions == 12)[0])
    place = np.s_[12, 8:40, 17:49]  # 32 pixels about rows 20:28 and columns 30:36
    expected = (case.volume.array[place] + 1000) / 600 - 1
    np.testing.assert_allclose(found.images[row, 0], expected, atol=1e-5)
    np.testing.assert_array_equal(found.masks[row, 0], case.masks["Ann"][place])


def test_two_lesions_far_apart_have_a_window_each_and_two_close_ones_share_it():
    far = a_case("far", np.s_[10:12, 4:8, 4:8], np.s_[10:12, 44:48, 50:54])
    close = a_case("close", np.s_[10:12, 20:24, 20:24], np.s_[10:12, 26:28, 26:28])

    for case, windows in ((far, 2), (close, 1)):
        found = expert_slices([case], "Ann", METADATA)
        assert np.count_nonzero(found.masks.any((1, 2, 3))) == 2 * windows


def test_a_lesion_larger_than_the_field_of_view_is_seen_in_pieces():
    case = a_case("large", np.s_[10:12, 4:52, 4:56])

    found = expert_slices([case], "Ann", METADATA)

    assert np.count_nonzero(found.positions == 10) >= 4
    assert found.masks.shape[2:] == (32, 32)


def test_of_a_large_lesion_marked_and_empty_slices_are_taken_in_proportion():
    large = a_case("large", np.s_[2:20, 4:52, 4:56])  # on 18 of 24 slices, in several pieces

    found = expert_slices([large], "Ann", METADATA, most=12)

    assert len(found) == 12
    assert np.count_nonzero(found.masks.any((1, 2, 3))) == 9


def test_with_a_region_only_its_slices_are_taken_though_nothing_is_marked():
    region = Box((10.0, 10.0, 4.9), (30.0, 30.0, 15.1))
    case = a_case("empty", np.s_[20:22, 0:2, 0:2], region=region)

    found = expert_slices([case], "Ann", METADATA)

    assert not found.masks.any()
    assert sorted(found.positions) == [2, 3, 4, 5, 6, 7, 8]


def test_with_a_region_its_slices_are_taken_about_the_lesion_in_it():
    region = Box((10.0, 10.0, 4.9), (50.0, 30.0, 35.1))
    case = a_case("marked", np.s_[10:12, 20:24, 34:38], region=region)

    found = expert_slices([case], "Ann", METADATA)

    assert sorted(found.positions) == list(range(2, 19))  # of one window, not of two tiles
    assert sorted(found.positions[found.masks.any((1, 2, 3))]) == [10, 11]


def test_many_cases_share_what_there_is_room_for():
    cases = [a_case(f"case {number}", seed=number) for number in range(10)]

    found = expert_slices(cases, "Ann", METADATA, most=35)

    assert len(found) <= 35
    assert set(found.cases) == {case.name for case in cases}
    marked = found.masks.any((1, 2, 3))
    assert 0.35 <= marked.mean() <= 0.5  # as of all slices: 4 of 10


def test_what_is_wrong_is_said_with_the_case_s_name():
    good = a_case("good")
    holed = a_case("holed", seed=1)
    holed.volume.array[12, 22, 32] = np.nan
    for case, words in (
        (holed, "Case holed: Some voxels"),
        (
            replace(good, name="empty", masks={"Ann": np.zeros_like(good.masks["Ann"])}),
            "empty: The",
        ),
        (replace(good, name="other", masks={"Bob": good.masks["Ann"]}), "other holds nothing"),
        (replace(good, name="again"), "again is case good once more"),
    ):
        with pytest.raises(InputError, match=words):
            expert_slices([good, case], "Ann", METADATA)
    with pytest.raises(InputError, match="no case"):
        expert_slices([], "Ann", METADATA)


def test_it_can_be_stopped_between_two_cases():
    asked = iter([False, True])
    with pytest.raises(CancelledError):
        expert_slices([a_case("a"), a_case("b")], "Ann", METADATA, cancel=lambda: next(asked))


@pytest.mark.parametrize("grid", GRIDS)
@given(order=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3))
@settings(max_examples=12)
def test_slices_do_not_depend_on_how_a_file_stores_the_voxels(grid, order, flips):
    geometry = GRIDS[grid]
    k, j, i = geometry.size[::-1]
    mask = a_mask(
        np.s_[: k // 4 + 1, 1:3, 1:3],  # two of one size, far apart, and a larger one
        np.s_[-(k // 4 + 1) :, -3:-1, -3:-1],
        np.s_[k // 3 : k // 2 + 1, j // 3 : j // 2, i // 3 : i // 2 + 2],
        size=geometry.size,
    )
    case = Case("p", "c", Volume(an_image(1, geometry.size), geometry), {"Ann": mask})
    image, elsewhere = stored_otherwise(case.volume.array, geometry, order, flips)
    other = Case(
        "p",
        "c",
        Volume(image, elsewhere),
        {"Ann": stored_otherwise(mask, geometry, order, flips)[0]},
    )

    found, again = (expert_slices([one], "Ann", METADATA) for one in (case, other))

    assert found.masks.any()
    assert found.fingerprint() == again.fingerprint()
    np.testing.assert_array_equal(found.positions, again.positions)


def test_a_lesion_at_the_edge_of_the_volume_is_seen_whole():
    case = a_case("edge", np.s_[0:2, 0:4, 0:4], np.s_[22:24, 50:56, 55:60])

    found = expert_slices([case], "Ann", METADATA)

    assert {0, 1, 2, 21, 22, 23} <= set(found.positions)
    inside = found.masks[found.positions == 0][0, 0]
    assert np.count_nonzero(inside) >= 16


def test_a_thousand_specks_are_not_looked_at_one_by_one():
    speckled = a_case("speckled")
    random = np.random.default_rng(0)
    speckled.masks["Ann"][:] = random.random(speckled.volume.array.shape) < 0.02

    found = expert_slices([speckled], "Ann", METADATA, most=40)

    assert len(found) <= 40
    assert found.masks.any()


class Cases(Sequence[Case]):
    """Cases made when asked for, each of 1 MB."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return a_case(f"case {index}", np.s_[10:14, 20:28, 30:36], seed=index)


def test_memory_does_not_grow_with_the_number_of_cases():
    peaks = []
    expert_slices(Cases(1), "Ann", METADATA)
    for count in (5, 50):
        tracemalloc.start()
        assert len(expert_slices(Cases(count), "Ann", METADATA, most=60)) <= 60
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 300_000


def test_of_more_cases_than_slices_the_first_are_taken_and_that_is_said():
    said: list[str] = []

    found = expert_slices(Cases(9), "Ann", METADATA, most=4, note=said.append)

    assert found.cases == tuple(f"case {index}" for index in range(4))
    assert found.masks.any((1, 2, 3)).all()
    assert "first 4" in said[-1]


def test_warnings_name_their_case():
    said: list[str] = []
    case = a_case("wide", np.s_[10:12, 4:52, 4:56])

    expert_slices([case], "Ann", replace(METADATA, patch=16), note=said.append)

    assert said[0].startswith("Case wide: The segment is 36 mm wide")
