"""Experts on the command line: taught from a list of cases, looked at, drawn like."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from a_lesson import a_base, a_list, some_cases
from a_model import a_model, a_volume

from diffoseg.cohorts.case import Case
from diffoseg.commands.command_line import main
from diffoseg.experts.local_expert import SUFFIX, LocalExpert, load_expert, save_expert
from diffoseg.experts.panel import Expert
from diffoseg.model.model import load_model
from diffoseg.model.stored import content_hash, save_model
from diffoseg.space.volume import image_of


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(a_base(), path)
    return path


@pytest.fixture(scope="module")
def a_scan(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.nrrd"
    volume = a_volume()
    sitk.WriteImage(image_of(volume.array, volume.geometry), path)
    return path


@pytest.fixture
def an_expert_file(base, tmp_path):
    """Write the file of an expert who was taught to the base."""

    def write(name: str = "Cleo", **changes) -> Path:
        expert = LocalExpert(
            Expert(name, color=(0.5, 0.1, 0.3)),
            content_hash(load_model(base)),
            "random",
            "fast",
            np.ones(4, np.float32),
            0.5,
            {"cases": 4, "validation": {"verdict": "use", "dice": 0.86, "consensus": 0.79}},
        )
        path = tmp_path / f"{name.lower()}{SUFFIX}"
        save_expert(replace(expert, **changes), path)
        return path

    return write


def drawn_by_two(count: int) -> list[Case]:
    """Cases of which Ärztin 1 and Arztin-1, whose names are the same in a file's, drew each."""
    ours, theirs = some_cases(count, "Ärztin 1"), some_cases(count, "Arztin-1")
    return [
        replace(case, masks=case.masks | other.masks)
        for case, other in zip(ours, theirs, strict=True)
    ]


def only_line(capsys) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("diffoseg: ")
    return lines[0]


def test_everybody_in_a_list_is_taught_and_drawn_like(base, a_scan, tmp_path, capsys):
    cases = a_list(tmp_path / "list", drawn_by_two(3))
    weights = ["--weights", str(base), "--device", "cpu"]
    assert main(["train", "expert", str(cases), "--out", str(tmp_path / "out"), *weights]) == 0

    said = capsys.readouterr().out
    for name in ("Ärztin 1", "Arztin-1"):
        assert re.search(rf"^{name}\. With 3 cases: Dice 0\.\d\d on held-out cases", said, re.M)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    slugs = ("rztin-1", "arztin-1")
    assert written == {slug + ending for slug in slugs for ending in (SUFFIX, ".curve.png")}
    files = [tmp_path / "out" / f"{slug}{SUFFIX}" for slug in slugs]
    first, second = map(load_expert, files)
    assert (first.name, second.name) == ("Ärztin 1", "Arztin-1")
    assert first.expert.color != second.expert.color

    options = [option for file in files for option in ("--expert-file", str(file))]
    region = ["--region", "5,20,5,20,4,10", "--samples", "1", "--experts", "all"]
    out = ["--out", str(tmp_path / "drawn")]
    assert main(["segment", str(a_scan), *weights, *options, *region, *out]) == 0
    said = capsys.readouterr().out
    for name in ("Consensus", "Ann", "Bob", "Ärztin 1", "Arztin-1"):
        assert re.search(rf"^{name} +[\d.]+ ml", said, re.M)
    made = json.loads((tmp_path / "drawn" / "result.json").read_text())["provenance"]
    assert made["local_experts"] == {first.name: first.hash, second.name: second.hash}


def test_segment_without_expert_files_is_the_same_to_the_byte_as_with_them(
    base, a_scan, an_expert_file, tmp_path
):
    weights = ["--weights", str(base), "--region", "5,20,5,20,4,10", "--samples", "2"]
    plain = ["--experts", "consensus,Ann,Bob", *weights, "--out", str(tmp_path / "plain")]
    taught = ["--expert-file", str(an_expert_file()), *weights, "--out", str(tmp_path / "taught")]
    assert main(["segment", str(a_scan), *plain]) == 0
    assert main(["segment", str(a_scan), *taught]) == 0

    for name in ("consensus", "ann", "bob"):
        one, other = (
            (tmp_path / folder / f"probability_{name}.nrrd").read_bytes()
            for folder in ("plain", "taught")
        )
        assert one == other
    assert (tmp_path / "taught" / "probability_cleo.nrrd").exists()


def test_only_those_are_taught_who_are_asked_for_and_from_whom_they_begin_is_told(
    base, tmp_path, capsys
):
    cases = a_list(tmp_path / "list", drawn_by_two(2))
    asked = ["--expert", "Arztin-1", "--corrects", "Bob", "--seed", "5", "--weights", str(base)]
    assert main(["train", "expert", str(cases), "--out", str(tmp_path / "out"), *asked]) == 0

    (file,) = (tmp_path / "out").glob(f"*{SUFFIX}")
    training = load_expert(file).training
    assert (training["corrects"], training["seed"], training["cases"]) == ("Bob", 5, 2)
    capsys.readouterr()
    assert main(["info", str(file)]) == 0
    assert re.search(r"^ +began as +Bob$", capsys.readouterr().out, re.M)


