"""The training loop and both stages, on networks small enough to train in a second."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from a_tiny_network import TINY
from a_training_set import CPU, METADATA, SETTINGS, assert_same_weights, disks
from torch import nn

from diffoseg.errors import CancelledError, InputError, WeightsError
from diffoseg.model.model import Model
from diffoseg.training.checkpoint import read_checkpoint
from diffoseg.training.loop import LoopSettings, learning_rate_at, train
from diffoseg.training.objective import mask_distance_of
from diffoseg.training.prepare import SPLIT
from diffoseg.training.run_files import CHECKPOINT, CURVE
from diffoseg.training.stage1 import train_consensus
from diffoseg.training.stage2 import train_personal

CONFIG = replace(TINY, attention_factors=(), prompt_size=(8, 8), prompt_dropout=0.2)


def stage1(folder: Path, settings: LoopSettings = SETTINGS, **options):
    training, held_out = disks().split(0.25, seed=0)
    return train_consensus(
        training, held_out, CONFIG, METADATA, settings, folder, device=CPU, **options
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Model]:
    """The folder of a first stage that nobody stopped, only to be read, and its model."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, stage1(folder)


@pytest.fixture
def finished(whole, tmp_path: Path) -> Path:
    """A folder of one's own with that stage in it."""
    return Path(shutil.copytree(whole[0], tmp_path / "finished"))


def curve(folder: Path) -> list:
    return read_checkpoint(folder / CHECKPOINT)[1]["curve"]


@pytest.mark.parametrize("stop_at", [1, 4, 6])
def test_a_stopped_run_goes_on_to_the_same_curve_and_weights(tmp_path, whole, stop_at: int):
    asked = iter(range(100))
    with pytest.raises(CancelledError, match="goes on"):
        stage1(tmp_path / "stopped", cancel=lambda: next(asked) >= stop_at)

    resumed = stage1(tmp_path / "stopped")

    assert curve(tmp_path / "stopped") == curve(whole[0])
    assert_same_weights(resumed.consensus, whole[1].consensus)


def test_a_killed_run_goes_on_from_its_last_checkpoint_to_the_same_weights(tmp_path: Path, whole):
    def die(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage1(tmp_path / "killed", progress=die)

    assert_same_weights(stage1(tmp_path / "killed").consensus, whole[1].consensus)


def test_other_settings_cannot_take_over_a_run(finished: Path):
    with pytest.raises(InputError, match="other settings"):
        stage1(finished, replace(SETTINGS, batch=5))


def test_a_run_that_has_ended_can_be_given_more_iterations(finished: Path, whole):
    more = SETTINGS.iterations + SETTINGS.every
    stage1(finished, replace(SETTINGS, iterations=more))
    before, after = curve(whole[0]), curve(finished)
    assert after[: len(before)] == before
    assert after[-1]["iteration"] == more
    with pytest.raises(InputError, match=r"other settings \(iterations\)"):
        stage1(finished)


def test_another_consensus_strategy_cannot_take_over_a_run(finished: Path):
    with pytest.raises(InputError, match="consensus strategy"):
        stage1(finished, strategy="level")


def test_other_slices_of_the_same_patients_cannot_take_over_a_run(finished: Path):
    training, held_out = disks().split(0.25, seed=0)
    redrawn = replace(training, masks=1 - training.masks)
    with pytest.raises(InputError, match="slices"):
        train_consensus(redrawn, held_out, CONFIG, METADATA, SETTINGS, finished, device=CPU)


def test_other_stage_one_weights_cannot_take_over_a_run(tmp_path: Path, whole):
    training, held_out = disks().split(0.25, seed=0)
    first = whole[1]
    other = stage1(tmp_path / "other", replace(SETTINGS, seed=9))
    train_personal(training, held_out, first, SETTINGS, tmp_path / "two", device=CPU)
    with pytest.raises(InputError, match="stage 1 weights"):
        train_personal(training, held_out, other, SETTINGS, tmp_path / "two", device=CPU)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one_whole(
    tmp_path, finished, monkeypatch
):
    before = (finished / CHECKPOINT).read_bytes()
    (tmp_path / "longer").mkdir()
    facts = read_checkpoint(finished / CHECKPOINT)[1]
    facts["settings"] = asdict(replace(SETTINGS, iterations=12))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffoseg.training.checkpoint.save", full)
    with pytest.raises(InputError, match="disk space"):
        stage1(tmp_path / "longer")

    assert (finished / CHECKPOINT).read_bytes() == before
    assert list((tmp_path / "longer").glob("*.part")) == []


def test_a_damaged_checkpoint_is_refused_in_one_sentence(finished: Path):
    path = finished / CHECKPOINT
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(InputError, match="damaged"):
        stage1(finished)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(tmp_path: Path):
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.ones(1))

    def loss(network: Scale, batch) -> torch.Tensor:
        broken = network.value > 0 and loss.calls >= 5
        loss.calls += 1
        return network.value.sum() * (float("nan") if broken else 1.0)

    loss.calls = 0
    with pytest.raises(InputError, match="after iteration 5"):
        train(Scale(), disks(), loss, lambda _: {}, SETTINGS, tmp_path, identity={}, device=CPU)

    groups, facts = read_checkpoint(tmp_path / CHECKPOINT)
    assert facts["iteration"] == 4
    assert torch.isfinite(groups["network"]["value"]).all()


