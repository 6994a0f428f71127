"""Held-out cases are drawn by the outline that overlaps best what is expected of the expert."""

import numpy as np
import pytest
import torch
from a_lesson import a_base
from monai.metrics import DiceMetric

from diffoseg.training.expert.validation import (
    HeldOut,
    comparators,
    dice,
    first_belief,
)


def test_dice_agrees_with_monai():
    first, second = np.random.default_rng(1).random((2, 9, 9)) < 0.4
    theirs = DiceMetric()(torch.from_numpy(first)[None, None], torch.from_numpy(second)[None, None])
    assert dice(first, second) == pytest.approx(float(theirs), abs=1e-6)


class TestHeldOutSlices:
    def test_are_those_that_were_marked_and_count_by_case(self):
        masks = np.zeros((5, 4, 4), bool)
        masks[[0, 1, 3], 1:3, 1:3] = True
        held_out = HeldOut.of(masks, ["a", "a", "b", "b", "b"])
        assert held_out.rows.tolist() == [0, 1, 3]
        probability = np.zeros((3, 4, 4))
        probability[0, 1:3, 1:3] = 1  # case a: all of slice 0, half of slice 1; case b: nothing
        probability[1, 1:3, 1] = 1
        probability[2, 0, 0] = 1
        assert held_out.by_case(probability) == pytest.approx([(1 + 2 / 3) / 2, 0])

    def test_are_few_and_evenly_spread_where_there_are_many(self):
        held_out = HeldOut.of(np.ones((1000, 2, 2), bool), ["a"] * 500 + ["b"] * 500)
        assert len(held_out.rows) == 64
        assert (held_out.cases == 0).sum() == 32


class TestTheOthers:
    def test_the_consensus_is_the_mean_of_those_who_mark_anything(self):
        """Bayes: p(pixel | marked) = sum_e P(e marks) p(pixel | e marks) / sum_e P(e marks)."""
        base = a_base()
        assert base.fast is not None
        images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            features = base.fast.encode(images)
        seen = []
        consensus, experts = comparators(base, features, lambda p: seen.append(p) or p.mean((1, 2)))
        rows = range(base.known)
        with torch.no_grad():
            joint = [
                first_belief(base, features, base.codes[[row] * 3])
                * base.presence_logit(features, row).sigmoid().numpy()[:, None, None]
                for row in rows
            ]
            marked = sum(base.presence_logit(features, row).sigmoid().numpy() for row in rows)
        assert set(experts) == set(base.panel.names)
        assert seen[-1] == pytest.approx(sum(joint) / marked[:, None, None], abs=1e-6)
        assert consensus == pytest.approx(seen[-1].mean((1, 2)))
