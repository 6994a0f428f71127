"""Scores of methods whose law is known, against closed forms; intervals by simulation."""

import json

import numpy as np
import pytest
from a_known_law import EXPERTS, LAWS, MASKS, Sampler, truth_slices
from scipy import stats

from diffoseg.errors import InputError
from diffoseg.evaluation.bounds import humans, level_sets_of_truth, oracle
from diffoseg.evaluation.evaluate import (
    Evaluation,
    TruthSlice,
    evaluate,
    paired_difference,
    paired_ratio,
)
from diffoseg.evaluation.intervals import interval, patient_weights
from diffoseg.evaluation.tables import differences_table, markdown_table

MIXTURE = (LAWS["Ada"] + LAWS["Ben"]) / 2


def constant(mask):
    law = np.eye(5)[mask]
    return Sampler(dict.fromkeys(EXPERTS, law))


@pytest.fixture(scope="module")
def many_slices():
    return truth_slices(600)


@pytest.fixture(scope="module")
def perfect(many_slices):
    return evaluate(Sampler(LAWS), many_slices, samples=4)


def mean_and_error(values):
    return values.mean(), values.std() / np.sqrt(len(values))


GEDS = ("mixture_ged", "consensus_ged", "expert_ged")


@pytest.mark.parametrize("measure", GEDS)
def test_a_perfect_sampler_has_no_excess(perfect, measure):
    mean, error = mean_and_error(perfect.scores[measure])

    assert error < 0.01
    assert abs(mean) < 3 * error


def test_the_literatures_ged_of_a_perfect_sampler_is_its_floor(perfect):
    excess = perfect.scores["ged_v"] - perfect.scores["ged_v_floor"]
    mean, error = mean_and_error(excess)

    within = 1 - np.mean([(law**2).sum() for law in LAWS.values()])
    floor, floor_error = mean_and_error(perfect.scores["ged_v_floor"])
    assert abs(mean) < 3 * error
    assert abs(floor - within * (1 / 2 + 1 / 8)) < 3 * floor_error


def test_a_sampler_with_the_wrong_law_scores_the_squared_difference(many_slices):
    wrong = {"Ada": np.array([0, 0.4, 0, 0.6, 0]), "Ben": np.array([0.5, 0.5, 0, 0, 0])}
    found = evaluate(Sampler(wrong), many_slices, samples=4)
    mixture = ((sum(wrong.values()) / 2 - MIXTURE) ** 2).sum()
    expert = np.mean([((wrong[name] - LAWS[name]) ** 2).sum() for name in EXPERTS])

    for measure, expected in zip(GEDS, (mixture, mixture, expert), strict=True):
        mean, error = mean_and_error(found.scores[measure])
        assert abs(mean - expected) < 3 * error < 0.05


def test_swapped_experts_keep_the_mixture_and_lose_the_experts(many_slices):
    swapped = {"Ada": LAWS["Ben"], "Ben": LAWS["Ada"]}
    found = evaluate(Sampler(swapped), many_slices, samples=4)

    mean, error = mean_and_error(found.scores["mixture_ged"])
    assert abs(mean) < 3 * error
    mean, error = mean_and_error(found.scores["expert_ged"])
    assert abs(mean - ((LAWS["Ada"] - LAWS["Ben"]) ** 2).sum()) < 3 * error


def test_a_constant_mask_scores_its_closed_form_on_one_slice():
    case = truth_slices(2)[0]
    found = evaluate(constant(0), [case, case], samples=3)
    shares = [[np.all(draws == mask, (1, 2)).sum() for mask in MASKS] for draws in case.draws]
    counts = np.array(shares)  # (experts, masks), of 8 drawings
    same = (counts * (counts - 1)).sum(1) / (8 * 7)
    across = (counts[0] * counts[1]).sum() / 64
    hits = counts[:, 0] / 8

    assert found.scores["mixture_ged"][0] == pytest.approx(
        2 * (1 - hits.mean()) - (1 - (same.sum() + 2 * across) / 4)
    )
    assert found.scores["expert_ged"][0] == pytest.approx((2 * (1 - hits) - (1 - same)).mean())
    assert found.scores["consensus_ged"][0] == pytest.approx(found.scores["mixture_ged"][0])
    assert found.scores["expert_dice"][0] == pytest.approx(hits.mean())


def test_expert_dice_pairs_each_expert_with_its_own_map():
    sure = {"Ada": np.eye(5)[0], "Ben": np.eye(5)[4]}
    swapped = {"Ada": sure["Ben"], "Ben": sure["Ada"]}
    cases = truth_slices(3, laws=sure)

    right, wrong = (evaluate(Sampler(laws), cases, samples=2) for laws in (sure, swapped))

    assert right.value("expert_dice") == 1
    assert wrong.value("expert_dice") == 0
    assert right.value("hm_iou") == wrong.value("hm_iou") == 1


