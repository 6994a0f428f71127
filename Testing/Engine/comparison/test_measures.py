"""The numbers of a comparison, against closed forms and other libraries."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from a_comparison import a_comparison, a_volume

from diffoseg.comparison.measures import (
    BOTH_EMPTY,
    crop_to_region,
    dice,
    dice_matrix,
    disagreement,
    largest_diameter,
    sampling_spread,
    surface_distances,
    table,
    volume_interval,
)
from diffoseg.comparison.result import ExpertResult
from diffoseg.space.geometry import Geometry


def a_result(volumes: list[int]) -> ExpertResult:
    """Return a result whose samples hold that many voxels."""
    samples = np.arange(1000).reshape(1, 10, 10, 10) < np.reshape(volumes, (-1, 1, 1, 1))
    return ExpertResult("A", samples.mean(0, dtype=np.float32), samples[0], samples, 1.0, 0.5)


def a_box(low: tuple[int, int, int], high: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((12, 20, 24), bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def test_one_sample_gives_no_interval():
    assert volume_interval(a_result([5]), 1.0) is None


def test_up_to_18_samples_their_range_is_given():
    interval = volume_interval(a_result([7, 3, *[5] * 16]), 0.5)
    assert (interval.low, interval.high) == (1.5, 3.5)
    assert interval.label == "range of 18 samples"


def test_19_samples_give_a_90_percent_interval_that_is_their_range():
    interval = volume_interval(a_result(list(range(11, 30))), 1.0)
    assert (interval.low, interval.high) == (11, 29)
    assert interval.label == "90 % interval of 19 samples"


def test_39_samples_leave_one_out_on_either_side():
    interval = volume_interval(a_result(list(range(100, 139))), 1.0)
    assert (interval.low, interval.high) == (101, 137)


def test_disagreement_is_over_the_experts_without_the_consensus():
    comparison = a_comparison()
    stack = [r.probability for name, r in comparison.results.items() if name != "consensus"]
    np.testing.assert_allclose(disagreement(comparison), np.std(stack, axis=0), atol=1e-6)


def test_one_expert_cannot_disagree():
    assert disagreement(a_comparison(("Only one",))) is None


def test_sampling_spread_is_within_one_expert():
    result = a_comparison().results["Expert 2"]
    np.testing.assert_allclose(sampling_spread(result), result.samples.std(0), atol=1e-6)
    assert sampling_spread(replace(result, samples=result.samples[:1])) is None


def test_dice_says_when_both_are_empty():
    nothing, something = a_box((0, 0, 0), (0, 0, 0)), a_box((0, 0, 0), (2, 2, 2))
    assert dice(nothing, nothing) == BOTH_EMPTY == "both empty"
    assert dice(nothing, something) == 0.0


def test_dice_agrees_with_simpleitk_for_every_pair():
    comparison = a_comparison()
    matrix = dice_matrix(comparison)
    assert len(matrix) == 12
    measure = sitk.LabelOverlapMeasuresImageFilter()
    for (first, second), value in matrix.items():
        images = [
            sitk.GetImageFromArray(comparison.results[name].mask.astype(np.uint8))
            for name in (first, second)
        ]
        measure.Execute(*images)
        assert value == pytest.approx(measure.GetDiceCoefficient())


def test_the_diameter_of_a_bar_is_its_length():
    geometry = Geometry((24, 20, 12), (0.5, 0.7, 3.0))
    assert largest_diameter(a_box((3, 4, 2), (9, 5, 12)), geometry, 2) == pytest.approx(5.0)
    assert largest_diameter(a_box((3, 4, 2), (9, 5, 3)), geometry, 0) == pytest.approx(18.0)
    assert largest_diameter(a_box((0, 0, 0), (0, 0, 0)), geometry, 2) is None


def test_the_diameter_of_a_ball_is_twice_its_radius_in_square_and_oblong_pixels():
    for spacing in ((0.5, 0.5, 2.0), (0.4, 0.9, 2.0)):
        geometry = Geometry((80, 60, 12), spacing)
        k, j, i = np.indices(geometry.size[::-1])
        squares = sum(
            ((index - middle) * mm) ** 2
            for index, middle, mm in zip((i, j, k), (40, 30, 6), spacing, strict=True)
        )
        found = largest_diameter(squares <= 7.0**2, geometry, 2)
        assert found == pytest.approx(14.0, abs=max(spacing[:2]))


def test_the_diameter_goes_across_a_diagonal():
    plane = np.zeros((1, 40, 40), bool)
    plane[0, np.arange(31), np.arange(31)] = True
    found = largest_diameter(plane, Geometry((40, 40, 1)), 2)
    assert found == pytest.approx(30 * np.sqrt(2), abs=0.75)


def test_a_shifted_box_is_as_far_as_it_was_shifted():
    geometry = Geometry((24, 20, 12), (0.5, 1.0, 2.0))
    first, second = a_box((1, 2, 2), (8, 15, 12)), a_box((1, 2, 8), (8, 15, 18))
    mean, far = surface_distances(first, second, geometry)
    assert far == pytest.approx(3.0)
    assert 0 < mean < far


def test_surface_distances_agree_with_simpleitk():
    comparison = a_comparison()
    geometry = comparison.region_geometry
    a, b = (comparison.results[name].mask for name in ("Expert 1", "Expert 4"))
    mean, far = surface_distances(a, b, geometry)

    def to_the_other(own: np.ndarray, other: np.ndarray) -> np.ndarray:
        images = [sitk.GetImageFromArray(np.pad(m, 1).astype(np.uint8)) for m in (own, other)]
        for image in images:
            image.SetSpacing(geometry.spacing)
        edges = [image - sitk.BinaryErode(image, [1, 1, 1], sitk.sitkCross) for image in images]
        distance = sitk.SignedMaurerDistanceMap(
            edges[1], squaredDistance=False, useImageSpacing=True
        )
        values = sitk.GetArrayFromImage(distance).clip(0)
        return values[sitk.GetArrayFromImage(edges[0]) > 0]

    there, back = to_the_other(a, b), to_the_other(b, a)
    assert mean == pytest.approx(np.concatenate([there, back]).mean(), rel=1e-4)
    assert far == pytest.approx(max(np.percentile(d, 95) for d in (there, back)), rel=1e-4)


def test_the_table_holds_the_whole_truth_about_an_expert():
    comparison, volume = a_comparison(), a_volume()
    consensus, first = table(comparison, volume)[:2]
    mask = comparison.results["Expert 1"].mask
    assert first.volume_ml == pytest.approx(mask.sum() * 0.8 * 0.8 * 2.5 / 1000)
    assert first.volume_ml == pytest.approx(4 / 3 * np.pi * 7**3 / 1000, rel=0.05)
    assert first.difference_ml == pytest.approx(first.volume_ml - consensus.volume_ml)
    assert first.difference_percent == pytest.approx(
        100 * (first.volume_ml / consensus.volume_ml - 1)
    )
    inside = volume.array[3:13, 10:52, 8:56][mask]
    assert first.mean_intensity == pytest.approx(inside.mean())
    assert first.diameter_mm == pytest.approx(14, abs=0.8)
    assert consensus.dice is None
    assert consensus.difference_ml is None


def test_the_table_says_nothing_where_there_is_nothing():
    for row in table(a_comparison(empty=True), a_volume())[1:]:
        assert row.volume_ml == 0
        assert row.dice == BOTH_EMPTY
        assert row.difference_ml == 0
        assert row.diameter_mm is row.mean_intensity is row.surface_mm is None
        assert row.difference_percent is None


def test_without_a_consensus_nothing_is_compared_with_it():
    for row in table(a_comparison(consensus=False), a_volume()):
        assert row.dice is row.difference_ml is row.surface_95_mm is None


def test_the_crop_is_the_regions_part_of_the_volume():
    comparison = a_comparison()
    k, j, i = np.indices(comparison.geometry.size[::-1])
    for index, cropped in zip((i, j, k), comparison.region_start, strict=True):
        assert crop_to_region(index, comparison).min() == cropped
    points = comparison.geometry.index_to_point(np.stack([i, j, k], -1))
    np.testing.assert_allclose(
        crop_to_region(points, comparison)[0, 0, 0], comparison.region_geometry.origin
    )


@pytest.mark.parametrize("asked", [True, False])
def test_without_monai_or_unasked_the_table_lacks_distances_and_nothing_else(monkeypatch, asked):
    whole = table(a_comparison(), a_volume())
    if asked:
        monkeypatch.setitem(sys.modules, "monai.metrics", None)

    rows = table(a_comparison(), a_volume(), surfaces=asked)

    assert rows == tuple(replace(row, surface_mm=None, surface_95_mm=None) for row in whole)
