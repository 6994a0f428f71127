import errno
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
from a_training import (
    PATIENCE,
    FollowedTraining,
    a_case,
    a_mask,
    a_segmentation,
    a_volume,
    kept_folders,
    looked_at,
    training_logic,
)

from diffoseg.experts.local_expert import load_expert
from diffoseg.training.run_files import CHECKPOINT

pytestmark = pytest.mark.usefixtures("scene", "experts")

KEPT = "What was learnt is kept: press Resume to go on."


@pytest.fixture
def ready(scene):
    """Return what makes a logic, whose worker behaves as said, with cases that are looked at."""
    made = []

    def make(mode="normal", step_seconds=0.002, cases=2, **volume):
        logic = training_logic(mode, step_seconds)
        made.append(logic)
        for number in range(cases):
            a_case(number, **volume)
        logic.getParameterNode().expertName = "Ann"
        logic.addAllPairs()
        looked_at(logic)
        return logic

    yield make
    for logic in made:
        logic.shutdown()


# Stopped


def test_a_training_that_is_cancelled_at_once_leaves_nothing(ready):
    logic = ready()
    followed = FollowedTraining(logic)

    logic.cancel()

    followed.to_the_end()
    assert followed.end.kind == "cancelled"
    assert followed.end.sentence == "The training was cancelled before it began."
    assert kept_folders() == []
    assert logic.resumable() == ()


def test_a_training_that_is_cancelled_while_cases_are_handed_over_leaves_nothing(ready):
    logic = ready(cases=5)

    def listen(event):
        if event.sentence.startswith("Handing over case 3"):
            logic.cancel()

    followed = FollowedTraining(logic, listener=listen).to_the_end()

    assert followed.end.kind == "cancelled"
    assert kept_folders() == []


def test_no_experts_training_is_kept_where_one_is_cancelled_before_all_cases_are_written(ready):
    logic = ready(cases=2)
    logic.addRow(*a_case(2), expertName="Ben")
    looked_at(logic)

    def listen(event):
        if event.sentence.startswith("Handing over case 3"):
            assert len(kept_folders()) == 2
            logic.cancel()

    followed = FollowedTraining(logic, listener=listen).to_the_end()

    assert "before it began" in followed.end.sentence
    assert kept_folders() == []


def test_a_training_that_is_cancelled_can_be_resumed(ready):
    logic = ready(step_seconds=0.2)
    followed = FollowedTraining(logic).until_heard("progress", 3)

    begun = time.monotonic()
    logic.cancel()
    followed.to_the_end()

    assert time.monotonic() - begun < 5  # 2 s where nothing else is computed
    assert followed.end.kind == "cancelled"
    assert KEPT in followed.end.sentence
    (saved,) = logic.resumable()
    assert (saved.expertName, saved.cases, saved.problem) == ("Ann", 2, "")


def test_a_worker_that_does_not_stop_is_killed(ready):
    logic = ready("ignore-cancel", step_seconds=0.5)
    followed = FollowedTraining(logic).until_heard("progress")

    begun = time.monotonic()
    logic.cancel()
    followed.to_the_end()

    assert time.monotonic() - begun < 7  # half of what it would take, on a busy computer
    assert followed.end.kind == "cancelled"
    assert len(logic.resumable()) == 1


def test_a_listener_may_cancel_as_the_worker_starts(ready):
    logic = ready()

    def listen(event):
        if event.sentence.startswith("Starting"):
            logic.cancel()

    followed = FollowedTraining(logic, listener=listen).to_the_end()

    assert followed.end.kind == "cancelled"
    assert len(logic.resumable()) == 1


# The scene goes on


def test_a_node_that_is_deleted_before_it_is_handed_over_ends_it_in_words(ready):
    logic = ready(cases=3)

    def listen(event):
        if event.sentence.startswith("Handing over case 2"):
            slicer.mrmlScene.RemoveNode(slicer.util.getNode("Scan 1"))

    followed = FollowedTraining(logic, listener=listen).to_the_end()

    assert followed.end.kind == "error"
    assert followed.end.sentence == (
        "Case 2: Scan 1 is no longer in the scene. Choose another, or remove this case."
    )
    assert kept_folders() == []


def test_a_case_is_told_of_by_its_number_in_the_table(ready):
    logic = ready(cases=3)
    logic.setRow(logic.rows()[0].id, expertName="Ben")
    looked_at(logic)

    def listen(event):
        if event.sentence.startswith("Handing over case 2"):
            slicer.mrmlScene.RemoveNode(slicer.util.getNode("Drawn 2"))

    followed = FollowedTraining(logic, lambda hear: logic.start("Ann", hear), listen).to_the_end()

    assert followed.end.sentence.startswith("Case 3: Drawn 2 is no longer in the scene.")


