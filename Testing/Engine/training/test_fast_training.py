"""Training of the fast kind, on disks that one expert draws larger than the other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from a_tiny_network import TINY_FAST
from a_training_set import CPU, METADATA, SETTINGS, assert_same_weights, disks

from diffoseg.diffusion import CategoricalSchedule
from diffoseg.errors import InputError
from diffoseg.model.model import Model
from diffoseg.networks.fast import FastNetwork
from diffoseg.training.fast import fast_loss, train_fast
from diffoseg.training.loop import LoopSettings
from diffoseg.training.slices import Batch

SCHEDULE = CategoricalSchedule.cosine(50, "exact")
FAST = replace(METADATA, kind="fast", steps=2)


def trained(folder, settings: LoopSettings = SETTINGS):
    training, held_out = disks().split(0.25, seed=0)
    return train_fast(training, held_out, FAST, settings, folder, device=CPU)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory) -> Model:
    """What has learnt enough to be looked at."""
    settings = replace(SETTINGS, iterations=160, batch=8, every=80, ema=0.95)
    return trained(tmp_path_factory.mktemp("learnt"), settings)


def test_it_learns_where_the_disk_is_and_how_large_each_expert_draws_it(learnt):
    model = learnt
    image = torch.from_numpy(disks().images[:4, :, :16, :16].copy())
    t, x_t = torch.full((4,), 250), torch.zeros(4, 16, 16, dtype=torch.int64)
    small, large = (
        model.predict_x0(x_t, t, image, torch.full((4,), expert))[:, 1].sum() for expert in (0, 1)
    )

    points = model.metadata.training["fast"]["validation"]
    assert points["Dice"] > 0.8
    assert large > 1.5 * small
    assert model.experts == ("A", "B")
    assert model.has_consensus


def test_the_same_seed_trains_the_same_network_and_a_stopped_run_goes_on_to_it(tmp_path):
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "parts", replace(SETTINGS, iterations=8))
    again = trained(tmp_path / "parts")
    assert_same_weights(whole.fast, again.fast)


def test_a_batch_that_nobody_marked_teaches_presence_alone():
    training, _ = disks().split(0.25, seed=0)
    model = trained_network()
    empty = np.zeros_like(training.masks[:4, :, :16, :16])
    batch = Batch(
        training.images[:4, :, :16, :16], empty, training.drawn_by[:4], np.random.default_rng(0)
    )

    loss = fast_loss(model, SCHEDULE, 20.0, batch, CPU)

    assert torch.isfinite(loss)
    loss.backward()
    assert model.decoder.out[2].weight.grad.abs().max() == 0
    assert model.presence[2].weight.grad.abs().max() > 0


def with_a_passing_expert():
    """Disks that A and one of two others draw: C, who draws like B, or D, who draws like A."""
    plain = disks()
    odd = np.arange(len(plain)) % 2 == 1
    masks = plain.masks.copy()
    masks[odd, 1] = masks[odd, 0]
    drawn_by = np.stack([np.zeros(len(plain), int), 1 + odd], 1)
    return replace(plain, masks=masks, drawn_by=drawn_by, experts=("A", "C", "D"))


def test_who_only_passes_by_has_a_code_but_no_name(tmp_path):
    training, held_out = with_a_passing_expert().split(0.25, seed=0)
    settings = replace(SETTINGS, iterations=160, batch=8, every=80, ema=0.95)
    model = train_fast(training, held_out, FAST, settings, tmp_path, named=1, device=CPU)

    image = torch.from_numpy(disks().images[:4, :, :16, :16].copy())
    features, blank = model.fast.encode(image), torch.zeros(4)
    wide, narrow = (
        model.fast.step(features, torch.zeros(4, 16, 16), blank, code.expand(4, -1)).logits
        for code in model.fast.population
    )

    assert model.experts == ("A",)
    assert wide.sigmoid().sum() > 1.3 * narrow.sigmoid().sum()


def test_training_can_begin_with_what_another_has_learnt(tmp_path, learnt):
    training, held_out = disks().split(0.25, seed=0)
    short = replace(SETTINGS, iterations=2, every=2)
    new = train_fast(training, held_out, FAST, short, tmp_path / "b", device=CPU)

    further = train_fast(training, held_out, FAST, short, tmp_path / "c", start=learnt, device=CPU)

    first = [m.metadata.training["fast"]["validation"]["first step"] for m in (further, new)]
    assert first[0] < 0.7 * first[1]


def test_training_cannot_begin_with_a_model_of_other_experts(tmp_path):
    training, held_out = disks().split(0.25, seed=0)
    short = replace(SETTINGS, iterations=2, every=2)
    learnt = train_fast(training, held_out, FAST, short, tmp_path / "a", device=CPU)
    others = [part.take(range(4)) for part in (with_a_passing_expert(), with_a_passing_expert())]

    with pytest.raises(InputError, match="3 experts"):
        train_fast(*others, FAST, short, tmp_path / "b", start=learnt, device=CPU)


def trained_network():
    torch.manual_seed(0)
    return FastNetwork(replace(TINY_FAST, mask_distance=20))


def test_held_out_patients_whom_nobody_marked_leave_a_model_that_can_be_saved(tmp_path):
    training, held_out = disks().split(0.25, seed=0)
    nobody = replace(held_out, masks=np.zeros_like(held_out.masks))
    short = replace(SETTINGS, iterations=2, every=2)

    model = train_fast(training, nobody, FAST, short, tmp_path, device=CPU)
    model.save(tmp_path / "model.safetensors")

    assert set(model.metadata.training["fast"]["validation"]) == {"presence"}


def test_a_field_of_view_that_the_levels_cannot_halve_is_refused_before_the_training(tmp_path):
    training, held_out = disks().split(0.25, seed=0)
    odd = replace(SETTINGS, edge=12)

    with pytest.raises(InputError, match="12 pixels across"):
        train_fast(training, held_out, replace(FAST, patch=12), odd, tmp_path, device=CPU)
