"""``diffoseg evaluate`` beside the readers of a cohort, as a person at a terminal meets it."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from a_fast_model import a_fast_model
from a_model import a_model

from diffoseg.cohorts.case import Case
from diffoseg.cohorts.folder import write_cohort
from diffoseg.commands.command_line import main
from diffoseg.experts.panel import ExpertPanel
from diffoseg.model.model import Model
from diffoseg.model.stored import save_model
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.volume import Volume


@pytest.fixture(scope="module")
def a_desk(tmp_path_factory) -> Path:
    """A tiny model, and two patients whom its own experts drew."""
    desk = tmp_path_factory.mktemp("desk")
    model = a_fast_model()
    save_model(model, desk / "model.safetensors")
    write_cohort(desk / "cohort", [a_case(number, model) for number in range(2)])
    return desk


def a_case(number: int, model: Model) -> Case:
    """A bright ball in noise, drawn a little larger by each expert."""
    geometry = Geometry((24, 24, 5), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    k, j, i = np.indices((5, 24, 24))
    distance = np.sqrt((2 * (k - 2)) ** 2 + (j - 12) ** 2 + (i - 12) ** 2)
    noise = np.random.default_rng(number).normal(0, 30, distance.shape)
    hu = np.where(distance < 5, 0, -800) + noise
    masks = {name: distance < 4 + row for row, name in enumerate(model.experts)}
    box = Box((2.0, 2.0, 0.0), (21.0, 21.0, 8.0))
    volume = Volume(hu.astype(np.float32), geometry, "CT", f"c{number}")
    return Case(f"p{number}", f"c{number}", volume, masks, box, {})


def evaluate(desk: Path, *options: str) -> int:
    where = [str(desk / "model.safetensors"), str(desk / "cohort")]
    return main(["evaluate", *where, "--samples", "2", *options])


def test_a_page_is_printed_and_written(a_desk, tmp_path, capsys):
    out = tmp_path / "measured"
    assert evaluate(a_desk, "--out", str(out), "--steps", "2") == 0
    printed = capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "evaluation.md",
        "evaluation.html",
        "cases.csv",
        "slices.csv",
        "scores.jsonl",
    }
    for words in ("GED_U", "Bland-Altman", "the published code's", *a_fast_model().experts):
        assert words in (out / "evaluation.md").read_text("utf-8")
    assert "2 cases of 2 patients" in printed
    with (out / "slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5
    found = re.search(r"GED_U +10 +(-?\d\.\d{3}) \[", printed)
    assert found
    mean = np.mean([float(row["GED_U"]) for row in rows])
    assert float(found[1]) == pytest.approx(mean, abs=6e-4)


def test_nothing_is_written_unasked(a_desk, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert evaluate(a_desk, "--cases", "1") == 0
    assert not list(tmp_path.iterdir())
    assert "1 cases of 1 patients" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--cases", "0"], "leaves nothing"),
        (["--samples", "1"], "two samples"),
        (["--out", "{model}"], "cannot be used"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(a_desk, options, sentence, capsys):
    model = str(a_desk / "model.safetensors")
    assert evaluate(a_desk, *(option.format(model=model) for option in options)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_folder_without_a_cohort_is_refused(a_desk, capsys):
    assert main(["evaluate", str(a_desk / "model.safetensors"), "--out", str(a_desk / "x")]) == 2
    assert "Give a COHORT" in capsys.readouterr().err
    assert not (a_desk / "x").exists()


def test_one_reader_is_nobody_to_compare_with(a_desk, tmp_path, capsys):
    case = a_case(0, a_fast_model())
    (mask, *_) = case.masks.values()
    one = Case("p", "c", case.volume, {"Only one": mask})
    write_cohort(tmp_path / "alone", [one], ExpertPanel.of("Only one"))
    assert main(["evaluate", str(a_desk / "model.safetensors"), str(tmp_path / "alone")]) == 2
    assert "two readers" in capsys.readouterr().err


def test_weights_without_a_consensus_are_refused(a_desk, tmp_path, capsys):
    weights = tmp_path / "experts.safetensors"
    save_model(replace(a_model(), consensus=None), weights)
    assert main(["evaluate", str(weights), str(a_desk / "cohort")]) == 2
    assert "no consensus" in capsys.readouterr().err
