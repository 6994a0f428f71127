import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import slicer
from a_run import Followed, Results, add_volume, left_folders, logic_with, request_for
from process_tree import gone_within, needs_proc, never_held

from diffoseg.drawing.workload import tile_evaluations
from diffoseg.errors import InputError, WeightsError
from diffoseg.model.cards import read_card
from diffoseg.space.geometry import Box
from diffoseg.worker.job import SegmentationJob

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def logic():
    made = logic_with()
    yield made
    made.shutdown()
    assert left_folders() == []


@pytest.fixture
def volume(scene):
    return add_volume()


@pytest.fixture
def parameters(logic, volume):
    node = logic.getParameterNode()
    node.inputVolume = volume
    node.regionKind = "whole"
    return node


# What is asked


def test_a_request_freezes_all_that_the_panel_shows(logic, parameters, volume):
    parameters.experts = ["Tighter of four", "consensus"]
    parameters.samples, parameters.steps, parameters.seed = 5, 12, 7
    parameters.device = "cpu"

    request = logic.requestFrom(parameters)

    assert request == request_for(
        volume, experts=("consensus", "Tighter of four"), samples=5, steps=12, seed=7, device="cpu"
    )
    parameters.samples = 9
    assert request.samples == 5


def test_nobody_chosen_means_everyone_and_no_steps_the_models_own(logic, parameters):
    request = logic.requestFrom(parameters)

    assert request.experts == read_card().answers
    assert request.steps is None


def test_a_request_without_a_volume_says_so(logic, parameters):
    parameters.inputVolume = None

    with pytest.raises(InputError, match="volume"):
        logic.requestFrom(parameters)


@pytest.mark.parametrize(("kind", "what"), [("roi", "region"), ("segment", "segment")])
def test_a_request_without_a_region_says_so(kind, what, logic, parameters):
    parameters.regionKind = kind

    with pytest.raises(InputError, match=f"No {what} is chosen"):
        logic.requestFrom(parameters)


def test_a_region_node_becomes_a_box_in_lps(logic, parameters, volume):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenter(15, -15, 45)
    roi.SetSize(8, 6, 10)
    parameters.regionKind, parameters.regionRoi = "roi", roi

    region = logic.requestFrom(parameters).region

    np.testing.assert_allclose(region.lower, (-19, 12, 40), atol=1e-6)
    np.testing.assert_allclose(region.upper, (-11, 18, 50), atol=1e-6)


def test_experts_that_the_model_does_not_know_are_refused(logic, parameters):
    parameters.experts = ["Tightest of four", "Dr Nobody"]

    with pytest.raises(InputError, match="Dr Nobody"):
        logic.requestFrom(parameters)


def test_a_model_that_is_not_there_is_refused(logic, parameters):
    parameters.model = "nowhere"

    with pytest.raises(WeightsError, match="nowhere"):
        logic.requestFrom(parameters)


# How it goes


