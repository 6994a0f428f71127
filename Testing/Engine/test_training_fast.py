"""Training of the fast kind, on disks that one expert draws larger than the other."""

from dataclasses import replace

import numpy as np
import torch
from test_training import CPU, METADATA, SETTINGS, assert_same_weights, disks

from diffoseg.diffusion import CategoricalSchedule
from diffoseg.training.fast import fast_loss, train_fast
from diffoseg.training.loop import LoopSettings
from diffoseg.training.slices import Batch

SCHEDULE = CategoricalSchedule.cosine(50, "exact")
FAST = replace(METADATA, kind="fast", steps=2)


def trained(folder, settings: LoopSettings = SETTINGS):
    training, held_out = disks().split(0.25, seed=0)
    return train_fast(training, held_out, FAST, settings, folder, device=CPU)


def test_it_learns_where_the_disk_is_and_how_large_each_expert_draws_it(tmp_path):
    model = trained(tmp_path, replace(SETTINGS, iterations=160, batch=8, every=80, ema=0.95))

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
    batch = Batch(training.images[:4, :, :16, :16], empty, np.random.default_rng(0))

    loss = fast_loss(model, SCHEDULE, 20.0, batch, CPU)

    assert torch.isfinite(loss)
    loss.backward()
    assert model.decoder.out[2].weight.grad.abs().max() == 0
    assert model.presence[2].weight.grad.abs().max() > 0


def trained_network():
    from diffoseg.networks.fast import FastConfig, FastNetwork

    torch.manual_seed(0)
    return FastNetwork(FastConfig(1, mask_distance=20, experts=2))
