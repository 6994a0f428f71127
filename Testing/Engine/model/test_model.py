"""The model: what it answers, what it refuses, and what it says about itself."""

import json
from dataclasses import replace

import parity_recipe
import pytest
import torch
from a_tiny_network import TINY
from torch.nn import functional

from diffoseg.diffusion import CategoricalSchedule
from diffoseg.errors import InputError, WeightsError
from diffoseg.experts.panel import ExpertPanel
from diffoseg.model.metadata import ModelMetadata
from diffoseg.model.model import Model
from diffoseg.networks import UNet
from diffoseg.space.intensity import IntensityMapping

SCHEDULE = CategoricalSchedule.cosine(20, "exact")
PANEL = ExpertPanel.of("Ada", "Ben", "Cleo")


def a_network(experts=0, seed=0):
    config = replace(TINY, image_channels=2, classes=3, experts=experts)
    return parity_recipe.fill(UNet(config), seed)


def some_metadata():
    return ModelMetadata(
        title="Größe zählt",
        classes=("background", "solid", "halo"),
        image_channels=("T1", "T2"),
        intensity=IntensityMapping("percentiles", 0.5, 99.5),
        spacing_mm=0.7,
        patch=64,
        mask_distance=53.2,
        modality="MR",
        training={"stage1": {"iterations": 3}},
    )


def a_model(consensus=True, personal=True):
    return Model(
        a_network() if consensus else None,
        a_network(experts=3, seed=1) if personal else None,
        SCHEDULE,
        PANEL,
        some_metadata(),
    )


def question():
    draw = torch.Generator().manual_seed(0)
    x_t = torch.randint(3, (2, 7, 10), generator=draw)
    return x_t, torch.tensor([1, 20]), torch.rand(2, 2, 7, 10, generator=draw)


def test_no_expert_asks_the_consensus_network():
    x_t, t, image = question()
    model = a_model()

    answer = model.predict_x0(x_t, t, image)

    noisy = functional.one_hot(x_t, 3).permute(0, 3, 1, 2).float()
    assert torch.equal(answer, model.consensus(noisy, t, image))
    assert answer.shape == (2, 3, 7, 10)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer.sum(1), torch.ones(2, 7, 10))


def test_each_sample_of_a_batch_is_drawn_like_its_own_expert():
    x_t, t, image = question()
    model = a_model()

    mixed = model.predict_x0(x_t, t, image, torch.tensor([2, 0]))

    for row, expert in ((0, 2), (1, 0)):
        alone = model.predict_x0(x_t, t, image, torch.full((2,), expert))
        torch.testing.assert_close(mixed[row], alone[row])
    assert not torch.allclose(mixed[0], model.predict_x0(x_t, t, image)[0])


def test_it_answers_in_evaluation_mode_whatever_it_was_made_of():
    network = a_network(experts=3).train()
    model = Model(None, network, SCHEDULE, PANEL, some_metadata())
    asked = (*question(), torch.tensor([0, 1]))

    assert torch.equal(model.predict_x0(*asked), model.predict_x0(*asked))


def test_it_answers_under_inference_mode():
    with torch.inference_mode():
        assert not a_model().predict_x0(*question(), torch.tensor([0, 1])).requires_grad


def test_asking_for_what_a_model_lacks_says_what_it_has():
    with pytest.raises(InputError, match=r"no experts' network\. Ask it for the consensus"):
        a_model(personal=False).predict_x0(*question(), torch.tensor([0, 1]))
    with pytest.raises(InputError, match=r"no consensus network\. Ask it for Ada, Ben, Cleo"):
        a_model(consensus=False).predict_x0(*question())


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, torch.zeros(2, 7, 10), "x_t holds classes"),
        (0, torch.zeros(2, 3, 7, 10, dtype=torch.int64), "x_t holds classes"),
        (0, torch.full((2, 7, 10), 3), r"x_t lies in 0\.\.2, but 3\.\.3"),
        (1, torch.tensor([0, 5]), r"t lies in 1\.\.20, but 0\.\.5"),
        (1, torch.tensor([1, 21]), r"t lies in 1\.\.20, but 1\.\.21"),
        (1, torch.tensor(4), r"t is \(\); it should be \(2,\)"),
        (2, torch.zeros(2, 1, 7, 10), r"image is \(2, 1, 7, 10\).*\(2, 2, 7, 10\)"),
        (2, torch.zeros(2, 2, 8, 10), r"image is \(2, 2, 8, 10\).*\(2, 2, 7, 10\)"),
        (3, torch.tensor([0, 3]), r"expert lies in 0\.\.2, but 0\.\.3"),
        (3, torch.tensor([-1, 0]), r"expert lies in 0\.\.2, but -1\.\.0"),
        (3, torch.tensor([1]), r"expert is \(1,\); it should be \(2,\)"),
    ],
)
def test_questions_that_do_not_fit_are_refused(place, value, message):
    asked = [*question(), torch.tensor([0, 1])]
    asked[place] = value

    with pytest.raises(InputError, match=message):
        a_model().predict_x0(*asked)