def test_the_same_command_gives_the_same_expert_and_another_seed_another(base, tmp_path):
    cases = a_list(tmp_path / "list", some_cases(2, "Cleo"))

    def taught(out: str, *options: str) -> LocalExpert:
        folder = tmp_path / out
        files = [str(cases), "--out", str(folder), "--weights", str(base)]
        assert main(["train", "expert", *files, *options]) == 0
        return load_expert(folder / f"cleo{SUFFIX}")

    first, again, other = taught("a"), taught("a"), taught("b", "--seed", "1")
    assert first.hash == again.hash != other.hash


def test_one_case_is_said_to_leave_none_to_check_on(base, tmp_path, capsys):
    cases = a_list(tmp_path / "list", some_cases(1, "Cleo"))
    out = ["--out", str(tmp_path / "out"), "--weights", str(base)]
    assert main(["train", "expert", str(cases), *out]) == 0
    assert "Cleo. With 1 case there is none left to check it on." in capsys.readouterr().out
    assert (tmp_path / "out" / "cleo.curve.png").stat().st_size > 1000


def test_info_shows_an_experts_card(an_expert_file, capsys):
    file = an_expert_file()
    assert main(["info", str(file)]) == 0
    said = capsys.readouterr().out
    assert re.search("^Cleo$", said, re.M)
    assert re.search("^ +cases +4$", said, re.M)
    assert "With 4 cases: Dice 0.86 on held-out cases; consensus 0.79. Use it." in said
    assert "personal data" in said
    assert "not for clinical use" in said


@pytest.mark.parametrize(
    "training", [{}, {"cases": [], "validation": 3}, {"validation": {"best": "\n" * 99}}]
)
def test_info_shows_whatever_an_expert_says_of_itself(an_expert_file, capsys, training):
    assert main(["info", str(an_expert_file(training=training))]) == 0
    assert "Cleo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "options", "code", "words"),
    [
        (None, ["--expert", "Zoe"], 2, "Zoe"),
        (None, ["--corrects", "Zoe"], 2, "Zoe"),
        (None, ["--weights", "paper.safetensors"], 2, "paper"),
        (None, ["--device", "abacus"], 2, "abacus"),
        (None, ["--seed", "99999999999999999999"], 2, "not in 0.."),
        ("missing image", [], 2, "case 1"),
        ("no list", [], 2, "cases.json"),
        ("NaN", [], 2, "case 1"),
        ("a known name", [], 2, "Bob"),
        ("nameless", [], 2, "--expert NAME"),
    ],
)
def test_what_cannot_be_taught_is_one_plain_line_and_nothing_is_written(
    base, tmp_path, monkeypatch, capsys, change, options, code, words
):
    monkeypatch.chdir(tmp_path)
    save_model(a_model(), tmp_path / "paper.safetensors")
    cases = some_cases(2, "Bob" if change == "a known name" else "Cleo")
    if change == "NaN":
        cases[1].volume.array[4, 18, 20] = np.nan
    path = a_list(tmp_path / "secret-patient-name", cases)
    if change == "missing image":
        (path.parent / "case 1.nrrd").unlink()
    elif change == "no list":
        path.unlink()
    elif change == "nameless":
        listed = json.loads(path.read_text())
        listed["training"] = [
            {k: v for k, v in entry.items() if k != "expert"} for entry in listed["training"]
        ]
        path.write_text(json.dumps(listed))

    always = ["--out", str(tmp_path / "out"), "--weights", str(base)]
    assert main(["train", "expert", str(path), *always, *options]) == code

    line = only_line(capsys)
    assert words in line
    assert "secret-patient-name" not in line
    assert str(tmp_path) not in line
    assert not (tmp_path / "out").exists()


def test_a_nameless_list_is_of_whom_the_command_names(base, tmp_path, capsys):
    path = a_list(tmp_path / "list", some_cases(2, "x"))
    path.write_text(path.read_text().replace(', "expert": "x"', ""))
    out = ["--out", str(tmp_path / "out"), "--weights", str(base), "--expert", "Cleo, MD"]
    assert main(["train", "expert", str(path), *out]) == 0
    assert "Cleo, MD. With 2 cases" in capsys.readouterr().out
    assert (tmp_path / "out" / f"cleo-md{SUFFIX}").exists()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"base_hash": "0" * 64}, 5, "cleo"),
        ({"expert": Expert("Bob")}, 2, "Bob"),
    ],
)
def test_an_expert_who_does_not_fit_the_model_is_refused(
    base, a_scan, an_expert_file, tmp_path, capsys, changes, code, words
):
    file = an_expert_file(**changes)
    out = ["--out", str(tmp_path / "out"), "--weights", str(base)]
    assert main(["segment", str(a_scan), "--expert-file", str(file), *out]) == code
    assert words.lower() in only_line(capsys).lower()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_list_of_cases_trains_a_new_model_too(tmp_path):
    cases = a_list(tmp_path / "list", drawn_by_two(2))
    short = ["--iterations", "2", "--batch", "2", "--device", "cpu", "--patch", "32"]
    assert main(["train", "fast", str(cases), "--out", str(tmp_path / "out"), *short]) == 0
    model = load_model(tmp_path / "out" / "model.safetensors")
    assert model.experts == ("Ärztin 1", "Arztin-1")
