"""The pages are true: links lead somewhere, commands are understood and run, paths are there."""

import argparse
import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from a_lesson import a_base
from a_lidc_download import a_scan_with_xml
from a_model import a_volume
from test_architecture import ENGINE, HOMES, MODULES, ROOT, SLICER, own

from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.cohorts.order_statistics import OF_FOUR
from diffoseg.commands.command_line import _join_negative, _parser, main
from diffoseg.experts.panel import ExpertPanel
from diffoseg.model.cards import DEFAULT_MODEL, FOLDERS_VARIABLE
from diffoseg.model.stored import save_model
from diffoseg.networks.config import UNetConfig
from diffoseg.networks.unet import UNet
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.space.volume import image_of

README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
DOCS = sorted((ROOT / "Docs").glob("*.md"))
OURS = [README, CONTRIBUTING, ROOT / "CHANGELOG.md", *DOCS]
NEAR = [  # written where they are needed
    ROOT / "Testing" / "Benchmarks" / "NOTES.md",
    ROOT / "Testing" / "SlicerHost" / "README.md",
    *sorted((ROOT / "Resources" / "Models").glob("*.md")),
]

# Paths in backticks are said from the top, from a home of our code, or from the page's own folder.
TOPS = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} | {".ci"}
TOPS -= {"demo", "runs", "cohorts", "build", "dist"}  # what commands write
SAID_FROM = (ROOT, ROOT / "DiffOSeg", *HOMES)
SLICERS_OWN = {"--additional-module-paths"}


def each(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=[page.name for page in pages])


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the bodies of a page's code blocks of these languages; "" is one that names none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    return [body for language, body in found if language in languages]


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)


def spans(page: Path) -> list[str]:
    """Return what stands between backticks within a page's sentences."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def command_lines(page: Path) -> list[str]:
    """Return the arguments of each ``diffoseg`` in a page's code blocks."""
    pattern = r"^(?:\.venv/bin/|\.venv\\Scripts\\)?diffoseg ([^#\n]+)"
    return [line.strip() for body in blocks(page, "") for line in re.findall(pattern, body, re.M)]


# --- the pages ------------------------------------------------------------------------------------


def test_the_readme_has_at_most_150_lines():
    assert len(README.read_text("utf-8").splitlines()) <= 150


def test_the_readme_leads_to_every_page():
    assert {f"Docs/{page.name}" for page in DOCS} <= {link.split("#")[0] for link in links(README)}


@each(OURS + NEAR)
def test_every_link_and_picture_leads_somewhere(page):
    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"https?://", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def test_a_picture_of_the_readme_is_found_by_its_relative_path():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text("utf-8"))
    assert pictures
    assert all(picture.startswith("Resources/Screenshots/") for picture in pictures)


