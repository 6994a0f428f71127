"""The worker as Slicer meets it: a process, lines in, lines out, and whatever can go wrong."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from a_conversation import ENGINE, PATIENCE, Conversation, Message, by_event
from a_fast_model import with_presence
from a_model import EVERYONE, REGION, a_model, a_volume

from diffoseg.comparison.measures import disagreement, table
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.model.stored import save_model
from diffoseg.space.volume import Volume
from diffoseg.worker.answers import Pace
from diffoseg.worker.errors import as_reported
from diffoseg.worker.job import IMAGE, SegmentationJob, carried_voxels, npy_header

pytestmark = pytest.mark.skipif(os.name == "nt", reason="waits for pipes with select")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(a_model(), folder / "diffoseg-lidc.safetensors")
    save_model(with_presence(-1.0), folder / "fast.safetensors")
    return folder


@pytest.fixture(scope="module")
def worker(models) -> Iterator[Conversation]:
    """One worker for all tests that leave it as it was: alive and at rest."""
    conversation = Conversation(models)
    assert conversation.next()["event"] == "ready"
    yield conversation
    conversation.close()


@pytest.fixture
def a_worker(models) -> Iterator:
    """Start a worker of one's own."""
    started: list[Conversation] = []

    def start(*arguments: str, stub: Path | None = None) -> Conversation:
        started.append(Conversation(models, *arguments, stub=stub))
        assert started[-1].next()["event"] == "ready"
        return started[-1]

    yield start
    for conversation in started:
        conversation.close()


@pytest.fixture
def a_job(tmp_path):
    """Write a job's folder."""

    def write(volume: Volume | None = None, **changes: object) -> Path:
        volume = volume or a_volume()
        start, size = carried_voxels(volume.geometry, REGION, a_model().metadata)
        job = SegmentationJob(
            volume.geometry, start, size, REGION, EVERYONE, 3, 4, 7, modality="CT"
        )
        folder = tmp_path / f"job-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        replace(job, **changes).write(folder)
        (i, j, k), (ni, nj, nk) = start, size
        carried = np.ascontiguousarray(volume.array[k : k + nk, j : j + nj, i : i + ni])
        (folder / IMAGE).write_bytes(npy_header(carried.dtype, carried.shape) + carried.tobytes())
        return folder

    return write


LONG = {"samples": 1000, "steps": 50}


def drawings(folder: Path, result: Message, columns: int) -> np.ndarray:
    packed = np.load(folder / result["drawings"])
    return np.unpackbits(packed, axis=-1, count=columns).astype(bool)


# What it says and writes


def test_a_job_comes_back_voxel_for_voxel_as_the_segmenter_answers(worker, a_job):
    folder = a_job()
    volume = a_volume()
    expected = Segmenter(a_model(), "cpu").segment(volume, REGION, samples=3, steps=4, seed=7)

    messages = worker.run(folder, "Änn's")

    assert {message["id"] for message in messages} == {"Änn's"}
    assert [m["event"] for m in messages if m["event"] != "progress"] == [
        "started", "result", "result", "result", "done",
    ]  # fmt: skip
    started, done = messages[0], messages[-1]
    size = expected.region_geometry.size
    assert started["region"] == {"start": list(expected.region_start), "size": list(size)}
    assert (started["experts"], started["device"]) == (list(EVERYONE), "cpu")
    for result in by_event(messages, "result"):
        truth = expected.results[result["expert"]]
        np.testing.assert_array_equal(np.load(folder / result["probability"]), truth.probability)
        np.testing.assert_array_equal(drawings(folder, result, size[0]), truth.samples)
        assert (result["samples"], result["presence"]) == (3, truth.presence)
        assert result["color"] == list(expected.colors[result["expert"]])
        assert result["slug"] == expected.slugs[result["expert"]]
    np.testing.assert_array_equal(np.load(folder / done["disagreement"]), disagreement(expected))
    assert not done["stopped"]
    assert "3 samples each" in done["sentence"]
    assert done["provenance"]["seed"] == 7
    for row, truth in zip(done["rows"], table(expected, volume), strict=True):
        assert (row["name"], row["volume_ml"], row["dice"]) == (
            truth.name,
            truth.volume_ml,
            truth.dice,
        )
        assert row["interval"]["label"] == truth.interval.label == "range of 3 samples"
        assert row["surface_mm"] == truth.surface_mm
    assert not [path.name for path in folder.iterdir() if "part" in path.name]