def test_a_run_is_prepared_goes_on_and_ends(logic, volume):
    run = Followed(logic, request_for(volume)).to_the_end()

    assert run.kinds[0] == "preparing"
    assert run.end.kind == "done"
    assert run.end.sentence == "Done."
    assert run.run.outcome is run.end
    assert [e.expert for e in run.events if e.kind == "result"] == ["consensus", "Tightest of four"]
    fractions = [e.fraction for e in run.events if e.kind == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert "The region is far from what the model was trained on." in run.sentences
    assert logic.activeRun is None


def test_the_sink_begins_takes_each_expert_step_by_step_and_finishes(logic, volume):
    run = Followed(logic, request_for(volume), Results(steps=2)).to_the_end()

    each = ["step 0", "step 1"]
    assert run.results.calls == [
        "begin",
        *each,
        "addExpert consensus",
        *each,
        "addExpert Tightest of four",
        "finish",
    ]


def test_the_worker_is_given_the_voxels_and_the_grid_of_the_volume(logic, volume):
    seen = []

    class Reader(Results):
        def addExpert(self, result, folder):
            job = SegmentationJob.read(folder)
            seen.append((job, job.volume(folder)))
            yield

    region = Box.around((-24, 10, 50), 10)
    Followed(logic, request_for(volume, region=region, seed=3), Reader()).to_the_end()

    job, carried = seen[0]
    i, j, k = (slice(a, a + n) for a, n in zip(job.start, job.size, strict=True))
    truth = slicer.util.arrayFromVolume(volume)
    np.testing.assert_array_equal(carried.array[k, j, i], truth[k, j, i])
    assert (job.region, job.seed, job.name) == (region, 3, "volume")
    assert carried.geometry.size == (40, 30, 20)
    assert "Patient" not in repr(job)


def test_two_runs_at_once_are_refused_and_one_after_the_other_are_not(logic, volume):
    first = Followed(logic, request_for(volume))

    with pytest.raises(InputError, match="A run is under way"):
        logic.start(request_for(volume), Results(), print)

    first.to_the_end()
    pid = logic._worker.pid
    second = Followed(logic, request_for(volume)).to_the_end()
    assert second.end.kind == "done"
    assert logic._worker.pid == pid


def test_later_results_wait_until_earlier_ones_are_in_the_scene(logic, volume):
    run = Followed(logic, request_for(volume), Results(steps=200)).to_the_end()

    told = [(e.kind, e.expert) for e in run.events if e.kind in ("result", "progress")]
    consensus = told.index(("result", "consensus"))
    assert all(expert == "consensus" for _, expert in told[:consensus])
    assert all(expert == "Tightest of four" for _, expert in told[consensus + 1 :])


def test_cancel_before_the_worker_is_asked_ends_at_once_and_starts_no_worker(logic, volume):
    run = Followed(logic, request_for(volume))

    logic.cancel()

    assert run.kinds == ["cancelled"]
    assert not logic._worker.running


def test_cancel_keeps_what_is_finished(volume):
    logic = logic_with("normal", 0.02)
    run = Followed(logic, request_for(volume)).until_heard("result")

    logic.cancel()
    run.to_the_end()

    assert run.end.kind == "cancelled"
    assert run.end.sentence == "Stopped; what was finished is kept."
    assert run.results.kept == ["consensus"]
    assert run.results.calls[-1] == "finish"
    assert logic._worker.running
    logic.shutdown()


def test_a_listener_that_fails_is_logged_and_does_not_break_the_run(logic, volume, caplog):
    def fail(event):
        raise ValueError("the progress bar is gone")

    run = Followed(logic, request_for(volume), listener=fail).to_the_end()

    assert run.end.kind == "done"
    assert "the progress bar is gone" in caplog.text


def test_a_listener_may_cancel_and_start_the_next_run(volume):
    logic = logic_with("normal", 0.01)
    following = []

    def listen(event):
        if event.kind == "result":
            logic.cancel()
        elif event.kind == "cancelled":
            following.append(Followed(logic, request_for(volume)))

    Followed(logic, request_for(volume), listener=listen).to_the_end()

    assert following[0].to_the_end().end.kind == "done"
    logic.shutdown()


def test_a_listener_may_cancel_at_the_very_first_event(logic, volume):
    def listen(event):
        if event.kind == "preparing":
            logic.cancel()

    run = Followed(logic, request_for(volume), listener=listen).to_the_end()

    assert run.kinds == ["preparing", "cancelled"]
    assert left_folders() == []


def test_a_listener_that_ticks_does_not_run_the_logic_inside_itself(logic, volume):
    run = Followed(logic, request_for(volume), listener=lambda event: logic.tick()).to_the_end()

    assert run.end.kind == "done"


def test_a_script_waits_for_a_run(logic, volume):
    events = []
    run = logic.start(request_for(volume), Results(), events.append)

    assert logic.wait(run, timeoutSeconds=0) is None
    assert logic.wait(run) is run.outcome
    assert run.outcome.kind == "done"


@pytest.mark.alone
def test_no_tick_holds_the_application(logic, volume):
    big = add_volume((256, 256, 100), name="big")

    run = Followed(logic, request_for(big)).to_the_end()

    assert run.end.kind == "done"
    assert never_held(run.ticks)


def test_no_thread_is_started(logic, volume):
    before = threading.active_count()

    Followed(logic, request_for(volume), listener=lambda event: None).until_heard("progress")

    assert threading.active_count() == before


# The computer


def test_the_computer_is_described_when_asked_and_not_before(logic):
    assert logic.description is None
    assert not logic._worker.running

    logic.describe()
    while logic.describing:
        logic.tick()

    assert logic.description["line"] == "CPU, 2 threads"


def test_a_run_takes_its_tiles_times_the_time_of_one(logic, volume):
    from DiffOSegLib.scene.SceneInputs import geometryOf

    request = request_for(volume, region=Box.around((-24, 10, 50), 10), steps=4)
    assert logic.estimateSeconds(request) is None
    logic.describe()
    while logic.describing:
        logic.tick()

    tiles = tile_evaluations(geometryOf(volume), request.region, read_card().metadata, 2, 2, 4)
    assert logic.estimateSeconds(request) == pytest.approx(tiles * 0.5)


def test_the_application_has_one_logic():
    from DiffOSegLib.run.Logic import sharedLogic

    assert sharedLogic() is sharedLogic()


@needs_proc
def test_a_logic_that_nobody_uses_any_more_is_gone_and_its_worker_too(volume):
    logic = logic_with()
    Followed(logic, request_for(volume)).to_the_end().settled()
    reference, pid = weakref.ref(logic), logic._worker.pid
    log = Path(logic._worker._worker._process._logPath)
    assert log.is_file()

    del logic
    gc.collect()

    assert reference() is None
    assert not log.exists()
    assert gone_within(pid, 2)


def test_a_logic_ends_its_worker_when_slicer_quits(logic, volume):
    from DiffOSegLib.run import Farewell

    run = Followed(logic, request_for(volume)).until_heard("progress")

    Farewell._endAll()

    assert run.end.kind == "cancelled"
    assert not logic._worker.running


# Packages


def test_a_worker_whose_packages_do_not_load_is_remembered_and_sent_away(volume):
    from DiffOSegLib.run import Dependencies

    logic = logic_with("broken-torch")
    try:
        run = Followed(logic, request_for(volume)).to_the_end()
        assert run.end.kind == "error"
        assert Dependencies.state().broken == run.end.sentence

        run.until(lambda: not logic._worker.poll() and not logic._worker.running)
        logic._worker._worker._command = logic_with()._worker._worker._command
        assert Followed(logic, request_for(volume)).to_the_end().end.kind == "done"
        assert Dependencies.state().broken is None
    finally:
        Dependencies.noteBroken(None)
        logic.shutdown()
