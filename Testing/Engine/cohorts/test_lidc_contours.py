"""Outlines as masks: pixel for pixel against an independent rule."""

import numpy as np
import pytest
from a_lidc_download import a_disk
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon

from diffoseg.cohorts.lidc_contours import drawn_on, mask_of
from diffoseg.cohorts.lidc_readings import Outline, Reading
from diffoseg.errors import InputError
from diffoseg.reading.dicom_header import SliceHeader

ROWS, COLUMNS = 30, 40
WHOLE = np.zeros(2, int), np.array([ROWS, COLUMNS])


def an_outline(points, inclusion=True, z=0.0, image=""):
    return Outline(z, image, inclusion, np.array(points).reshape(-1, 2))


def on_the_line(points):
    """Return which pixels are on the closed chain, by distances to its sides."""
    pixels = np.stack(np.mgrid[:ROWS, :COLUMNS][::-1], -1).astype(float)
    found = np.zeros((ROWS, COLUMNS), bool)
    for a, b in zip(np.array(points, float), np.roll(points, -1, 0).astype(float), strict=True):
        side = b - a
        share = np.clip((pixels - a) @ side / max(side @ side, 1e-9), 0, 1)
        found |= np.linalg.norm(pixels - (a + share[..., None] * side), axis=-1) < 1e-6
    return found


def within(points):
    """Return matplotlib's answer, without the pixels on the line."""
    pixels = np.stack(np.mgrid[:ROWS, :COLUMNS][::-1], -1).reshape(-1, 2)
    closed = Polygon(np.concatenate([points, points[:1]]), closed=True)
    return closed.contains_points(pixels).reshape(ROWS, COLUMNS) & ~on_the_line(points)


CORNER = st.tuples(st.integers(0, COLUMNS - 1), st.integers(0, ROWS - 1))


@given(st.lists(CORNER, min_size=1, max_size=9, unique=True))
def test_a_chain_encloses_its_strict_interior_crossing_itself_or_not(points):
    np.testing.assert_array_equal(mask_of([an_outline(points)], *WHOLE), within(points))


@pytest.mark.parametrize("radius", [1, 2, 3.3, 9])
def test_the_pixels_of_a_chain_are_not_of_the_nodule(radius):
    points = a_disk(18, 14, radius)
    mask = mask_of([an_outline(points)], *WHOLE)
    assert mask.any() == (radius > 0.5)
    assert not any(mask[y, x] for x, y in points)


def test_the_square_of_three_has_one_pixel():
    points = [(4, 5), (5, 5), (6, 5), (6, 6), (6, 7), (5, 7), (4, 7), (4, 6)]
    assert np.argwhere(mask_of([an_outline(points)], *WHOLE)).tolist() == [[6, 5]]


def test_a_hole_takes_its_own_chain_with_it_whatever_the_order():
    outer, hole = a_disk(18, 14, 10), a_disk(19, 14, 4)
    expected = within(outer) & ~within(hole) & ~on_the_line(hole)
    for outlines in ([an_outline(outer), an_outline(hole, False)],) * 2:
        np.testing.assert_array_equal(mask_of(outlines, *WHOLE), expected)
        outlines.reverse()
        np.testing.assert_array_equal(mask_of(outlines, *WHOLE), expected)


def test_pieces_on_one_slice_are_taken_together_where_they_overlap_too():
    pieces = [a_disk(8, 8, 4), a_disk(30, 20, 6), a_disk(33, 21, 6)]
    expected = np.logical_or.reduce([within(piece) for piece in pieces])
    np.testing.assert_array_equal(mask_of(map(an_outline, pieces), *WHOLE), expected)


def a_stack(count=4, step=2.5):
    return [
        SliceHeader(
            path=None,
            uid=f"1.2.{k}",
            series="1",
            patient="",
            number="1",
            modality="CT",
            scout=False,
            flat=True,
            shape=(ROWS, COLUMNS),
            spacing=(0.7, 0.7),
            thickness=step,
            position=np.array([0, 0, -100 + k * step]),
            orientation=np.eye(3)[:2],
        )
        for k in range(count)
    ]


def test_every_slice_is_in_its_place():
    two, three = a_disk(10, 12, 4), a_disk(25, 15, 5)
    reading = Reading(1, "", (an_outline(two, z=-97.5), an_outline(three, z=-95.0)))

    drawn = drawn_on(reading, a_stack(), 2.5)

    whole = drawn.on(np.zeros(3, int), (4, ROWS, COLUMNS))
    np.testing.assert_array_equal(whole[1], within(two))
    np.testing.assert_array_equal(whole[2], within(three))
    assert not whole[[0, 3]].any()


def test_a_slice_s_name_and_its_place_may_be_rounded_but_not_contradict_each_other():
    near = an_outline(a_disk(10, 12, 4), z=-97.45, image="1.2.1")
    assert drawn_on(Reading(1, "", (near,)), a_stack(), 2.5).start[0] == 1
    other = an_outline(a_disk(10, 12, 4), z=-97.5, image="1.2.2")
    with pytest.raises(InputError, match="names one slice and gives the place of another"):
        drawn_on(Reading(1, "", (other,)), a_stack(), 2.5)


@pytest.mark.parametrize(
    "outline",
    [
        an_outline(a_disk(10, 12, 4), z=-102.5),
        an_outline(a_disk(10, 12, 4), z=-96.3),
        an_outline([(0, 0), (COLUMNS, 5), (3, 9)], z=-100),
        an_outline([(-1, 0), (5, 5), (3, 9)], z=-100),
        an_outline([(0, 0), (5, ROWS), (3, 9)], z=-100),
    ],
)
def test_what_lies_outside_of_the_scan_is_refused(outline):
    with pytest.raises(InputError, match="outside of the scan"):
        drawn_on(Reading(1, "", (outline,)), a_stack(), 2.5)
