"""Phantoms whose readers disagree as real ones do: a known law, nearly nested, CT-like."""

from dataclasses import replace

import numpy as np
import pytest

from diffoseg.cohorts.chest import render_chest
from diffoseg.cohorts.kinds import CROSSING, KINDS, NODULES
from diffoseg.cohorts.oracle import slice_law
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.cohorts.readers import READERS, reader_population
from diffoseg.cohorts.simulated import View, draw, draw_latents
from diffoseg.errors import InputError

SMALL = (14, 64, 64)


@pytest.fixture(scope="module")
def cohort():
    return PhantomCohort(seed=8, cases=40, size=SMALL)


@pytest.fixture(scope="module")
def views(cohort):
    return [cohort.scene(index)[1] for index in range(len(cohort))]


@pytest.fixture(scope="module")
def a_doubtful(views):
    """The view that readers are least at one about."""
    chances = [max(view.presence(style).max() for style in READERS) for view in views]
    return views[int(np.abs(np.array(chances) - 0.6).argmin())]


def test_the_nodules_kind_is_what_comes_unasked():
    assert PhantomCohort().kind == NODULES == KINDS[0]
    assert PhantomCohort().experts == READERS
    assert PhantomCohort().panel.names == PhantomCohort(kind=CROSSING).panel.names


def test_a_kind_nobody_has_heard_of_is_refused():
    with pytest.raises(InputError, match="nodules, crossing"):
        PhantomCohort(kind="masses")


def test_only_the_crossing_kind_can_be_shifted():
    with pytest.raises(InputError, match="'crossing' can"):
        PhantomCohort(shift="noise")


def test_the_kinds_of_one_seed_are_other_patients():
    ours, theirs = (PhantomCohort(seed=3, cases=1, kind=kind)[0] for kind in KINDS)
    assert ours.patient != theirs.patient


def test_a_case_is_the_same_bytes_in_whatever_order_it_is_read(cohort):
    again = PhantomCohort(seed=8, cases=9, size=SMALL)[3]
    cohort[5]
    case = cohort[3]
    np.testing.assert_array_equal(case.volume.array, again.volume.array)
    for name, mask in case.masks.items():
        np.testing.assert_array_equal(mask, again.masks[name])


def test_fresh_drawings_mark_as_often_as_the_law_says(a_doubtful):
    for style in READERS:
        latents = draw_latents(np.random.default_rng(0), style, a_doubtful, 400)
        marked = draw(a_doubtful, style, latents).any((1, 2, 3)).mean()
        p = float(a_doubtful.presence(style).max())
        assert marked == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 400) + 0.02), style.name


def test_fresh_drawings_and_the_cases_own_masks_have_one_law(views):
    index = int(np.argmin([abs(view.presence(READERS[3]).max() - 0.7) for view in views]))
    many = PhantomCohort(seed=8, cases=40, size=SMALL, draws=30)
    scene, view = many.scene(index * 30)
    np.testing.assert_array_equal(view.seen, views[index].seen)
    truth = many.case_truth(index * 30, 200)
    for row, style in enumerate(READERS):
        sessions = range(30)
        own = np.stack(
            [
                many._drawings(many.experts, view, index * 30, (1, session), 1)[style.name][0]
                for session in sessions
            ]
        )
        rates = own.any((1, 2, 3)).mean(), truth[style.name].any((1, 2, 3)).mean()
        assert rates[0] == pytest.approx(rates[1], abs=0.3), row
        areas = [drawn.sum((1, 2, 3))[drawn.any((1, 2, 3))] for drawn in (own, truth[style.name])]
        assert np.median(areas[0]) == pytest.approx(np.median(areas[1]), rel=0.35), row
    assert scene.hu.shape == SMALL


def test_a_slice_law_agrees_with_fresh_drawings(cohort, views):
    index = int(np.argmax([view.solid_area.max() for view in views]))
    k = int(views[index].solid_area.argmax())
    law = slice_law(cohort, index, k)
    truth = cohort.case_truth(index, 150)
    for row, style in enumerate(READERS):
        drawn = truth[style.name][:, k].any((1, 2)).mean()
        assert law.given(expert=row).presence() == pytest.approx(drawn, abs=0.12)


def test_readers_act_on_the_visible_image_only(cohort):
    index = 2
    scene, _ = cohort.scene(index)
    black = View.by_contrast(replace(scene, hu=np.full_like(scene.hu, -860)), cohort.spacing)
    for style in READERS:
        assert not draw(
            black, style, draw_latents(np.random.default_rng(0), style, black, 20)
        ).any()


def test_one_readers_masks_are_nearly_nested(views):
    view = max(views, key=lambda each: each.solid_area.max())
    k = int(view.solid_area.argmax())
    for style in READERS[:3]:
        drawn = draw(view, style, draw_latents(np.random.default_rng(1), style, view, 30))[:, k]
        flat = drawn[drawn.any((1, 2))].reshape(-1, drawn[0].size).astype(float)
        shared = flat @ flat.T
        beyond = flat.sum(1)[:, None] - shared
        assert (np.minimum(beyond, beyond.T) <= 0.15 * shared).mean() > 0.9, style.name


def test_the_tight_reader_draws_less_than_the_generous_and_the_reserved_marks_less(cohort):
    areas, marked = np.zeros(4), np.zeros(4)
    for index in range(12):
        for row, drawn in enumerate(cohort.case_truth(index, 12).values()):
            present = drawn.any((1, 2, 3))
            marked[row] += present.mean()
            areas[row] += drawn[present].sum() / max(present.sum(), 1)
    assert areas[0] < areas[1]
    assert marked[3] < marked[1]


def test_passing_readers_are_of_the_same_population(cohort):
    visited = replace(cohort, passing=2)
    assert len(visited[0].masks) == 6
    thresholds = [style.threshold for style in reader_population(0, 300)]
    assert np.mean(thresholds) == pytest.approx(0.5, abs=0.02)


def test_a_picture_has_the_hounsfield_units_of_a_chest():
    found = {"none": 0, "near": 0, "touched": 0}
    for seed in range(24):
        scene = render_chest(np.random.default_rng(seed), SMALL, (0.7, 0.7, 1.25))
        found[scene.tags["wall"]] += 1
        hu = scene.hu
        np.testing.assert_array_equal(hu, np.rint(hu))
        assert hu.min() >= -1024
        lung = hu[(hu > -980) & (hu < -700)]
        assert -920 < np.median(lung) < -810
        assert 15 < 1.48 * np.median(np.abs(lung - np.median(lung))) < 95  # noise and texture
        if scene.tags["wall"] != "none" and (hu > -50).mean() > 0.1:
            assert 0 < np.median(hu[(hu > -50) & (hu < 150)]) < 80  # muscle
    assert min(found.values()) > 0


def test_faint_nodules_are_there_and_few_readers_mark_them(views):
    chances = np.array([[view.presence(style).max() for style in READERS] for view in views])
    everybody, nobody = chances.prod(1), (1 - chances).prod(1)
    assert (everybody > 0.5).mean() > 0.1
    assert (nobody > 0.5).mean() > 0.1
