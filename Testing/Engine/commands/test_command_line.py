"""The command line as a person meets it: files in, files and one plain line out, an exit code."""

import io
import json
import pickle
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from a_tiny_network import TINY

from diffoseg.commands import actions as commands
from diffoseg.commands.command_line import main
from diffoseg.commands.progress import Progress
from diffoseg.diffusion import CategoricalSchedule
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.errors import InputError
from diffoseg.experts.panel import ExpertPanel
from diffoseg.model.metadata import ModelMetadata
from diffoseg.model.model import Model, load_model
from diffoseg.networks.unet import UNet
from diffoseg.space.intensity import IntensityMapping

RESULTS = {"segmentation.seg.nrrd", "volumes.csv", "comparison.png", "report.html", "result.json"}


@pytest.fixture(scope="module")
def a_model_file(tmp_path_factory) -> Path:
    """A model of two experts with random weights, small enough to answer in milliseconds."""
    torch.manual_seed(0)
    model = Model(
        consensus=UNet(TINY),
        personal=UNet(replace(TINY, experts=2)),
        schedule=CategoricalSchedule.cosine(20, "exact"),
        panel=ExpertPanel.of("Expert 1", "Meyer, Anna"),
        metadata=ModelMetadata(
            title="A tiny model",
            intensity=IntensityMapping("window", -1000, 400),
            spacing_mm=1.0,
            patch=16,
            steps=3,
            mask_distance=20.0,
        ),
    )
    for network in (model.consensus, model.personal):
        for values in network.parameters():  # the last layer starts at zero and would say nothing
            values.data.normal_(0, 0.3)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def a_scan(tmp_path_factory) -> Path:
    """A noisy CT-like volume of 20 x 18 x 5 voxels from (-10, 5, -30) on."""
    values = np.random.default_rng(0).normal(-500, 300, (5, 18, 20)).astype(np.float32)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.0, 1.0, 3.0))
    image.SetOrigin((-10.0, 5.0, -30.0))
    path = tmp_path_factory.mktemp("secret-patient-name") / "scan.nrrd"
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def segment(a_model_file, a_scan, tmp_path):
    """Run ``diffoseg segment`` on the scan into tmp_path/out; later options win."""

    def run(*options: str) -> int:
        always = ["--weights", str(a_model_file), "--out", str(tmp_path / "out"), "--samples", "2"]
        return main(["segment", str(a_scan), *always, *options])

    return run


