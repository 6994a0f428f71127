"""How the fast kind draws: presence by one chance, level sets, and steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from a_drawing import a_canvas, an_analytic_model, drawing
from a_fast_model import a_fast_model, with_presence
from a_model import REGION, a_volume

from diffoseg.comparison.result import ExpertResult
from diffoseg.diffusion.sampling import SamplerSettings
from diffoseg.drawing.canvas import Canvas
from diffoseg.drawing.request import SegmentationRequest
from diffoseg.drawing.segmenter import Outlined, Segmenter
from diffoseg.drawing.watch import Watch
from diffoseg.model.calibration import Calibration, Stretch
from diffoseg.networks.fast import FastNetwork
from diffoseg.space.tiling import Cut, Tiling


@torch.inference_mode()
def presence_of(model, canvas: Canvas) -> np.ndarray:
    return drawing(model=model)._look_at(canvas, "").presence


def with_presence_of_the_image():
    """Anything is marked in some tiles of ``a_canvas`` by 0.15, in others by 0.65."""
    model = a_fast_model()
    found = presence_of(model, a_canvas())
    lowest, highest = (np.log(p / (1 - p)) for p in (found.min(), found.max()))
    slope = (0.619 + 1.735) / (highest - lowest)
    calibration = Calibration(Stretch(slope, 0.619 - slope * highest))
    return replace(model, calibration=calibration)


def test_level_sets_of_one_expert_lie_in_each_other_and_need_one_call(monkeypatch):
    calls, step = [], FastNetwork.step
    monkeypatch.setattr(FastNetwork, "step", lambda self, *a: calls.append(1) or step(self, *a))
    canvas = a_canvas((30, 30, 1))

    masks = drawing(model=with_presence(30.0)).draw(canvas, "Ann", 40).samples > 0.5

    ordered = masks[np.argsort(masks.sum((1, 2, 3)), kind="stable")]
    assert not (ordered[:-1] & ~ordered[1:]).any()
    assert len({mask.sum() for mask in masks}) > 5
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["Ann", "consensus"])
def test_the_mean_of_level_sets_is_the_probability_where_tiles_overlap_too(name):
    drawn = drawing(model=with_presence_of_the_image()).draw(a_canvas(), name, 600)

    mean = (drawn.samples > 0.5).mean(0)
    np.testing.assert_allclose(mean, drawn.probability, atol=4 * 0.5 / 600**0.5)


def test_the_mean_of_chains_is_the_probability_where_bayes_is_exact():
    settings = SamplerSettings("ddim", 8)
    drawn = drawing(settings, an_analytic_model()).draw(a_canvas((30, 30, 1)), "Bob", 150)

    error = (drawn.samples > 0.5).mean(0) - drawn.probability
    assert np.abs(error).max() < 5 * 0.5 / 150**0.5
    assert abs(error.mean()) < 0.03


def test_the_expected_blend_is_the_mean_over_the_chance():
    tiling = Tiling.cover((20, 13), 8)
    which = list(range(len(tiling.corners)))[1:]
    random = np.random.default_rng(0)
    tiles = random.random((len(which), 8, 8), np.float32)
    chances = random.integers(0, 21, len(which)) / 20

    found = tiling.expected(tiles, which, chances)

    blends = []
    for u in (np.arange(20) + 0.5) / 20:
        active = torch.zeros(1, len(tiling.corners), dtype=torch.bool)
        active[0, which] = torch.from_numpy(chances > u)
        blends.append(Cut(tiling, active).joined(torch.from_numpy(tiles[chances > u]))[0])
    np.testing.assert_allclose(found, torch.stack(blends).mean(0), atol=1e-6)


def test_told_that_something_is_marked_it_draws_what_it_draws_when_something_is():
    model, canvas = with_presence_of_the_image(), a_canvas()
    free = drawing(model=model).draw(canvas, "Ann", 1000)
    told = drawing(model=model, presence=1.0).draw(canvas, "Ann", 1000)
    present = presence_of(model, canvas)[0].max()

    # A sample of the free draw is marked anywhere exactly where its chance is below the presence.
    source = drawing(model=model)
    chances = [source._chances("Ann", n, "presence", 1)[0] for n in range(1000)]
    kept = free.samples[np.array(chances) < present] > 0.5
    assert 100 < len(kept) < 990
    np.testing.assert_allclose(kept.mean(0), told.probability, atol=5 * 0.5 / len(kept) ** 0.5)
    np.testing.assert_allclose((told.samples > 0.5).mean(0), told.probability, atol=0.08)
    assert (free.presence, told.presence) == (pytest.approx(present), 1.0)


@pytest.mark.parametrize("presence", [0.2, 0.7])
def test_presence_is_set_to_what_is_told(presence):
    drawn = drawing(model=with_presence(-2.0), presence=presence).draw(a_canvas(), "consensus", 200)

    assert drawn.presence == pytest.approx(presence)
    marked = drawn.samples.any((1, 2, 3)).mean()
    assert marked == pytest.approx(presence, abs=3 * 0.5 / 200**0.5)


def test_bfloat16_changes_the_steps_a_little_and_the_probability_not_at_all(monkeypatch):
    canvas, settings, found = a_canvas((30, 30, 1)), SamplerSettings("ddim", 4), {}
    for fast in (False, True):
        monkeypatch.setattr("diffoseg.device.choice.gains_from_bfloat16", lambda _, fast=fast: fast)
        monkeypatch.setattr("diffoseg.drawing.fast.gains_from_bfloat16", lambda _, fast=fast: fast)
        found[fast] = drawing(settings, with_presence(30.0)).draw(canvas, "Ann", 6)

    assert found[True].probability.tobytes() == found[False].probability.tobytes()
    difference = np.abs(found[True].samples - found[False].samples)
    assert difference.max() > 0
    assert np.quantile(difference, 0.99) < 0.05
    assert ((found[True].samples > 0.5) != (found[False].samples > 0.5)).mean() < 0.01


def test_a_search_takes_no_step_and_finds_what_anyone_may_mark(monkeypatch):
    monkeypatch.setattr(FastNetwork, "step", None)
    model = with_presence_of_the_image()
    canvas = a_canvas((150, 140, 2))

    chance = drawing(model=model).search(canvas)

    monkeypatch.undo()
    np.testing.assert_allclose(chance, presence_of(model, canvas).max(0), atol=0.04)


def test_a_large_canvas_is_drawn_in_groups_of_slices_with_the_same_masks(monkeypatch):
    canvas, settings = a_canvas((40, 36, 5)), SamplerSettings("ddim", 3)
    whole = drawing(settings).draw(canvas, "consensus", 3)
    monkeypatch.setattr("diffoseg.drawing.fast_look._TILES_KEPT", 9)
    asked = drawing(settings)
    parts = asked.draw(canvas, "consensus", 3)

    assert [len(group) for group in asked._look.groups] == [2, 2, 1]
    assert len(asked._look.seen(asked._look.groups[0]).features.summary) == 8
    np.testing.assert_allclose(parts.probability, whole.probability, atol=1e-5)
    assert ((parts.samples > 0.5) == (whole.samples > 0.5)).mean() > 0.99


def test_a_calibration_moves_presence_and_what_is_believed_of_a_pixel():
    canvas, model = a_canvas((30, 30, 1)), with_presence(-1.0)
    calibration = Calibration(Stretch(1.0, 2.0), (0.0,), (Stretch(3.0, 0.5),))
    plain = drawing(model=model).draw(canvas, "Ann", 1)
    moved = drawing(model=replace(model, calibration=calibration)).draw(canvas, "Ann", 1)

    assert (plain.presence, moved.presence) == pytest.approx((0.2689, 0.7311), abs=1e-3)
    belief = torch.from_numpy(plain.probability / plain.presence)
    wanted = (3 * torch.logit(belief) + 0.5).sigmoid() * moved.presence
    np.testing.assert_allclose(moved.probability, wanted, atol=1e-4)


def test_progress_ends_where_it_said_it_would():
    told = []
    watch = Watch(progress=lambda done, total, what: told.append((done, total)))
    asked = drawing(SamplerSettings("ddim", 4), watch=watch)
    canvas = a_canvas()
    watch.begin(asked.tiles_to_ask(canvas, 2, 3))
    for name in ("Ann", "Bob"):
        asked.draw(canvas, name, 3)

    assert told[-1][0] == told[-1][1] > 0


def test_outlines_come_before_any_sample_and_are_those_of_the_answers(monkeypatch):
    steps, step = [], FastNetwork.step
    monkeypatch.setattr(FastNetwork, "step", lambda self, *a: steps.append(a[2]) or step(self, *a))
    segmenter = Segmenter(with_presence(30.0), "cpu")
    request = SegmentationRequest(a_volume(), REGION, None, 4, 3, 0, "standard", 0.0, None)
    early, late = {}, {}
    for event in segmenter.stream(request, Watch()):
        if isinstance(event, Outlined):
            assert not late
            assert not any(survival.any() for survival in steps)  # nothing but first looks
            early[event.result.name] = event.result
        elif isinstance(event, ExpertResult):
            late[event.name] = event
    assert list(early) == list(late)
    for name, result in early.items():
        assert len(result.samples) == 0
        np.testing.assert_array_equal(result.mask, late[name].mask)
        np.testing.assert_array_equal(result.probability, late[name].probability)


def test_a_cancel_before_the_outlines_brings_none():
    request = SegmentationRequest(a_volume(), REGION, None, 4, 3, 0, "standard", 0.0, None)
    events = Segmenter(a_fast_model(), "cpu").stream(request, Watch(cancel=lambda: True))
    _, comparison = events
    assert not comparison.results
