"""The folder is a Slicer extension: what CMake installs is all there is, and works where it lands.

Slicer's install is flat: the files of all modules lie beside each other. Here CMake's own lists
are followed by copying, so that a file forgotten in them is missing here too.
"""

import ast
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("DiffOSeg", "DiffOSegTraining", "SegmentEditorDiffOSeg")
PACKAGED = {".py", ".ui", ".png", ".svg", ".txt", ".json"}


def listedFiles(module: str, variable: str) -> list[str]:
    """Return the files that a module's CMakeLists.txt names in MODULE_PYTHON_SCRIPTS/RESOURCES."""
    text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf"set\(MODULE_PYTHON_{variable}\s+(.*?)\)", text, re.DOTALL)
    assert found, f"{module}/CMakeLists.txt sets no MODULE_PYTHON_{variable}"
    return found[1].replace("${MODULE_NAME}", module).split()


def topLevel(variable: str) -> str:
    """Return what the extension's CMakeLists.txt sets a variable to, one double-quoted string."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf'set\({variable} "([^"]*)"\)', text)
    assert found, f"{variable} is not one double-quoted string"
    return found[1]


@pytest.fixture(scope="module")
def anInstall(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("qt-scripted-modules")
    for module in MODULES:
        for name in (*listedFiles(module, "SCRIPTS"), *listedFiles(module, "RESOURCES")):
            target = folder / name
            assert not target.exists(), f"{name} comes from two modules"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / module / name, target)
    weights = folder / "diffoseg" / "_models"
    weights.mkdir()
    for path in (ROOT / "Resources" / "Models").glob("*.safetensors"):
        shutil.copy(path, weights)
    return folder


def answerOf(folder: Path, code: str) -> str:
    """Run Python that sees the installed folder and nothing of this checkout."""
    return subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = [{str(folder)!r}]\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    ).stdout.strip()


@pytest.mark.parametrize("module", MODULES)
def test_every_file_of_a_module_is_listed_and_every_listed_file_exists(module):
    listed = {*listedFiles(module, "SCRIPTS"), *listedFiles(module, "RESOURCES")}
    there = {
        path.relative_to(ROOT / module).as_posix()
        for path in (ROOT / module).rglob("*")
        if path.suffix in PACKAGED and path.name != "CMakeLists.txt"
    }
    assert listed == there


@pytest.mark.parametrize("module", MODULES)
def test_the_file_that_slicer_loads_first_parses_on_the_python_of_old_slicers(module):
    source = (ROOT / module / f"{module}.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 9))


@pytest.mark.parametrize("module", MODULES)
def test_every_python_file_beside_a_module_would_be_taken_for_a_module(module):
    assert [path.stem for path in (ROOT / module).glob("*.py")] == [module]


def test_the_engine_and_the_module_differ_only_in_case_and_both_are_found(anInstall):
    code = """
import importlib.util as find
print(find.find_spec("DiffOSeg").origin, find.find_spec("diffoseg").origin, sep="\\n")"""
    module, engine = map(Path, answerOf(anInstall, code).splitlines())
    assert module == anInstall / "DiffOSeg.py"
    assert engine == anInstall / "diffoseg" / "__init__.py"


def test_the_installed_engine_finds_its_weights_beside_it(anInstall):
    code = (
        "from diffoseg.model.cards import available_cards as cards\nfor c in cards(): print(c.path)"
    )
    weights = [Path(line) for line in answerOf(anInstall, code).splitlines()]
    assert weights
    assert all(path.parent == anInstall / "diffoseg" / "_models" for path in weights)


def test_the_catalogue_entry_agrees_with_the_build():
    entry = json.loads((ROOT / "Resources/ExtensionsIndex/DiffOSeg.json").read_text("utf-8"))
    assert " ".join(entry["build_dependencies"]) == topLevel("EXTENSION_DEPENDS")
    assert "project(DiffOSeg)" in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def test_the_icon_and_the_screenshots_that_the_catalogue_shows_exist():
    header = (ROOT / "DiffOSeg.png").read_bytes()[:24]
    assert struct.unpack(">II", header[16:24]) == (128, 128)
    urls = [topLevel("EXTENSION_ICONURL"), *topLevel("EXTENSION_SCREENSHOTURLS").split(" ")]
    missing = [url for url in urls if not (ROOT / url.split("/main/")[1]).is_file()]
    assert not missing


@pytest.mark.parametrize("name", ["__init__", "SegmentEditorEffect", "OptionsWidget", "Operations"])
def test_the_effect_is_there_to_complain_where_the_module_is_not(name):
    library = ROOT / "SegmentEditorDiffOSeg" / "SegmentEditorDiffOSegLib"
    tree = ast.parse((library / f"{name}.py").read_text(encoding="utf-8"))
    imported = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {module.split(".")[0].lower() for module in imported} & {"diffoseg", "diffoseglib"}
