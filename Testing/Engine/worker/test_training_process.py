"""The worker teaches a new expert: what it tells, what it leaves, and whatever can go wrong."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from a_conversation import Conversation, Message, by_event
from a_lesson import NAME, a_base, a_training, some_cases
from a_model import EVERYONE, REGION, a_model, a_volume

from diffoseg.drawing.segmenter import Segmenter
from diffoseg.experts.local_expert import SUFFIX, LocalExpert, load_expert, save_expert
from diffoseg.experts.panel import Expert
from diffoseg.model.model import load_model
from diffoseg.model.stored import content_hash, save_model
from diffoseg.training.run_files import CHECKPOINT
from diffoseg.worker.job import IMAGE, SegmentationJob, carried_voxels, npy_header
from diffoseg.worker.training_job import RESULT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="waits for pipes with select")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(a_base(), folder / "diffoseg-lidc.safetensors")
    save_model(a_model(), folder / "paper.safetensors")
    return folder


@pytest.fixture(scope="module")
def base(models) -> Path:
    return models / "diffoseg-lidc.safetensors"


@pytest.fixture
def a_worker(models) -> Iterator:
    """Start a worker of one's own."""
    started: list[Conversation] = []

    def start() -> Conversation:
        started.append(Conversation(models))
        assert started[-1].next()["event"] == "ready"
        return started[-1]

    yield start
    for conversation in started:
        conversation.close()


@pytest.fixture(scope="module")
def worker(models) -> Iterator[Conversation]:
    """One worker for all tests that leave it as it was: alive and at rest."""
    conversation = Conversation(models)
    assert conversation.next()["event"] == "ready"
    yield conversation
    conversation.close()


def told(worker: Conversation, folder: Path) -> list[Message]:
    """Ask for a training and return all that is told until its end."""
    worker.say(do="train", id="t", folder=str(folder))
    return worker.until()


def taught(worker: Conversation, folder: Path) -> list[Message]:
    """Have an expert taught and return all that was told."""
    messages = told(worker, folder)
    assert messages[-1]["event"] == "done", messages[-1]
    assert messages[-1]["file"] == RESULT
    return messages


def refused(worker: Conversation, folder: Path) -> Message:
    """Ask for what cannot be taught and return the error."""
    error = told(worker, folder)[-1]
    assert (error["event"], error["code"] in {2, 5}) == ("error", True)
    assert error["sentence"].endswith(".")
    assert str(folder.parent) not in error["sentence"]
    return error


def test_a_new_expert_is_taught_and_the_way_there_is_told(worker, base, tmp_path):
    folder = a_training(tmp_path / "t", base)

    messages = taught(worker, folder)

    started, done = by_event(messages, "started")[0], messages[-1]
    assert (started["cases"], started["device"]) == (3, "cpu")
    assert started["line"].startswith("CPU")
    assert started["slices"] > 3
    assert 0 < started["seconds"] < 600
    points = by_event(messages, "point")
    assert len(points) > 2
    assert [point["step"] for point in points] == sorted({point["step"] for point in points})
    assert all(0 <= point["dice"] <= 1 and 0 <= point["consensus"] <= 1 for point in points)
    assert {point["best_name"] for point in points} <= {"Ann", "Bob"}
    steps = by_event(messages, "progress")
    assert steps[0]["what"] == "Reading cases"
    assert steps[-1]["done"] == steps[-1]["total"]
    assert (done["event"], done["stopped"], done["file"]) == ("done", False, RESULT)
    assert done["sentence"].startswith("With 3 cases: Dice 0.")
    assert done["verdict"] == done["training"]["validation"]["verdict"]
    assert {message["id"] for message in messages} == {"t"}
    expert = load_expert(folder / RESULT)
    assert expert.expert == Expert(NAME, color=(0.1, 0.2, 0.3))
    assert expert.training == done["training"]
    assert not [path.name for path in folder.iterdir() if "part" in path.name]


def test_who_was_taught_can_be_drawn_like_and_nobody_else_is_changed(worker, base, tmp_path):
    before = drawn(worker, tmp_path / "before", base, EVERYONE)
    folder = a_training(tmp_path / "t", base)
    taught(worker, folder)
    file = tmp_path / f"ann{SUFFIX}"
    shutil.copy(folder / RESULT, file)

    after = drawn(worker, tmp_path / "after", base, (*EVERYONE, NAME), file)

    assert set(after) == {*EVERYONE, NAME}
    for name in EVERYONE:
        for there, here in zip(before[name], after[name], strict=True):
            np.testing.assert_array_equal(there, here)
    own = Segmenter(a_base().with_experts([load_expert(file)]), "cpu")
    truth = own.segment(a_volume(), REGION, [NAME], samples=3, steps=4, seed=7).results[NAME]
    np.testing.assert_array_equal(after[NAME][0], truth.probability)
    assert after[NAME][2] == truth.presence


