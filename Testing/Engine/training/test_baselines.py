"""The rivals: learnt on disks whose size tells the expert, and drawn from maps that are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from a_tiny_network import TINY
from safetensors.torch import save_file

from diffoseg.errors import InputError, WeightsError
from diffoseg.evaluation.evaluate import TruthSlice, evaluate
from diffoseg.networks.unet import UNet
from diffoseg.training import baselines
from diffoseg.training.baselines import (
    Baseline,
    FixedMasks,
    LevelSets,
    PlainUNet,
    affordable_iterations,
    train_baseline,
)
from diffoseg.training.loop import LoopSettings
from diffoseg.training.slices import SliceSet

CPU = torch.device("cpu")
EXPERTS = ("Ada", "Ben", "Cy")
PLAIN = replace(TINY, attention_factors=())
SETTINGS = LoopSettings(
    iterations=60, batch=4, edge=16, learning_rate=6e-2, ema=0.9, seed=1, every=30
)


def disks(count, seed):
    """Slices with a ring around a core: Ada draws the core, Ben and Cy the ring as well."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:20, :20]
    centres = random.uniform(7, 13, (count, 2, 1, 1))
    radius = np.hypot(rows - centres[:, 0], columns - centres[:, 1])
    core, ring = radius < 3.5, radius < 6.5
    image = 2.0 * core + ring + random.normal(0, 0.2, core.shape) - 1
    return SliceSet(
        images=image[:, None].astype(np.float32),
        masks=np.stack([core, ring, ring], 1).astype(np.uint8),
        drawn_by=np.tile(np.arange(len(EXPERTS)), (count, 1)),
        patients=tuple(f"p{index}" for index in range(count)),
        experts=EXPERTS,
        positions=np.zeros(count, int),
        cases=tuple(f"c{index}" for index in range(count)),
    )


@pytest.fixture(scope="module")
def held_out():
    return disks(6, seed=1)


@pytest.fixture(scope="module")
def heads(held_out):
    return train_baseline(disks(24, seed=0), held_out, "experts", PLAIN, SETTINGS, device=CPU)


@pytest.fixture(scope="module")
def majority(held_out):
    settings = replace(SETTINGS, iterations=40)
    return train_baseline(disks(24, seed=0), held_out, "majority", PLAIN, settings, device=CPU)


class Known(Baseline):
    """A baseline whose maps are given, so that its draws can be checked."""

    def maps(self, image):
        ramp = np.linspace(0.05, 0.95, 64).reshape(8, 8)
        return np.stack([ramp, ramp**2, ramp.T])[: 1 if self.kind == "majority" else 3]


def known(kind="experts"):
    return Known(PlainUNet(PLAIN, 3), kind, EXPERTS, {})


IMAGE = np.zeros((1, 8, 8), np.float32)
RING_AND_CORE = np.zeros((3, 8, 8), np.float32)
RING_AND_CORE[0, 2:5, 2:5] = RING_AND_CORE[1:, 1:7, 1:7] = 1


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_each_head_learns_its_own_expert(heads, held_out):
    for image, (core, ring, _) in zip(held_out.images, held_out.masks > 0, strict=True):
        ada, ben, cy = heads.maps(image) > 0.5

        assert min(dice(ada, core), dice(ben, ring), dice(cy, ring)) > 0.9
        assert dice(ada, ring) < 0.6


def test_the_majority_of_three_is_what_two_of_them_draw(majority, held_out):
    for image, (_, ring, _) in zip(held_out.images, held_out.masks > 0, strict=True):
        (drawn,) = majority.maps(image) > 0.5

        assert dice(drawn, ring) > 0.9


class Sure(Baseline):
    """A baseline that knows what Ada, Ben and Cy always draw on one image."""

    def maps(self, image):
        return RING_AND_CORE[1:2] if self.kind == "majority" else RING_AND_CORE


def test_the_rivals_score_their_closed_forms_on_experts_who_never_vary():
    draws = np.stack([RING_AND_CORE > 0] * 3, 1)
    cases = [TruthSlice(name, IMAGE, draws, EXPERTS) for name in ("p0", "p1")]
    vote, heads = (Sure(PlainUNet(PLAIN, 3), kind, EXPERTS, {}) for kind in ("majority", "experts"))
    one, each, level = (
        evaluate(rival, cases, samples=4)
        for rival in (FixedMasks(vote), FixedMasks(heads), LevelSets(heads))
    )
    core, ring = 9, 36  # pixels

    for perfect in (each, level):
        assert perfect.value("mixture_ged") == pytest.approx(0)
        assert perfect.value("expert_ged") == pytest.approx(0)
        assert perfect.value("expert_dice") == 1
    assert one.value("mixture_ged") == pytest.approx((1 - core / ring) * (2 / 3 - 4 / 9))
    assert one.value("expert_ged") == pytest.approx((1 - core / ring) * 2 / 3)
    assert one.value("expert_dice") == pytest.approx((2 * core / (core + ring) + 2) / 3)


def test_training_says_what_it_cost(heads):
    assert heads.training["iterations"] == 60
    assert heads.training["cpu_seconds"] > 0
    assert heads.training["best_validation"] < 0.2


