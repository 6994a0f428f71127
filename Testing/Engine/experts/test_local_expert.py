"""A local expert: how a model draws like one, whom it fits, and what it says of itself."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from a_fast_model import a_fast_model, a_network
from a_local_expert import CODE, a_local_expert
from a_model import REGION, a_model, a_volume

from diffoseg.drawing.segmenter import Segmenter
from diffoseg.errors import InputError, WeightsError
from diffoseg.experts.local_expert import renamed, summary_of
from diffoseg.model.calibration import Calibration, Stretch
from diffoseg.output.wording import provenance_rows

BIASES = (("Never", -200.0), ("Always", 200.0))


def test_a_model_draws_like_its_own_experts_first_and_then_the_local_ones():
    model = a_fast_model()
    taught = model.with_experts([a_local_expert(), a_local_expert("Dora", code=-CODE)])

    assert taught.experts == ("Ann", "Bob", "Cleo", "Dora")
    assert (taught.known, model.known) == (2, 2)
    np.testing.assert_array_equal(taught.codes.detach().numpy()[2:], [CODE, -CODE])
    assert taught.fast is model.fast
    assert taught.with_experts(()).experts == model.experts


def test_an_experts_place_shifts_what_it_draws_and_its_bias_how_often():
    model = a_fast_model()
    ann = model.fast.codes[0].detach().numpy()
    twin, keen = (
        a_local_expert(name, code=ann, presence_bias=bias)
        for name, bias in (("Twin", 0), ("Keen", 2))
    )
    taught = model.with_experts([twin, keen])
    images = torch.rand(5, 1, 32, 32)

    with torch.inference_mode():
        features = model.fast.encode(images)
        logits = [taught.presence_logit(features, row) for row in (0, 2, 3)]
        drawn = Segmenter(taught, "cpu").segment(a_volume(), REGION, ("Ann", "Twin"), samples=1)

    assert torch.equal(logits[0], logits[1])
    torch.testing.assert_close(logits[2], logits[0] + 2)
    mine, theirs = drawn.results["Ann"], drawn.results["Twin"]
    np.testing.assert_array_equal(mine.probability, theirs.probability)
    assert mine.presence == theirs.presence


def test_the_bias_is_added_before_the_calibration():
    calibrated = replace(a_fast_model(), calibration=Calibration(Stretch(3.0, -1.0)))
    taught = calibrated.with_experts([a_local_expert()])
    with torch.inference_mode():
        features = taught.fast.encode(torch.rand(2, 1, 32, 32))
        raw = taught.fast.presence_logit(features, torch.tensor(np.array([CODE, CODE])))
        found = taught.presence_logit(features, 2)
    torch.testing.assert_close(found, 3 * (raw + 0.75) - 1)


def test_a_prediction_takes_the_bias_into_account():
    model = a_fast_model()
    taught = model.with_experts([a_local_expert(presence_bias=b, name=n) for n, b in BIASES])
    x_t, t = torch.randint(0, 2, (2, 16, 16)), torch.tensor([10, 40])
    image = torch.rand(2, 1, 16, 16)

    with torch.inference_mode():
        never, always = (taught.predict_x0(x_t, t, image, torch.full((2,), n)) for n in (2, 3))
        code = torch.tensor(np.array([CODE, CODE]))
        survival = model.schedule.level(t).float()
        belief = model.fast.step(model.fast.encode(image), 2.0 * x_t - 1, survival, code)

    assert never[:, 1].max() < 1e-30
    torch.testing.assert_close(always[:, 1], belief.logits.sigmoid())


def test_results_say_who_was_taught_and_in_which_colour(tmp_path):
    taught = a_fast_model().with_experts([a_local_expert(), a_local_expert("Dora")])
    asked = Segmenter(taught, "cpu").segment(a_volume(), REGION, ("Ann", "Dora"), samples=1)

    assert asked.provenance["local_experts"] == {"Dora": taught.local[1].hash}
    assert asked.colors == {"Ann": taught.panel.color_of("Ann"), "Dora": (0.1, 0.2, 0.3)}
    assert asked.slugs == {"Ann": "ann", "Dora": "dora"}
    told = dict(provenance_rows(asked.provenance))
    assert told["Taught experts and their hashes"] == f"Dora: {taught.local[1].hash}"


def test_an_expert_of_other_weights_is_refused():
    other = a_fast_model(a_network(seed=1))
    with pytest.raises(WeightsError, match=r"'Cleo' was taught to other weights.*\(random\)"):
        a_fast_model().with_experts([a_local_expert(model=other)])


def test_an_expert_with_another_number_of_numbers_is_refused():
    with pytest.raises(WeightsError, match="has 5 numbers where these weights use 4"):
        a_fast_model().with_experts([a_local_expert(code=np.zeros(5))])


def test_the_papers_kind_cannot_be_taught_and_says_so():
    with pytest.raises(InputError, match="fast kind"):
        a_model().with_experts([a_local_expert(model=a_model())])
    assert a_model().with_experts(()).experts == a_model().experts


@pytest.mark.parametrize(
    "changes",
    [
        {"code": [1.0, math.nan, 0.0, 0.0]},
        {"code": [math.inf] * 4},
        {"code": np.zeros((2, 2))},
        {"code": []},
        {"code": np.zeros(5000)},
        {"code": [1e30] * 4},
        {"presence_bias": math.nan},
        {"presence_bias": -1e300},
        {"training": {"who": object()}},
        {"training": ["cases"]},
    ],
)
def test_numbers_that_no_expert_has_are_refused(changes):
    with pytest.raises(InputError):
        a_local_expert(**changes)


def test_what_is_told_of_the_training_is_plain_and_nobodys_else():
    told = {"validation": {"dice": math.nan, "of": (1, 2)}, "seconds": np.float64(2.5)}
    expert = a_local_expert(training=told)
    told["validation"]["dice"] = 1.0

    assert expert.training == {"validation": {"dice": None, "of": [1, 2]}, "seconds": 2.5}
    with pytest.raises(ValueError, match="read-only"):
        expert.code[0] = 1


def test_the_hash_is_of_what_an_expert_computes_and_not_of_its_name():
    expert = a_local_expert()
    assert renamed(expert, "Dora").hash == replace(expert, training={}).hash == expert.hash
    others = [
        replace(expert, code=CODE + 1),
        replace(expert, presence_bias=0.5),
        replace(expert, base_hash="0" * 64),
    ]
    assert len({expert.hash, *(other.hash for other in others)}) == 4


MEASURED = {"verdict": "use", "dice": 0.861, "consensus": 0.79}
USE = "With 4 cases: Dice 0.86 on held-out cases; consensus 0.79. Use it."
NEARER = "The model's own Expert 2 comes nearer (0.87): compare the two."
ALIKE = (
    "With 4 cases: Dice 0.80 on held-out cases; consensus 0.79. No better than the consensus: not"
    " enough cases, or this expert draws like the consensus."
)
ONE = "With 1 case there is none left to check it on. Add a second case before you rely on it."
ONE_PATIENT = (
    "With 3 cases there is none left to check it on. Add a case of another patient before you rely"
    " on it."
)


@pytest.mark.parametrize(
    ("cases", "validation", "sentence"),
    [
        (4, MEASURED, USE),
        (4, MEASURED | {"best": 0.864, "best_name": "Expert 2"}, USE),
        (4, MEASURED | {"best": 0.87, "best_name": "Expert 2"}, f"{USE} {NEARER}"),
        (4, MEASURED | {"dice": 0.8, "verdict": "like consensus"}, ALIKE),
        (1, {"verdict": "unproven", "dice": None}, ONE),
        (3, {"verdict": "unproven"}, ONE_PATIENT),
        (None, MEASURED, ""),
        ("many", MEASURED, ""),
        (True, MEASURED, ""),
        (4, [], ""),
        (4, MEASURED | {"dice": "1"}, ""),
        (4, MEASURED | {"verdict": ["use"]}, ""),
        (4, MEASURED | {"dice": 1e300}, ""),
        (4, MEASURED | {"consensus": -0.1}, ""),
        (10**30, MEASURED, ""),
    ],
)
def test_the_result_is_said_in_a_plain_sentence(cases, validation, sentence):
    assert summary_of({"cases": cases, "validation": validation}) == sentence
