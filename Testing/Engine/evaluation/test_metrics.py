"""The measures against closed forms, enumeration, and the published code's stored numbers."""

from itertools import permutations, product
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch

from diffoseg.comparison.overlap import overlap
from diffoseg.errors import InputError
from diffoseg.evaluation import metrics
from diffoseg.evaluation.metrics import generalized_energy_distance, published

PARITY = Path(__file__).parents[2] / "Data" / "parity" / "metrics.npz"


def squares(*edges, size=16):
    """Nested squares of the given edges in one corner, (N, size, size)."""
    masks = np.zeros((len(edges), size, size), np.uint8)
    for mask, edge in zip(masks, edges, strict=True):
        mask[:edge, :edge] = 1
    return masks


def columns(*places, size=8):
    """Single, disjoint columns, (N, size, size); None is an empty mask."""
    masks = np.zeros((len(places), size, size), bool)
    for mask, place in zip(masks, places, strict=True):
        if place is not None:
            mask[:, place] = True
    return masks


@pytest.fixture(scope="module")
def stored():
    return np.load(PARITY)


# --- the published numbers ---------------------------------------------------------------------

SCORES = ("ged", "dice_max", "dice_max_pred", "dice_match", "dice_soft")


@pytest.mark.parametrize("case", range(4))
def test_published_measures_equal_the_stored_numbers(stored, case):
    labels, predictions = stored[f"lab{case}"], stored[f"prd{case}"]

    for name in (*SCORES, "dice_each", "dice_each_istest"):
        ours = getattr(published, name)(labels, predictions)
        # The stored GED is float64; the stored Dice went through float32.
        tolerance = 1e-14 if name == "ged" else 6e-8
        np.testing.assert_allclose(ours, stored[f"{name}{case}"], rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", range(4))
def test_the_published_repetition_of_stage_two_is_reproduced(stored, case):
    labels, plain = stored[f"lab{case}"], stored[f"prd{case}"][:4]
    repeats = published.repeated(plain)

    ours = {
        "s2_ged": published.ged(labels, repeats),
        "s2_plain_match": published.dice_match(labels, plain),
        "s2_plain_diag": published.dice_each_istest(labels, plain),
        "s2_repeat_match": published.dice_match(labels, repeats),
        "s2_repeat_max": published.dice_max(labels, repeats),
        "s2_repeat_each": published.dice_each(labels, repeats),
    }

    for name, value in ours.items():
        np.testing.assert_allclose(value, stored[f"{name}{case}"], rtol=0, atol=6e-8)


@pytest.mark.parametrize("case", range(4))
def test_ours_equals_the_published_where_no_mask_is_empty_and_corrects_it_where_one_is(
    stored, case
):
    labels, predictions = stored[f"lab{case}"], stored[f"prd{case}"]
    empty = [1 - masks.any((1, 2)).mean() for masks in (labels, predictions)]

    correct = generalized_energy_distance(labels, predictions, statistic="V")

    assert correct - published.ged(labels, predictions) == pytest.approx(
        (empty[0] - empty[1]) ** 2, abs=1e-9
    )


def test_one_empty_expert_of_four_scores_0_1772_and_not_the_published_0_1147(stored):
    labels, predictions = stored["lab1"], stored["prd1"]

    assert published.ged(labels, predictions) == pytest.approx(0.1147, abs=5e-5)
    assert generalized_energy_distance(labels, predictions, statistic="V") == pytest.approx(
        0.1772, abs=5e-5
    )


def test_swapped_experts_score_1_as_published_and_what_they_deserve_by_identity():
    experts = squares(10, 15, 20, 25, size=32)
    swapped = experts[::-1]

    identity = metrics.per_expert_dice(experts, swapped)

    np.testing.assert_allclose(published.dice_each(experts, swapped), 1)
    np.testing.assert_allclose(identity, np.array([0.28, 0.72, 0.72, 0.28]), atol=0.005)


# --- GED ---------------------------------------------------------------------------------------


def test_nested_squares_have_the_distance_of_their_areas():
    d = 1 - 4 / 16  # edges 2 and 4

    assert generalized_energy_distance(squares(2, 2), squares(4, 4)) == pytest.approx(2 * d)
    assert generalized_energy_distance(
        squares(2, 4), squares(2, 4), statistic="V"
    ) == pytest.approx(0)
    # U: cross pairs d/2 each way, minus d within either side.
    assert generalized_energy_distance(squares(2, 4), squares(2, 4)) == pytest.approx(-d)


@pytest.mark.parametrize("empty_iou", [1.0, 0.0])
def test_two_sets_of_empty_masks_are_equal_whatever_the_convention(empty_iou):
    nothing = columns(None, None)

    value = generalized_energy_distance(nothing, nothing, empty_iou=empty_iou)

    assert value == 0


def test_an_empty_mask_is_0_from_an_empty_one_and_1_from_any_other():
    # Half empty against never empty, disjoint masks: the distance of two laws on four points.
    labels, predictions = columns(None, 0), columns(1, 2)

    assert generalized_energy_distance(labels, predictions, statistic="V") == pytest.approx(1.0)
    assert generalized_energy_distance(
        columns(None, 0), columns(None, 1), statistic="V", empty_iou=1.0
    ) == pytest.approx(2 * 0.75 - 0.5 - 0.5)
    # An IoU of 0 makes empty masks as far from each other as from any other.
    assert generalized_energy_distance(
        columns(None, 0), columns(None, 1), statistic="V", empty_iou=0.0
    ) == pytest.approx(2 * 1 - 0.75 - 0.75)


def test_u_is_unbiased_and_v_is_biased_by_the_floor_by_enumeration():
    """Average over every draw of L labels and P predictions from two laws on three masks."""
    masks = np.concatenate([squares(2, 3, size=8), np.zeros((1, 8, 8), np.uint8)])
    truth, model = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    sizes = masks.sum((1, 2))
    d = 1 - np.minimum(sizes[:, None], sizes) / np.maximum(np.maximum(sizes[:, None], sizes), 1)
    np.fill_diagonal(d, 0)
    exact = 2 * truth @ d @ model - truth @ d @ truth - model @ d @ model

    mean = dict.fromkeys("UV", 0.0)
    for labels in product(range(3), repeat=2):
        for predictions in product(range(3), repeat=3):
            weight = truth[list(labels)].prod() * model[list(predictions)].prod()
            for statistic in "UV":
                mean[statistic] += weight * generalized_energy_distance(
                    masks[list(labels)], masks[list(predictions)], statistic=statistic
                )

    assert mean["U"] == pytest.approx(exact, abs=1e-12)
    assert mean["V"] == pytest.approx(
        exact + truth @ d @ truth / 2 + model @ d @ model / 3, abs=1e-12
    )


def test_the_floor_is_what_a_perfect_sampler_scores_on_average():
    """Enumerate two labels and two predictions from one law; d = 2p(1-p) for disjoint masks."""
    masks, p = columns(0, 1), 0.3
    law = (p, 1 - p)
    expected_v = expected_floor = 0.0
    for draw in product(range(2), repeat=4):
        weight = np.prod([law[i] for i in draw])
        labels, predictions = masks[list(draw[:2])], masks[list(draw[2:])]
        expected_v += weight * generalized_energy_distance(labels, predictions, statistic="V")
        expected_floor += weight * metrics.ged_floor(labels, 2)

    assert expected_v == pytest.approx(2 * p * (1 - p) * (1 / 2 + 1 / 2))
    assert expected_floor == pytest.approx(expected_v)


def test_the_floor_of_four_labels_and_sixteen_samples_is_five_sixteenths_of_their_distance():
    assert metrics.ged_floor(columns(0, 1, 2, 3), 16) == pytest.approx(1 / 4 + 1 / 16)


def test_arrays_tensors_volumes_and_flipped_views_count_alike():
    rng = np.random.default_rng(0)
    labels, predictions = rng.random((4, 3, 8, 6)) > 0.6, rng.random((5, 3, 8, 6)) > 0.5
    flat = generalized_energy_distance(labels.reshape(4, 24, 6), predictions.reshape(5, 24, 6))

    assert generalized_energy_distance(labels, predictions) == flat
    assert generalized_energy_distance(labels[..., ::-1], predictions[..., ::-1]) == flat
    assert generalized_energy_distance(labels.astype(np.uint16), predictions) == flat
    assert (
        generalized_energy_distance(torch.from_numpy(labels), torch.from_numpy(predictions).float())
        == flat
    )


def test_counts_are_exact_where_one_matrix_product_would_round():
    size = 2**24 + 3  # float32 cannot count so far
    masks = np.ones((1, 1, size), np.uint8)

    counted = overlap(masks, masks)

    assert counted.intersection[0, 0] == counted.union[0, 0] == size


@pytest.mark.parametrize(
    ("labels", "predictions", "word"),
    [
        (columns(0), columns(0, 1), "at least two"),
        (columns(0, 1), columns(0, 1, size=9), "one grid"),
        (columns(0, 1) * 0.5, columns(0, 1), "0 and 1 only"),
        (columns(0, 1) * 2, columns(0, 1), "0 and 1 only"),
        (columns(0, 1)[0], columns(0, 1)[0], "(N, H, W)"),
        (columns(0, 1)[:0], columns(0, 1), "N >= 1"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(labels, predictions, word):
    with pytest.raises(InputError, match=word.replace("(", r"\(").replace(")", r"\)")):
        generalized_energy_distance(labels, predictions)


def test_an_unknown_statistic_is_refused():
    with pytest.raises(InputError, match="'U' or 'V'"):
        generalized_energy_distance(columns(0, 1), columns(0, 1), statistic="W")


# --- matching and overlap ----------------------------------------------------------------------


def test_hm_iou_of_a_shuffled_set_is_1_and_of_unequal_counts_the_best_share():
    assert metrics.hm_iou(columns(0, 1, 2), columns(2, 0, 1)) == 1
    # Two labels, three predictions: six of each. Each label has 3 copies, each prediction 2;
    # two 0s meet the 0s, two 1s the 1s, two 2s meet what is left and score nothing.
    assert metrics.hm_iou(columns(0, 1), columns(0, 1, 2)) == pytest.approx(4 / 6)
    assert metrics.hm_iou(columns(0), columns(0, 1)) == pytest.approx(1 / 2)


def test_hm_iou_of_two_laws_is_one_minus_their_total_variation_for_disjoint_masks():
    # (3/4, 1/4) against (1/2, 1/2): the part in common is 3/4.
    assert metrics.hm_iou(columns(0, 0, 0, 1), columns(0, 1)) == pytest.approx(3 / 4)


def test_hm_iou_equals_the_best_of_all_permutations():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 4, 5, 5)) > 0.5
    iou = [[(x & y).sum() / (x | y).sum() for y in b] for x in a]

    best = max(np.mean([iou[i][j] for i, j in enumerate(p)]) for p in permutations(range(4)))

    assert metrics.hm_iou(a, b) == pytest.approx(best)


def test_empty_masks_match_each_other_fully_and_nothing_else():
    labels, predictions = columns(None, 0), columns(0, None)

    assert metrics.hm_iou(labels, predictions) == 1
    assert metrics.hm_iou(labels, predictions, empty_iou=0.0) == 0.5
    assert metrics.dice_match(labels, predictions) == 1
    np.testing.assert_array_equal(metrics.per_expert_dice(labels, predictions), [0, 0])
    np.testing.assert_array_equal(metrics.per_expert_dice(labels, labels), [1, 1])


def test_dice_max_depends_on_the_side_that_is_averaged():
    experts, predictions = columns(0, 1), columns(0, 0, 0)

    assert metrics.dice_max(experts, predictions) == 0.5
    assert metrics.dice_max(predictions, experts) == 1
    assert metrics.dice_match(experts, predictions) == 0.5


def test_dice_soft_compares_the_level_sets_of_the_mean_maps():
    # Mean maps: 1, 1/2 and 0 against 1 everywhere the large square is.
    experts, predictions = squares(2, 4), squares(4, 4)
    narrow = 2 * 4 / (4 + 16)  # levels .5, .7, .9 keep the small square alone

    soft = metrics.dice_soft(experts, predictions)

    assert soft == pytest.approx((1 + 1 + 3 * narrow) / 5)
    assert metrics.dice_soft(torch.tensor(experts), torch.tensor(predictions)) == soft
    assert metrics.dice_soft(experts, experts) == 1


def test_the_diagonal_needs_one_prediction_for_each_expert():
    with pytest.raises(InputError, match="4 experts and 3 predictions"):
        metrics.per_expert_dice(columns(0, 1, 2, 3), columns(0, 1, 2))


# --- calibration -------------------------------------------------------------------------------


def test_calibration_error_is_the_shift_of_a_shifted_map_and_0_of_the_truth():
    truth = np.linspace(0.05, 0.85, 400).reshape(20, 20)

    assert metrics.expected_calibration_error(truth, truth) == pytest.approx(0)
    assert metrics.expected_calibration_error(truth + 0.1, truth) == pytest.approx(0.1)
    assert metrics.brier(truth + 0.1, truth) == pytest.approx(0.01)


def test_calibration_error_cancels_inside_a_bin_and_not_between_bins():
    probabilities = np.array([0.52, 0.52, 0.11])
    truth = np.array([0.42, 0.62, 0.31])

    assert metrics.expected_calibration_error(probabilities, truth) == pytest.approx(0.2 / 3)
    assert metrics.brier(probabilities, truth) == pytest.approx((0.01 + 0.01 + 0.04) / 3)


def test_only_pixels_within_the_band_count_and_certainty_has_a_bin():
    probabilities, truth = np.array([1.0, 0.0, 0.5]), np.array([1, 0, 0])
    band = np.array([True, True, False])

    assert metrics.expected_calibration_error(probabilities, truth, within=band) == 0
    assert metrics.brier(probabilities, truth, within=band) == 0
    assert metrics.expected_calibration_error(probabilities, truth) == pytest.approx(0.5 / 3)
    assert np.isnan(metrics.expected_calibration_error(probabilities, truth, within=band & False))


def test_brier_against_drawings_is_the_error_plus_the_experts_own_spread():
    """Exact over all outcomes of three drawings with probability p."""
    p, predicted, drawings = 0.3, np.full((1, 1), 0.5), 3
    law = [comb(drawings, k) * p**k * (1 - p) ** (drawings - k) for k in range(drawings + 1)]

    mean = sum(
        weight
        * np.mean([metrics.brier(predicted, np.full((1, 1), y < k)) for y in range(drawings)])
        for k, weight in enumerate(law)
    )

    assert mean == pytest.approx((0.5 - p) ** 2 + p * (1 - p))
