"""The whole way with the engine's own worker and the default model, at the size of a nodule."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import slicer
from a_reading import aPhantomReading
from a_run import Followed, left_folders, request_for
from a_taught_expert import COLOR, aTaughtExpert
from process_tree import gone_within, needs_proc, never_held

from diffoseg.model.cards import read_card
from diffoseg.space.geometry import Box

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.usefixtures("scene")]


@pytest.fixture(scope="module")
def logic(host):
    from DiffOSegLib.run.Logic import DiffOSegLogic

    made = DiffOSegLogic()
    yield made
    made.shutdown()


@pytest.fixture
def reading(scene):
    return aPhantomReading()


@pytest.fixture
def results(reading):
    from DiffOSegLib.scene.SceneResults import OutputOptions, SceneResults

    return SceneResults(reading.volume, OutputOptions(), read_card())


@pytest.fixture
def request_of_two(reading):
    """Two slices around what the experts drew, in few steps."""
    from DiffOSegLib.scene.SceneInputs import geometryOf

    drawn = np.logical_or.reduce(list(reading.masks.values()))
    center = geometryOf(reading.volume).index_to_point(np.argwhere(drawn).mean(0)[::-1])
    half = np.array([15, 15, 2])
    region = Box(tuple(center - half), tuple(center + half))
    return request_for(
        reading.volume, region=region, steps=3, experts=("consensus", "Tightest of four")
    )


def test_a_run_with_the_default_model_never_holds_the_application(logic, request_of_two, results):
    first = Followed(logic, request_of_two, results).to_the_end(120, pause=0.01)

    assert first.end.kind == "done", first.end
    assert first.kinds.count("result") == 2
    segments = results.segmentationNode.GetSegmentation()
    assert segments.GetSegmentIDs() == ("consensus", "tightest-of-four")
    assert folder_of(results.segmentationNode) == folder_of(results.tableNode) != ""
    assert left_folders() == []
    assert never_held(first.ticks)


def folder_of(node):
    """Return the name of the folder that a node lies in; "" where it is none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    return hierarchy.GetItemName(parent) if hierarchy.GetItemLevel(parent) == "Folder" else ""


def test_the_second_run_draws_within_a_third_of_a_second(logic, request_of_two, results):
    Followed(logic, request_of_two, results).to_the_end(120)
    begun = time.monotonic()

    run = Followed(logic, request_of_two, results).until_heard("progress")

    seconds = time.monotonic() - begun
    run.to_the_end(60)
    print(f"first progress of a warm worker after {seconds * 1000:.0f} ms")
    assert seconds < 0.3 + 0.7  # as is promised, and what a busy machine for tests may add


def test_the_estimate_is_of_the_size_of_the_truth(logic, request_of_two, results):
    logic.describe()
    while logic.describing:
        logic.tick()
    estimate = logic.estimateSeconds(request_of_two)
    begun = time.monotonic()

    Followed(logic, request_of_two, results).to_the_end(60)

    seconds = time.monotonic() - begun
    print(f"estimated {estimate:.1f} s, took {seconds:.1f} s")
    assert estimate / 5 < seconds < 5 * estimate + 2


def test_cancel_ends_within_two_seconds_and_keeps_the_worker(logic, request_of_two, results):
    run = Followed(logic, request_of_two, results).until_heard("progress")
    pid, begun = logic._worker.pid, time.monotonic()

    logic.cancel()
    run.to_the_end()

    print(f"cancel took {(time.monotonic() - begun) * 1000:.0f} ms")
    assert run.end.kind == "cancelled"
    assert time.monotonic() - begun < 2.2
    assert logic._worker.pid == pid


@needs_proc
def test_a_worker_killed_mid_run_is_said_and_the_next_run_works(logic, request_of_two, results):
    # Of five, so that most is left to draw when the first result is heard, on a busy machine too.
    long = replace(request_of_two, samples=6, experts=read_card().answers)
    run = Followed(logic, long, results).until_heard("result")
    pid = logic._worker.pid

    os.kill(pid, signal.SIGKILL)
    run.to_the_end()

    assert run.end.kind == "error"
    assert "stopped from outside" in run.end.sentence
    assert gone_within(pid, 0.5)
    assert results.segmentationNode is not None
    following = Followed(logic, request_of_two, results).to_the_end(120)
    assert following.end.kind == "done"


def test_closing_the_scene_mid_run_ends_it_and_the_next_run_works(logic, request_of_two, results):
    run = Followed(logic, request_of_two, results).until_heard("result")

    slicer.mrmlScene.Clear(False)
    run.to_the_end().settled()

    assert run.end.kind == "cancelled"
    assert left_folders() == []


@needs_proc
def test_the_end_of_slicer_mid_run_leaves_no_worker(logic, request_of_two, results):
    run = Followed(logic, request_of_two, results).until_heard("progress")
    pid = logic._worker.pid

    logic.shutdown()

    assert gone_within(pid, 0.5)
    assert left_folders() == []
    assert run.end.kind == "cancelled"


@pytest.mark.usefixtures("experts")
def test_an_expert_taught_here_is_drawn_and_nobody_elses_drawing_changes(
    logic, request_of_two, reading
):
    from DiffOSegLib.scene.SceneResults import OutputOptions, SceneResults
    from DiffOSegLib.scene.SegmentTags import tagOf

    taught = aTaughtExpert(scale=0.5)
    three = replace(request_of_two, experts=(*request_of_two.experts, taught.name))
    without, drawn = (SceneResults(reading.volume, OutputOptions(), read_card()) for _ in "12")
    Followed(logic, request_of_two, without).to_the_end(120)

    begun = time.monotonic()
    run = Followed(logic, three, drawn).until_heard("progress")
    print(f"first progress with a taught expert after {time.monotonic() - begun:.2f} s")
    run.to_the_end(120)

    assert run.end.kind == "done", run.end
    assert set(drawn.probabilityNodes) == set(three.experts)
    for name, node in without.probabilityNodes.items():
        before, now = (slicer.util.arrayFromVolume(n) for n in (node, drawn.probabilityNodes[name]))
        assert np.array_equal(before, now), name
    segments = drawn.segmentationNode.GetSegmentation()
    segment = segments.GetSegment(segments.GetSegmentIdBySegmentName(taught.name))
    assert segment.GetColor() == pytest.approx(COLOR)
    assert taught.hash in tagOf(segment, "DiffOSeg.LocalExperts")
