import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from a_lesson import a_base
from a_training import (
    PATIENCE,
    FollowedTraining,
    a_case,
    kept_folders,
    looked_at,
    training_logic,
)

from diffoseg.errors import InputError
from diffoseg.model.stored import save_model
from diffoseg.training.run_files import CHECKPOINT
from diffoseg.worker.training_job import JOB, RESULT

pytestmark = pytest.mark.usefixtures("scene", "experts")

SLICER = Path(__file__).parents[1].joinpath("a_killed_slicer.py")


@pytest.fixture
def logic(scene):
    made = training_logic()
    yield made
    made.shutdown()


@pytest.fixture
def slow(scene):
    made = training_logic(step_seconds=0.2)  # as long as a busy computer may stand still
    yield made
    made.shutdown()


def begun(logic):
    """Begin a training with two cases, and return it in the middle."""
    for number in range(2):
        a_case(number)
    logic.getParameterNode().expertName = "Ann"
    logic.addAllPairs()
    looked_at(logic)
    return FollowedTraining(logic).until_heard("progress", 3)


def stopped(logic):
    """Begin a training, stop it in the middle, and return what is kept."""
    followed = begun(logic)
    logic.cancel()
    followed.to_the_end()
    (saved,) = logic.resumable()
    return saved


def resumed(logic, saved):
    return FollowedTraining(logic, lambda hear: logic.resume(saved, hear))


def another_slicer(where, mode="normal", model=""):
    """Start a Slicer that trains, wait until it is there, and return its process."""
    command = [sys.executable, str(SLICER), mode, "0.1", where, str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ.copy())
    assert process.stdout.readline().strip() == b"there"
    return process


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    process.stdout.close()


# Resumed


def test_a_stopped_training_goes_on_where_it_was(slow):
    saved = stopped(slow)
    step = int((saved.folder / CHECKPOINT).read_text())

    followed = resumed(slow, saved).to_the_end()

    assert followed.end.kind == "done"
    assert f"Going on at step {step}." in [event.sentence for event in followed.events]
    assert slow.resumable() == ()
    assert kept_folders() == []


def test_what_is_kept_says_whose_it_is(slow):
    saved = stopped(slow)

    assert saved.expertName == "Ann"
    assert saved.cases == 2
    assert saved.modelTitle == "DiffOSeg on LIDC-IDRI's readers"
    assert abs(saved.started.timestamp() - time.time()) < 60


def test_the_scene_is_not_needed_to_go_on(slow, scene):
    saved = stopped(slow)
    scene.Clear(False)

    assert resumed(slow, saved).to_the_end().end.kind == "done"


def test_a_training_can_be_stopped_and_resumed_many_times(slow):
    saved = stopped(slow)
    for _turn in range(3):
        followed = resumed(slow, saved).until_heard("started")
        slow.cancel()
        followed.to_the_end()
        (saved,) = slow.resumable()

    followed = resumed(slow, saved).to_the_end()
    assert followed.end.kind == "done"
    assert followed.end.card.training["cases"] == 2


def test_closing_slicer_keeps_what_was_learnt(slow):
    followed = begun(slow)

    slow.shutdown()

    assert followed.end.kind == "cancelled"
    assert "press Resume to go on" in followed.end.sentence
    later = training_logic()
    assert resumed(later, later.resumable()[0]).to_the_end().end.kind == "done"
    later.shutdown()


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.slow
def test_a_training_is_left_to_its_slicer_until_that_is_killed(logic):
    process = another_slicer("hold")
    assert logic.resumable() == ()
    assert len(kept_folders()) == 1

    killed(process)

    (saved,) = logic.resumable()
    assert (saved.expertName, saved.cases) == ("Ann", 3)
    followed = resumed(logic, saved).to_the_end()

    assert followed.end.kind == "done"
    assert any(event.sentence.startswith("Going on at") for event in followed.events)
    assert kept_folders() == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_slicer_that_was_killed_as_it_handed_over_leaves_no_scan_behind(logic):
    process = another_slicer("prepare")
    (folder,) = kept_folders()
    assert (folder / "image-0002.npy").is_file()
    assert logic.resumable() == ()
    assert kept_folders() == [folder], "it is another Slicer's, which is alive"

    killed(process)

    assert logic.resumable() == ()
    assert kept_folders() == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_the_real_worker_ends_with_the_same_expert_after_slicer_was_killed(logic, tmp_path):
    from DiffOSegTrainingLib.run.TrainingLogic import DiffOSegTrainingLogic

    tiny = tmp_path / "tiny.safetensors"  # learns in a second what the default takes ten for
    save_model(a_base(), tiny)
    killed(another_slicer("hold", "real", tiny))
    real = DiffOSegTrainingLogic()
    assert all(kept.name != RESULT for kept in real.resumable()[0].folder.iterdir())
    resumed_one = resumed(real, real.resumable()[0]).to_the_end(300)
    assert "Going on where" in str([event.sentence for event in resumed_one.events])
    card = resumed_one.end.card
    real.library().rename(card, "Cleo who was interrupted")

    for number in range(3):
        a_case(number)
    real.getParameterNode().expertName = "Cleo"
    real.getParameterNode().model = str(tiny)
    real.addAllPairs()
    looked_at(real)
    at_once = FollowedTraining(real).to_the_end(300)
    real.shutdown()

    assert at_once.end.card.hash == card.hash
    assert max(at_once.ticks + resumed_one.ticks) < 0.2


