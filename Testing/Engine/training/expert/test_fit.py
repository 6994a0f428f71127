"""Teaching a new expert: what is learnt, what is held out, and that nothing is lost on the way."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from a_model import a_model
from a_strong_base import a_code, a_strong_base, slices_drawn_like

from diffoseg.errors import CancelledError, InputError
from diffoseg.experts.panel import Expert
from diffoseg.model.stored import content_hash
from diffoseg.training.expert.fit import train_expert
from diffoseg.training.expert.prior import prior_of
from diffoseg.training.expert.settings import ExpertSettings
from diffoseg.training.expert.validation import first_belief

NEW = Expert("Dr. Ä")
CPU = torch.device("cpu")
SHORT = ExpertSettings(steps=12, rows=4, every=3)


def taught(folder, slices=None, settings=SHORT, base=None, **options):
    return train_expert(
        base or a_strong_base(),
        slices_drawn_like(a_code(), 3) if slices is None else slices,
        NEW,
        folder,
        settings=settings,
        device=CPU,
        **options,
    )


def cross_entropy(code, slices) -> float:
    base = a_strong_base()
    marked = slices.take(np.flatnonzero(slices.masks.any((1, 2, 3))))
    with torch.no_grad():
        features = base.fast.encode(torch.from_numpy(marked.images))
        belief = first_belief(
            base, features, torch.tensor([float(number) for number in code]).expand(len(marked), -1)
        )
    return float(-np.log(np.where(marked.masks[:, 0] > 0, belief, 1 - belief)).mean())


class TestAnExpertWhoIsTaught:
    def test_draws_others_slices_more_like_its_person_than_the_mean_does(self, tmp_path):
        everything = slices_drawn_like(a_code(), 8)
        unseen = everything.take(np.arange(16, 32))
        settings = replace(SHORT, steps=40)
        expert = taught(tmp_path, everything.take(np.arange(16)), settings)
        mean = prior_of(a_strong_base().fast).mean
        best, start = cross_entropy(a_code(), unseen), cross_entropy(mean, unseen)
        closed = (start - cross_entropy(expert.code, unseen)) / (start - best)
        assert closed > 0.5

    def test_hardly_leaves_the_mean_where_the_cases_tell_little(self, tmp_path):
        deaf = replace(SHORT, pixels=1e9, bias_spread=1e-3)
        mean = prior_of(a_strong_base().fast).mean.numpy()
        far = taught(tmp_path / "far", settings=SHORT).code - mean
        near = taught(tmp_path / "near", settings=deaf).code - mean
        assert np.abs(near).max() < 0.3 * np.abs(far).max()

    def test_of_a_person_who_marks_every_slice_is_likelier_to_mark(self, tmp_path):
        slices = slices_drawn_like(a_code(), 3)
        always = slices.take(np.flatnonzero(slices.masks.any((1, 2, 3))))
        assert taught(tmp_path / "a", always).presence_bias > taught(tmp_path / "b").presence_bias

    def test_begins_with_the_expert_who_is_corrected(self, tmp_path):
        corrected = taught(tmp_path, settings=replace(SHORT, pixels=1e9), corrects="Bob")
        assert corrected.training["corrects"] == "Bob"
        bob = a_strong_base().codes[1].detach().numpy()
        assert np.abs(corrected.code - bob).max() < 0.2

    def test_leaves_the_base_as_it_was(self, tmp_path):
        base = a_strong_base()
        before = content_hash(base)
        expert = taught(tmp_path)
        assert content_hash(base) == before == expert.base_hash
        assert all(values.requires_grad for values in base.fast.parameters())
        assert expert.parameter_count == base.fast.config.code_width + 1

    def test_is_the_same_for_the_same_seed_and_another_for_another(self, tmp_path):
        first, second = taught(tmp_path / "1"), taught(tmp_path / "2")
        other = taught(tmp_path / "3", settings=replace(SHORT, seed=1))
        assert first.hash == second.hash != other.hash

    def test_says_how_it_was_taught(self, tmp_path):
        training = taught(tmp_path).training
        assert (training["cases"], training["slices"], training["marked_slices"]) == (3, 12, 9)
        assert (training["seed"], training["settings"]["steps"]) == (0, 12)
        assert training["settings"]["stopped_at"] in (0, 3, 6, 9, 12)


class TestHeldOutPatients:
    def test_are_drawn_by_a_code_that_has_not_seen_them(self, tmp_path):
        """Were a patient's own slices learnt from, other drawings of it would change its code."""
        slices = slices_drawn_like(a_code(), 3)
        lied = slices.masks.copy()
        lied[:4] = 1 - lied[:4]  # patient 0, whose fold is the first
        points = []
        for name, masks in (("told", slices.masks), ("lied", lied)):
            told = replace(slices, masks=masks)
            taught(tmp_path / name, told, replace(SHORT, every=12), point=points.append)
        told, lied = (read_place(tmp_path / name) for name in ("told", "lied"))
        # The slice that he left empty is marked now, so presence differs in the other folds only.
        assert np.array_equal(told[0], lied[0])
        assert not np.array_equal(told[1], lied[1])
        assert points[1].dice != points[3].dice

    def test_are_none_where_there_is_one_patient(self, tmp_path):
        points = []
        expert = taught(tmp_path, slices_drawn_like(a_code(), 1), point=points.append)
        assert expert.training["validation"] == {"folds": 0, "cases": 0, "verdict": "unproven"}
        assert all(math.isnan(point.dice) for point in points)

    def test_do_not_include_those_with_nothing_marked(self, tmp_path):
        slices = slices_drawn_like(a_code(), 3)
        masks = slices.masks.copy()
        masks[4:8] = 0
        validation = taught(tmp_path, replace(slices, masks=masks)).training["validation"]
        assert (validation["folds"], validation["cases"]) == (2, 2)

    def test_give_the_verdict(self, tmp_path):
        validation = taught(tmp_path).training["validation"]
        better = f"{validation['dice']:.2f}" > f"{validation['consensus']:.2f}"
        assert validation["verdict"] == ("use" if better else "like consensus")
        assert validation["best_name"] in a_strong_base().experts