def test_the_same_seed_trains_the_same_network(held_out):
    short = replace(SETTINGS, iterations=3)
    first, again = (
        train_baseline(disks(8, seed=0), held_out, "experts", PLAIN, short, device=CPU)
        for _ in range(2)
    )

    for name, value in first.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])


def test_the_weights_of_the_best_validation_are_kept(held_out):
    """On masks turned inside out each step takes the network further from what is held out."""
    training = disks(8, seed=0)
    training = replace(training, masks=1 - training.masks)
    settings = replace(SETTINGS, iterations=5, ema=0.0, every=1)
    seen = []
    found = train_baseline(
        training,
        held_out,
        "experts",
        PLAIN,
        settings,
        device=CPU,
        progress=lambda done, total, what: seen.append(what),
    )
    crops = held_out.images[:, :, 2:18, 2:18], held_out.masks[:, :, 2:18, 2:18] > 0
    with torch.inference_mode():
        logits = found.network(torch.from_numpy(crops[0]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(crops[1]).float()
        )
    losses = [float(what.split("cross-entropy ")[1].split(",")[0]) for what in seen]

    assert losses == sorted(losses)
    assert losses[-1] > losses[0]
    assert found.training["best_validation"] == pytest.approx(min(losses), abs=1e-4)
    assert float(loss) == pytest.approx(found.training["best_validation"], rel=1e-4)


def test_a_rival_has_the_denoisers_own_size():
    def count(network):
        return sum(parameter.numel() for parameter in network.parameters())

    plain, denoiser = PlainUNet(PLAIN, 2), UNet(PLAIN)

    assert count(plain) == count(denoiser)
    # Every further head is one more blank plane in, and one more map out, of 3x3 weights.
    assert count(PlainUNet(PLAIN, 4)) - count(plain) == 2 * (9 * 8 + 9 * 8 + 1)


def test_a_budget_affords_what_the_timed_iterations_say(monkeypatch):
    ticks = iter(range(10_000))
    monkeypatch.setattr(baselines.time, "process_time", lambda: next(ticks) / 4)  # 4 a second

    affordable = affordable_iterations(
        5.0, disks(8, seed=0), "experts", PLAIN, SETTINGS, device=CPU
    )

    assert affordable == 20


def test_a_saved_baseline_answers_the_same(heads, tmp_path, held_out):
    heads.save(tmp_path / "heads.safetensors")
    again = Baseline.load(tmp_path / "heads.safetensors")

    np.testing.assert_array_equal(again.maps(held_out.images[0]), heads.maps(held_out.images[0]))
    assert (again.kind, again.experts) == (heads.kind, heads.experts)
    assert again.training == heads.training


def test_damaged_and_foreign_files_are_refused_by_name(tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\x00\x00")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")

    for name in ("torn.safetensors", "other.safetensors", "missing.safetensors"):
        with pytest.raises(WeightsError, match=name) as caught:
            Baseline.load(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)


def test_fixed_masks_are_the_map_above_one_half_every_time():
    rival = FixedMasks(known())
    masks = rival.samples(IMAGE, "Ben", 3, seed=0)

    assert masks.shape == (3, 8, 8)
    assert masks.dtype == bool
    np.testing.assert_array_equal(masks, np.stack([rival.probability(IMAGE, "Ben") > 0.5] * 3))


def test_level_sets_are_nested_and_hold_each_pixel_as_often_as_its_map_says():
    rival = LevelSets(known())
    masks = rival.samples(IMAGE, "Ada", 4000, seed=0)
    chain = masks[np.argsort(masks.sum((1, 2)))]

    assert not (chain[:-1] & ~chain[1:]).any()
    np.testing.assert_allclose(masks.mean(0), rival.probability(IMAGE, "Ada"), atol=0.03)


@pytest.mark.parametrize("rival", [FixedMasks(known()), LevelSets(known())])
def test_the_consensus_is_a_random_expert_for_each_mask(rival):
    masks = rival.samples(IMAGE, "consensus", 6000, seed=0)
    experts = [rival.samples(IMAGE, name, 6000, seed=1).mean(0) for name in EXPERTS]
    maps = [rival.probability(IMAGE, name) for name in EXPERTS]

    np.testing.assert_allclose(masks.mean(0), np.mean(experts, 0), atol=0.03)
    np.testing.assert_allclose(rival.probability(IMAGE, "consensus"), np.mean(maps, 0))


def test_the_majority_answers_alike_for_every_expert():
    rival = FixedMasks(known("majority"))
    answers = [rival.samples(IMAGE, name, 2, seed=3) for name in (*EXPERTS, "consensus")]

    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])


def test_the_same_seed_draws_the_same_masks_and_another_seed_others():
    rival = LevelSets(known())
    first, again, other = (rival.samples(IMAGE, "consensus", 8, seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_new_image_is_looked_at_anew(heads, held_out):
    rival = FixedMasks(heads)
    first, second = (rival.probability(image, "Ada") for image in held_out.images[:2])

    assert (first != second).any()
    np.testing.assert_array_equal(rival.probability(held_out.images[0], "Ada"), first)


def test_an_unknown_expert_is_refused_and_the_known_ones_named():
    with pytest.raises(InputError, match="consensus, Ada, Ben, Cy"):
        FixedMasks(known()).samples(IMAGE, "Dee", 2, seed=0)
