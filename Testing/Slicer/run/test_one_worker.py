"""One process computes for the whole application, and only once something is asked of it."""

import os
import signal
import sys

import pytest
from a_panel import MODULE, live, openModule, until
from a_run import FAKE, Followed, add_volume, request_for
from a_training_panel import TRAINING
from process_tree import needs_proc

from diffoseg.errors import InputError

pytestmark = [pytest.mark.usefixtures("scene"), needs_proc]


class _Started:
    """Counts the processes that are started, fake ones in place of the engine's."""

    def __init__(self):
        self.pids = []

    def watch(self, monkeypatch):
        from DiffOSegLib.run import WorkerClient

        def process(_command, environment):
            made = own([sys.executable, str(FAKE), "normal", "0.01"], environment)
            self.pids.append(made.pid)
            return made

        own = WorkerClient.WorkerProcess
        monkeypatch.setattr(WorkerClient, "WorkerProcess", process)


@pytest.fixture
def started(monkeypatch):
    counted = _Started()
    counted.watch(monkeypatch)
    return counted


@pytest.fixture
def logics():
    """Return a logic of each module, made as the application makes its own."""
    from DiffOSegLib.run.Logic import DiffOSegLogic
    from DiffOSegTrainingLib.run.TrainingLogic import DiffOSegTrainingLogic

    made = DiffOSegLogic(), DiffOSegTrainingLogic()
    yield made
    for logic in made:
        logic.shutdown()


def described(logic):
    """Ask a logic what it computes on; return the process that answered."""
    logic.describe()
    until(lambda: logic.tick() or not logic.describing)
    assert logic.description is not None
    return logic._worker.pid


def test_opening_every_panel_starts_no_process(started, logics, monkeypatch):
    from DiffOSegLib.run import Logic
    from DiffOSegTrainingLib.run import TrainingLogic

    add_volume()
    monkeypatch.setattr(Logic, "_shared", logics[0])
    monkeypatch.setattr(TrainingLogic, "_shared", logics[1])
    with openModule(MODULE) as drawing, openModule(TRAINING) as training:
        live(0.5)
        assert "After the first Apply" in drawing.panel.ui.deviceLabel.text
        assert training.panel.ui.startButton.text == "Start"
    assert started.pids == []


def test_both_modules_are_answered_by_one_process(started, logics):
    drawing, training = logics
    assert described(drawing) == described(training)
    assert len(started.pids) == 1


def test_each_module_hears_its_own_answer_whoever_looks_first(started, logics):
    drawing, training = logics
    drawing.describe()
    training.describe("cpu")
    until(lambda: drawing.tick() or (not drawing._worker._worker.openJobs))
    assert training.describing
    training.tick()
    assert not training.describing
    assert training.description["id"] != drawing.description["id"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_killed_process_is_started_anew_for_either_module(started, logics, first):
    pid = described(logics[first])
    os.kill(pid, signal.SIGKILL)
    until(lambda: logics[first]._worker.poll() or not logics[first]._worker.running)
    assert described(logics[1 - first]) != pid
    assert described(logics[first]) == started.pids[-1]
    assert len(started.pids) == 2


def test_a_training_waits_in_words_while_a_run_goes_on(started, logics):
    drawing, training = logics
    run = Followed(drawing, request_for(add_volume()))
    assert "is under way" in training.whyNot()
    run.to_the_end().settled()
    assert "module DiffOSeg or of its effect" not in training.whyNot()


def test_a_run_waits_in_words_while_an_expert_is_taught(started, logics, monkeypatch):
    drawing, training = logics
    with monkeypatch.context() as patched:
        patched.setattr(type(training), "activeTraining", object())
        with pytest.raises(InputError, match="An expert is being taught"):
            Followed(drawing, request_for(add_volume()))
    assert started.pids == []


def test_a_module_that_is_reloaded_leaves_the_other_ones_run_alone(started, logics):
    drawing, training = logics
    run = Followed(drawing, request_for(add_volume())).until_heard("progress")
    training.shutdown()
    run.to_the_end()
    assert run.end.kind == "done"
    assert len(started.pids) == 1