def test_a_volume_that_is_deleted_while_it_is_written_does_no_harm(ready):
    logic = ready(cases=1, size=(200, 200, 60), spacing=(0.3, 0.3, 0.5))
    followed = FollowedTraining(logic)
    folder = followed.until(kept_folders) and kept_folders()[0]
    followed.until(lambda: (folder / "image-0001.npy").is_file())

    slicer.mrmlScene.RemoveNode(slicer.util.getNode("Scan 0"))

    followed.to_the_end()
    assert followed.end.kind == "done"


@pytest.mark.parametrize("what", ["a node", "the scene"])
def test_what_happens_to_the_scene_during_a_training_does_not_matter(ready, what):
    logic = ready(step_seconds=0.01)
    followed = FollowedTraining(logic).until_heard("progress")

    if what == "a node":
        slicer.mrmlScene.RemoveNode(slicer.util.getNode("Scan 0"))
    else:
        slicer.mrmlScene.Clear(False)

    followed.to_the_end()
    assert followed.end.kind == "done"
    assert len(logic.library().cards()) == 1


def test_a_scene_that_is_closed_while_cases_are_handed_over_ends_it_in_words(ready):
    logic = ready(cases=3)

    def listen(event):
        if event.sentence.startswith("Handing over case 2"):
            slicer.mrmlScene.Clear(False)

    followed = FollowedTraining(logic, listener=listen).to_the_end()

    assert followed.end.kind == "error"
    assert "no longer in the scene" in followed.end.sentence
    assert kept_folders() == []


def test_a_segment_that_is_drawn_on_during_a_training_counts_as_it_was(ready):
    logic = ready(cases=1, step_seconds=0.01)
    followed = FollowedTraining(logic).until_heard("progress")

    drawn = slicer.util.getNode("Drawn 0")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        a_mask(shrink=4).astype(np.uint8), drawn, "Lesion", slicer.util.getNode("Scan 0")
    )
    followed.to_the_end()

    expert = load_expert(followed.end.card.path)
    assert expert.code[0] == a_mask().sum() / 65536


@pytest.mark.parametrize("far", [False, True])
def test_segments_that_one_expert_drew_on_one_scan_are_one_case(scene, far):
    """Each alone would teach that what the others mark is left out."""
    first, second = a_mask(), np.zeros_like(a_mask())
    k, j, i = np.argwhere(first).min(0)
    second[k : k + 2, :2, :2] = True
    if not far:
        second[k, j, i] = True  # they overlap
    logic = training_logic()
    a_case(0, {"Upper": first, "Lower": second})
    logic.getParameterNode().expertName = "Ann"
    logic.addAllPairs()
    looked_at(logic)

    followed = FollowedTraining(logic).to_the_end()
    logic.shutdown()

    assert len(logic.rows()) == 2
    assert "With 1 case" in followed.end.sentence
    assert load_expert(followed.end.card.path).code[0] == (first | second).sum() / 65536


# Things go wrong


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("crash", "ended unexpectedly"),
        ("rubbish", "ended unexpectedly"),
        ("no-memory", "too little memory"),
        ("no-disk", "The disk is full"),
    ],
)
def test_what_goes_wrong_in_the_worker_is_said_and_can_be_resumed(ready, mode, words):
    logic = ready(mode)

    followed = FollowedTraining(logic).to_the_end()

    assert followed.end.kind == "error"
    assert words in followed.end.sentence
    assert followed.end.sentence.endswith(KEPT)
    again = FollowedTraining(logic, lambda hear: logic.resume(logic.resumable()[0], hear))
    assert again.to_the_end().end.kind == "done"
    assert "Going on at step 11." in [event.sentence for event in again.events]
    assert kept_folders() == []


@pytest.mark.parametrize(
    ("mode", "words"), [("no-words", "did not say why"), ("close", "ended unexpectedly")]
)
def test_a_worker_that_falls_silent_is_said_and_can_be_resumed(ready, mode, words):
    logic = ready(mode)

    followed = FollowedTraining(logic).to_the_end()

    assert followed.end.kind == "error"
    assert words in followed.end.sentence
    assert followed.end.sentence.endswith(KEPT)
    assert len(logic.resumable()) == 1


@pytest.mark.parametrize("method", ["is_file", "close"])
def test_a_disk_that_goes_away_as_a_training_ends_is_no_reason_to_say_nothing(
    ready, method, monkeypatch
):
    from DiffOSegTrainingLib.run import Autosave

    isFile = Path.is_file

    def fail(*_arguments):
        raise OSError(errno.EIO, "Input/output error")

    logic = ready("no-memory")
    followed = FollowedTraining(logic).until_heard("progress")
    with monkeypatch.context() as gone:
        if method == "close":
            gone.setattr(Autosave.TrainingFolder, "release", fail)
        else:
            gone.setattr(Path, "is_file", lambda p: fail() if p.name == CHECKPOINT else isFile(p))
        followed.until(lambda: followed.training.over)

    assert followed.end.kind == "error"
    assert "too little memory" in followed.end.sentence


