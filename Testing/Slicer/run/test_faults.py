"""Whatever fails, a run ends in one plain sentence, and nothing of it is left behind."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
import slicer
from a_panel import openPanel
from a_run import ENDS, Followed, Results, add_volume, left_folders, logic_with, request_for
from process_tree import gone_within, group_members, needs_proc

pytestmark = [pytest.mark.usefixtures("scene"), needs_proc]


@pytest.fixture
def volume(scene):
    return add_volume()


@pytest.fixture
def a_logic():
    made = []

    def make(*arguments):
        made.append(logic_with(*arguments))
        return made[-1]

    yield make
    for logic in made:
        logic.shutdown()
    assert left_folders() == []


def ended_plainly(run, kind):
    """Whether a run has ended with one event of that kind, in words for people."""
    assert [k for k in run.kinds if k in ENDS] == [kind], run.events[-3:]
    sentence = run.end.sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    for word in ("Traceback", "Error:", "/", "Patient"):
        assert word not in sentence
    return run


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("crash", "ended unexpectedly"),
        ("killed", "out of memory or was stopped from outside"),
        ("rubbish", "ended unexpectedly"),
        ("no-memory", "too little memory"),
        ("no-disk", "disk is full"),
        ("no-weights", "no model"),
        ("broken-torch", "installed but broken"),
        ("bad-result", "error in DiffOSeg (KeyError)"),
        ("no-words", "did not say why"),
        ("close", "ended unexpectedly"),
        ("dies-before-ready", "stopped from outside"),
        ("dies-ready", "stopped from outside"),
        ("dies-started", "stopped from outside"),
        ("dies-in-line", "stopped from outside"),
        ("dies-result", "stopped from outside"),
        ("dies-saved", "stopped from outside"),
    ],
)
def test_a_worker_that_fails_ends_the_run_in_words(mode, words, a_logic, volume):
    logic = a_logic(mode)
    run = Followed(logic, request_for(volume))
    run.until(lambda: logic._worker.running)
    pid = logic._worker.pid

    run.to_the_end()

    assert words in ended_plainly(run, "error").end.sentence
    assert run.end.details
    assert run.results.calls[-1] == "abandon"
    run.settled()
    assert left_folders() == []
    logic.shutdown()
    assert gone_within(pid, 1)


def test_what_a_worker_had_said_before_it_was_killed_counts(a_logic, volume):
    run = Followed(a_logic("dies-done"), request_for(volume)).to_the_end()

    assert ended_plainly(run, "done").end.sentence == "Done."


def test_the_run_after_a_dead_worker_starts_a_new_one_and_says_so(a_logic, volume):
    logic = a_logic("crash")
    dead = Followed(logic, request_for(volume)).to_the_end()
    assert "Run again" in dead.end.sentence

    run = Followed(logic, request_for(volume)).until_heard("progress")

    assert any("started again" in sentence for sentence in run.sentences)


def test_a_worker_killed_from_outside_leaves_what_was_imported(a_logic, volume):
    logic = a_logic("normal", 0.02)
    run = Followed(logic, request_for(volume)).until_heard("result")

    os.kill(logic._worker.pid, signal.SIGKILL)
    run.to_the_end()

    ended_plainly(run, "error")
    assert run.results.kept == ["consensus"]


@pytest.mark.alone
@pytest.mark.parametrize(("mode", "step_seconds"), [("hang", 0.001), ("ignore-cancel", 0.1)])
def test_a_worker_that_does_not_stop_is_killed_two_seconds_after_cancel(
    mode, step_seconds, a_logic, volume
):
    logic = a_logic(mode, step_seconds)
    run = Followed(logic, request_for(volume)).until_heard("progress", 10)
    pid, begun = logic._worker.pid, time.monotonic()

    logic.cancel()
    run.to_the_end()

    assert time.monotonic() - begun < 2.5
    ended_plainly(run, "cancelled")
    assert gone_within(pid, 1)


def test_a_full_disk_is_said(a_logic, volume, monkeypatch):
    from DiffOSegLib.scene import SceneInputs

    def write(volumeNode, start, size, path):
        path.write_bytes(b"a part")
        yield
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(SceneInputs, "writeImage", write)
    run = Followed(a_logic(), request_for(volume)).to_the_end()

    assert "temporary files is full" in ended_plainly(run, "error").end.sentence
    assert left_folders() == []


def test_a_temporary_folder_that_is_not_writable_is_said(a_logic, volume, monkeypatch):
    def refuse(**options):
        raise PermissionError(errno.EACCES, "Permission denied", "/home/Mr Patient")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    run = Followed(a_logic(), request_for(volume)).to_the_end()

    assert "Permission denied" in ended_plainly(run, "error").end.sentence


def test_an_interpreter_that_did_not_start_once_is_tried_again(a_logic, volume, monkeypatch):
    from DiffOSegLib.run import Dependencies

    def refuse(*arguments, **options):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    logic = a_logic()
    with monkeypatch.context() as full:
        full.setattr("subprocess.Popen", refuse)
        run = Followed(logic, request_for(volume)).to_the_end()

    assert "could not be started" in ended_plainly(run, "error").end.sentence
    assert Dependencies.state().broken is None  # else Apply would refuse until Slicer's end
    ended_plainly(Followed(logic, request_for(volume)).to_the_end(), "done")


def test_a_model_that_is_gone_is_said(a_logic, volume):
    run = Followed(a_logic(), request_for(volume, model="nowhere")).to_the_end()

    assert "nowhere" in ended_plainly(run, "error").end.sentence


def test_a_volume_that_is_deleted_before_the_first_tick_is_said(a_logic, volume):
    logic = a_logic()
    run = Followed(logic, request_for(volume))

    slicer.mrmlScene.RemoveNode(volume)

    assert "volume was deleted" in ended_plainly(run, "cancelled").end.sentence
    assert logic.activeRun is None


def test_a_volume_that_is_deleted_while_it_is_written_is_said(a_logic):
    volume = add_volume((256, 256, 400))
    run = Followed(a_logic(), request_for(volume))
    run.until(left_folders)

    slicer.mrmlScene.RemoveNode(volume)

    ended_plainly(run, "cancelled")
    run.settled()
    assert left_folders() == []


@pytest.mark.parametrize("mode", ["normal", "hang"])
def test_a_volume_that_is_deleted_mid_run_ends_it_and_the_next_run_goes_on(mode, a_logic, volume):
    logic = a_logic(mode, 0.02)
    other = add_volume(name="other")
    run = Followed(logic, request_for(volume)).until_heard("progress", 10)

    slicer.mrmlScene.RemoveNode(volume)

    ended_plainly(run, "cancelled")
    assert run.results.calls[-1] == "abandon"
    following = Followed(logic, request_for(other)).until_heard("progress")
    assert run.kinds.count("cancelled") == 1
    assert len(left_folders()) == 1
    logic.cancel()
    following.to_the_end()


def test_deleting_another_volume_changes_nothing(a_logic, volume):
    other = add_volume(name="other")
    run = Followed(a_logic(), request_for(volume)).until_heard("progress")

    slicer.mrmlScene.RemoveNode(other)

    assert run.to_the_end().end.kind == "done"


def test_a_scene_that_is_closed_mid_run_ends_it(a_logic, volume):
    logic = a_logic("normal", 0.02)
    run = Followed(logic, request_for(volume)).until_heard("result")

    slicer.mrmlScene.Clear(False)

    assert "scene was closed" in ended_plainly(run, "cancelled").end.sentence
    run.settled()
    assert left_folders() == []
    assert logic._worker.running


def test_a_scene_that_is_closed_while_a_result_is_taken_in_ends_it(a_logic, volume):
    class Closing(Results):
        def addExpert(self, result, folder):
            yield
            slicer.mrmlScene.Clear(False)
            yield
            raise AssertionError("a step after the end")

    run = Followed(a_logic(), request_for(volume), Closing()).to_the_end().settled()

    ended_plainly(run, "cancelled")


@pytest.mark.alone
def test_slicer_quitting_mid_run_ends_all(a_logic, volume):
    logic = a_logic("with-child", 0.02)
    run = Followed(logic, request_for(volume)).until_heard("progress")
    pid = logic._worker.pid
    assert len(group_members(pid)) == 2
    begun = time.monotonic()

    logic.shutdown()

    assert time.monotonic() - begun < 1.1
    assert gone_within(pid, 0.5)
    assert left_folders() == []
    assert "Slicer is closing" in ended_plainly(run, "cancelled").end.sentence


def test_a_reload_mid_run_does_not_say_that_slicer_is_closing(a_logic, volume, monkeypatch):
    logic = a_logic("normal", 0.05)
    with openPanel(logic, monkeypatch):
        run = Followed(logic, request_for(volume)).until_heard("progress")

    sentence = ended_plainly(run, "cancelled").end.sentence
    assert "Slicer is closing" not in sentence
    assert "reloaded" in sentence


@pytest.mark.parametrize("end", ["sys.exit()", "os.kill(os.getpid(), 9)"])
def test_a_slicer_that_ends_or_dies_leaves_no_worker(end):
    script = f"""
