"""The model's grid: the same physical volume always gives the same slices, and masks come back."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from diffoseg.errors import InputError
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.model_grid import GridWindow, ModelGrid

SPACING = st.floats(0.3, 5.0)
SIZE = st.integers(1, 9)


def rotation(axis_angle):
    """Return the rotation matrix of a rotation vector (Rodrigues)."""
    angle = np.linalg.norm(axis_angle)
    if angle == 0:
        return np.eye(3)
    x, y, z = np.asarray(axis_angle) / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@st.composite
def geometries(draw):
    turn = draw(
        st.one_of(
            st.tuples(*[st.floats(-3.0, 3.0)] * 3),
            st.sampled_from([(0, 0, 0), (0, 0, np.pi / 4), (np.pi / 4, 0, 0), (0, np.pi / 2, 0)]),
        )
    )
    return Geometry(
        draw(st.tuples(SIZE, SIZE, SIZE)),
        draw(st.tuples(SPACING, SPACING, SPACING)),
        draw(st.tuples(*[st.floats(-300, 300)] * 3)),
        tuple(rotation(turn).ravel()),
    )


def voxels(geometry, seed=0):
    return np.random.default_rng(seed).normal(0, 500, geometry.size[::-1]).astype(np.float32)


def stored_otherwise(array, geometry, order, flips):
    """Return the same physical volume with its index axes permuted and reversed."""
    last = [geometry.size[a] - 1 if flip else 0 for a, flip in enumerate(flips)]
    origin = geometry.index_to_point(last)
    signs = np.where(flips, -1.0, 1.0)
    matrix = (geometry.matrix * signs)[:, order]
    other = Geometry(
        [geometry.size[a] for a in order],
        [geometry.spacing[a] for a in order],
        origin,
        tuple(matrix.ravel()),
    )
    kji = np.flip(array, [2 - a for a in range(3) if flips[a]])
    return kji.transpose([2 - order[2 - axis] for axis in range(3)]), other


ORDERS = st.sampled_from(list(permutations(range(3))))
FLIPS = st.tuples(st.booleans(), st.booleans(), st.booleans())


@settings(deadline=None, max_examples=150)
@given(geometries(), ORDERS, FLIPS)
def test_the_helper_of_these_tests_keeps_every_voxel_in_its_place(geometry, order, flips):
    array = voxels(geometry)
    other_array, other = stored_otherwise(array, geometry, order, flips)
    index = np.argwhere(np.ones(other.size))
    back = np.rint(geometry.point_to_index(other.index_to_point(index))).astype(int)
    np.testing.assert_array_equal(
        other_array[tuple(index[:, ::-1].T)], array[tuple(back[:, ::-1].T)]
    )


@settings(deadline=None, max_examples=300)
@given(geometries(), ORDERS, FLIPS, st.floats(0.4, 3.0))
def test_flips_and_permutations_of_one_volume_have_the_same_slices_and_masks(
    geometry, order, flips, pixel
):
    array = voxels(geometry)
    other_array, other = stored_otherwise(array, geometry, order, flips)
    grid, other_grid = ModelGrid.fit(geometry, pixel), ModelGrid.fit(other, pixel)
    window = grid.window_of(None)
    assert other_grid.window_of(None) == window
    slices = grid.slices(array, window)
    np.testing.assert_array_equal(other_grid.slices(other_array, window), slices)

    mask = grid.to_input(slices > 0, window, *grid.region_of(window))
    other_mask = other_grid.to_input(slices > 0, window, *other_grid.region_of(window))
    np.testing.assert_array_equal(stored_otherwise(mask, geometry, order, flips)[0], other_mask)


@settings(deadline=None, max_examples=200)
@given(geometries(), st.floats(0.4, 3.0))
def test_every_voxel_is_inside_the_window_of_the_whole_volume(geometry, pixel):
    grid = ModelGrid.fit(geometry, pixel)
    assert grid.region_of(grid.window_of(None)) == ((0, 0, 0), geometry.size)


@settings(deadline=None, max_examples=200)
@given(geometries(), st.floats(0.4, 3.0), st.data())
def test_slices_of_a_part_are_the_part_of_the_slices(geometry, pixel, data):
    grid = ModelGrid.fit(geometry, pixel)
    outer = grid.window_of(None).padded((3, 2))
    inner_start = [data.draw(st.integers(0, n - 1)) for n in outer.size]
    inner_size = [
        data.draw(st.integers(1, n - a)) for n, a in zip(outer.size, inner_start, strict=True)
    ]
    inner = GridWindow(tuple(np.add(outer.start, inner_start)), tuple(inner_size))
    array = voxels(geometry)
    np.testing.assert_array_equal(
        grid.slices(array, inner), grid.slices(array, outer)[inner.within(outer)]
    )


@settings(deadline=None, max_examples=200)
@given(geometries(), st.floats(1.01, 3.0), st.integers(1, 50))
def test_neighbouring_windows_share_no_voxel_and_lose_none(geometry, step, cut):
    # Pixels smaller than voxels would take the voxel in any case.
    grid = ModelGrid.fit(geometry, step * max(geometry.spacing))
    slices, rows, cols = grid.shape
    assume(rows > 1)
    cut = 1 + cut % (rows - 1)
    parts = [
        grid.region_of(GridWindow((0, first, 0), (slices, last - first, cols)))[1]
        for first, last in ((0, cut), (cut, rows))
    ]
    assert sum(np.prod(size) for size in parts) == np.prod(geometry.size)


def test_pixels_of_the_voxels_own_size_are_the_voxels():
    geometry = Geometry((7, 6, 5), (0.7, 0.7, 2.0))
    array = voxels(geometry)
    grid = ModelGrid.fit(geometry, 0.7)
    np.testing.assert_array_equal(grid.slices(array, grid.window_of(None)), array)


@settings(deadline=None, max_examples=100)
@given(geometries(), st.floats(0.3, 3.0))
def test_values_are_those_of_the_field_at_the_pixels_places_in_the_patient(geometry, pixel):
    """Linear interpolation meets a field that is linear in x, y, z, away from the edge."""
    slope = np.array([3.0, -2.0, 5.0])
    index = np.moveaxis(np.indices(geometry.size[::-1])[::-1], 0, -1)
    array = (geometry.index_to_point(index) @ slope).astype(np.float32)
    grid = ModelGrid.fit(geometry, pixel)
    assume(max(grid.steps[1:]) < 1.5)
    window = grid.window_of(None)
    slices = grid.slices(array, window)
    back = grid.to_input(slices, window, *grid.region_of(window))
    inside = tuple(
        slice(margin, n - margin)
        for n, margin in zip(
            array.shape, [ceil_steps(grid, axis) for axis in (2, 1, 0)], strict=True
        )
    )
    np.testing.assert_allclose(back[inside], array[inside], rtol=1e-4, atol=0.05)


def ceil_steps(grid, axis):
    """Voxels at an edge that a pixel beyond the last voxel may touch."""
    return 0 if axis == grid.axes[0] else int(np.ceil(grid.steps[grid.axes.index(axis)])) + 1


def test_slices_lie_as_radiologists_look_at_them():
    """Truth by hand: one bright voxel, its place in the patient known."""
    geometry = Geometry((4, 5, 6), (1, 1, 1))
    array = np.zeros((6, 5, 4), np.float32)
    array[5, 0, 3] = 1  # head, front, left
    for size, spacing, place in (
        ((4, 5, 6), (1, 1, 1), (5, 0, 3)),  # axial: row to the back, column to the left
        ((4, 5, 6), (1, 3, 1), (0, 0, 3)),  # coronal: row to the feet, column to the left
        ((4, 5, 6), (3, 1, 1), (3, 0, 0)),  # sagittal: row to the feet, column to the back
    ):
        geometry = Geometry(size, spacing)
        grid = ModelGrid.fit(geometry, 1.0)
        slices = grid.slices(array, grid.window_of(None))
        assert np.argwhere(slices == 1).tolist() == [list(place)]


@pytest.mark.parametrize(
    ("size", "spacing", "axis"),
    [
        ((9, 9, 9), (1, 1, 1), 2),
        ((9, 9, 9), (1, 1, 1.5), 2),
        ((9, 9, 9), (1.5, 1, 1), 2),
        ((9, 9, 9), (1.6, 1, 1), 0),
        ((9, 9, 9), (1, 4, 1), 1),
        ((9, 9, 9), (4, 4, 1), 1),
        ((9, 1, 9), (1, 1, 1), 1),
        ((1, 1, 9), (1, 1, 1), 2),
    ],
)
def test_slices_lie_across_the_coarsest_axis_or_else_superior_inferior(size, spacing, axis):
    assert ModelGrid.fit(Geometry(size, spacing), 1.0).axes[0] == axis


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)])
def test_45_degrees_are_decided_by_the_axes_and_not_by_their_order(shift):
    geometry = Geometry((3, 4, 5), direction=rotation((0, 0, np.pi / 4)).ravel())
    noisy = Geometry(
        (3, 4, 5), direction=rotation((0, 0, np.pi / 4 + 1e-7 * (shift[0] - shift[1]))).ravel()
    )
    assert ModelGrid.fit(geometry, 1.0).axes == ModelGrid.fit(noisy, 1.0).axes


def test_noise_of_fine_voxels_is_averaged_and_a_constant_stays():
    geometry = Geometry((400, 400, 1), (0.25, 0.25, 1))
    grid = ModelGrid.fit(geometry, 2.0)
    noise = grid.slices(voxels(geometry) / 500, grid.window_of(None))
    # A triangle over 8 voxels on both sides: variance (2/3 / 8) in each direction.
    assert noise.std() == pytest.approx(2 / 3 / 8, rel=0.1)
    flat = grid.slices(np.full((1, 400, 400), -700.0), grid.window_of(None))
    np.testing.assert_allclose(flat, -700, rtol=1e-6)


def test_outside_the_volume_the_edge_is_repeated_or_a_value_given():
    geometry = Geometry((4, 4, 4))
    array = voxels(geometry)
    grid = ModelGrid.fit(geometry, 1.0)
    window = GridWindow((-1, -2, 3), (2, 3, 3))
    repeated = grid.slices(array, window)
    np.testing.assert_array_equal(repeated, np.full_like(repeated, array[0, 0, 3]))
    filled = grid.slices(array, window, fill=-1024)
    assert filled[1, 2, 0] == array[0, 0, 3]
    assert (filled == -1024).sum() == filled.size - 1


def test_a_region_gives_the_voxels_it_holds():
    """Truth by enumeration of all voxel centres."""
    geometry = Geometry((30, 20, 10), (0.5, 0.8, 2.0), (-7.0, 3.0, 11.0))
    grid = ModelGrid.fit(geometry, 0.25)
    box = Box((-3.0, 6.0, 14.0), (2.0, 11.0, 20.0))
    start, size = grid.region_of(grid.window_of(box))
    centres = geometry.index_to_point(np.argwhere(np.ones(geometry.size)))
    held = np.all((centres >= box.lower) & (centres <= box.upper), axis=1)
    index = np.argwhere(np.ones(geometry.size))[held]
    assert np.all(index.min(0) >= start)
    assert np.all(index.max(0) < np.add(start, size))
    assert np.all(np.subtract(index.min(0), start) <= 1)
    assert np.all(np.add(start, size) - 1 - index.max(0) <= 1)


def test_a_region_partly_outside_is_clipped():
    grid = ModelGrid.fit(Geometry((10, 10, 10)), 1.0)
    assert grid.window_of(Box((-50, -50, 7.5), (3.4, 50, 50))) == GridWindow((8, 0, 0), (2, 10, 4))


@settings(deadline=None, max_examples=200)
@given(geometries(), st.floats(0.4, 3.0), st.floats(0.1, 40), st.data())
def test_a_region_around_any_voxel_is_answered_at_that_voxel(geometry, pixel, edge, data):
    voxel = [data.draw(st.integers(0, n - 1)) for n in geometry.size]
    grid = ModelGrid.fit(geometry, pixel)
    window = grid.window_of(Box.around(geometry.index_to_point(voxel), edge))
    start, size = grid.region_of(window)
    assert np.all(np.less_equal(start, voxel))
    assert np.all(np.less(voxel, np.add(start, size)))
    assert np.all(np.add(window.start, window.size) <= grid.shape)
    assert min(window.start) >= 0


@settings(deadline=None, max_examples=100)
@given(geometries(), st.sampled_from([-1, 1]), st.integers(0, 2))
def test_a_region_wholly_outside_is_refused(geometry, side, axis):
    around = geometry.bounding_box()
    edge = np.subtract(around.upper, around.lower)
    shift = np.eye(3)[axis] * side * (edge[axis] + 0.01)
    moved = Box(tuple(around.lower + shift), tuple(around.upper + shift))
    with pytest.raises(InputError, match="outside the volume"):
        ModelGrid.fit(geometry, 1.0).window_of(moved)


def test_a_region_beside_an_oblique_volume_is_refused_though_their_bounding_boxes_meet():
    geometry = Geometry((100, 4, 4), direction=rotation((0, 0, np.pi / 4)).ravel())
    with pytest.raises(InputError, match="outside the volume"):
        ModelGrid.fit(geometry, 1.0).window_of(Box((50, 5, 0), (60, 10, 2)))


def test_a_region_between_two_voxels_centres_gives_one_voxel():
    grid = ModelGrid.fit(Geometry((8, 8, 8), (5, 5, 5)), 1.0)
    window = grid.window_of(Box((13.0, 17.0, 9.0), (13.2, 17.2, 11.0)))
    assert grid.region_of(window) == ((3, 3, 2), (1, 1, 1))


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, -1)])
def test_answers_are_cropped_from_the_window_they_were_computed_on(direction):
    geometry = Geometry((40, 30, 20), (0.7, 0.9, 2.5), (5, -8, 1), direction)
    grid = ModelGrid.fit(geometry, 1.0)
    middle = geometry.index_to_point((14, 16, 8))
    whole, part = grid.window_of(None), grid.window_of(Box.around(middle, 9))
    maps = np.random.default_rng(0).random(whole.size, np.float32)
    start, size = grid.region_of(part)
    answer = grid.to_input(maps, whole, start, size)
    padded = part.padded((2, 2))
    np.testing.assert_allclose(
        grid.to_input(maps[padded.within(whole)], padded, start, size), answer, atol=1e-5
    )
    (i, j, k), (n, m, p) = start, size
    full = grid.to_input(maps, whole, *grid.region_of(whole))
    np.testing.assert_allclose(full[k : k + p, j : j + m, i : i + n], answer, atol=1e-5)
    with pytest.raises(ValueError, match="slices"):
        grid.to_input(maps[part.within(whole)], part, (0, 0, 0), geometry.size)


def test_crop_keeps_every_voxel_in_its_place():
    geometry = Geometry((9, 8, 7), (1, 2, 3), (4, 5, 6), rotation((0.3, -0.2, 0.9)).ravel())
    part = geometry.crop((2, 3, 4), (5, 4, 3))
    np.testing.assert_allclose(part.index_to_point((1, 1, 1)), geometry.index_to_point((3, 4, 5)))
    assert part.size == (5, 4, 3)
    assert geometry.voxel_volume_ml == pytest.approx(0.006)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": (4, 4)}, "not 3D"),
        ({"size": (4, 0, 4)}, "not 3D"),
        ({"size": (4, 4, 4), "spacing": (1, 0, 1)}, "spacing"),
        ({"size": (4, 4, 4), "spacing": (1, np.nan, 1)}, "spacing"),
        ({"size": (4, 4, 4), "origin": (np.inf, 0, 0)}, "origin"),
        ({"size": (4, 4, 4), "direction": (1, 0.2, 0, 0, 1, 0, 0, 0, 1)}, "perpendicular"),
        ({"size": (4, 4, 4), "direction": (1, 0, 0, 1, 0, 0, 0, 0, 1)}, "perpendicular"),
        ({"size": (4, 4, 4), "direction": (np.nan, 0, 0, 0, 1, 0, 0, 0, 1)}, "perpendicular"),
    ],
)
def test_what_is_no_grid_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        Geometry(**arguments)


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d,e,f", "1,2,3,4,5,6,7", "0,1,0,1,0,nan"])
def test_a_region_that_is_not_six_numbers_is_refused(text):
    with pytest.raises(InputError, match="number"):
        Box.parse(text)


@pytest.mark.parametrize("text", ["5,5,0,1,0,1", "9,2,0,1,0,1"])
def test_an_empty_region_is_refused(text):
    with pytest.raises(InputError, match="empty"):
        Box.parse(text)


def test_a_region_is_read_as_pairs_along_each_axis():
    assert Box.parse(" -10,20, 0,1,3.5,4") == Box((-10, 0, 3.5), (20, 1, 4))
