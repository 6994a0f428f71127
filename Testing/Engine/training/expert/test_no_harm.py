"""Whoever was taught here changes no answer but their own: compared bit for bit."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from a_fast_model import a_fast_model, a_network
from a_local_expert import CODE, a_local_expert
from a_model import EVERYONE, REGION, a_volume
from a_request import a_request
from a_strong_base import a_code, a_strong_base, slices_drawn_like
from safetensors import safe_open

from diffoseg.comparison.result import Comparison, ExpertResult
from diffoseg.drawing.segmenter import Outlined, Segmenter
from diffoseg.drawing.watch import Watch
from diffoseg.experts.local_expert import SUFFIX, load_expert, save_expert
from diffoseg.experts.panel import Expert
from diffoseg.model.calibration import Calibration, Stretch
from diffoseg.model.expert_library import ExpertLibrary
from diffoseg.model.model import Model, load_model
from diffoseg.model.stored import content_hash, save_model
from diffoseg.output.files import write_results
from diffoseg.training.expert.fit import train_expert
from diffoseg.training.expert.settings import ExpertSettings

TAUGHT = ("Cleo", "Dora")
WAYS = {
    "the model's own steps": {},
    "level sets": {"preset": "preview"},
    "careful": {"preset": "careful", "samples": 2},
    "presence told": {"presence": 0.5},
    "presence for sure, renewed noise": {"presence": 1.0, "renewal": 0.5},
    "whole volume": {"region": None, "samples": 2},
    "whole volume, presence told": {"region": None, "samples": 2, "presence": 1.0},
}


def shy(bias: float = -8.0) -> Model:
    """A model that finds anything likely nowhere: a search takes the likeliest tile alone."""
    network = a_network()
    torch.nn.init.constant_(network.presence[2].bias, bias)
    return a_fast_model(network)


def pieces() -> Model:
    """A model whose borders are drawn as pieces, after a correction."""
    correction = Calibration(Stretch(1.2, 0.3), (-3.0, 2.0), (Stretch(0.9, 0.1),) * 2, reach=2.0)
    return replace(a_fast_model(), calibration=correction)


MODELS = {"plain": a_fast_model, "shy": shy, "drawn as pieces": pieces}


def taught(model: Model) -> Model:
    """The model with two loud experts: they mark wherever they may, and not as anyone else does."""
    loud = a_local_expert("Cleo", model, code=9 * CODE, presence_bias=30.0)
    quiet = a_local_expert("Dora", model, code=-5 * CODE, presence_bias=12.0)
    return model.with_experts([loud, quiet])


def answer(model: Model, experts=None, region=REGION, **options) -> Comparison:
    options = {"samples": 3, "seed": 4} | options
    return Segmenter(model, "cpu").segment(a_volume(), region, experts, **options)


def bits(comparison: Comparison, names=EVERYONE) -> Mapping[str, tuple[bytes, ...]]:
    """Everything that is said of these experts, as bytes."""
    grid = comparison.region_geometry
    return {
        name: (
            result.samples.tobytes(),
            result.probability.tobytes(),
            result.mask.tobytes(),
            np.float64(result.presence).tobytes(),
            repr((comparison.colors[name], comparison.slugs[name], grid)).encode(),
        )
        for name, result in comparison.results.items()
        if name in names
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", MODELS)
def test_every_other_answer_stays_whoever_is_taught(kind, way):
    model, options = MODELS[kind](), WAYS[way]
    before, after = answer(model, **options), answer(taught(model), **options)

    assert tuple(after.results) == EVERYONE + TAUGHT
    assert set(bits(before)) == set(EVERYONE)
    assert bits(after) == bits(before)
    assert after.warnings == before.warnings


def test_an_expert_that_is_there_but_not_asked_leaves_no_trace_in_the_files(tmp_path):
    model = a_fast_model()
    for name, asked in (("before", model), ("after", taught(model))):
        comparison = replace(answer(asked, EVERYONE), timings={})
        write_results(comparison, a_volume(), tmp_path / name)

    def written(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        files = [file for file in folder.rglob("*") if file.is_file()]
        return {str(file.relative_to(folder)): file.read_bytes() for file in files}

    assert len(written("before")) > 5
    assert written("after") == written("before")


def test_the_stream_tells_the_same_of_the_others_and_then_of_the_taught():
    model = a_fast_model()
    before, after = (
        list(Segmenter(asked, "cpu").stream(a_request(a_volume(), REGION, samples=2), Watch()))
        for asked in (model, taught(model))
    )

    assert after[0].names == before[0].names + TAUGHT
    assert (after[0].region_start, after[0].warnings) == (
        before[0].region_start,
        before[0].warnings,
    )
    drawn = [event for event in after if isinstance(event, ExpertResult)]
    outlined = [event.result for event in after if isinstance(event, Outlined)]
    for results in (drawn, outlined):
        assert [result.name for result in results] == [*EVERYONE, *TAUGHT]
    assert bits(after[-1]) == bits(before[-1])


def test_an_order_in_which_the_taught_come_first_changes_nothing():
    model = taught(a_fast_model())
    assert bits(answer(model, ("Dora", "Bob", "Cleo", "consensus", "Ann"))) == bits(answer(model))


@pytest.mark.parametrize("expert", [None, 0, 1])
@torch.inference_mode()
def test_a_prediction_from_a_noisy_mask_stays_too(expert):
    model = a_fast_model()
    x_t, t = torch.randint(0, 2, (3, 13, 18)), torch.tensor([1, 20, 50])
    image = torch.rand(3, 1, 13, 18)
    rows = None if expert is None else torch.full((3,), expert)

    before, after = (m.predict_x0(x_t, t, image, rows) for m in (model, taught(model)))

    assert torch.equal(before, after)
    assert not torch.equal(before, taught(model).predict_x0(x_t, t, image, torch.full((3,), 2)))


@torch.inference_mode()
def test_asking_for_experts_by_row_mixes_the_taught_and_the_others_in_one_call():
    model = taught(a_fast_model())
    x_t, t = torch.randint(0, 2, (4, 16, 16)), torch.full((4,), 20)
    image, rows = torch.rand(4, 1, 16, 16), torch.tensor([0, 2, 1, 3])

    together = model.predict_x0(x_t, t, image, rows)

    for row, expert in enumerate(rows):
        one = slice(row, row + 1)
        alone = model.predict_x0(x_t[one], t[one], image[one], expert[None])
        torch.testing.assert_close(together[one], alone)


def test_the_weights_that_are_saved_do_not_know_who_was_taught(tmp_path):
    model = a_fast_model()
    for name, kept in (("before", model), ("after", taught(model))):
        save_model(kept, tmp_path / name)

    with (
        safe_open(tmp_path / "before", "pt") as before,
        safe_open(tmp_path / "after", "pt") as after,
    ):
        assert after.metadata() == before.metadata()
        assert list(after.keys()) == list(before.keys())
    assert load_model(tmp_path / "after").experts == model.experts
    assert content_hash(taught(model)) == content_hash(model)


def in_use(library: ExpertLibrary, model: Model) -> Model:
    """The model with whoever is enabled, as the next run has it."""
    cards = library.enabled_for(content_hash(model))
    return model.with_experts([load_expert(card.path) for card in cards])


def test_adding_disabling_and_deleting_leave_the_others_as_they_are(tmp_path):
    model, library = a_fast_model(), ExpertLibrary(tmp_path / "experts")
    before = bits(answer(model))

    cards = []
    for expert in taught(model).local:
        save_expert(expert, tmp_path / f"new{SUFFIX}")
        cards.append(library.add(tmp_path / f"new{SUFFIX}"))
    both = answer(in_use(library, model))
    assert bits(both) == before

    library.set_enabled(cards[0], False)
    one = answer(in_use(library, model))
    assert tuple(one.results) == (*EVERYONE, "Dora")
    assert bits(one) == before
    assert bits(one, ("Dora",)) == bits(both, ("Dora",))

    library.delete(cards[1])
    assert bits(answer(in_use(library, model))) == before


def test_teaching_leaves_the_model_that_is_taught_as_it_was(tmp_path):
    model = a_strong_base()
    before, identity = bits(answer(model)), content_hash(model)
    trainable = [values.requires_grad for values in model.fast.parameters()]

    expert = train_expert(
        model,
        slices_drawn_like(a_code(), 2),
        Expert("Cleo"),
        tmp_path,
        settings=ExpertSettings(steps=4, rows=4, every=2),
        device=torch.device("cpu"),
    )

    assert content_hash(model) == identity == expert.base_hash
    assert [values.requires_grad for values in model.fast.parameters()] == trainable
    assert not model.fast.training
    assert all(values.grad is None for values in model.fast.parameters())
    assert bits(answer(model)) == bits(answer(model.with_experts([expert]))) == before


def test_the_default_weights_answer_the_same_beside_a_taught_expert(tmp_path: Path):
    model = load_model()
    loud = a_local_expert("Cleo", model, code=np.full(16, 3.0), presence_bias=20.0)
    options = {"experts": ("consensus", model.experts[1]), "samples": 4}

    before, after = (answer(asked, **options) for asked in (model, model.with_experts([loud])))

    assert bits(after, options["experts"]) == bits(before, options["experts"])