def looks_like_ours(text: str) -> bool:
    """Say whether a span reads as a path in the repository."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", text):
        return False
    first = text.split("/")[0]
    if "/" not in text:
        return text in TOPS or text.endswith(".py")
    rooms = {path.name for home in HOMES for path in home.iterdir() if path.is_dir()}
    return first in TOPS | rooms | {home.name for home in HOMES} or text.endswith(".py")


def is_there(text: str, page: Path) -> bool:
    if any((place / text).exists() for place in (*SAID_FROM, page.parent)):
        return True
    # A file that the sentence around it has placed: `phantom.py` after `DiffOSeg/.../cohorts`.
    own = (*MODULES.values(), *(ROOT / "Testing").rglob("*.py"))
    return "/" not in text and text in {path.name for path in own}


@each(OURS + NEAR)
def test_every_path_in_backticks_is_there(page):
    said = [text for text in spans(page) if looks_like_ours(text)]
    assert not [text for text in said if not is_there(text, page)]


def test_a_path_that_is_not_there_is_found():
    assert looks_like_ours("DiffOSeg/diffoseg/diffusion.py")
    assert not is_there("DiffOSeg/diffoseg/diffusion.py", README)
    assert looks_like_ours("diffusion/steps.py")
    assert not is_there("diffusion/steps.py", README)
    assert not looks_like_ours("demo/result/")


@each(OURS)
def test_every_make_target_is_in_the_makefile(page):
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", text, re.M)[1].split())
    said = [*spans(page), *blocks(page, "")]
    named = {name for part in said for name in re.findall(r"\bmake ([a-z][a-z-]*)", part)}
    assert named <= targets


def test_the_page_on_development_names_every_make_target():
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", text, re.M)[1].split()) - {"help"}
    assert {f"make {name}" for name in targets} <= set(spans(ROOT / "Docs" / "development.md"))


# --- what is typed --------------------------------------------------------------------------------


@pytest.mark.parametrize("line", sorted({line for page in OURS for line in command_lines(page)}))
def test_every_command_line_is_understood(line):
    assert callable(_parser().parse_args(_join_negative(shlex.split(line))).run)


@each([README, *DOCS])
def test_every_command_named_in_a_sentence_exists(page):
    for text in spans(page):
        if text.startswith("diffoseg "):
            with pytest.raises(SystemExit) as finished:
                _parser().parse_args([*shlex.split(text)[1:], "--help"])
            assert finished.value.code == 0, text


def known_options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from known_options(inner)


@each([README, *DOCS])
def test_every_option_named_in_a_sentence_exists(page):
    named = {text.split()[0] for text in spans(page) if text.startswith("--")}
    assert named <= {*known_options(_parser()), *SLICERS_OWN}


@each(OURS + NEAR)
def test_python_in_a_page_compiles_and_names_what_there_is(page):
    for body in blocks(page, "python"):
        compile(body, page.name, "exec")
        for module, name in imported(body):
            assert has(module, name), f"{module} has no {name}"


def imported(body: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of each import of ours, and of each name asked of ``diffoseg``."""
    for node in ast.walk(ast.parse(body)):
        if isinstance(node, ast.Import):
            parts = (alias.name.rpartition(".") for alias in node.names if is_ours(alias.name))
            yield from ((module, name) for module, _, name in parts if module)
        elif isinstance(node, ast.ImportFrom) and is_ours(node.module or ""):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "diffoseg":
            yield "diffoseg", node.attr


def is_ours(module: str) -> bool:
    return module.split(".")[0] in {home.name for home in HOMES}


def has(module: str, name: str) -> bool:
    """Say whether a module has a name; Slicer's side is only read, as it would need Slicer."""
    if f"{module}.{name}" in MODULES:
        return True
    if module.startswith("diffoseg"):
        return hasattr(importlib.import_module(module), name)
    body = ast.parse(MODULES[module].read_text("utf-8")).body
    return name in {getattr(node, "name", None) for node in body}


def test_the_self_tests_that_are_named_exist():
    (line,) = (
        line
        for body in blocks(ROOT / "Docs" / "development.md", "")
        for line in body.splitlines()
        if "SelfTests" in line
    )
    arguments = shlex.split(line)
    script = (ROOT / arguments[-1]).read_text("utf-8")
    (named,) = re.findall(r"^MODULES = (.*)$", script, re.MULTILINE)
    paths = arguments[arguments.index("--additional-module-paths") + 1 :]
    assert list(ast.literal_eval(named)) == paths[:3]
    for name in paths[:3]:
        assert f"class {name}Test(" in (ROOT / name / f"{name}.py").read_text("utf-8")


def test_what_pytest_is_told_to_run_is_there():
    lines = [
        line
        for page in [CONTRIBUTING, *DOCS]
        for body in blocks(page, "")
        for line in body.splitlines()
        if line.startswith(".venv/bin/python -m pytest")
    ]
    assert lines
    told = [word for line in lines for word in shlex.split(line)[3:] if "/" in word]
    assert all((ROOT / path).exists() for path in told)


def test_windows_installs_the_torch_that_is_tested():
    (line,) = (
        word
        for body in blocks(ROOT / "Docs" / "command_line.md", "")
        for word in body.split()
        if word.startswith("torch==")
    )
    assert line in (ROOT / "constraints-dev.txt").read_text("utf-8").split()


# --- CONTRIBUTING ---------------------------------------------------------------------------------


def test_the_rooms_stand_in_the_order_that_the_house_keeps():
    rows = re.findall(r"^\| `([\w.]+)` \|", prose(CONTRIBUTING), re.M)
    engine = [room.removeprefix("diffoseg.") for room in ENGINE if room != "diffoseg"]
    libraries = {"DiffOSegLib", "DiffOSegTrainingLib"}  # their rooms stand for them
    assert rows == [*engine, *(room for room in SLICER if room not in libraries)]


def section(title: str) -> str:
    """Return what stands below one of CONTRIBUTING's headings."""
    return re.split(r"^#+ ", prose(CONTRIBUTING).split(f"# {title}\n")[1], flags=re.M)[0]