def only_line(capsys) -> str:
    """Return what stderr says, which must be one line that names the program."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("diffoseg: ")
    return lines[0]


def same_grid(one: sitk.Image, other: sitk.Image) -> bool:
    return one.GetSize() == other.GetSize() and all(
        np.allclose(getattr(one, f"Get{what}")(), getattr(other, f"Get{what}")())
        for what in ("Spacing", "Origin", "Direction")
    )


def test_segment_writes_a_result_on_the_scans_own_grid_and_prints_the_volumes(
    segment, a_scan, tmp_path, capsys
):
    assert segment() == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    probability = sitk.ReadImage(str(tmp_path / "out" / "probability_meyer-anna.nrrd"))
    scan = sitk.ReadImage(str(a_scan))
    said = capsys.readouterr().out
    assert written >= RESULTS
    assert same_grid(probability, scan)
    assert re.search(r"^Consensus +[\d.]+ ml", said, re.M)
    assert re.search(r"^Meyer, Anna +[\d.]+ ml", said, re.M)
    assert "report.html" in said


def test_a_region_may_begin_with_a_minus(segment, tmp_path):
    assert segment("--region", "-8,4,7,17,-30,-20") == 0
    answer = sitk.ReadImage(str(tmp_path / "out" / "probability_consensus.nrrd"))
    inside, outside = (-2.0, 12.0, -27.0), (9.0, 22.0, -18.0)
    assert answer[answer.TransformPhysicalPointToIndex(inside)] > 0
    assert answer[answer.TransformPhysicalPointToIndex(outside)] == 0


def test_experts_are_asked_by_name(segment, tmp_path):
    assert segment("--experts", '"Meyer, Anna",consensus') == 0
    maps = {path.name for path in (tmp_path / "out").glob("probability_*")}
    assert maps == {"probability_consensus.nrrd", "probability_meyer-anna.nrrd"}


def test_a_preset_is_asked_by_name_and_its_conditions_are_said(segment, tmp_path, capsys):
    assert segment("--preset", "preview", "--renewal", "0.5") == 0
    made = json.loads((tmp_path / "out" / "result.json").read_text())["provenance"]
    assert (made["preset"], made["steps"], made["renewal"]) == ("preview", 1, 0.5)
    assert "preview quality" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--preset", "fastest"], "careful"),
        (["--preset", "careful", "--steps", "4"], "not allowed with"),
        (["--renewal", "-1"], "0 to 1"),
        (["--renewal=nan"], "0 to 1"),
        (["--presence", "1.5"], "up to 1"),
        (["--presence", "0"], "above 0"),
        (["--presence", "half"], "invalid float"),
        (["--presence", "0.5"], "fast kind"),
        (["--steps", "21"], "1..20"),
    ],
)
def test_an_impossible_way_of_drawing_is_one_plain_line(segment, tmp_path, capsys, options, words):
    assert segment(*options) == 2
    assert words in only_line(capsys)
    assert not list((tmp_path / "out").glob("*"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(segment, tmp_path):
    def bytes_of(seed: str) -> bytes:
        assert segment("--seed", seed, "--region", "-8,4,7,17,-30,-20") == 0
        return (tmp_path / "out" / "probability_consensus.nrrd").read_bytes()

    first = bytes_of("1")
    assert bytes_of("2") != first
    assert bytes_of("1") == first


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--samples", "0"], 2, "0 samples"),
        (["--samples", "many"], 2, "invalid int"),
        (["--steps", "0"], 2, "0 steps"),
        (["--steps", "21"], 2, "21 steps"),
        (["--experts", "Expert 7"], 2, "Expert 7"),
        (["--experts", "Expert 1,,"], 2, "name is missing"),
        (["--region", "1,2,3"], 2, "region"),
        (["--region", "500,510,500,510,500,510"], 2, "outside"),
        (["--region", "no-such-mask.nrrd"], 2, "no-such-mask.nrrd"),
        (["--weights", "nowhere.safetensors"], 5, "nowhere.safetensors"),
        (["--device", "abacus"], 2, "abacus"),
        (["--nonsense"], 2, "nonsense"),
    ],
)
def test_bad_input_is_one_plain_line_and_nothing_is_written(
    segment, tmp_path, capsys, options, code, told
):
    assert segment(*options) == code
    line = only_line(capsys)
    assert told.lower() in line.lower()
    assert "secret-patient-name" not in line
    assert str(tmp_path) not in line
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has what the test misses")
def test_a_device_that_is_not_there_is_said(segment, capsys):
    assert segment("--device", "cuda") == 2
    assert "cuda" in only_line(capsys)


def test_a_missing_scan_is_named_without_its_folder(a_model_file, tmp_path, capsys):
    scan = tmp_path / "secret-patient-name" / "gone.nrrd"
    weights = ["--weights", str(a_model_file)]
    assert main(["segment", str(scan), *weights, "--out", str(tmp_path / "out")]) == 2
    line = only_line(capsys)
    assert "gone.nrrd" in line
    assert "secret-patient-name" not in line


def test_an_output_that_is_a_file_is_refused(segment, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert segment() == 2
    only_line(capsys)
    assert (tmp_path / "out").read_text() == "mine"


def test_damaged_weights_end_with_code_5(segment, a_model_file, tmp_path, capsys):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(a_model_file.read_bytes()[:-100])
    assert segment("--weights", str(damaged)) == 5
    assert "damaged.safetensors" in only_line(capsys)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (MemoryError(), 3),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), 3),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), 3),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 3),
        (KeyboardInterrupt(), 4),
        (OSError(28, "No space left on device", "/home/secret-patient-name/x.nrrd"), 2),
        (ImportError("No module named 'monai'"), 6),
        (RuntimeError("mat1 and mat2 shapes\ncannot be multiplied"), 1),
    ],
)
def test_every_failure_inside_has_its_code_and_one_line(
    segment, tmp_path, capsys, monkeypatch, raised, code
):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(Segmenter, "segment", fail)
    assert segment() == code
    assert "secret-patient-name" not in only_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_missing_package_ends_with_code_6(segment, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    assert segment() == 6
    assert "SimpleITK" in only_line(capsys)


def test_the_traceback_is_there_for_those_who_ask(segment, capsys, monkeypatch):
    monkeypatch.setenv("DIFFOSEG_DEBUG", "1")
    assert segment("--samples", "0") == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"], ["--version"]])
def test_help_is_no_failure(arguments, capsys):
    assert main(arguments) == 0
    assert "diffoseg" in capsys.readouterr().out


def test_no_command_at_all_says_where_to_look(capsys):
    assert main([]) == 2
    assert "--help" in only_line(capsys)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_control_c_ends_with_code_4_and_leaves_nothing(a_model_file, a_scan, tmp_path):
    endless = ["--samples", "1000", "--steps", "20", "--seed", "1"]
    files = ["--weights", str(a_model_file), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "diffoseg", "segment", str(a_scan), *files, *endless]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert "of" in run.stderr.readline()  # the first sign of progress
        run.send_signal(signal.SIGINT)
        told = run.stderr.read().splitlines()
    assert run.returncode == 4
    assert told[-1].startswith("diffoseg: ")
    assert not any("Traceback" in line for line in told)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, capsys):
    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(pickle.dumps({"model": Hostile()}))
    out = tmp_path / "model.safetensors"
    assert main(["import", str(checkpoint), str(out), "--image-channels", "1"]) == 5
    assert "checkpoint.pt" in only_line(capsys)
    assert not (tmp_path / "ran").exists()
    assert not out.exists()


def test_info_shows_the_model_card(a_model_file, capsys):
    assert main(["info", str(a_model_file)]) == 0
    said = capsys.readouterr().out
    assert "A tiny model" in said
    assert "Meyer, Anna" in said
    assert "not for clinical use" in said


def test_info_shows_what_the_presets_are_and_what_steps_were_measured(
    a_model_file, tmp_path, capsys
):
    model = load_model(a_model_file)
    curve = {
        "steps": [1, 8],
        "mixture_ged": [0.0719, -0.0004],
        "empty_rate": [0.385, 0.4],
        "slices": 36,
        "samples": 16,
    }
    measured = replace(model, metadata=replace(model.metadata, steps_curve=curve))
    measured.save(tmp_path / "measured.safetensors")

    assert main(["info", str(a_model_file)]) == 0
    assert "Measured" not in capsys.readouterr().out
    assert main(["info", str(tmp_path / "measured.safetensors")]) == 0
    said = capsys.readouterr().out
    assert "preview: ddim in 1 step; standard: ddim in 3 steps; careful: ddim in 12 steps" in said
    assert "Measured on 36 slices, 16 samples" in said
    assert re.search(r"^ +1 +0\.0719 +38\.5%$", said, re.M)
    assert re.search(r"^ +8 +-0\.0004 +40\.0%$", said, re.M)


def test_the_demo_reads_its_scan_back_from_dicom(a_model_file, tmp_path, capsys):
    assert main(["demo", str(tmp_path / "demo"), "--weights", str(a_model_file)]) == 0
    assert main(["demo", str(tmp_path / "demo"), "--weights", str(a_model_file)]) == 0  # again
    slices = sorted((tmp_path / "demo" / "dicom").iterdir())
    probability = sitk.ReadImage(str(tmp_path / "demo" / "result" / "probability_consensus.nrrd"))
    scan = sitk.ReadImage([str(path) for path in slices])
    assert same_grid(probability, scan)
    marked = sitk.GetArrayFromImage(probability).any(axis=(1, 2))
    assert 1 <= marked.sum() <= 12
    assert "DICOM" in capsys.readouterr().out


@pytest.mark.slow
def test_a_cohort_is_written_trained_on_evaluated_and_used(a_scan, tmp_path, capsys):
    def run(*arguments: str) -> None:
        assert main([str(tmp_path / a[1:]) if a[0] == "@" else a for a in arguments]) == 0

    short = ["--iterations", "2", "--batch", "2", "--device", "cpu"]
    run("cohort", "phantom", "@cohort", "--cases", "2")
    new = ["--patch", "32", "--spacing", "1.4", "--consensus", "level"]
    run("train", "stage1", "@cohort", "--out", "@one", *short, *new)
    run("train", "stage2", "@cohort", "--out", "@two", *short, "--from", "@one/model.safetensors")
    weights = "@two/model.safetensors"
    training = Model.load(tmp_path / weights[1:]).metadata.training
    assert training["stage1"]["strategy"] == "level"
    run("evaluate", weights, "--cases", "2", "--samples", "2", "--steps", "2")
    assert "perfect sampler" in capsys.readouterr().out
    run("segment", str(a_scan), "--weights", weights, "--samples", "1", "--out", "@result")
    assert (tmp_path / "result" / "probability_expert-4.nrrd").exists()


def test_names_may_hold_commas_when_quoted():
    assert commands.names_in('consensus, "Meyer, Anna",Expert 1') == (
        "consensus",
        "Meyer, Anna",
        "Expert 1",
    )
    with pytest.raises(InputError, match="name is missing"):
        commands.names_in("A,,B")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_silent_for_two_seconds(monkeypatch):
    for stream in (io.StringIO(), Terminal()):
        with Progress(stream) as progress:
            for done in range(1, 6):
                progress(done, 5, "Expert 1")
        assert stream.getvalue().strip() == ""


def test_progress_in_a_file_is_a_line_now_and_then_with_the_time_left(monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 4.0, 20.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    progress = Progress(stream)
    for done in range(1, 5):
        progress(done, 10, "Expert 1")
    assert stream.getvalue().splitlines() == [
        "Expert 1: 2 of 10, about 16 s left",
        "Expert 1: 4 of 10, about 38 s left",
    ]


@pytest.mark.parametrize(
    "steps",
    [
        # (seconds, done, in all): a search, then the sampling, of which less turns out to be needed
        [(0, 300, 384), (3, 384, 384), (20, 288, 27936), (40, 296, 21378), (60, 21378, 21378)],
        [(0, 10, 20), (20, 20, 20), (40, 5, 10), (60, 9, 10)],
        [(0, 10, 20), (20, 15, 40), (40, 30, 40)],
    ],
)
def test_the_time_left_starts_anew_with_the_count_and_is_never_below_nothing(monkeypatch, steps):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    progress = Progress(stream)
    for now, done, total in steps:
        clock[0] = now
        progress(done, total, "working")
    assert "-" not in stream.getvalue()
    assert " of " in stream.getvalue()


def test_the_time_left_of_a_resumed_run_counts_only_the_steps_it_saw(monkeypatch):
    clock = iter([0.0, 100.0, 200.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    progress = Progress(stream)
    progress(1500, 2000, "training")
    progress(1750, 2000, "training")
    assert stream.getvalue().splitlines() == [
        "training: 1500 of 2000",
        "training: 1750 of 2000, about 100 s left",
    ]


def test_progress_at_a_terminal_says_what_is_happening(monkeypatch):
    stream = Terminal()
    progress = Progress(stream)
    progress(1, 10, "Expert 1")
    progress._bar.start_t -= 3
    progress._bar.last_print_t -= 3
    progress(2, 10, "Expert 2")
    assert "Expert 2" in stream.getvalue()
    progress._bar.close()


def test_progress_at_a_terminal_keeps_its_bar_when_less_is_left_to_do_than_was_foreseen():
    progress = Progress(Terminal())
    progress(1, 100, "Expert 1")
    bar = progress._bar
    progress(5, 60, "Expert 2")
    assert progress._bar is bar
    assert (bar.n, bar.total) == (5, 60)
    progress(1, 30, "Expert 1")  # a search is over, the sampling begins
    assert progress._bar is not bar
    progress._bar.close()


def test_an_empty_region_is_not_the_whole_volume(a_scan, tmp_path, capsys):
    out = ["--samples", "1", "--out", str(tmp_path / "out")]
    assert main(["segment", str(a_scan), "--region", "", *out]) == 2
    assert "egion" in capsys.readouterr().err


def test_a_checkpoint_is_not_replaced_by_what_is_made_of_it(tmp_path, capsys):
    checkpoint = tmp_path / "ck.pt"
    checkpoint.write_bytes(b"weights of months")
    channels = ["--image-channels", "1"]
    for name in ("ck.pt", "notes.txt"):
        (tmp_path / "notes.txt").write_bytes(b"mine")
        assert main(["import", str(checkpoint), str(tmp_path / name), *channels]) == 2
        assert "is no model of DiffOSeg" in capsys.readouterr().err
    assert checkpoint.read_bytes() == b"weights of months"
    assert (tmp_path / "notes.txt").read_bytes() == b"mine"