def test_presence_is_the_share_of_masks_that_are_not_empty():
    laws = {"Ada": np.eye(5)[0], "Ben": np.eye(5)[4]}  # Ben never draws anything
    found = evaluate(constant(1), truth_slices(3, laws=laws), samples=2)

    assert found.value("true_empty_rate") == 0.5
    assert found.value("empty_rate") == 0
    assert found.value("presence_bias") == 0.5
    np.testing.assert_array_equal(found.of_experts("presence_bias"), [0, 1])
    assert found.value("presence_rmse") == pytest.approx(np.sqrt(0.5))


def test_calibration_is_pooled_over_the_union_of_the_drawings():
    """Two slices, wrong by +0.2 and -0.2 in one bin: pooled they cancel, as over one map."""
    laws = {"Ada": np.eye(5)[0], "Ben": np.eye(5)[1]}
    cases = truth_slices(2, laws=laws)  # the true consensus is 1/2 in two columns of four

    class Shifted(Sampler):
        def probability(self, image, expert):
            return super().probability(image, expert) * 0 + 0.8

    found = evaluate(Shifted(laws), cases, samples=2)
    assert found.value("consensus_ece") == pytest.approx(0.3)
    assert found.value("expert_ece") == pytest.approx(0.3)  # mean truth of both columns is 1/2
    assert found.calibration["consensus_ece"][0, :, 0].sum() == 12  # two columns of six pixels


def test_the_oracle_is_its_own_floor_and_ceiling(many_slices):
    found = oracle(many_slices, samples=4)

    for measure in GEDS:
        mean, error = mean_and_error(found.scores[measure])
        assert abs(mean) < 3 * error
    # Of seven others, four alike make a mask; else it is empty, and right when Ben draws nothing.
    four = {p: float(stats.binom.sf(3, 7, p)) for p in (0.3, 0.4, 0.5, 0.6)}
    ada = four[0.6] * 0.6 + four[0.4] * 0.4
    ben = four[0.5] * 0.5 + four[0.3] * 0.3 + (1 - four[0.5] - four[0.3]) * 0.2
    mean, error = mean_and_error(found.scores["expert_dice"])
    assert abs(mean - (ada + ben) / 2) < 3 * error < 0.05
    assert found.value("hm_iou") < 0.9  # two finite sets of one law do not match fully


def test_the_oracle_of_sure_experts_is_perfect():
    laws = {"Ada": np.eye(5)[0], "Ben": np.eye(5)[1]}
    found = oracle(truth_slices(2, laws=laws), samples=8)

    for measure, best in (("mixture_ged", 0), ("expert_dice", 1), ("hm_iou", 1)):
        assert found.value(measure) == pytest.approx(best)
    assert found.value("expert_ece") == pytest.approx(0)
    assert found.value("presence_bias") == found.value("presence_rmse") == 0


def test_people_in_the_methods_place_score_what_their_laws_say(many_slices):
    rows = humans(many_slices)
    ada, ben = LAWS.values()
    closed = {
        ("another expert", "mixture_ged"): ((ada - ben) ** 2).sum(),
        ("another expert", "expert_ged"): ((ada - ben) ** 2).sum(),
        ("another expert", "expert_dice"): ada @ ben,
        ("same expert again", "expert_dice"): (ada @ ada + ben @ ben) / 2,
    }

    for (row, measure), expected in closed.items():
        mean, error = mean_and_error(rows[row].scores[measure])
        assert abs(mean - expected) < 3 * error < 0.04


def test_one_expert_alone_has_no_other_to_be_compared_with():
    rows = humans(truth_slices(2, laws={"Ada": LAWS["Ada"]}))

    assert list(rows) == ["same expert again"]


def test_every_question_has_its_own_seed_and_the_same_one_again():
    asked = []

    class Recorder(Sampler):
        def samples(self, image, expert, n, seed):
            asked.append(seed)
            return super().samples(image, expert, n, seed)

    cases = truth_slices(3)
    first, second = (evaluate(Recorder(LAWS), cases, samples=2, seed=5) for _ in range(2))
    evaluate(Recorder(LAWS), cases, samples=2, seed=6)

    assert asked[:9] == asked[9:18]
    assert len(set(asked)) == 18
    np.testing.assert_array_equal(first.scores["expert_ged"], second.scores["expert_ged"])


@pytest.mark.parametrize(("count", "draws", "samples"), [(2, 8, 1), (2, 1, 4), (0, 8, 4)])
def test_too_few_masks_or_slices_are_refused(count, draws, samples):
    with pytest.raises(InputError, match="at least"):
        evaluate(Sampler(LAWS), truth_slices(count, draws), samples=samples)


