"""Which readings are of one nodule, and which session drew what where the file does not say."""

import numpy as np
import pytest

from diffoseg.cohorts.lidc_contours import Drawn
from diffoseg.cohorts.lidc_nodules import nodules_of
from diffoseg.cohorts.lidc_pylidc import in_sessions
from diffoseg.errors import InputError

SPACING = (2.5, 0.7, 0.7)


def a_box(session, k, j, i, *, size=(2, 6, 6)):
    """Return a reading that marks a box of voxels within its chains."""
    start = np.array([k, j - 1, i - 1])
    mask = np.zeros(np.add(size, (0, 2, 2)), bool)
    mask[:, 1:-1, 1:-1] = True
    ring = np.argwhere(~mask) + start
    return Drawn(session, start, mask, ring)


def sessions_of(drawn):
    return [[reading.session for reading in nodule] for nodule in nodules_of(drawn, SPACING)]


def test_readings_that_share_voxels_are_one_nodule():
    drawn = [a_box(1, 5, 20, 20), a_box(2, 6, 22, 22), a_box(4, 5, 40, 40)]
    assert sessions_of(drawn) == [[1, 2], [4]]


def test_readings_on_neighbouring_slices_are_one_and_those_further_away_are_not():
    assert sessions_of([a_box(1, 5, 20, 20), a_box(2, 7, 20, 20)]) == [[1, 2]]
    assert sessions_of([a_box(1, 5, 20, 20), a_box(2, 8, 20, 20)]) == [[1], [2]]


def test_readings_side_by_side_are_one_where_the_chains_come_near():
    assert sessions_of([a_box(1, 5, 20, 20), a_box(2, 5, 20, 30)]) == [[1, 2]]
    assert sessions_of([a_box(1, 5, 20, 20), a_box(2, 5, 20, 34)]) == [[1], [2]]


def test_a_chain_of_readings_is_one_nodule_though_its_ends_are_apart():
    drawn = [a_box(n, 5, 20, 15 + 5 * n) for n in (1, 2, 3, 4)]
    assert sessions_of(drawn) == [[1, 2, 3, 4]]


def test_two_nodules_that_one_session_told_apart_stay_two():
    drawn = [
        a_box(1, 5, 20, 20, size=(2, 6, 14)),  # one for both
        a_box(2, 5, 20, 20),
        a_box(2, 5, 20, 28),
        a_box(3, 5, 20, 28),
    ]
    found = nodules_of(drawn, SPACING)
    assert [[d.session for d in nodule] for nodule in found] in ([[1, 2], [2, 3]], [[1, 2, 3], [2]])
    assert all(len({d.session for d in nodule}) == len(nodule) for nodule in found)
    twice = [n for n, nodule in enumerate(found) for d in nodule if d.session == 2]
    assert twice == [0, 1]


def test_pieces_of_one_session_that_share_voxels_are_one_drawing():
    drawn = [a_box(1, 5, 20, 20), a_box(1, 6, 23, 23), a_box(2, 5, 20, 20)]
    ((one, two),) = nodules_of(drawn, SPACING)
    assert (one.session, two.session) == (1, 2)
    whole = np.zeros(3, int), (12, 60, 60)
    np.testing.assert_array_equal(one.on(*whole), drawn[0].on(*whole) | drawn[1].on(*whole))


def test_the_most_alike_come_first_whatever_the_order():
    narrow, wide, other = a_box(1, 5, 20, 20), a_box(2, 5, 20, 21), a_box(2, 5, 20, 29)
    for drawn in ([narrow, wide, other], [other, wide, narrow], [wide, other, narrow]):
        assert sessions_of(drawn) == [[1, 2], [2]]


def test_nothing_outlined_is_no_nodule():
    assert nodules_of([], SPACING) == []


HERE, THERE = (5, 20, 20), (5, 40, 40)


def told(places, names):
    drawn = [a_box(0, *place) for place in places]
    return [d.session for d in in_sessions(drawn, names, SPACING)]


def test_a_nodule_outlined_again_begins_another_session():
    assert told([HERE, THERE, HERE, HERE, THERE], ["4501", "4502", "7", "8800", "8801"]) == [
        1, 1, 2, 3, 3,
    ]  # fmt: skip
    assert told([HERE, HERE, HERE], ["4501", "4502", "4503"]) == [1, 2, 3]


def test_names_of_another_hospital_begin_another_session():
    assert told([HERE, THERE], ["Nodule 001", "IL057_1"]) == [1, 2]
    assert told([HERE, THERE], ["3147", "3"]) == [1, 2]
    assert told([HERE, THERE], ["Nodule 001", "Nodule 002"]) == [1, 1]


def test_what_near_nodules_split_too_often_is_told_by_shared_voxels():
    near = (5, 20, 30)
    names = ["Nodule 1", "Nodule 2", "IL057_1", "IL057_2", "MI014_1", "0"]
    assert told([HERE, near, HERE, near, HERE, HERE], names) == [1, 1, 2, 2, 3, 4]


def test_more_than_four_sessions_are_refused():
    with pytest.raises(InputError, match="more than 4 sessions"):
        told([HERE] * 5, ["1", "2", "3", "4", "5"])
    assert told([], []) == []
