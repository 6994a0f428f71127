"""Truth of phantoms on the model's grid, and a model that is asked on the product's own way."""

import numpy as np
import pytest
from a_fast_model import a_fast_model
from a_model import PATCH, a_model, a_volume

from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.evaluation.phantoms import ModelPredictor, truth_cases, truth_slices

COHORT = PhantomCohort(seed=2, cases=3, kind=CROSSING)


@pytest.fixture(scope="module")
def cases():
    return list(truth_cases(COHORT, a_model().metadata, draws=6))


def test_every_chosen_slice_may_be_marked_and_no_drawing_decides_which(cases):
    others = truth_cases(COHORT, a_model().metadata, draws=2)

    assert [case.chosen for case in cases] == [case.chosen for case in others]
    assert all(0 < len(case.chosen) <= 3 for case in cases)


def test_the_first_and_the_last_chosen_slice_are_where_presence_begins_and_ends(cases):
    for index, case in enumerate(cases):
        view = COHORT.scene(index)[1]
        presence = np.mean([view.presence(style) for style in COHORT.experts], 0)
        rows = np.flatnonzero(presence >= 0.02)

        assert (case.chosen[0], case.chosen[-1]) == (rows[0], rows[-1])


def test_drawings_on_the_grid_are_the_cohorts_own(cases):
    truth = COHORT.case_truth(1, 6)

    for drawn, name in zip(cases[1].draws, cases[1].experts, strict=True):
        # The window is smaller than the phantom and may cut a drawing, never add to one.
        assert drawn.sum() <= truth[name].sum()
        assert drawn.any() == truth[name].any()
        np.testing.assert_array_equal(
            drawn.any((2, 3)) <= truth[name].any((2, 3)), np.ones(drawn.shape[:2], bool)
        )


def test_slices_are_those_of_the_cases(cases):
    slices = list(truth_slices(COHORT, a_model().metadata, draws=6))
    expected = [part for case in cases for part in case.slices()]

    assert len(slices) == len(expected) == sum(len(case.chosen) for case in cases)
    for one, other in zip(slices, expected, strict=True):
        np.testing.assert_array_equal(one.draws, other.draws)
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize("make", [a_model, a_fast_model])
def test_the_predictor_draws_what_the_product_draws(make):
    """A volume as large as the field of view, of which the product sees just what is given."""
    model = make()
    volume = a_volume((PATCH, PATCH, 5))
    product = Segmenter(model, "cpu").segment(
        volume, volume.geometry.bounding_box(), experts=("Ann",), samples=4, seed=3
    )
    predictor = ModelPredictor(model)
    images = model.metadata.intensity.apply(volume.array)[:, None]
    masks = predictor.volumes(images, "Ann", 4, 3)
    found = product.results["Ann"]

    assert masks.shape == found.samples.shape
    assert (masks != found.samples).mean() < 1e-3  # batches of another size round differently
    stated = predictor.presence(images[0], "Ann")
    assert stated is None or stated == pytest.approx(found.presence, abs=1e-4)
    np.testing.assert_allclose(
        predictor.probability(images[0], "Ann"), found.probability[0], atol=1e-3
    )


def test_one_slice_is_a_volume_of_one():
    image = np.linspace(-1, 1, PATCH * PATCH, dtype=np.float32).reshape(1, PATCH, PATCH)
    first, second = ModelPredictor(a_fast_model(), 2), ModelPredictor(a_fast_model(), 2)

    np.testing.assert_array_equal(
        first.samples(image, "Ann", 3, 5), second.volumes(image[None], "Ann", 3, 5)[:, 0]
    )


def test_a_predictor_sees_an_image_that_was_changed_in_place():
    image = np.zeros((1, PATCH, PATCH), np.float32)
    predictor = ModelPredictor(a_fast_model(), 2)
    predictor.samples(image, "Ann", 2, 1)
    before = predictor.probability(image, "Ann")
    image[:, 8:20, 8:20] = 1
    predictor.samples(image, "Ann", 2, 1)

    assert np.abs(predictor.probability(image, "Ann") - before).max() > 1e-4