# --- intervals ---------------------------------------------------------------------------------


def cohort(random, patients, slices, *, shift=0.0, noise=1.0, effects=None):
    """Scores with a shared effect of each patient: slices of one patient are alike."""
    effects = random.normal(size=patients) if effects is None else effects
    values = np.repeat(effects, slices) + random.normal(size=patients * slices) * noise + shift
    names = tuple(f"p{row}" for row in np.repeat(np.arange(patients), slices))
    return Evaluation(names, {"expert_dice": values}, {}, samples=2)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = cohort(random, patients=10, slices=4, noise=0.3).estimate("expert_dice")
        covered += found.low <= 0 <= found.high

    # Slices taken for independent would cover about 70 %; plain percentiles about 90 %.
    assert 0.92 <= covered / 200 <= 0.99


def test_a_paired_interval_is_narrower_than_an_unpaired_one_and_holds_the_difference():
    random = np.random.default_rng(1)
    effects = random.normal(size=12)
    worse = cohort(random, 12, 3, effects=effects, noise=0.1)
    better = cohort(random, 12, 3, effects=effects, noise=0.1, shift=0.2)

    paired = paired_difference(better, worse, "expert_dice")
    alone = better.estimate("expert_dice")

    assert paired.low < 0.2 < paired.high
    assert paired.low > 0
    assert paired.high - paired.low < (alone.high - alone.low) / 5
    assert paired.value == pytest.approx(better.value("expert_dice") - worse.value("expert_dice"))


def test_the_interval_of_means_agrees_with_students_t():
    random = np.random.default_rng(2)
    values = random.normal(size=30)
    names = tuple(map(str, range(30)))
    found = Evaluation(names, {"expert_dice": values}, {}, 2).estimate("expert_dice")

    half = 2.045 * values.std(ddof=1) / np.sqrt(30)  # t of 29 degrees of freedom
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08)


def test_patients_are_drawn_with_all_their_slices():
    weights = patient_weights(["a", "b", "a", "c"])

    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(1), 3)
    assert len(np.unique(weights, axis=0)) == 10  # ways to draw 3 of 3 with replacement


def test_two_patients_give_the_widest_interval_and_one_gives_none():
    weights = patient_weights(["a", "b"])
    found = interval(0.5, weights @ [0.0, 0.5], 2)

    assert (found.low, found.high) == (0, 1)
    with pytest.raises(InputError, match="two"):
        patient_weights(["a", "a"])


def test_methods_scored_on_other_slices_are_not_compared():
    random = np.random.default_rng(3)
    with pytest.raises(InputError, match="same slices"):
        paired_difference(cohort(random, 3, 2), cohort(random, 2, 3), "expert_dice")


# --- on paper ----------------------------------------------------------------------------------


def test_an_evaluation_survives_its_json():
    found = evaluate(Sampler(LAWS), truth_slices(6, patients=3), samples=2)
    stored = json.loads(json.dumps(found.to_dict()))
    again = Evaluation.from_dict(stored)

    assert again.measures == found.measures
    for measure in found.measures:
        assert vars(again.estimate(measure)) == stored["estimates"][measure]
    assert paired_difference(again, found, "consensus_ece").high == 0


def test_the_table_has_a_row_for_each_method_and_a_dash_for_what_a_bound_lacks():
    cases = truth_slices(4)
    rows = {"ours": evaluate(Sampler(LAWS), cases, samples=2), "oracle": oracle(cases, 2)}
    table = markdown_table({**rows, **humans(cases)}, ["mixture_ged", "expert_dice", "hm_iou"])
    lines = table.splitlines()

    assert (
        lines[0]
        == "| method | GED_U of all experts together ↓ | Dice of each expert ↑ | HM-IoU ↑ |"
    )
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| ours",
        "| oracle",
        "| another expert",
        "| same expert again",
    ]
    assert lines[-1].split(" | ")[1] == "–"
    assert str(rows["ours"].estimate("hm_iou")) in lines[2]


def test_the_table_of_differences_is_paired_and_leaves_out_our_own_row():
    cases = truth_slices(4)
    rows = {"ours": evaluate(Sampler(LAWS), cases, 2), "fixed": evaluate(constant(0), cases, 2)}
    lines = differences_table("ours", rows, ["mixture_ged"]).splitlines()

    expected = paired_difference(rows["ours"], rows["fixed"], "mixture_ged")
    assert lines[2:] == [f"| ours − fixed | {expected} |"]


# --- beside the scores ---------------------------------------------------------------------------


class Stating(Sampler):
    """Knows how likely it marks anything."""

    def presence(self, image, expert):
        return 1 - self.laws[expert][4]


WRONG = {"Ada": np.array([0.5, 0, 0, 0, 0.5]), "Ben": np.array([0, 0.3, 0.7, 0, 0])}