def test_a_preset_and_a_presence_reach_the_fast_kind(worker, a_job):
    asked = {"model": "fast", "steps": None, "samples": 30}
    preview, certain = (
        worker.run(a_job(**asked, **more)) for more in ({"preset": "preview"}, {"presence": 1.0})
    )

    made, told = preview[-1]["provenance"], certain[-1]["provenance"]
    assert (made["preset"], made["sampler"], made["presence"]) == ("preview", "level-set", None)
    assert (told["preset"], told["sampler"], told["presence"]) == ("standard", "ddim", 1.0)
    for messages, presence in ((preview, 0.269), (certain, 1.0)):
        results = by_event(messages, "result")
        assert [result["presence"] for result in results] == pytest.approx([presence] * 3, abs=0.01)
        last = by_event(messages, "progress")[-1]
        assert last["done"] == last["total"]


def test_the_time_left_is_known_while_less_turns_out_to_be_left(monkeypatch):
    clock, told = iter(range(100)), []
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    pace = Pace(told.append)
    for done, total in ((10, 100), (20, 100), (30, 80), (40, 60), (5, 50), (10, 50), (15, 45)):
        pace(done, total, "Ann")

    left = [event["seconds_left"] for event in told]
    assert left == [None, 8, 5, 2, None, 8, 6]  # one second a tenth; a second phase begins at 5


def test_progress_counts_to_its_total_and_comes_at_most_ten_times_a_second(worker, a_job):
    worker.say(do="run", id="job", folder=str(a_job(samples=20)))
    messages, times = [], []
    while not messages or messages[-1]["event"] != "done":
        messages.append(worker.next())
        times.append(time.monotonic())
    steps = by_event(messages, "progress")

    assert [step["done"] for step in steps] == sorted({step["done"] for step in steps})
    assert steps[-1]["done"] == steps[-1]["total"]
    assert {step["what"] for step in steps} <= {"The consensus", "Ann", "Bob"}
    assert len(steps) <= 10 * (times[-1] - times[0]) + 3


def test_a_description_names_the_device_and_how_fast_it_is(worker):
    worker.say(do="describe", id="d", device="cpu")
    (said,) = worker.until()

    assert (said["event"], said["id"], said["device"]) == ("description", "d", "cpu")
    assert said["line"].startswith("CPU, ")
    assert "PyTorch" in said["because"]
    assert 0 < said["seconds_per_tile"] < 1
    assert set(said["versions"]) == {"diffoseg", "torch", "python"}


def test_a_description_is_of_the_model_that_it_names(worker):
    paces = {}
    for model in ("", "fast", "gone"):
        worker.say(do="describe", id=model or "d", device="cpu", model=model)
        paces[model] = worker.until()[-1]["seconds_per_tile"]

    assert paces["gone"] is None
    assert len(set(paces.values())) == 3


@pytest.mark.alone
def test_a_second_run_begins_to_sample_within_0_3_s(worker, a_job):
    first, second = a_job(), a_job()
    worker.run(first)

    waits = []
    for _ in range(5):  # the best of them: the machine may be busy
        asked = worker.say(do="run", id="again", folder=str(second))
        worker.until("progress")
        waits.append(time.monotonic() - asked)
        worker.until()

    assert min(waits) < 0.3


def test_a_model_file_that_changes_is_loaded_again(worker, models, a_job):
    own = models / "own.safetensors"
    titles = []
    for title in ("first", "the second"):
        about = replace(a_model().metadata, title=title)
        save_model(replace(a_model(), metadata=about), own)
        titles.append(worker.run(a_job(model=str(own)))[-1]["provenance"]["weights_title"])
    own.unlink()

    assert titles == ["first", "the second"]
    assert worker.run(a_job(model=str(own)))[-1]["code"] == 5