def test_both_stages_learn_and_the_experts_come_apart(tmp_path: Path):
    settings = replace(SETTINGS, iterations=80, every=40, batch=8)
    consensus = stage1(tmp_path / "one", settings)
    training, held_out = disks().split(0.25, seed=0)

    model = train_personal(training, held_out, consensus, settings, tmp_path / "two", device=CPU)

    first, last = (curve(tmp_path / "one")[index]["validation"] for index in (0, -1))
    assert last["first step"] < first["first step"] < np.log(2)
    image = torch.from_numpy(held_out.images[:4, :, 2:18, 2:18])
    x_T = torch.randint(0, 2, (4, 16, 16), generator=torch.Generator().manual_seed(0))
    t = torch.full((4,), 250)
    sizes = [
        model.predict_x0(x_T, t, image, torch.full((4,), expert))[:, 1].sum() for expert in (0, 1)
    ]
    assert sizes[1] > 1.3 * sizes[0]
    assert (tmp_path / "two" / CURVE).stat().st_size > 1000
    assert set(model.metadata.training) == {"stage1", "stage2"}


def test_stage_two_without_a_consensus_to_start_from_is_refused(tmp_path: Path, whole):
    base = whole[1]
    training, held_out = disks().split(0.25, seed=0)
    personal = train_personal(training, held_out, base, SETTINGS, tmp_path / "two", device=CPU)

    with pytest.raises(WeightsError, match="stage I"):
        train_personal(
            training,
            held_out,
            replace(personal, consensus=None),
            SETTINGS,
            tmp_path / "three",
            device=CPU,
        )


@pytest.mark.parametrize("strategy", ["level", "soft", "intersection"])
def test_every_consensus_strategy_trains(tmp_path: Path, strategy: str):
    model = stage1(tmp_path, replace(SETTINGS, iterations=2, every=2), strategy=strategy)

    assert model.metadata.training["stage1"]["strategy"] == strategy


def test_the_mask_distance_is_the_mean_number_of_differing_pixels():
    slices = disks()
    expected = np.mean([(a != b).sum() for a, b in slices.masks])

    assert mask_distance_of(slices) == pytest.approx(expected)


def test_the_rate_warms_up_and_then_falls_to_a_hundredth():
    settings = replace(SETTINGS, iterations=1000)
    rates = [learning_rate_at(step, settings) for step in (0, 99, 999)]

    assert rates[0] == pytest.approx(settings.learning_rate / 100, rel=0.01)
    assert rates[1] == pytest.approx(settings.learning_rate, rel=0.03)
    assert rates[2] == pytest.approx(settings.learning_rate / 100, rel=0.03)


def test_a_written_split_is_reused(tmp_path: Path):
    from diffoseg.cohorts.kinds import CROSSING
    from diffoseg.cohorts.phantom import PhantomCohort
    from diffoseg.training.prepare import prepare

    cohort = PhantomCohort(seed=0, cases=4, size=(4, 64, 64), kind=CROSSING)
    metadata = replace(METADATA, patch=32)
    _, first = prepare(cohort, metadata, tmp_path, seed=0)
    swapped = json.loads((tmp_path / SPLIT).read_text())
    swapped["training"], swapped["validation"] = swapped["validation"], swapped["training"]
    (tmp_path / SPLIT).write_text(json.dumps(swapped))

    training, _ = prepare(cohort, metadata, tmp_path, seed=0)

    assert set(training.patients) == set(first.patients)