@pytest.mark.parametrize("kind", [Sampler, Stating])
def test_the_error_of_presence_is_free_of_the_noise_of_counting(many_slices, kind):
    found = evaluate(kind(WRONG), many_slices[:250], samples=3)

    mean, error = mean_and_error(found.scores["presence_rmse"])
    assert abs(mean - (0.5**2 + 0.2**2) / 2) < 3 * error < 0.04
    assert found.value("presence_rmse") == pytest.approx(np.sqrt(mean))
    assert found.value("presence_bias") == pytest.approx((-0.5 + 0.2) / 2, abs=0.05)


@pytest.mark.parametrize("kind", [Sampler, Stating])
def test_the_error_of_presence_of_a_perfect_sampler_is_nothing(many_slices, kind):
    mean, error = mean_and_error(
        evaluate(kind(LAWS), many_slices[:250], samples=3).scores["presence_rmse"]
    )

    assert abs(mean) < 3 * error < 0.02


class Drifting(Sampler):
    """Says .5 of every pixel of the first column, whatever it draws."""

    def probability(self, image, expert):
        return super().probability(image, expert) * 0 + 0.5 * MASKS[0]


def test_drift_is_how_far_samples_leave_the_stated_probability_without_counting_noise():
    laws = {"Ada": np.array([0.9, 0, 0, 0, 0.1]), "Ben": np.array([0.3, 0, 0, 0, 0.7])}
    cases = truth_slices(250, laws=laws)

    none = mean_and_error(evaluate(Sampler(laws), cases, samples=3).scores["sample_drift"])
    found = mean_and_error(evaluate(Drifting(laws), cases, samples=3).scores["sample_drift"])
    assert abs(none[0]) < 3 * none[1] < 0.02
    assert abs(found[0] - (0.4**2 + 0.2**2) / 2) < 3 * found[1] < 0.03


NESTED = np.zeros((5, 6, 4), bool)
for _row in range(4):
    NESTED[_row, : _row + 1] = True


def test_level_sets_of_true_marginals_are_right_where_masks_are_nested():
    random = np.random.default_rng(5)
    laws = [np.array([0.2, 0.3, 0, 0.5, 0]), np.array([0, 0, 0.6, 0.1, 0.3])]
    draws = np.stack([NESTED[random.choice(5, (100, 200), p=law)] for law in laws], 1)
    cases = [TruthSlice("p", np.zeros((1, 6, 4)), each, EXPERTS) for each in draws]

    mean, error = mean_and_error(level_sets_of_truth(cases, samples=4).scores["expert_ged"])
    assert abs(mean) < 3 * error + 1 / 100  # marginals are counted, of 100 drawings
    assert error < 0.03


def test_level_sets_of_true_marginals_cannot_choose_between_masks_that_cross():
    """Of columns drawn with .6 and .4, level sets draw both, the first alone, or nothing."""
    laws = {"Ada": LAWS["Ada"]}
    found = level_sets_of_truth(truth_slices(100, draws=200, laws=laws), samples=4)

    masks = np.stack([MASKS[0] | MASKS[1], *MASKS])
    flat = masks.reshape(len(masks), -1).astype(float)
    shared = flat @ flat.T
    union = flat.sum(1)[:, None] + flat.sum(1) - shared
    distance = np.where(union > 0, 1 - shared / np.maximum(union, 1), 0)
    difference = np.array([0.4, 0.2, 0, 0, 0, 0.4]) - np.array([0, *LAWS["Ada"]])
    mean, error = mean_and_error(found.scores["expert_ged"])
    assert abs(mean - -difference @ distance @ difference) < 3 * error + 0.01
    assert error < 0.04


def test_a_paired_ratio_is_of_means_and_knows_what_is_shared():
    random = np.random.default_rng(4)
    effects = np.exp(random.normal(size=200))
    names = tuple(map(str, range(200)))
    first, second = (
        Evaluation(names, {"expert_dice": factor * effects}, {}, 2) for factor in (0.3, 0.6)
    )

    found = paired_ratio(first, second, "expert_dice")
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_an_evaluation_taken_apart_by_patients_is_joined_again():
    cases = truth_slices(6, patients=3)
    whole = evaluate(Sampler(LAWS), cases, samples=2)
    parts = [whole.of_patients([name]) for name in ("p1", "p0", "p2")]

    joined = Evaluation.joined(parts)
    assert joined.patients == ("p1", "p1", "p0", "p0", "p2", "p2")
    for measure in whole.measures:
        assert joined.value(measure) == pytest.approx(whole.value(measure))
    np.testing.assert_allclose(joined.of_experts("swap_ged"), whole.of_experts("swap_ged"))
    with pytest.raises(InputError, match="at least one"):
        Evaluation.of_slices([], [], 2)