def test_its_experts_are_those_it_can_draw_like():
    assert a_model().experts == ("Ada", "Ben", "Cleo")
    assert a_model(personal=False).experts == ()


def test_its_parameters_are_those_of_both_networks():
    count = a_model(personal=False).parameter_count + a_model(consensus=False).parameter_count

    assert a_model().parameter_count == count


def test_it_moves_all_its_networks():
    model = a_model()

    assert model.to("meta") is model
    assert model.device.type == "meta"
    assert {values.device.type for values in model.personal.parameters()} == {"meta"}


def test_networks_that_do_not_fit_together_are_refused():
    facts = some_metadata()
    with pytest.raises(InputError, match="needs a consensus network"):
        Model(None, None, SCHEDULE, PANEL, facts)
    with pytest.raises(InputError, match="cannot be the consensus"):
        Model(a_network(experts=3), None, SCHEDULE, PANEL, facts)
    with pytest.raises(InputError, match="knows 2 experts, but 3 are named"):
        Model(None, a_network(experts=2), SCHEDULE, PANEL, facts)
    with pytest.raises(InputError, match="2 classes and 2 image channels"):
        Model(a_network(), None, SCHEDULE, PANEL, replace(facts, classes=("none", "lesion")))


def test_metadata_survive_json():
    facts = some_metadata()

    assert ModelMetadata.from_json(facts.to_json()) == facts


def test_metadata_of_a_later_version_are_read():
    values = json.loads(some_metadata().to_json()) | {"invented_later": [1]}

    assert ModelMetadata.from_json(json.dumps(values)) == some_metadata()


def test_a_measured_curve_comes_back_and_metadata_without_one_are_written_as_they_were():
    curve = {"steps": [1, 8], "mixture_ged": [0.07, 0], "empty_rate": [0.4, 0.4], "slices": 36}
    measured = replace(some_metadata(), steps_curve=curve)

    assert ModelMetadata.from_json(measured.to_json()) == measured
    assert "steps_curve" not in json.loads(some_metadata().to_json())


def test_metadata_without_optional_fields_take_their_defaults():
    values = json.loads(some_metadata().to_json())
    del values["steps"], values["training"]

    facts = ModelMetadata.from_json(json.dumps(values))

    assert (facts.steps, facts.training) == (16, {})


@pytest.mark.parametrize("name", ["title", "intensity", "spacing_mm", "patch", "mask_distance"])
def test_metadata_name_a_missing_field(name):
    values = json.loads(some_metadata().to_json())
    del values[name]

    with pytest.raises(WeightsError, match=f"{name} is missing"):
        ModelMetadata.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", 3),
        ("patch", 64.5),
        ("patch", True),
        ("steps", 0),
        ("spacing_mm", "0.7"),
        ("spacing_mm", float("nan")),
        ("spacing_mm", -1.0),
        ("spacing_mm", float("inf")),
        ("classes", ["background"]),
        ("classes", "background"),
        ("image_channels", [1, 2]),
        ("training", []),
        ("steps_curve", []),
        ("steps_curve", {"steps": [1]}),
        ("steps_curve", {"steps": 1, "mixture_ged": 0.1, "empty_rate": 0.1}),
        ("steps_curve", {"steps": [1, 2], "mixture_ged": [0.1], "empty_rate": [0.1, 0.1]}),
        ("steps_curve", {"steps": [1], "mixture_ged": ["low"], "empty_rate": [0.1]}),
        ("steps_curve", {"steps": [0], "mixture_ged": [0.1], "empty_rate": [0.1]}),
        ("steps_curve", {"steps": [], "mixture_ged": [], "empty_rate": []}),
        ("intensity", {"kind": "window", "low": 0.0}),
        ("intensity", {"kind": "window", "low": 5, "high": 1, "to_low": 0, "to_high": 1}),
        ("intensity", {"kind": "window", "low": "0", "high": 1, "to_low": 0, "to_high": 1}),
    ],
)
def test_metadata_of_a_wrong_type_or_value_are_refused_by_name(name, value):
    values = json.loads(some_metadata().to_json()) | {name: value}

    with pytest.raises(WeightsError, match=name if name != "intensity" else "intensity|low"):
        ModelMetadata.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_text_that_is_no_metadata_is_refused(text):
    with pytest.raises(WeightsError, match="cannot be used"):
        ModelMetadata.from_json(text)


def test_a_further_training_joins_the_earlier_ones():
    facts = some_metadata().with_training(12.5, {"stage2": {"iterations": 4}})

    assert facts.mask_distance == 12.5
    assert facts.training == {"stage1": {"iterations": 3}, "stage2": {"iterations": 4}}
    assert some_metadata().training == {"stage1": {"iterations": 3}}
