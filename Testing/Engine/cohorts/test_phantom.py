"""The crossing phantoms: determinism, a law that a slice shows, crossing choices, and the gate."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from diffoseg.cohorts.anatomy import Recipe, render
from diffoseg.cohorts.calibration import GATE, _mixture_excess, calibrate, level_set_gate
from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.cohorts.simulated import DEFAULT_EXPERTS, View, draw, draw_latents, style_population
from diffoseg.errors import InputError

# What every stored number of the crossing phantoms was measured on.
MEAN_HU, DRAWN, DRAWN_AGAIN = -867.8990, [243, 591, 428, 0], [390, 1204, 498, 434]


@pytest.fixture(scope="module")
def cohort():
    return PhantomCohort(seed=5, cases=12, kind=CROSSING)


@pytest.fixture(scope="module")
def a_case(cohort):
    return cohort[2]


@pytest.fixture(scope="module")
def a_view(cohort):
    return cohort.scene(2)[1]


def middle_of(view):
    return int(view.solid_area.argmax())


def drawings(view, style, draws, seed=0):
    return draw(view, style, draw_latents(np.random.default_rng(seed), style, view, draws))


def test_a_case_is_the_same_bytes_in_whatever_order_it_is_read(cohort):
    forward = [cohort[i] for i in (0, 1, 2)]
    other = pickle.loads(pickle.dumps(PhantomCohort(seed=5, cases=30, kind=CROSSING)))
    backward = [other[i] for i in (2, 1, 0)][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert (a.name, a.region, a.tags) == (b.name, b.region, b.tags)
        np.testing.assert_array_equal(a.volume.array, b.volume.array)
        for name in a.masks:
            np.testing.assert_array_equal(a.masks[name], b.masks[name])


def test_a_crossing_case_is_what_it_was_when_its_numbers_were_stored(cohort, a_case):
    assert a_case.name == "phantom-5-0002"
    assert float(a_case.volume.array.mean()) == pytest.approx(MEAN_HU, abs=0.001)
    # Other processors round otherwise, which can move a voxel at an edge.
    assert [int(mask.sum()) for mask in a_case.masks.values()] == pytest.approx(DRAWN, abs=2)
    truth = [int(drawn.sum()) for drawn in cohort.case_truth(2, 2).values()]
    assert truth == pytest.approx(DRAWN_AGAIN, abs=4)


def test_seeds_cases_and_shifts_are_different_volumes(cohort):
    volumes = [cohort[0], cohort[1], PhantomCohort(seed=6, kind=CROSSING)[0]]
    volumes += [
        PhantomCohort(seed=5, shift=shift, kind=CROSSING)[0]
        for shift in ("noise", "nodule", "experts")
    ]
    arrays = [case.volume.array for case in volumes]
    assert all((a != b).mean() > 0.5 for i, a in enumerate(arrays) for b in arrays[:i])
    assert len({case.patient for case in volumes}) == len(volumes)


def test_a_case_holds_whole_hounsfield_units_of_lung(a_case):
    hu = a_case.volume.array
    assert hu.dtype == np.float32
    np.testing.assert_array_equal(hu, np.rint(hu))
    assert -910 < np.median(hu) < -810
    assert hu.min() >= -1024
    assert hu.max() <= 400
    assert set(a_case.masks) == {style.name for style in DEFAULT_EXPERTS}
    assert all(m.dtype == bool and m.shape == hu.shape for m in a_case.masks.values())


def test_every_mask_lies_within_the_region_and_the_region_within_the_volume(cohort):
    for case in (cohort[i] for i in range(6)):
        geometry, box = case.volume.geometry, case.region
        whole = geometry.bounding_box()
        assert np.all(np.array(box.lower) >= whole.lower)
        assert np.all(np.array(box.upper) <= whole.upper)
        for mask in case.masks.values():
            points = geometry.index_to_point(np.argwhere(mask)[:, ::-1])
            assert np.all(points >= box.lower)
            assert np.all(points <= box.upper)


def test_other_grids_show_the_same_size_in_millimetres():
    sizes = []
    for size, spacing in (((12, 96, 96), (0.7, 0.7, 2.0)), ((24, 48, 80), (1.4, 0.85, 1.0))):
        scene = render(np.random.default_rng(3), Recipe(), size, spacing)
        sizes.append(scene.zones["core"].sum() * np.prod(spacing))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.12)


def test_several_drawings_of_a_patient_share_the_volume_and_differ_in_masks():
    first, second, other = (
        PhantomCohort(seed=5, cases=3, draws=2, kind=CROSSING)[i] for i in (0, 1, 2)
    )
    np.testing.assert_array_equal(first.volume.array, second.volume.array)
    assert first.patient == second.patient != other.patient
    assert first.name != second.name
    assert any((first.masks[name] != second.masks[name]).any() for name in first.masks)


def test_passing_experts_differ_from_case_to_case_and_leave_the_named_ones_as_they_are(cohort):
    visited = replace(cohort, passing=3)

    passing = [tuple(visited[index].masks)[len(cohort.experts) :] for index in range(2)]

    assert len(set(passing[0])) == 3
    assert passing[0] != passing[1]
    for name, mask in cohort[0].masks.items():
        np.testing.assert_array_equal(visited[0].masks[name], mask)


def test_no_more_experts_can_pass_by_than_there_are():
    with pytest.raises(InputError, match="256"):
        PhantomCohort(passing=257, kind=CROSSING)


def test_a_shift_nobody_has_heard_of_is_refused():
    with pytest.raises(InputError, match="noise, nodule, experts"):
        PhantomCohort(shift="weather", kind=CROSSING)


def test_a_drawing_on_a_slice_depends_on_that_slice_alone(a_view):
    style, k = DEFAULT_EXPERTS[2], middle_of(a_view)
    latents = draw_latents(np.random.default_rng(1), style, a_view, 8)
    whole = draw(a_view, style, latents)[:, k]
    here = slice(k, k + 1)
    alone = draw(a_view.at(here), style, latents.at(here))[:, 0]
    assert whole.any()
    np.testing.assert_array_equal(whole, alone)


def test_experts_act_on_the_visible_image_only(cohort):
    scene, view = cohort.scene(3)
    black = View.of(replace(scene, hu=np.full_like(scene.hu, -860)), cohort.spacing)
    assert drawings(view, DEFAULT_EXPERTS[1], 8).any()
    assert not drawings(black, DEFAULT_EXPERTS[1], 8).any()


def test_every_structure_stands_out_of_the_noise(cohort):
    smooth = []
    for index in range(6):
        scene, _ = cohort.scene(index)
        seen = gaussian_filter(scene.hu, (0, 1, 1))
        lung = ~gaussian_filter((seen > -700).astype(np.float32), (1, 3, 3)).astype(bool)
        core = scene.zones["core"]
        for name, zone in scene.zones.items():
            own = zone & ~core if name.startswith("lobe") else zone
            if own.sum() > 100:
                smooth.append((np.quantile(seen[own], 0.75) - seen[lung].mean()) / seen[lung].std())
    assert min(smooth) > 4


def test_a_drawing_is_coherent_through_the_slices(cohort):
    # Slices drawn on are those above one attention level, and a lobe is chosen for all of them.
    _, view = cohort.scene(2)
    order = np.argsort(view.solid_area)
    present = drawings(view, DEFAULT_EXPERTS[3], 200).any((2, 3))[:, order]
    visible = view.solid_area[order] > 5
    assert (np.diff(present[:, visible].astype(int), axis=1) >= 0).mean() > 0.99
    assert 0.05 < present[:, -1].mean() < 1


def test_presence_follows_its_stated_probability(a_view):
    k = middle_of(a_view)
    for style in DEFAULT_EXPERTS:
        rate = drawings(a_view, style, 400)[:, k].any((1, 2)).mean()
        p = float(a_view.presence(style)[k])
        assert rate == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 400) + 0.01)


def test_one_experts_masks_are_not_nested(cohort):
    for style in DEFAULT_EXPERTS:
        crossing = []
        for index in range(4):
            _, view = cohort.scene(index)
            masks = drawings(view, style, 60)[:, middle_of(view)]
            masks = masks[masks.any((1, 2))].reshape(-1, masks[0].size).astype(float)
            shared = masks @ masks.T
            beyond = masks.sum(1)[:, None] - shared  # pixels of a row's mask outside the column's
            crossing.append((np.minimum(beyond, beyond.T) > 0.15 * shared).mean())
        assert np.mean(crossing) > 0.15, style.name


def test_both_lobes_are_equally_likely_and_usually_just_one_is_chosen(a_view):
    latents = draw_latents(np.random.default_rng(0), DEFAULT_EXPERTS[2], a_view, 4000)
    assert latents.lobe_a.mean() == pytest.approx(latents.lobe_b.mean(), abs=0.04)
    one = DEFAULT_EXPERTS[2].lobes[1]
    assert (latents.lobe_a ^ latents.lobe_b).mean() == pytest.approx(one, abs=0.03)
    assert one > 0.7


def test_experts_keep_their_styles(cohort):
    mean_area = np.zeros(4)
    for index in range(6):
        truth = cohort.case_truth(index, 24)
        mean_area += [m.sum((2, 3))[m.any((2, 3))].mean() for m in truth.values()]
    tight, generous, geometric, _ = mean_area
    assert tight < 0.8 * geometric < 0.8 * generous


def test_the_truth_is_drawn_apart_from_the_cases_own_masks(cohort):
    same = []
    for index in range(4):
        for name, truth in cohort.case_truth(index, 1).items():
            assert truth.shape == (1, *cohort.size)
            same.append((truth[0] == cohort[index].masks[name]).all() and truth.any())
    assert not any(same)


def test_unseen_experts_come_from_a_standard_population():
    styles = style_population(0, 400)
    assert styles[:3] == style_population(0, 3)
    assert styles[:3] != style_population(1, 3)
    thresholds = np.array([style.threshold for style in styles])
    assert thresholds.mean() == pytest.approx(0.5, abs=0.02)
    assert thresholds.std() == pytest.approx(0.1, abs=0.02)
    assert PhantomCohort(shift="experts", kind=CROSSING).experts[0].name == "Unseen 1"


def test_the_excess_equals_direct_enumeration():
    # Two experts on four pixels: GED by summing over every pair, in another order of loops.
    level = [np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool), np.array([[1, 1, 1, 1]], bool)]
    drawn = [np.array([[1, 0, 0, 0], [0, 1, 0, 0]], bool), np.array([[1, 1, 1, 0]] * 2, bool)]
    weights = np.array([0.25, 0.75])

    def mean(groups_a, groups_b, same):
        total = 0.0
        for a, (masks_a, wa) in enumerate(zip(groups_a, weights, strict=True)):
            for b, (masks_b, wb) in enumerate(zip(groups_b, weights, strict=True)):
                d = [
                    1 - (x & y).sum() / (x | y).sum()
                    for i, x in enumerate(masks_a)
                    for j, y in enumerate(masks_b)
                    if not (same and a == b and i == j)
                ]
                total += wa * wb * np.mean(d)
        return total

    expected = 2 * mean(level, drawn, False) - mean(level, level, False) - mean(drawn, drawn, True)
    assert _mixture_excess(level, drawn, weights) == pytest.approx(expected, abs=1e-6)


def test_the_excess_of_true_drawings_is_nothing(cohort):
    truth = np.stack(list(cohort.case_truth(2, 160).values()))
    k = int(truth.sum((0, 1, 3, 4)).argmax())
    present = [drawings[drawings.any((1, 2))].reshape(-1, 96 * 96) for drawings in truth[:, :, k]]
    a, b = [d[: len(d) // 2] for d in present], [d[len(d) // 2 :] for d in present]
    # Halves are samples, so the first half's self pairs bias it by E d / n of each expert.
    assert abs(_mixture_excess(a, b, np.full(4, 0.25))) < 0.01


def test_level_sets_of_the_true_marginals_fail_the_gate_by_far(cohort):
    excess, error = level_set_gate(cohort, draws=64)
    assert excess - 2 * error > GATE


def test_an_expert_without_crossing_choices_would_not_pass_the_gate():
    # The gate can fail: with neither lobes nor vessel, focus or corners, level sets are the law.
    plain = replace(DEFAULT_EXPERTS[0], lobes=(1.0, 0.0, 0.0), vessel=0.0, focus=0.0, polygon=0.0)
    excess, _ = level_set_gate(
        PhantomCohort(seed=5, cases=4, experts=(plain,), kind=CROSSING), draws=64
    )
    assert excess < GATE


def test_the_calibration_reports_a_cohort_of_disagreeing_experts(cohort):
    told = calibrate(replace(cohort, cases=6), draws=32)
    assert sum(told.present_by_count) == pytest.approx(1)
    assert min(told.present_by_count) > 0.02
    assert 0.3 < told.distance_present < 0.65
    assert told.distance_present < told.distance < 0.75
    assert 8 < told.diameter < 20
    mean_presence = np.mean(list(told.presence.values()))
    by_count = np.dot(told.present_by_count, [1, 2, 3, 4]) / 4
    assert mean_presence == pytest.approx(by_count)