@pytest.mark.parametrize(
    "title",
    [
        "Where is the posterior?",
        "Which files does a click on Apply pass?",
        "Where does a new cohort go?",
    ],
)
def test_an_answer_to_a_stranger_is_in_the_tree(title):
    named = re.findall(r"\[`([^`]+)`\]\(([^)]+)\)", section(title))
    assert named
    assert all(said == path and (ROOT / path).exists() for said, path in named)


def test_the_posterior_is_where_it_is_said_to_be():
    (path,) = re.findall(r"`([^`]+)`", section("Where is the posterior?"))
    assert "def posterior(" in (ROOT / path).read_text("utf-8")


def test_a_click_passes_from_each_file_to_the_next():
    """Each file imports, or is imported by, one that stands before it; a process starts by name."""
    files = re.findall(r"\[`([^`]+)`\]", section("Which files does a click on Apply pass?"))
    module_of = {path: module for module, path in MODULES.items()}
    way = [module_of[ROOT / file] for file in files]
    for place, module in enumerate(way[1:], 1):
        before = way[:place]
        imports = any(module in own(one) or one in own(module) for one in before)
        package = module.removesuffix(".__main__")
        starts = f'"-m", "{package}"'
        assert imports or any(starts in MODULES[one].read_text("utf-8") for one in before), module
    assert (way[0], way[-1]) == (
        "DiffOSegLib.panel.RunWidget",
        "DiffOSegLib.panel.CompareWidget",
    )


# --- run ------------------------------------------------------------------------------------------


def rows_of(text: str) -> dict[str, tuple[float, float, float, float]]:
    """Return (volume, low, high, presence) by the name of a printed row."""
    number = r"([\d.]+)"
    pattern = rf"^(\w[\w ]*?) +{number} ml +{number} - {number} ml +{number}%"
    found = re.findall(pattern, text, re.M)
    return {name: tuple(map(float, values)) for name, *values in found}


