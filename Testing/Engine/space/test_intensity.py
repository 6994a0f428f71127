"""From scanner units to what a network reads."""

import numpy as np
import pytest

from diffoseg.errors import InputError
from diffoseg.space.intensity import IntensityMapping


def test_a_window_maps_its_ends_and_middle_and_clips_the_rest():
    lung = IntensityMapping("window", -1000.0, 400.0)

    mapped = lung.apply(np.array([-2000, -1000, -300, 400, 3000], dtype=np.int16))

    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped, [-1, -1, 0, 1, 1], atol=1e-6)


def test_another_range_is_reached_exactly():
    published = IntensityMapping("window", 0.0, 255.0, to_low=0.0, to_high=2.0)

    np.testing.assert_allclose(published.apply(np.array([0.0, 127.5, 255.0])), [0, 1, 2], atol=1e-6)


def test_voxels_that_are_not_numbers_become_the_low_end_and_infinite_ones_the_ends():
    window = IntensityMapping("window", 0.0, 1.0)

    mapped = window.apply(np.array([np.nan, np.inf, -np.inf]))

    np.testing.assert_array_equal(mapped, [-1, 1, -1])


def test_percentiles_become_the_window_of_the_whole_volume():
    volume = np.arange(101, dtype=np.float32).reshape(1, 101, 1)

    window = IntensityMapping("percentiles", 5.0, 90.0).resolve(volume)

    assert window == IntensityMapping("window", 5.0, 90.0)


def test_a_crop_is_mapped_as_the_whole_volume_is():
    volume = np.random.default_rng(0).gamma(2.0, 300.0, (6, 8, 8)).astype(np.float32)
    mapping = IntensityMapping("percentiles", 1.0, 99.0).resolve(volume)

    np.testing.assert_array_equal(mapping.apply(volume[2:4]), mapping.apply(volume)[2:4])
    assert mapping.resolve(volume[2:4]) == mapping


def test_doubling_a_scanners_gain_changes_nothing_under_percentiles():
    volume = np.random.default_rng(0).gamma(2.0, 300.0, (6, 8, 8))
    mapping = IntensityMapping("percentiles", 1.0, 99.0)

    np.testing.assert_allclose(
        mapping.resolve(volume).apply(volume),
        mapping.resolve(2 * volume + 7).apply(2 * volume + 7),
        atol=1e-5,
    )


def test_voxels_that_are_not_numbers_do_not_move_the_percentiles():
    volume = np.arange(101.0)
    mapping = IntensityMapping("percentiles", 10.0, 90.0)

    assert mapping.resolve(np.append(volume, [np.nan, np.inf])) == mapping.resolve(volume)


def test_a_constant_volume_becomes_the_low_end():
    volume = np.full((2, 2, 2), 37.0)

    mapped = IntensityMapping("percentiles", 1.0, 99.0).resolve(volume).apply(volume)

    np.testing.assert_array_equal(mapped, np.full((2, 2, 2), -1.0))


def test_percentiles_are_refused_before_their_volume_is_seen():
    with pytest.raises(InputError, match="resolved on the whole volume"):
        IntensityMapping("percentiles", 1.0, 99.0).apply(np.zeros(3))


@pytest.mark.parametrize(
    ("kind", "low", "high", "message"),
    [
        ("window", 40.0, 40.0, "from a low to a higher value"),
        ("window", float("nan"), 1.0, "from a low to a higher value"),
        ("percentiles", -1.0, 99.0, "0..100"),
        ("percentiles", 1.0, 101.0, "0..100"),
        ("z-score", 0.0, 1.0, "z-score"),
    ],
)
def test_impossible_mappings_are_refused(kind, low, high, message):
    with pytest.raises(InputError, match=message):
        IntensityMapping(kind, low, high)


def test_a_volume_without_numbers_is_refused():
    with pytest.raises(InputError, match="no finite voxel"):
        IntensityMapping("percentiles", 1.0, 99.0).resolve(np.full(3, np.nan))
