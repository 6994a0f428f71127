"""Presets by name, the steps that a curve chooses, and what a run is told through them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from a_fast_model import a_fast_model, with_presence
from a_model import EVERYONE, REGION, a_model, a_volume

from diffoseg.comparison.result import Comparison
from diffoseg.diffusion import CategoricalSchedule
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.drawing.workload import DRAWN, ENCODING, tile_evaluations
from diffoseg.errors import CancelledError, InputError
from diffoseg.model.model import Model
from diffoseg.model.presets import PRESETS, STANDARD, chosen_steps, sampler_of
from diffoseg.space.geometry import Box

PAPER = replace(a_model().metadata, steps=16)
FAST = replace(PAPER, kind="fast", steps=4)
THIN = Box((6, 6, 3), (22, 22, 5))  # one slice


def answer(model: Model, **options) -> Comparison:
    return Segmenter(model, "cpu").segment(a_volume(), THIN, **{"samples": 2, **options})


# What a name stands for


def test_each_preset_has_its_sampler_and_steps():
    assert [sampler_of(name, PAPER) for name in PRESETS] == [
        ("ddim", 4),
        ("ddim", 16),
        ("ddim", 64),
    ]
    assert [sampler_of(name, FAST) for name in PRESETS] == [
        ("level-set", 1),
        ("ddim", 4),
        ("ddim", 16),
    ]


def test_a_preview_draws_level_sets_only_where_borders_are_no_pieces():
    fast = replace(PAPER, kind="fast")
    assert sampler_of("preview", fast) == ("level-set", 1)
    assert sampler_of("preview", fast, reach=8.0) == ("ddim", 1)


def test_a_preview_takes_at_least_one_step_and_care_never_fewer_than_the_standard():
    assert sampler_of("preview", replace(PAPER, steps=3)) == ("ddim", 1)
    assert sampler_of("careful", replace(PAPER, steps=100)) == ("ddim", 250)
    assert sampler_of("careful", replace(PAPER, steps=1000)) == ("ddim", 1000)


@pytest.mark.parametrize("name", ["", "Preview", "fast", "x" * 1000])
def test_an_unknown_preset_is_refused_by_naming_those_there_are(name):
    with pytest.raises(InputError, match="preview, standard or careful"):
        sampler_of(name, PAPER)
    with pytest.raises(InputError, match="preview, standard or careful"):
        answer(a_model(), preset=name)


# The number of steps that a model's own curve chooses


def a_curve(**distances: float) -> dict:
    steps = [int(name[1:]) for name in distances]
    return {"steps": steps, "mixture_ged": [*distances.values()], "empty_rate": [0.4] * len(steps)}


def test_the_fewest_steps_within_two_thousandths_of_the_best_are_chosen():
    assert chosen_steps(a_curve(_1=0.072, _2=0.0133, _4=0.0085, _8=0.0066, _16=0.0071)) == 4
    assert chosen_steps(a_curve(_1=0.072, _2=0.0133, _4=0.0096, _8=0.0065, _16=0.0071)) == 8
    assert chosen_steps(a_curve(_8=0.0065, _1=0.006, _4=0.0)) == 4
    assert chosen_steps(a_curve(_4=-0.001)) == 4


def test_fewer_steps_are_not_as_good_where_single_samples_are_less_alike():
    curve = a_curve(_1=0.0097, _2=0.0046, _4=0.0045, _32=0.0035)
    assert chosen_steps(curve) == 2
    assert chosen_steps({**curve, "hm_iou": [0.763, 0.7995, 0.8118, 0.8225]}) == 4
    assert chosen_steps({**curve, "mixture_ged": [0, 0.1, 0.1, 0.1], "hm_iou": [0, 0, 0, 1]}) == 32


def test_a_curve_without_a_measurement_chooses_nothing():
    with pytest.raises(InputError, match="measured"):
        chosen_steps({})


# Through the Segmenter


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", [a_model, a_fast_model])
def test_every_preset_is_drawn_by_both_kinds_and_the_result_says_how(preset, model):
    told = []
    comparison = answer(model(), preset=preset, progress=lambda *step: told.append(step))

    sampler, steps = sampler_of(preset, model().metadata)
    made = comparison.provenance
    assert (made["preset"], made["sampler"], made["steps"]) == (preset, sampler, steps)
    assert (made["renewal"], made["presence"]) == (0.0, None)
    assert tuple(comparison.results) == EVERYONE
    assert told[-1][0] == told[-1][1]
    assert [done for done, *_ in told] == sorted({done for done, *_ in told})


def test_the_standard_is_what_is_drawn_when_nothing_is_said():
    said, unsaid = answer(a_model(), preset=STANDARD), answer(a_model())
    for name in EVERYONE:
        assert np.array_equal(said.results[name].samples, unsaid.results[name].samples)


def test_steps_that_are_given_take_the_place_of_the_presets():
    made = answer(a_fast_model(), preset="preview", steps=2).provenance
    assert (made["preset"], made["sampler"], made["steps"]) == (None, "ddim", 2)


def test_care_takes_no_more_steps_than_a_model_has():
    short = replace(a_model(), schedule=CategoricalSchedule.cosine(9, "exact"))
    assert answer(short, preset="careful", samples=1).provenance["steps"] == 9


def test_a_preview_asks_the_network_once_a_tile_whatever_the_samples():
    def asked(samples: int) -> int:
        told = []
        answer(
            with_presence(9.0),
            preset="preview",
            samples=samples,
            progress=lambda *step: told.append(step),
        )
        return told[-1][0]

    assert asked(1) == asked(7)


def test_a_preview_can_be_cancelled_before_it_begins_and_after():
    with pytest.raises(CancelledError):
        answer(a_fast_model(), preset="preview", cancel=lambda: True)


@pytest.mark.parametrize("renewal", [-1, 1.5, math.nan, math.inf])
@pytest.mark.parametrize("model", [a_model, a_fast_model])
def test_an_impossible_renewal_is_refused(renewal, model):
    with pytest.raises(InputError, match="0 to 1"):
        answer(model(), renewal=renewal)


def test_a_sampler_that_draws_no_noise_anew_refuses_a_renewal():
    with pytest.raises(InputError, match="level-set cannot draw noise anew"):
        answer(a_fast_model(), preset="preview", renewal=0.5)


@pytest.mark.parametrize("model", [a_model(), with_presence(9.0)])
def test_renewal_changes_the_drawings(model):
    plain, renewed = answer(model, steps=4), answer(model, steps=4, renewal=1.0)
    assert renewed.provenance["renewal"] == 1.0
    assert any(
        not np.array_equal(plain.results[name].samples, renewed.results[name].samples)
        for name in EVERYONE
    )


@pytest.mark.parametrize("presence", [0, -0.1, 1.5, math.nan, math.inf])
@pytest.mark.parametrize("model", [a_model, a_fast_model])
def test_an_impossible_presence_is_refused(presence, model):
    with pytest.raises(InputError, match="above 0, up to 1"):
        answer(model(), presence=presence)


def test_the_papers_kind_cannot_be_told_presence_and_has_no_level_sets():
    with pytest.raises(InputError, match="cannot be told how likely"):
        answer(a_model(), presence=0.5)
    metadata = replace(a_model().metadata, sampler="level-set", steps=1)
    with pytest.raises(InputError, match="fast kind"):
        answer(replace(a_model(), metadata=metadata))


def test_presence_is_the_probability_that_was_given_and_predicted_else():
    model = with_presence(-1.0)
    predicted = answer(model)
    given = answer(model, presence=0.25)
    certain = answer(model, presence=1.0, samples=4)

    for name in EVERYONE:
        assert predicted.results[name].presence == pytest.approx(1 / (1 + math.e), abs=1e-3)
        assert given.results[name].presence == pytest.approx(0.25, abs=1e-3)
        assert certain.results[name].presence == 1
    assert (given.provenance["presence"], predicted.provenance["presence"]) == (0.25, None)


# How long it will take


def test_the_work_of_the_fast_kind_is_one_look_and_a_chain_for_each_sample():
    volume, region = a_volume().geometry, REGION

    def work(samples: int, preset: str, steps: int | None = None) -> int:
        return tile_evaluations(volume, region, FAST, 3, samples, steps, preset)

    looks = work(1, "preview")
    tiles = looks // (ENCODING + 3)
    assert looks == work(100, "preview") == tiles * (ENCODING + 3)
    assert work(8, "standard") == looks + round(DRAWN * tiles * 3 * 8 * 3)
    assert work(8, "careful") == looks + round(DRAWN * tiles * 3 * 8 * 15)
    assert work(8, "preview", steps=2) == looks + round(DRAWN * tiles * 3 * 8)


def test_the_work_of_the_papers_kind_is_its_steps():
    once = tile_evaluations(a_volume().geometry, REGION, PAPER, 3, 2, 1)
    for preset, steps in zip(PRESETS, (4, 16, 64), strict=True):
        work = tile_evaluations(a_volume().geometry, REGION, PAPER, 3, 2, None, preset)
        assert work == steps * once
    with pytest.raises(InputError, match="preset"):
        tile_evaluations(a_volume().geometry, REGION, PAPER, 3, 2, None, "slow")