import os, sys, SlicerHost, time
SlicerHost.boot()
from a_run import *
logic = logic_with("normal", 0.1)
run = Followed(logic, request_for(add_volume())).until_heard("progress")
print(logic._worker.pid, flush=True)
{end}
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )

    worker = int(ended.stdout.split()[-1])
    assert gone_within(worker, 2), ended.stderr
    for folder in left_folders():  # nobody is left who could remove it after a kill
        assert "kill" in end
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


@pytest.mark.parametrize("method", ["begin", "addExpert", "finish"])
def test_a_sink_that_fails_ends_the_run_and_stops_the_worker(method, a_logic, volume):
    logic = a_logic("normal", 0.005)
    run = Followed(logic, request_for(volume), Results(fails_in=method)).to_the_end()

    ended_plainly(run, "error")
    assert "the node" in run.end.details
    assert run.results.calls[-1] == "abandon"
    run.settled()
    assert Followed(logic, request_for(volume)).to_the_end().end.kind == "done"


def test_a_listener_may_start_the_next_run_as_it_hears_of_an_error(a_logic, volume):
    logic = a_logic("normal", 0.005)
    following = []

    def listen(event):
        if event.kind == "error":
            following.append(Followed(logic, request_for(volume)))

    Followed(logic, request_for(volume), Results(fails_in="begin"), listen).to_the_end()

    assert following[0].to_the_end().settled().end.kind == "done"
    assert left_folders() == []


def test_a_sink_that_fails_even_at_its_end_is_logged(a_logic, volume, caplog):
    run = Followed(a_logic("crash"), request_for(volume), Results(fails_in="abandon")).to_the_end()

    ended_plainly(run, "error")
    assert "is gone" in caplog.text
