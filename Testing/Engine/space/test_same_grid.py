"""Two grids that share voxels: however a program crops, flips or turns a mask, it is put back."""

import numpy as np
import pytest
from a_stored_mask import stored_otherwise
from hypothesis import given
from hypothesis import strategies as st

from diffoseg.space.geometry import Geometry
from diffoseg.space.same_grid import SharedGrid

SIZE = (6, 5, 4)
TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]  # oblique
OBLIQUE = Geometry(SIZE, (0.7, 0.8, 2.5), (-10, 20, 30), tuple(TURN.ravel()))


@given(
    order=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    start=st.tuples(*[st.integers(-9, 9)] * 3),
    size=st.tuples(*[st.integers(1, 9)] * 3),
)
def test_a_mask_saved_with_any_axes_on_any_box_is_put_back_voxel_by_voxel(
    order, flips, start, size
):
    marked = np.random.default_rng(0).random(size[::-1]) > 0.5
    array, grid = stored_otherwise(marked, OBLIQUE.crop(start, size), order, flips)

    shared = SharedGrid.of(OBLIQUE, grid)

    truth = np.zeros(SIZE[::-1], bool)
    for k, j, i in np.argwhere(marked) + start[::-1]:
        if min(k, j, i) >= 0 and i < SIZE[0] and j < SIZE[1] and k < SIZE[2]:
            truth[k, j, i] = True
    np.testing.assert_array_equal(shared.put(array), truth)
    assert shared.inside == (
        min(start) >= 0 and all(a + n <= m for a, n, m in zip(start, size, SIZE, strict=True))
    )


def moved(**changes):
    facts = {name: getattr(OBLIQUE, name) for name in ("size", "spacing", "origin", "direction")}
    return Geometry(**(facts | changes))


@pytest.mark.parametrize(
    "other",
    [
        moved(origin=OBLIQUE.index_to_point((0.5, 0, 0))),
        moved(spacing=(0.7, 0.8, 3.0)),
        moved(spacing=(0.8, 0.7, 2.5)),
        moved(size=(600, 500, 4), spacing=(0.7005, 0.8, 2.5)),
        moved(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
        moved(direction=tuple((TURN @ np.roll(np.eye(3), 1, 0)).ravel())),
    ],
)
def test_other_voxels_are_told_from_the_same_ones(other):
    assert SharedGrid.of(OBLIQUE, other) is None


def test_what_a_file_rounds_off_does_not_make_other_voxels():
    rounded = moved(
        spacing=np.float32(OBLIQUE.spacing),
        origin=np.round(OBLIQUE.origin, 3),
        direction=tuple(np.round(TURN, 5).ravel()),
    )
    assert SharedGrid.of(OBLIQUE, rounded).inside


def test_a_mask_on_the_grid_itself_is_not_copied():
    mask = np.zeros(SIZE[::-1], bool)
    assert np.shares_memory(SharedGrid.of(OBLIQUE, OBLIQUE).put(mask), mask)
