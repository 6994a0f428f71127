import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
from process_tree import gone_within, group_members, needs_proc, never_held

FAKE = Path(__file__).parents[1].joinpath("fake_worker.py")

pytestmark = pytest.mark.usefixtures("host")


class Conversation:
    """A client and all that it has said; remembers how long each call took."""

    def __init__(self, *arguments, command=None, clock=time.monotonic):
        from DiffOSegLib.run.WorkerClient import WorkerClient

        self.client = WorkerClient(command or [sys.executable, str(FAKE), *arguments], clock)
        self.messages = []
        self.calls = []

    def timed(self, call, *arguments):
        begun = time.perf_counter()
        result = call(*arguments)
        self.calls.append(time.perf_counter() - begun)
        return result

    def send(self, **message):
        self.timed(lambda: self.client.send(message))

    def poll(self):
        self.messages += self.timed(self.client.poll)

    def until(self, condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.messages
            self.poll()
            time.sleep(0.01)
        return self

    def until_all_is_said(self):
        return self.until(lambda: not self.client.openJobs)

    def kinds(self):
        return [message["event"] for message in self.messages]

    @property
    def last(self):
        return self.messages[-1]


@pytest.fixture
def a_conversation():
    made = []

    def begin(*arguments, **options):
        made.append(Conversation(*arguments, **options))
        return made[-1]

    yield begin
    for conversation in made:
        conversation.client.stop()


@pytest.fixture
def a_job(tmp_path):
    """A folder with the part of a job that the fake worker reads."""
    folder = tmp_path / "a job of Müller"
    folder.mkdir()
    job = {"start": [0, 0, 0], "size": [10, 8, 6], "experts": ["consensus", "Tightest of four"]}
    (folder / "job.json").write_text(json.dumps({**job, "samples": 2}))
    return {"do": "run", "id": "job", "folder": str(folder)}


def test_the_first_message_starts_the_worker_which_answers_and_stays(a_conversation):
    talk = a_conversation("normal")
    assert not talk.client.running

    talk.send(do="describe", id="1", device="auto")
    first = talk.until_all_is_said().client.pid
    talk.send(do="describe", id="2", device="auto")
    talk.until_all_is_said()

    assert [(m["event"], m["id"]) for m in talk.messages] == [
        ("description", "1"),
        ("description", "2"),
    ]
    assert talk.client.pid == first


def test_a_run_tells_its_beginning_progress_results_and_end(a_conversation, a_job):
    talk = a_conversation("normal", "0.001")

    talk.send(**a_job)
    kinds = talk.until_all_is_said().kinds()

    assert (kinds[0], kinds[-1]) == ("started", "done")
    assert (kinds.count("result"), kinds.count("progress")) == (2, 40)
    probability = np.load(Path(a_job["folder"]) / "probability_tightest-of-four.npy")
    assert probability.shape == (6, 8, 10)


@pytest.mark.alone
def test_no_call_holds_the_caller(a_conversation, a_job):
    talk = a_conversation("slow-start", "0.001")

    talk.send(**a_job)
    talk.until_all_is_said()

    assert never_held(talk.calls)


@pytest.mark.alone
@pytest.mark.parametrize("mode", ["chatty", "huge-line"])
def test_what_is_no_message_is_passed_over(mode, a_conversation, a_job):
    talk = a_conversation(mode, "0.001")

    talk.send(**a_job)
    talk.until_all_is_said()

    assert talk.last["event"] == "done"
    assert talk.kinds().count("progress") == 40
    assert never_held(talk.calls)


@pytest.mark.alone
def test_a_flood_of_rubbish_does_not_hold_the_caller(a_conversation, a_job):
    talk = a_conversation("flood", "0.001")

    talk.send(**a_job)
    talk.until_all_is_said()

    assert talk.last["event"] == "done"
    assert never_held(talk.calls)


@needs_proc
def test_a_crash_ends_the_job_in_words_with_the_last_lines_as_details(a_conversation, a_job):
    talk = a_conversation("crash", "0.001")

    talk.send(**a_job)
    pid = talk.client.pid
    talk.until_all_is_said()

    assert (talk.last["event"], talk.last["id"], talk.last["code"]) == ("error", "job", 1)
    assert "exit code 7" in talk.last["sentence"]
    assert talk.last["details"].startswith("Fatal: the graphics driver is gone\n")
    assert talk.client.lost
    assert gone_within(pid, 1)


def test_a_killed_worker_ran_out_of_memory_or_was_stopped(a_conversation, a_job):
    talk = a_conversation("killed", "0.001")

    talk.send(**a_job)
    talk.until_all_is_said()

    assert talk.last["code"] == 3
    assert "out of memory or was stopped from outside" in talk.last["sentence"]


def test_slicers_launcher_tells_a_killed_worker_by_its_own_words(a_conversation, a_job):
    talk = a_conversation("launcher-killed", "0.001")

    talk.send(**a_job)
    talk.until_all_is_said()

    assert talk.last["code"] == 3


def test_rubbish_alone_and_an_end_are_an_error(a_conversation, a_job):
    talk = a_conversation("rubbish", "0.001")

    talk.send(**a_job)
    talk.until_all_is_said()

    assert talk.last["event"] == "error"
    assert "not a message" in talk.last["details"]


def test_a_temporary_folder_that_takes_no_log_does_not_keep_the_worker(a_conversation, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    talk = a_conversation("normal", "0.001")
    talk.send(do="describe", id="1", device="auto")
    talk.until_all_is_said()
    talk.client.stop()

    assert talk.kinds() == ["description"]
    assert Path(os.devnull).exists()


def test_every_open_job_gets_its_last_message(a_conversation, a_job):
    talk = a_conversation("crash", "0.001")

    talk.send(**a_job)
    talk.send(do="describe", id="2", device="auto")
    talk.until_all_is_said()

    assert {m["id"] for m in talk.messages if m["event"] == "error"} == {"job", "2"}


def test_after_a_dead_worker_the_next_message_starts_another(a_conversation, a_job):
    talk = a_conversation("crash", "0.001")
    talk.send(**a_job)
    first = talk.client.pid
    talk.until_all_is_said()

    talk.send(do="describe", id="2", device="auto")
    talk.until(lambda: talk.kinds()[-1] == "description")

    assert talk.client.pid != first
    assert not talk.client.lost


def test_the_end_of_an_idle_worker_is_silent(a_conversation):
    talk = a_conversation("normal")
    talk.send(do="describe", id="1", device="auto")
    talk.until_all_is_said()
    os.kill(talk.client.pid, 15)

    talk.until(lambda: not talk.client.running)

    assert talk.kinds() == ["description"]
    assert not talk.client.lost


def test_a_worker_that_ends_just_as_it_is_asked_is_asked_again(a_conversation, a_job, tmp_path):
    talk = a_conversation("idle-end", "0.001", str(tmp_path / "ended once"))

    talk.send(**a_job)
    talk.until_all_is_said()

    assert talk.last["event"] == "done"


def test_a_job_that_is_cancelled_is_not_asked_for_again(a_conversation, a_job, tmp_path):
    talk = a_conversation("idle-end", "0.001", str(tmp_path / "ended once"))

    talk.send(**a_job)
    talk.client.cancel("job")
    talk.until_all_is_said()

    assert (talk.last["event"], talk.last["code"]) == ("error", 4)
    assert talk.last["sentence"]
    assert not talk.client.running


@needs_proc
def test_a_worker_that_closes_its_output_is_killed(a_conversation, a_job):
    now = [0.0]
    talk = a_conversation("close", "0.001", clock=lambda: now[0])
    talk.send(**a_job)
    pid = talk.client.pid
    talk.until(lambda: talk.kinds().count("progress") == 10)
    time.sleep(0.3)
    talk.poll()
    assert talk.client.openJobs

    now[0] = 2.1
    talk.until_all_is_said()

    assert "ended unexpectedly" in talk.last["sentence"]
    assert gone_within(pid, 0.5)


def test_a_worker_that_always_ends_at_once_is_an_error(a_conversation, a_job):
    talk = a_conversation("exit-at-once")

    talk.send(**a_job)
    talk.until_all_is_said()

    assert talk.kinds() == ["error"]


def test_a_worker_that_never_gets_ready_is_given_up(a_conversation, a_job):
    now = [0.0]
    talk = a_conversation("never-ready", clock=lambda: now[0])
    talk.send(**a_job)
    talk.poll()
    assert talk.messages == []

    now[0] = 121.0
    talk.until_all_is_said()

    assert "does not start" in talk.last["sentence"]


@pytest.mark.alone
@needs_proc
def test_a_worker_that_hangs_is_killed_two_seconds_after_cancel(a_conversation, a_job):
    talk = a_conversation("hang", "0.001")
    talk.send(**a_job)
    talk.until(lambda: talk.kinds().count("progress") == 10)
    pid, begun = talk.client.pid, time.monotonic()

    talk.client.cancel("job")
    talk.until_all_is_said()

    assert 1.9 < time.monotonic() - begun < 2.5
    assert (talk.last["event"], talk.last["code"]) == ("error", 4)
    assert talk.client.busy
    talk.until(lambda: not talk.client.busy)
    assert gone_within(pid, 0.5)


def test_cancel_keeps_a_worker_that_obeys(a_conversation, a_job):
    talk = a_conversation("normal", "0.02")
    talk.send(**a_job)
    talk.until(lambda: "result" in talk.kinds())
    pid = talk.client.pid

    talk.client.cancel("job")
    talk.until_all_is_said()

    assert talk.last["stopped"] is True
    assert talk.client.pid == pid


@pytest.mark.alone
@needs_proc
def test_stop_leaves_nobody_of_the_whole_tree(a_conversation, a_job):
    talk = a_conversation("with-child", "0.05")
    talk.send(**a_job)
    pid = talk.client.pid
    talk.until(lambda: len(group_members(pid)) == 2)
    begun = time.monotonic()

    talk.client.stop()

    assert gone_within(pid, 0.5)
    assert time.monotonic() - begun < 1.1


def test_an_idle_worker_is_asked_to_end_before_it_is_killed(a_conversation):
    talk = a_conversation("normal")
    talk.send(do="describe", id="1", device="auto")
    talk.until_all_is_said()
    process = talk.client._process

    talk.client.stop()

    assert process.exitCode() == 0


def test_an_interpreter_that_is_not_there_is_a_sentence(a_conversation, a_job):
    talk = a_conversation(command=["/nowhere/PythonSlicer"])

    talk.send(**a_job)
    talk.poll()

    assert (talk.last["event"], talk.last["code"]) == ("error", 1)
    assert "/nowhere" not in talk.last["sentence"]


def test_the_environment_is_a_copy_with_the_engine_in_front(monkeypatch):
    from DiffOSegLib.run.WorkerProcess import workerEnvironment

    monkeypatch.setenv("PYTHONHOME", "/opt/Slicer/lib/Python")
    monkeypatch.setenv("PYTHONPATH", "/opt/Slicer/bin/Python")
    before = dict(os.environ)

    environment = workerEnvironment()

    engine, *others = environment["PYTHONPATH"].split(os.pathsep)
    assert (Path(engine) / "diffoseg" / "worker" / "job.py").is_file()
    assert others == ["/opt/Slicer/bin/Python"]
    assert environment["PYTHONHOME"] == "/opt/Slicer/lib/Python"
    assert environment["PYTHONSAFEPATH"] == environment["PYTHONUTF8"] == "1"
    assert dict(os.environ) == before


def test_in_slicer_the_interpreter_is_pythonslicer_and_here_this_one(tmp_path, monkeypatch):
    from DiffOSegLib.run.WorkerProcess import pythonExecutable

    assert pythonExecutable() == sys.executable

    (tmp_path / "bin").mkdir()
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    (tmp_path / "bin" / name).touch()
    monkeypatch.setattr(slicer, "app", type("App", (), {"slicerHome": str(tmp_path)})())
    assert pythonExecutable() == str(tmp_path / "bin" / name)