# Discarded, damaged


def test_a_discarded_training_leaves_nothing(slow):
    saved = stopped(slow)

    slow.discard(saved)
    while slow.busy:
        slow.tick()

    assert kept_folders() == []
    with pytest.raises(InputError, match="no longer there"):
        slow.resume(saved)
    with pytest.raises(InputError, match="no longer there"):
        slow.discard(saved)


def test_what_is_under_way_can_be_neither_resumed_nor_discarded(slow):
    saved = stopped(slow)
    followed = resumed(slow, saved)

    assert slow.resumable() == ()
    with pytest.raises(InputError, match="under way"):
        slow.resume(saved)
    with pytest.raises(InputError, match="works on the training of Ann"):
        slow.discard(saved)
    followed.to_the_end()


def test_a_folder_that_another_slicer_removes_as_it_is_made_does_no_harm(scene, monkeypatch):
    from DiffOSegTrainingLib.run.Autosave import TrainingFolder, autosaved

    held = TrainingFolder.held
    theirs = []

    def heldByAnother(path):
        if not theirs:
            theirs.append(held(path))
        return held(path)

    monkeypatch.setattr(TrainingFolder, "held", heldByAnother)
    made = TrainingFolder.new()

    assert made.path != theirs[0].path
    theirs[0].release()
    assert autosaved() == ()
    assert kept_folders() == [made.path]
    made.release()


def test_what_is_cancelled_as_it_is_resumed_is_kept(slow):
    saved = stopped(slow)
    slow.resume(saved)

    slow.cancel()

    assert slow.resumable() == (saved,)


def test_a_damaged_training_says_so_and_can_be_discarded(slow):
    from DiffOSegTrainingLib.panel.Sentences import discardQuestion, toResume

    saved = stopped(slow)
    (saved.folder / JOB).write_text("{")

    (damaged,) = slow.resumable()

    assert "damaged" in damaged.problem
    assert toResume(damaged).startswith("Unreadable, ")
    assert "which cannot be read" in discardQuestion(damaged.expertName)
    with pytest.raises(InputError, match="damaged"):
        slow.resume(damaged)
    slow.discard(damaged)
    while slow.busy:
        slow.tick()
    assert kept_folders() == []


def test_a_base_model_that_is_gone_is_told_of(slow):
    saved = stopped(slow)
    job = json.loads((saved.folder / JOB).read_text())
    (saved.folder / JOB).write_text(json.dumps(job | {"model": "/home/Mr Patient/gone"}))

    (found,) = slow.resumable()

    assert "gone" in found.problem
    assert "Patient" not in found.problem


def test_the_newest_comes_first(slow):
    older = stopped(slow)
    os.utime(older.folder / JOB, (1, 1))
    slow.getParameterNode().expertName = "Ben"
    looked_at(slow)
    followed = FollowedTraining(slow).until_heard("progress", 3)
    slow.cancel()
    followed.to_the_end()

    assert [saved.expertName for saved in slow.resumable()] == ["Ben", "Ann"]


def test_several_experts_are_kept_each_by_itself(slow):
    for number, name in enumerate(("Ann", "Ben")):
        slow.addRow(*a_case(number), expertName=name)
    looked_at(slow)
    followed = FollowedTraining(slow).until_heard("progress", 3)

    slow.cancel()
    followed.to_the_end()

    assert sorted(saved.expertName for saved in slow.resumable()) == ["Ann", "Ben"]


def test_other_files_beside_the_trainings_are_left_alone(logic, experts):
    trainings = experts.parent / "training"
    trainings.mkdir(parents=True)
    (trainings / "notes.txt").write_text("mine")
    (trainings / "link").symlink_to(experts.parent)
    for name in ("my scans", "0123456789abcdef" * 2):
        (trainings / name).mkdir()
        (trainings / name / "scan.nrrd").write_text("mine")

    assert logic.resumable() == ()
    assert (trainings / "notes.txt").is_file()
    assert (trainings / "link").is_symlink()
    assert len(list(trainings.rglob("scan.nrrd"))) == 2


@pytest.mark.skipif(os.name == "nt", reason="rights")
def test_nobody_else_on_the_computer_can_read_the_scans(slow):
    begun(slow)

    (folder,) = kept_folders()
    assert folder.stat().st_mode & 0o077 == 0
    slow.cancel()