def test_a_volume_with_nan_is_answered_in_valid_json(worker, a_job):
    volume = a_volume()
    volume.array[:, 10:14] = np.nan

    done = worker.run(a_job(volume))[-1]

    assert done["event"] == "done"
    assert any(row["volume_ml"] and row["mean_intensity"] is None for row in done["rows"])


# Cancel


@pytest.mark.alone
def test_a_cancel_is_answered_in_2_s_with_what_is_finished(worker, a_job):
    folder = a_job(samples=120, steps=2)
    worker.say(do="run", id="long", folder=str(folder))
    worker.until("result")
    asked = worker.say(do="cancel", id="long")
    rest = worker.until()

    assert time.monotonic() - asked < 2
    done = rest[-1]
    assert done["event"] == "done"
    assert done["stopped"]
    assert "Kept" in done["sentence"]
    assert [row["name"] for row in done["rows"]][:1] == ["consensus"]
    assert worker.run(a_job())[-1]["event"] == "done"


@pytest.mark.alone
def test_a_cancel_of_the_fast_kind_is_answered_in_2_s(worker, a_job):
    worker.say(do="run", id="long", folder=str(a_job(model="fast", samples=1000, steps=50)))
    worker.until("progress")
    asked = worker.say(do="cancel", id="long")
    done = worker.until()[-1]

    assert time.monotonic() - asked < 2
    assert (done["event"], done["stopped"]) == ("done", True)


def test_a_cancel_before_anything_is_complete_ends_with_nothing(worker, a_job):
    worker.say(do="run", id="long", folder=str(a_job(**LONG)))
    worker.until("progress")
    worker.say(do="cancel", id="long")

    done = worker.until()[-1]
    assert (done["event"], done["stopped"], done["rows"]) == ("done", True, [])
    assert done["disagreement"] is None


def test_a_cancel_of_a_job_that_waits_is_answered_at_once_and_it_never_runs(worker, a_job):
    worker.say(do="run", id="long", folder=str(a_job(**LONG)))
    worker.until("progress")
    worker.say(do="run", id="next", folder=str(a_job()))
    worker.say(do="cancel", id="next")
    assert worker.until()[-1]["id"] == "next"
    worker.say(do="cancel", id="long")
    assert worker.until()[-1]["id"] == "long"
    worker.say(do="describe", id="d", device="cpu")
    assert [message["id"] for message in worker.until()] == ["d"]


@pytest.mark.alone
def test_a_cancel_while_torch_is_loading_is_answered_at_once(a_worker, a_job):
    conversation = a_worker()
    conversation.say(do="run", id="early", folder=str(a_job()))
    asked = conversation.say(do="cancel", id="early")

    (done,) = conversation.until()
    assert time.monotonic() - asked < 1
    assert done["stopped"]
    conversation.say(do="cancel", id="early")  # a second one is nothing
    assert conversation.run(a_job(), "later")[-1]["id"] == "later"


# Faults


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{\n",
        b"rubbish\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"3\n",
        b"{}\n",
        b'{"do": 3}\n',
        b'{"do": "dance", "id": "x"}\n',
        b'{"do": "run", "id": "x"}\n',
        b'{"do": "run", "folder": "x"}\n',
        b'{"do": "run", "id": 3, "folder": "x"}\n',
        b'{"do": "describe", "id": "x", "device": null}\n',
        b'{"do": "describe", "id": "x", "device": "abacus"}\n',
        b'{"do": "describe", "id": "x", "device": "cpu", "model": 3}\n',
        b'{"do": "cancel"}\n',
        b"[" * 100_000 + b"\n",
        b'{"do": "end' + b"x" * (3 << 20) + b"\n",
        b'{"do": "run", "id": "x", "folder": "\\u0000"}\n',
    ],
)
def test_a_bad_line_is_an_error_of_code_2_and_the_worker_goes_on(worker, line):
    worker.write(line)
    if line.strip():
        (error,) = worker.until()
        assert (error["event"], error["code"]) == ("error", 2)
        assert error["sentence"].endswith(".")
    worker.say(do="cancel", id="nobody")
    worker.say(do="describe", id="d", device="cpu")
    assert worker.until()[0]["event"] == "description"


