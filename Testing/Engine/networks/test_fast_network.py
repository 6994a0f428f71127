"""The fast kind: encoded once, presence drawn first, probability without a sample."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from a_fast_model import a_fast_model, a_network, with_presence
from a_model import REGION, a_model, a_volume

from diffoseg.comparison.result import Comparison
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.errors import InputError, OutOfMemoryError
from diffoseg.model.cards import read_card
from diffoseg.model.model import Model, load_model
from diffoseg.model.stored import save_model
from diffoseg.networks.fast import Belief, FastNetwork, Features, information_of
from diffoseg.space.geometry import Box


def answer(batch_size: int = 16, model: Model | None = None, **options) -> Comparison:
    segmenter = Segmenter(model or a_fast_model(), "cpu", batch_size=batch_size)
    return segmenter.segment(a_volume(), REGION, **{"samples": 3, **options})


def test_without_context_the_belief_is_a_pixels_own_evidence_by_bayes():
    network = a_network()
    torch.nn.init.zeros_(network.decoder.out[2].weight)
    torch.nn.init.zeros_(network.decoder.out[2].bias)
    survival = torch.tensor([0.0, 0.3, 0.9])
    x = torch.randn(3, 16, 16).sign()

    features = network.encode(torch.randn(3, 1, 16, 16))
    belief = network.step(features, x, survival, network.codes[:3]).logits.sigmoid()

    # p(x | y) is survival + (1 - survival) / 2 where they agree, (1 - survival) / 2 elsewhere.
    agree, differ = (1 + survival) / 2, (1 - survival) / 2
    likely = torch.where(x > 0, agree[:, None, None], differ[:, None, None])
    torch.testing.assert_close(belief, likely.expand_as(belief))


def test_at_the_first_step_the_noisy_mask_says_nothing():
    network, none = a_network(), torch.zeros(2)
    features = network.encode(torch.randn(2, 1, 16, 16))

    one, other = (
        network.step(features, torch.randn(2, 16, 16).sign(), none, network.codes[:2])
        for _ in range(2)
    )

    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.presence, other.presence)


def test_information_grows_as_d_a_squared_and_is_there_at_every_level():
    a = torch.tensor([0.0, 0.01, 0.1, 1.0])
    found = information_of(a, 100)
    torch.testing.assert_close(found[1:3], 100 * a[1:3] ** 2, rtol=0.01, atol=0)
    assert found[0] == pytest.approx(1e-3)
    assert torch.isfinite(found).all()


def test_predict_x0_is_encode_and_step_times_presence_for_any_size():
    model, image = a_fast_model(), torch.randn(2, 1, 13, 18)
    x_t = torch.randint(0, 2, (2, 13, 18))
    t = torch.tensor([50, 20])

    found = model.predict_x0(x_t, t, image, torch.tensor([0, 1]))
    anyone = model.predict_x0(x_t, t, image)

    torch.testing.assert_close(found.sum(1), torch.ones(2, 13, 18))
    network, padded = model.fast, torch.nn.functional.pad(image, (0, 2, 0, 3), mode="replicate")
    signs = torch.nn.functional.pad(2.0 * x_t[:, None] - 1, (0, 2, 0, 3), mode="replicate")[:, 0]
    belief = network.step(network.encode(padded), signs, model.schedule.level(t), network.codes[:2])
    wanted = belief.logits.sigmoid() * belief.presence.sigmoid()[:, None, None]
    torch.testing.assert_close(found[:, 1], wanted[:, :13, :18])
    assert not torch.allclose(anyone, found)


def test_kinds_do_not_mix():
    with pytest.raises(InputError, match="kind"):
        replace(a_fast_model(), metadata=a_model().metadata)
    with pytest.raises(InputError, match="alone"):
        replace(a_fast_model(), consensus=a_model().consensus)


def test_a_file_brings_the_same_answers_and_its_card_says_who_can_be_asked(tmp_path):
    model = a_fast_model()
    save_model(model, tmp_path / "fast.safetensors")

    again, card = (
        load_model(tmp_path / "fast.safetensors"),
        read_card(tmp_path / "fast.safetensors"),
    )

    assert card.answers == ("consensus", *model.experts) == ("consensus", *again.experts)
    assert card.metadata.kind == "fast"
    mine, theirs = answer(model=model), answer(model=again)
    for name in mine.results:
        np.testing.assert_array_equal(mine.results[name].samples, theirs.results[name].samples)


def test_the_consensus_is_the_mixture_over_the_experts():
    results = answer().results
    experts = [result.probability for name, result in results.items() if name != "consensus"]
    np.testing.assert_allclose(results["consensus"].probability, np.mean(experts, 0), atol=1e-6)


def test_the_probability_is_the_first_belief_and_needs_no_samples():
    one, many = answer(samples=1), answer(samples=5, seed=3)
    for name in one.results:
        np.testing.assert_array_equal(one.results[name].probability, many.results[name].probability)


def test_the_same_seed_gives_the_same_bytes_for_batches_of_1_3_and_16():
    one, three, sixteen = (
        {name: result.samples.tobytes() for name, result in answer(batch).results.items()}
        for batch in (1, 3, 16)
    )
    assert one == three == sixteen


def test_asking_fewer_experts_or_samples_changes_no_answer_that_is_asked():
    whole, part = answer(), answer(experts=("Bob",), samples=2)
    np.testing.assert_array_equal(part.results["Bob"].samples, whole.results["Bob"].samples[:2])


def test_who_marks_nothing_is_not_asked_again():
    seen = []
    nobody = answer(model=with_presence(-30.0), progress=lambda done, total, _: seen.append(done))
    everybody = answer(model=with_presence(30.0))

    assert not any(result.samples.any() for result in nobody.results.values())
    assert max(result.probability.max() for result in nobody.results.values()) < 1e-9
    assert any(result.samples.any() for result in everybody.results.values())
    assert seen == [3]  # the slices, looked at once


def test_features_beyond_what_is_kept_are_encoded_anew_and_nothing_changes(monkeypatch):
    kept = answer()
    monkeypatch.setattr("diffoseg.drawing.fast_look._TILES_KEPT", 0)
    for name, result in answer().results.items():
        # Encoded in other calls, sums are rounded otherwise: a few units of float32's last place.
        np.testing.assert_allclose(result.probability, kept.results[name].probability, atol=1e-5)


def test_short_memory_halves_the_calls_and_ends_in_words(monkeypatch):
    real, sizes = FastNetwork.encode, []

    def short_of_memory(self, image):
        sizes.append(len(image))
        if len(image) > 1:
            raise MemoryError
        return real(self, image)

    monkeypatch.setattr(FastNetwork, "encode", short_of_memory)
    assert answer().provenance["micro_batch"] == 1
    assert sizes[:5] == [1, 1, 2, 1, 1]

    monkeypatch.setattr(FastNetwork, "encode", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(OutOfMemoryError, match="smaller region"):
        answer()


def test_a_whole_volume_is_searched_and_drawn():
    segmenter = Segmenter(a_fast_model(), "cpu")
    comparison = segmenter.segment(a_volume(), None, samples=1)
    assert set(comparison.results) == {"consensus", "Ann", "Bob"}


class Bright(FastNetwork):
    """Who draws marks what is bright, for sure."""

    def encode(self, image):
        return Features((image,), image.new_zeros(len(image), self.encoder.summary_width))

    def step(self, features, x, survival, code):
        bright = 40 * features.levels[0][:, 0]
        return Belief(bright, torch.zeros_like(bright), bright.new_zeros(len(bright)))


@pytest.mark.parametrize(("told", "beside"), [(None, 0.0), (0.5, 0.5)])
def test_presence_is_that_of_the_region_and_not_of_all_that_is_looked_at(told, beside):
    network = with_presence(2.0).fast
    network.__class__ = Bright
    segmenter = Segmenter(a_fast_model(network), "cpu")
    corner = Box((0, 0, 6), (3, 3, 8))  # the field of view around it holds part of the ball

    found = [
        segmenter.segment(a_volume(), region, ["Ann"], samples=8, presence=told).results["Ann"]
        for region in (REGION, corner)
    ]

    assert [result.mask.any() for result in found] == [True, False]
    certain = 1 / (1 + np.exp(-2.0)) if told is None else told
    presence = [result.presence for result in found]
    assert presence == pytest.approx([certain, beside], abs=1e-6)


def test_a_field_of_view_that_the_levels_cannot_halve_is_no_model():
    model = a_fast_model()

    with pytest.raises(InputError, match="30 pixels across"):
        replace(model, metadata=replace(model.metadata, patch=30))