def drawn(
    worker: Conversation, folder: Path, base: Path, experts: tuple[str, ...], *files: Path
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Run a segmentation; returns probability, packed drawings and presence by name."""
    volume = a_volume()
    start, size = carried_voxels(volume.geometry, REGION, a_base().metadata)
    job = SegmentationJob(volume.geometry, start, size, REGION, experts, 3, 4, 7, str(base), "cpu")
    folder.mkdir()
    replace(job, expert_files=tuple(map(str, files))).write(folder)
    (i, j, k), (ni, nj, nk) = start, size
    carried = np.ascontiguousarray(volume.array[k : k + nk, j : j + nj, i : i + ni])
    (folder / IMAGE).write_bytes(npy_header(carried.dtype, carried.shape) + carried.tobytes())
    worker.say(do="run", id="run", folder=str(folder))
    messages = worker.until()
    assert messages[-1]["event"] == "done", messages[-1]
    return {
        m["expert"]: (
            np.load(folder / m["probability"]),
            np.load(folder / m["drawings"]),
            m["presence"],
        )
        for m in by_event(messages, "result")
    }


def test_an_expert_file_that_changes_is_loaded_again_and_a_missing_one_named(
    worker, base, tmp_path
):
    file = tmp_path / f"ann{SUFFIX}"
    taught_to = content_hash(load_model(base))
    expert = LocalExpert(Expert(NAME), taught_to, "random", "fast", np.ones(4, np.float32), 0.0)
    maps = []
    for number, bias in enumerate((-3.0, 3.0)):
        save_expert(replace(expert, presence_bias=bias), file)
        maps.append(drawn(worker, tmp_path / f"run{number}", base, (NAME,), file)[NAME][0])
    file.unlink()

    assert maps[0].max() < maps[1].max()
    folder = tmp_path / "run1"
    worker.say(do="run", id="run", folder=str(folder))
    error = worker.until()[-1]
    assert (error["event"], error["code"]) == ("error", 5)
    assert error["sentence"].startswith(f"ann{SUFFIX}: cannot be read")


def test_a_description_says_how_long_an_expert_takes(worker):
    worker.say(do="describe", id="d", device="cpu")
    assert 0 < worker.until()[-1]["seconds_per_expert"] < 600
    worker.say(do="describe", id="d", device="cpu", model="gone")
    assert worker.until()[-1]["seconds_per_expert"] is None


# Stopping, and going on


@pytest.mark.alone
def test_a_cancel_is_answered_in_2_s_and_the_same_folder_goes_on_to_the_same_expert(
    worker, base, tmp_path
):
    whole, parts = (a_training(tmp_path / name, base) for name in ("whole", "parts"))
    taught(worker, whole)

    worker.say(do="train", id="t", folder=str(parts))
    worker.until("point")
    asked = worker.say(do="cancel", id="t")
    done = worker.until()[-1]
    assert time.monotonic() - asked < 2
    assert (done["event"], done["stopped"], done["file"]) == ("done", True, None)
    assert "kept" in done["sentence"]
    assert (parts / CHECKPOINT).exists()
    assert not (parts / RESULT).exists()

    messages = taught(worker, parts)
    assert "Going on" in by_event(messages, "note")[0]["sentence"]
    assert_same_expert(whole, parts)


def assert_same_expert(one: Path, other: Path) -> None:
    first, second = (load_expert(folder / RESULT) for folder in (one, other))
    np.testing.assert_array_equal(first.code, second.code)
    assert first.presence_bias == second.presence_bias
    assert first.training["validation"] == second.training["validation"]


def test_a_training_that_was_finished_is_answered_at_once(worker, base, tmp_path):
    folder = a_training(tmp_path / "t", base)
    first = taught(worker, folder)[-1]
    (again,) = taught(worker, folder)
    assert again == first


def test_a_cancel_of_a_training_that_waits_is_told_in_the_words_of_a_training(
    worker, base, tmp_path
):
    worker.say(do="train", id="one", folder=str(a_training(tmp_path / "one", base)))
    worker.until("progress")
    worker.say(do="train", id="two", folder=str(a_training(tmp_path / "two", base)))
    worker.say(do="cancel", id="two")
    done = worker.until()[-1]
    assert (done["id"], done["stopped"], done["file"]) == ("two", True, None)
    worker.say(do="cancel", id="one")
    worker.until()


def test_when_its_parent_is_gone_the_process_ends_and_the_folder_stays(a_worker, base, tmp_path):
    conversation = a_worker()
    folder = a_training(tmp_path / "t", base)
    conversation.say(do="train", id="t", folder=str(folder))
    conversation.until("point")

    conversation.process.stdin.close()

    assert conversation.ended(1) == 0
    assert (folder / "training.json").exists()
    assert (folder / CHECKPOINT).exists()
    taught(a_worker(), folder)


def test_a_worker_that_is_killed_loses_nothing_that_matters(a_worker, worker, base, tmp_path):
    whole, parts = (a_training(tmp_path / name, base) for name in ("whole", "parts"))
    taught(worker, whole)
    conversation = a_worker()
    conversation.say(do="train", id="t", folder=str(parts))
    conversation.until("point")
    conversation.process.send_signal(signal.SIGKILL)
    conversation.ended(5)

    taught(worker, parts)
    assert_same_expert(whole, parts)


# Faults


def test_a_full_disk_is_one_sentence_and_room_is_all_it_takes_to_go_on(worker, base, tmp_path):
    whole, mounted = a_training(tmp_path / "whole", base), tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mounted)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        folder = shutil.copytree(whole, mounted / "t")
        taught(worker, whole)
        worker.say(do="train", id="t", folder=str(folder))
        worker.until("point")
        (mounted / "filler").write_bytes(bytes(shutil.disk_usage(mounted).free))
        error = worker.until()[-1]
        assert (error["event"], error["code"]) == ("error", 2)
        assert "space" in error["sentence"]
        assert str(mounted) not in error["sentence"]
        assert not list(folder.glob("*part*"))
        (mounted / "filler").unlink()
        messages = taught(worker, folder)
        assert "Going on" in by_event(messages, "note")[0]["sentence"]
        assert_same_expert(whole, folder)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def with_nan(cases: list) -> list:
    cases[1].volume.array[4, 18, 20] = np.nan
    return cases


def test_a_volume_with_nan_is_named_and_nothing_is_learnt(worker, base, tmp_path):
    folder = a_training(tmp_path / "t", base, with_nan(some_cases(3)))

    assert "case 1" in refused(worker, folder)["sentence"]
    assert not (folder / CHECKPOINT).exists()


def test_one_case_is_learnt_from_and_said_to_be_unproven(worker, base, tmp_path):
    messages = taught(worker, a_training(tmp_path / "t", base, some_cases(1)))

    done = messages[-1]
    assert done["verdict"] == "unproven"
    assert done["sentence"].startswith("With 1 case there is none left to check it on.")
    assert {point["dice"] for point in by_event(messages, "point")} == {None}


def test_two_experts_who_drew_the_same_are_the_same_but_for_the_name(worker, base, tmp_path):
    folders = [
        a_training(tmp_path / name, base, some_cases(3, name), expert=Expert(name))
        for name in ("Cleo", "Dora")
    ]
    for folder in folders:
        taught(worker, folder)

    assert_same_expert(*folders)
    cleo, dora = (load_expert(folder / RESULT) for folder in folders)
    assert (cleo.name, dora.name) == ("Cleo", "Dora")
    both = a_base().with_experts([cleo, dora])
    answer = Segmenter(both, "cpu").segment(a_volume(), REGION, ["Cleo", "Dora"], samples=1)
    probabilities = [answer.results[name].probability for name in ("Cleo", "Dora")]
    np.testing.assert_array_equal(*probabilities)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"device": "mps"}, 2, "no mps device"),
        ({"model": "gone"}, 5, "no such weights file"),
        ({"model": "paper"}, 2, "fast"),
        ({"corrects": "Zoe"}, 2, "Zoe"),
        ({"expert": Expert("Bob")}, 2, "Bob"),
    ],
)
def test_what_cannot_be_taught_is_told_in_words(worker, base, tmp_path, changes, code, words):
    error = refused(worker, a_training(tmp_path / "t", base, **changes))

    assert error["code"] == code
    assert words in error["sentence"]


@pytest.mark.parametrize("missing", ["training.json", "image-0002.npy", "mask-0003.npy"])
def test_a_damaged_folder_is_a_sentence_and_the_worker_goes_on(worker, base, tmp_path, missing):
    folder = a_training(tmp_path / "t", base)
    (folder / missing).write_bytes((folder / missing).read_bytes()[:-9])

    assert missing in refused(worker, folder)["sentence"]
    worker.say(do="describe", id="d", device="cpu")
    assert worker.until()[-1]["event"] == "description"


def test_a_training_is_no_message_without_a_folder(worker):
    worker.write(b'{"do": "train", "id": "x"}\n')
    assert worker.until()[-1]["code"] == 2