def test_a_job_under_way_is_not_taken_twice(worker, a_job):
    folder = a_job(**LONG)
    worker.say(do="run", id="one", folder=str(folder))
    worker.until("progress")
    worker.say(do="run", id="one", folder=str(folder))
    assert "under way already" in worker.until()[-1]["sentence"]
    worker.say(do="cancel", id="one")
    assert worker.until()[-1]["stopped"]


def damaged(folder: Path, how: str) -> Path:
    match how:
        case "no folder":
            shutil.rmtree(folder)
        case "no job":
            (folder / "job.json").unlink()
        case "damaged job":
            (folder / "job.json").write_text("{")
        case "no image":
            (folder / IMAGE).unlink()
        case "damaged image":
            (folder / IMAGE).write_bytes((folder / IMAGE).read_bytes()[:-9])
    return folder


@pytest.mark.parametrize("how", ["no folder", "no job", "damaged job", "no image", "damaged image"])
def test_a_damaged_job_is_a_sentence_without_its_folder(worker, a_job, how):
    error = worker.run(damaged(a_job(), how))[-1]

    assert (error["event"], error["code"]) == ("error", 2)
    assert "run again" in error["sentence"].lower()
    assert str(ENGINE) not in error["sentence"]
    assert "job-" not in error["sentence"]
    assert "Traceback" in error["details"]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"model": "nobody's"}, 5, "no such weights file"),
        ({"experts": ("Zoe",)}, 2, "It knows: consensus, Ann, Bob"),
        ({"experts": ()}, 2, "at least one"),
        ({"samples": 0}, 2, "0 samples"),
        ({"steps": 51}, 2, "1..50"),
        ({"device": "mps"}, 2, "no mps device"),
        ({"preset": "fastest"}, 2, "preview, standard or careful"),
        ({"presence": 0.5}, 2, "fast kind"),
        ({"presence": 1.5}, 2, "up to 1"),
    ],
)
def test_what_cannot_be_answered_is_told_as_the_commands_do(worker, a_job, changes, code, words):
    error = worker.run(a_job(**changes))[-1]

    assert (error["event"], error["code"]) == ("error", code)
    assert words in error["sentence"]


def test_a_folder_that_cannot_be_written_is_told_and_the_worker_goes_on(worker, a_job):
    folder = a_job()
    (folder / "probability_consensus.npy").mkdir()

    error = worker.run(folder)[-1]

    assert error["code"] == 2
    assert "free space" in error["sentence"]
    assert worker.run(a_job())[-1]["event"] == "done"


def test_a_full_disk_is_told_and_leaves_no_part_of_a_file(worker, a_job, tmp_path):
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mounted)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        for path in a_job().iterdir():
            shutil.copy(path, mounted)
        (mounted / "filler").write_bytes(bytes(shutil.disk_usage(mounted).free - 4096))
        error = worker.run(mounted)[-1]
        assert (error["event"], error["code"]) == ("error", 2)
        assert "free space" in error["sentence"]
        assert not list(mounted.glob("*part*"))
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


# What belongs to the process


def a_package(folder: Path, name: str, code: str) -> Path:
    """Write a package that stands before the real one."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)
    return folder


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('raise ModuleNotFoundError("No module named \'torch\'", name="torch")', "not installed"),
        ('raise ImportError("libc10.so: undefined symbol: x")', "undefined symbol: x"),
        (
            "raise OSError('[WinError 126] Error loading \"C:\\\\Users\\\\Jane Doe\\\\c10.dll\"')",
            'cannot be loaded ([WinError 126] Error loading "c10.dll")',
        ),
        ("import a_part_of_torch", "No module named 'a_part_of_torch'"),
        ("0 / 0", "division by zero"),
    ],
)
def test_a_missing_and_a_broken_torch_are_told_apart(a_worker, a_job, tmp_path, code, words):
    conversation = a_worker(stub=a_package(tmp_path / "stub", "torch", code))

    for message in ({"do": "describe", "device": "auto"}, {"do": "run", "folder": str(a_job())}):
        conversation.say(id="x", **message)
        (error,) = conversation.until()
        assert (error["event"], error["code"]) == ("error", 6)
        assert words in error["sentence"]
        assert "Jane" not in error["sentence"]


def test_a_missing_package_beside_torch_is_named(a_worker, tmp_path):
    code = 'raise ModuleNotFoundError("No module named \'safetensors\'", name="safetensors")'
    conversation = a_worker(stub=a_package(tmp_path / "stub", "safetensors", code))

    conversation.say(do="describe", id="x", device="cpu")

    (error,) = conversation.until()
    assert error["code"] == 6
    assert "safetensors is missing" in error["sentence"]


def test_without_monai_distances_are_missing_and_nothing_fails(a_worker, a_job, tmp_path):
    """And what a library prints, or reads, reaches neither the protocol nor the commands."""
    code = """