@pytest.mark.slow
def test_the_demo_prints_the_readmes_table_and_the_example_draws_the_same_nodule(tmp_path):
    def printed(*arguments: str) -> dict[str, tuple[float, float, float, float]]:
        command = [sys.executable, "-m", "diffoseg", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return rows_of(done.stdout)

    assert "$(BIN)/diffoseg demo demo" in (ROOT / "Makefile").read_text("utf-8")
    demo = printed("demo", "demo")
    (table,) = (body for body in blocks(README, "") if "range of 8 samples" in body)
    said = rows_of(table)
    assert list(said) == ["Consensus", *OF_FOUR.names] == list(demo)
    for name, (volume, low, high, presence) in said.items():  # another processor, other roundings
        assert demo[name][0] == pytest.approx(volume, abs=0.1)
        assert demo[name][1:3] == pytest.approx((low, high), abs=0.5)
        assert demo[name][3] == pytest.approx(presence, abs=2)
    assert (tmp_path / "demo/result/comparison.png").exists()
    assert (tmp_path / "demo/result/report.html").exists()

    (line,) = command_lines(README)
    arguments = shlex.split(line)
    again = printed(*arguments, "--samples", "2")
    assert list(again) == ["Consensus", "Widest of four"]
    for name, (volume, *_) in again.items():
        assert volume == pytest.approx(demo[name][0], abs=0.15)
    out = tmp_path / arguments[arguments.index("--out") + 1]
    assert not json.loads((out / "result.json").read_text("utf-8"))["warnings"]


def test_the_readmes_figures_are_those_of_the_benchmarks():
    benchmarks = (ROOT / "Docs" / "benchmarks.md").read_text("utf-8")
    table = section_of_readme("What is measured")
    figures = re.findall(r"\d+\.\d{3,}|\d+\.\d+ s|\d,\d{3}|\d+ % \[\d+, \d+\]|\d+\.\d %", table)
    assert len(figures) >= 9
    for figure in figures:
        assert figure.removesuffix(" s") in benchmarks


def section_of_readme(title: str) -> str:
    return prose(README).split(f"## {title}\n")[1].split("\n## ")[0]


# What a page asks for that takes hours, in seconds; of two values of an option the later one holds.
QUICKLY = {
    "segment": ["--samples", "1", "--steps", "1"],
    "cohort phantom": ["--cases", "2"],
    "cohort lidc": ["--processes", "1"],
    "evaluate": ["--samples", "2"],
    "train": ["--iterations", "2", "--batch", "2"],
}


def quickly(line: str) -> list[str]:
    arguments = shlex.split(line)
    if arguments[:2] == ["train", "expert"]:
        return arguments
    grid = ["--patch", "32"] if arguments[:2] in (["train", "stage1"], ["train", "fast"]) else []
    known = next((name for name in QUICKLY if line.startswith(name)), "")
    return [*arguments, *QUICKLY.get(known, []), *grid]


@pytest.fixture
def a_desk(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with the files that the pages speak of; the built-in model is a tiny one."""
    models = tmp_path / "models"
    models.mkdir()
    tiny = replace(a_base(), panel=ExpertPanel.of("Wider of four", "Widest of four"))
    save_model(tiny, models / f"{DEFAULT_MODEL}.safetensors")
    monkeypatch.setenv(FOLDERS_VARIABLE, str(models))
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    write_scan(desk / "scan.nrrd")
    write_scan(desk / "dicom-folder")
    for number in range(2):
        a_scan_with_xml(f"LIDC-IDRI-900{number}", desk / "download", seed=number)
    teaching = ROOT / "Docs" / "teaching.md"
    (cases,) = blocks(teaching, "json")
    (desk / "cases.json").write_text(cases, encoding="utf-8")
    for case in json.loads(cases)["training"]:
        write_scan(desk / case["image"])
        write_drawing(desk / case["label"], case)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several of them wait for each other on a busy machine
    yield desk
    torch.set_num_threads(threads)


def write_scan(path: Path) -> None:
    """Write a bright ball, where the pages' region is."""
    scan = replace(a_volume(), geometry=replace(a_volume().geometry, origin=(-45.0, 4.0, -104.0)))
    path.parent.mkdir(exist_ok=True)
    if path.suffix:
        sitk.WriteImage(image_of(scan.array, scan.geometry), path)
    else:
        write_dicom_series(scan, path)


def write_drawing(path: Path, case: dict) -> None:
    """Write a ball for each segment that a case of the list speaks of."""
    scan = a_volume()
    geometry = replace(scan.geometry, origin=(-45.0, 4.0, -104.0))
    ball = scan.array > -300
    if path.name.endswith(".seg.nrrd"):
        names = list(case.get("experts", [case.get("segment")]))
        red = dict.fromkeys(names, (1.0, 0.0, 0.0))
        write_seg_nrrd(path, dict.fromkeys(names, ball), geometry, colors=red)
    else:
        sitk.WriteImage(image_of(ball.astype(np.uint8), geometry), path)


@pytest.mark.slow
@each([page for page in DOCS if command_lines(page)])
def test_the_command_lines_of_a_page_run_one_after_the_other(page, a_desk, capsys):
    lines = command_lines(page)
    if page.name == "training.md":
        write_checkpoint(a_desk / "checkpoint.pt")
    if page.name == "command_line.md":
        lines = [line for line in lines if not line.startswith("demo")]  # runs above
    for line in lines:
        assert main(quickly(line)) == 0, f"{line}: {capsys.readouterr().err}"
        arguments = shlex.split(line)
        if "--out" in arguments:
            out = a_desk / arguments[arguments.index("--out") + 1]
            assert list(out.iterdir())
            if arguments[0] == "segment":
                check_the_table_of_files(out)
                shutil.rmtree(out)


def check_the_table_of_files(folder: Path) -> None:
    """Compare a result with the table of Docs/command_line.md."""
    page = (ROOT / "Docs" / "command_line.md").read_text("utf-8")
    table = page.split("## What a result holds")[1].split("\n## ")[0]
    said = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    patterns = [re.sub(r"<\w+>", "*", name) for name in said]
    written = {path for pattern in patterns for path in folder.glob(pattern)}
    assert written == set(folder.iterdir())


def write_checkpoint(path: Path) -> None:
    """Write what the research code would have saved, of a small network."""
    network = UNet(UNetConfig(1, base=32, multipliers=(1, 2), attention_factors=(2,)))
    torch.save(network.state_dict(), path)


@pytest.mark.slow
def test_python_of_the_command_lines_page_gives_what_it_says(a_desk, monkeypatch):
    monkeypatch.delenv(FOLDERS_VARIABLE)  # with the real default weights
    (body,) = blocks(ROOT / "Docs" / "command_line.md", "python")
    names: dict[str, object] = {}
    exec(body, names)
    probability = names["comparison"].results["Widest of four"].probability
    assert probability.shape == names["comparison"].region_geometry.size[::-1]
    assert 0 < probability.max() <= 1