def test_a_broken_torch_is_remembered(ready):
    from DiffOSegLib.run import Dependencies

    followed = FollowedTraining(ready("broken-torch")).to_the_end()

    try:
        assert "PyTorch is installed but broken" in followed.end.sentence
        assert "broken" in (Dependencies.state().broken or "")
    finally:
        Dependencies.noteBroken(None)


def test_a_result_that_is_not_there_is_said(ready):
    logic = ready("no-result")

    followed = FollowedTraining(logic).to_the_end()

    assert followed.end.kind == "error"
    assert "expert.safetensors" in followed.end.sentence
    assert len(logic.resumable()) == 1


def test_a_disk_that_is_full_while_cases_are_handed_over_leaves_nothing(ready, monkeypatch):
    from DiffOSegTrainingLib.run import TrainingRun

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    logic = ready()
    monkeypatch.setattr(TrainingRun, "writeCase", full)

    followed = FollowedTraining(logic).to_the_end()

    assert followed.end.kind == "error"
    assert followed.end.sentence.startswith("The disk with your home folder is full.")
    assert kept_folders() == []


def test_a_folder_that_cannot_be_written_is_said(ready, experts):
    logic = ready()
    experts.parent.mkdir(parents=True, exist_ok=True)
    (experts.parent / "training").write_text("in the way")

    followed = FollowedTraining(logic).to_the_end()

    assert followed.end.kind == "error"
    assert "could not be written or read" in followed.end.sentence
    assert str(experts.parent) not in followed.end.sentence


def test_a_name_that_is_taken_meanwhile_is_said_and_nothing_is_lost(ready):
    logic = ready(step_seconds=0.01)
    followed = FollowedTraining(logic).until_heard("progress")
    other = ready(cases=0)
    other.removeRow(other.rows()[0].id)  # so that it learns something else
    assert FollowedTraining(other).to_the_end().end.kind == "done"

    followed.to_the_end()

    assert followed.end.kind == "error"
    assert "Ann" in followed.end.sentence
    assert "press Resume" in followed.end.sentence
    (card,) = logic.library().cards()
    logic.library().rename(card, "Ann the First")
    again = FollowedTraining(logic, lambda hear: logic.resume(logic.resumable()[0], hear))
    assert again.to_the_end().end.kind == "done"
    assert [c.name for c in logic.library().cards()] == ["Ann", "Ann the First"]


def test_a_listener_that_fails_does_not_disturb(ready, caplog):
    def fail(event):
        raise RuntimeError("the panel is gone")

    followed = FollowedTraining(ready(), listener=fail).to_the_end()

    assert followed.end.kind == "done"
    assert "the panel is gone" in caplog.text


def test_a_listener_may_tick_and_begin_the_next_training(ready):
    logic = ready()
    followed = []

    def listen(event):
        logic.tick()
        if event.kind == "done" and len(followed) == 0:
            logic.getParameterNode().expertName = "Ben"
            followed.append(logic.start("", lambda event: None))

    FollowedTraining(logic, listener=listen).to_the_end()
    logic.wait(followed[0], PATIENCE)

    assert [card.name for card in logic.library().cards()] == ["Ann", "Ben"]


# Large ones


@pytest.mark.slow
def test_large_volumes_do_not_hold_slicer_up(ready):
    logic = ready(cases=0)
    volume = a_volume("Large", (400, 400, 160), (0.5, 0.5, 1.0))
    mask = np.zeros((160, 400, 400), bool)
    mask[40:120, 100:300, 100:300] = True
    logic.addRow(volume, a_segmentation(volume, {"Lesion": mask}))
    looked_at(logic)

    followed = FollowedTraining(logic).to_the_end()

    assert followed.end.kind == "done"
    assert np.median(followed.ticks) < 0.05
    assert sorted(followed.ticks)[-3] < 0.1


def a_region_of(volume):
    """Add a box around the whole of a volume; return its node."""
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region")
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    roi.SetCenterWorld(*bounds.reshape(3, 2).mean(1))
    roi.SetSizeWorld(*np.ptp(bounds.reshape(3, 2), axis=1))
    return roi


@pytest.mark.slow
def test_many_cases_take_no_more_memory_than_one(ready):
    resource = pytest.importorskip("resource")
    logic = ready(cases=0)
    volume = a_volume("Scan", (128, 128, 40))
    mask = np.zeros((40, 128, 128), bool)
    mask[10:30, 40:90, 40:90] = True
    masks = {f"S{n}": np.roll(mask, (n // 10, n % 10), (1, 2)) for n in range(100)}
    drawn = a_segmentation(volume, masks)
    regions = [a_region_of(volume) for _ in masks]  # a region of its own makes each a case
    logic.addRow(volume, drawn, "S0", roi=regions[0])
    looked_at(logic)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert logic.addNode(drawn) == 99
    for row, region in zip(logic.rows(), regions, strict=True):
        logic.setRow(row.id, roi=region)
    looked_at(logic)
    followed = FollowedTraining(logic).to_the_end()

    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert followed.end.card.training["cases"] == 100
    assert (after - before) / 1024 < 60