def read_place(folder) -> np.ndarray:
    from diffoseg.training.checkpoint import read_checkpoint

    groups, _ = read_checkpoint(folder / "checkpoint.safetensors")
    return groups["place"]["now"].numpy()


class TestATrainingThatIsStopped:
    @pytest.mark.parametrize("step", [0, 1, 3, 4, 11])
    def test_goes_on_to_the_same_expert(self, tmp_path, step):
        whole = taught(tmp_path / "whole")
        calls = iter(range(100))
        with pytest.raises(CancelledError):
            taught(tmp_path / "parts", cancel=lambda: next(calls) == step)
        points = []
        again = taught(tmp_path / "parts", point=points.append)
        assert again.hash == whole.hash
        assert again.training["validation"] == whole.training["validation"]
        assert [point.step for point in points] == [0, 3, 6, 9, 12]

    def test_is_not_mistaken_for_another(self, tmp_path):
        taught(tmp_path)
        with pytest.raises(InputError, match="another training"):
            taught(tmp_path, settings=replace(SHORT, seed=3))
        slices = slices_drawn_like(a_code(), 3)
        with pytest.raises(InputError, match=r"another training \(cases differ\)"):
            taught(tmp_path, replace(slices, cases=("a",) * 8 + ("b",) * 4))


class TestWhatCannotBeTaught:
    def test_is_said_of_the_papers_kind(self, tmp_path):
        with pytest.raises(InputError, match="fast kind"):
            taught(tmp_path, base=a_model())

    def test_is_said_of_a_correction_of_whom_the_model_was_taught_itself(self, tmp_path):
        base = a_strong_base()
        beside = base.with_experts([taught(tmp_path / "first")])
        with pytest.raises(InputError, match=f"no expert '{NEW.name}'"):
            taught(tmp_path / "second", base=beside, corrects=NEW.name)

    def test_is_said_of_cases_with_nothing_marked(self, tmp_path):
        slices = slices_drawn_like(a_code(), 2)
        with pytest.raises(InputError, match="nothing to learn"):
            taught(tmp_path, replace(slices, masks=np.zeros_like(slices.masks)))