import os, sys
print("hello from monai")
os.write(1, b'{"event": "done"}')
assert sys.stdin.read() == ""
raise ModuleNotFoundError("No module named 'monai'", name="monai")
"""
    conversation = a_worker(stub=a_package(tmp_path / "stub", "monai", code))

    done = conversation.run(a_job())[-1]

    assert [row["surface_mm"] for row in done["rows"]] == [None] * 3
    assert done["rows"][1]["dice"] is not None
    assert "hello from monai" in conversation.log_text()


def test_ready_comes_before_torch_is_loaded_and_names_the_versions(models):
    conversation = Conversation(models)
    ready = conversation.next()
    try:
        assert ready["event"] == "ready"
        assert ready["pid"] == conversation.process.pid
        assert set(ready["versions"]) == {"diffoseg", "torch", "python"}
        if sys.platform == "linux":
            maps = Path(f"/proc/{ready['pid']}/maps").read_text()
            assert "libtorch" not in maps
    finally:
        conversation.close()


@pytest.mark.alone
def test_it_ends_at_once_when_its_parent_is_gone_even_in_the_middle_of_a_run(a_worker, a_job):
    conversation, folder, former = a_worker(), a_job(**LONG), a_job()
    conversation.run(former)
    conversation.say(do="run", id="long", folder=str(folder))
    conversation.until("progress")

    conversation.process.stdin.close()

    assert conversation.ended(1) == 0
    assert not folder.exists(), "a scan that nobody else will remove is left on the disk"
    assert former.exists(), "what a finished job wrote is its parent's"


def test_what_loads_slowly_is_loaded_while_nobody_waits(a_worker, tmp_path):
    loaded = tmp_path / "loaded"
    code = f"from pathlib import Path; Path({str(loaded)!r}).touch(); raise OSError"
    conversation = a_worker(stub=a_package(tmp_path / "stub", "monai", code))
    conversation.say(do="describe", id="d", device="cpu")
    conversation.until()
    assert not loaded.exists()

    deadline = time.monotonic() + PATIENCE
    while not loaded.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    conversation.say(do="describe", id="d", device="cpu")
    assert conversation.until()[-1]["event"] == "description"


def test_it_ends_when_told_to_and_after_idleness_and_when_nobody_reads(a_worker):
    told, idle, unread = a_worker(), a_worker("--idle-seconds", "0.2"), a_worker()

    told.say(do="end")
    unread.process.stdout.close()
    unread.write(b"rubbish\n")

    assert [conversation.ended(5) for conversation in (told, idle, unread)] == [0, 0, 0]


def test_an_interrupt_during_a_run_is_an_error_and_not_the_end(a_worker, a_job):
    conversation = a_worker()
    conversation.say(do="run", id="long", folder=str(a_job(**LONG)))
    conversation.until("progress")

    conversation.process.send_signal(signal.SIGINT)

    assert conversation.until()[-1]["code"] == 1
    assert conversation.run(a_job())[-1]["event"] == "done"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 3, "not enough free memory"),
        (RuntimeError("CUDA out of memory. Tried"), 3, "smaller region"),
        (OSError(28, "No space left", "/home/jane/x.npy"), 2, "x.npy cannot be read or written"),
        (ImportError("bad /home/jane/a.py", name="scipy.special"), 6, r"scipy cannot be loaded"),
        (ZeroDivisionError("in /home/jane/b.py"), 1, "fault in DiffOSeg"),
    ],
)
def test_every_error_is_a_sentence_with_its_code_and_without_folders(error, code, words):
    reported = as_reported(error)

    assert reported.exit_code == code
    assert words in str(reported)
    assert "jane" not in str(reported)
