"""The house: rooms reach only downwards, no file needs itself; read from the import statements."""

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the ground up: a file imports from its own room and from those before it in the list.
ENGINE = (
    "diffoseg.errors",
    "diffoseg.version",
    "diffoseg.files",
    "diffoseg.device",
    "diffoseg.space",
    "diffoseg.diffusion",
    "diffoseg.networks",
    "diffoseg.experts",
    "diffoseg.model",
    "diffoseg.comparison",
    "diffoseg.reading",
    "diffoseg.output",
    "diffoseg.drawing",
    "diffoseg.cohorts",
    "diffoseg.training",
    "diffoseg.training.expert",
    "diffoseg.evaluation",
    "diffoseg.worker",
    "diffoseg.commands",
    "diffoseg",
)
SLICER = (
    "DiffOSegLib.scene",
    "DiffOSegLib.views",
    "DiffOSegLib.run",
    "DiffOSegLib.panel",
    "DiffOSegLib",
    "DiffOSegTrainingLib.cases",
    "DiffOSegTrainingLib.run",
    "DiffOSegTrainingLib.panel",
    "DiffOSegTrainingLib",
    "SegmentEditorDiffOSegLib",
)
ROOMS = ENGINE + SLICER

# Equations: beside each other they need numbers and nothing else.
MATHEMATICS = ("diffoseg.diffusion.", "diffoseg.comparison.overlap", "diffoseg.evaluation.metrics")
NUMBERS = {"torch", "numpy", "scipy", "diffoseg"}

HOMES = (
    ROOT / "DiffOSeg" / "diffoseg",
    ROOT / "DiffOSeg" / "DiffOSegLib",
    ROOT / "DiffOSegTraining" / "DiffOSegTrainingLib",
    ROOT / "SegmentEditorDiffOSeg" / "SegmentEditorDiffOSegLib",
)


def module_at(path: Path, home: Path) -> str:
    parts = path.relative_to(home.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_at(path, home): path for home in HOMES for path in home.rglob("*.py")}


def room_of(module: str, rooms: tuple[str, ...] = ROOMS) -> str:
    """Return the innermost room of the list in which a module lies."""
    around = [room for room in rooms if f"{module}.".startswith(f"{room}.")]
    assert around, f"{module} lies in no room: add its room to the list"
    return max(around, key=len)


def imports_of(module: str, source: str, *, nested: bool = True) -> Iterator[str]:
    """Yield what a module's text imports: "torch", or "diffoseg.model.model" for one of ours."""
    tree = ast.parse(source)
    is_package = MODULES.get(module, Path()).name == "__init__.py"
    home = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = home[: len(home) - node.level + 1] if node.level else []
            base = ".".join((*above, *filter(None, [node.module])))
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in MODULES else base


def own(module: str, source: str | None = None) -> set[str]:
    """Return which of our own modules a module imports, in functions and for types too."""
    text = MODULES[module].read_text(encoding="utf-8") if source is None else source
    return {name for name in imports_of(module, text) if name in MODULES}


def reached_above(module: str, source: str | None = None) -> set[str]:
    """Return the modules that a module imports from rooms above its own."""
    order = {room: floor for floor, room in enumerate(ROOMS)}
    here = order[room_of(module)]
    return {other for other in own(module, source) if order[room_of(other)] > here}


def circle_among(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one circle of imports; none where there is no circle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_imports_from_a_room_above_its_own():
    found = {module: above for module in MODULES if (above := reached_above(module))}
    assert not found


def test_an_import_turned_round_is_found():
    turned = "from ..drawing.segmenter import Segmenter"
    assert reached_above("diffoseg.model.model", turned) == {"diffoseg.drawing.segmenter"}
    nested = "def late():\n    from ..worker import job"
    assert reached_above("diffoseg.space.volume", nested) == {"diffoseg.worker.job"}
    assert not reached_above("diffoseg.drawing.canvas", "from ..model.model import Model")


def test_there_is_no_circle_of_files():
    assert not circle_among({module: own(module) for module in MODULES})


def test_a_circle_of_two_files_is_found():
    graph = {module: own(module) for module in MODULES}
    graph["diffoseg.model.stored"] |= own("diffoseg.model.stored", "from .model import Model")
    assert {"diffoseg.model.stored", "diffoseg.model.model"} <= set(circle_among(graph))


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("diffoseg")])
def test_the_engine_never_touches_slicer(module):
    source = MODULES[module].read_text(encoding="utf-8")
    tops = {name.split(".")[0].lower() for name in imports_of(module, source)}
    assert not tops & {"slicer", "qt", "ctk", "vtk", "pyside6", "pyqt5"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(MATHEMATICS)])
def test_the_mathematics_imports_only_numbers(module):
    source = MODULES[module].read_text(encoding="utf-8")
    tops = {name.split(".")[0] for name in imports_of(module, source)}
    assert tops <= NUMBERS | sys.stdlib_module_names
    others = {other for other in own(module) if not other.startswith(MATHEMATICS)}
    assert others <= {"diffoseg.errors", "diffoseg.evaluation.published_metrics"}


def test_the_engine_has_few_names_at_its_top():
    names = [
        path.name for path in HOMES[0].iterdir() if path.name not in ("__pycache__", "_models")
    ]
    assert len(names) <= 20
    files = {name for name in names if name.endswith(".py")}
    assert files == {"__init__.py", "__main__.py", "errors.py", "version.py"}


@pytest.mark.parametrize(
    "statement",
    [
        "import diffoseg",
        "import diffoseg.worker.job, diffoseg.worker.training_job, diffoseg.worker.process",
        "from diffoseg.model import cards, metadata, presets; assert cards.available_cards()",
        "from diffoseg.model.expert_library import *; ExpertLibrary(default_folder()).cards()",
        "from diffoseg.drawing import workload; from diffoseg.output import segment_tags",
        "from diffoseg.space import geometry, model_grid, intensity, field_of_view, marked, volume",
        "from diffoseg.cohorts import checks, datalist; from diffoseg.training import run_files",
        "from diffoseg.experts.local_expert import save_expert, load_expert",
        "from diffoseg.commands.command_line import main; main(['--help'])",
    ],
)
def test_loads_without_torch(statement):
    heavy = "{'torch', 'monai', 'scipy', 'SimpleITK', 'matplotlib', 'safetensors'}"
    check = f"{statement}\nimport sys\nassert not {heavy} & set(sys.modules)"
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


# What is loaded slowly stays loaded; ours is anew for each statement.
EACH_BY_ITSELF = """
import json, sys, torch, scipy.ndimage, SimpleITK, safetensors.torch
for statement in json.loads(sys.argv[1]):
    for name in [name for name in sys.modules if name.split(".")[0] == "diffoseg"]:
        del sys.modules[name]
    names = {}
    try:
        exec(statement, names)
        print(names["found"].__module__)
    except Exception as error:
        print(repr(error))
"""
PUBLIC = (
    ("from diffoseg.metrics import generalized_energy_distance as found", "evaluation.metrics"),
    (
        "import diffoseg; found = diffoseg.metrics.generalized_energy_distance",
        "evaluation.metrics",
    ),
    (
        "from diffoseg.weights import import_research_checkpoint as found",
        "model.research_checkpoint",
    ),
    ("import diffoseg.weights; found = diffoseg.weights.load_model", "model.model"),
    ("import diffoseg; found = diffoseg.diffusion.posterior", "diffusion.posterior"),
    ("import diffoseg; found = diffoseg.diffusion.CategoricalSchedule", "diffusion.schedule"),
    (
        "import diffoseg; found = diffoseg.import_research_checkpoint",
        "model.research_checkpoint",
    ),
    ("import diffoseg; found = diffoseg.Segmenter", "drawing.segmenter"),
)


@pytest.fixture(scope="module")
def public_homes() -> dict[str, str]:
    """Where each statement of PUBLIC finds its object, or what it raised."""
    statements = [statement for statement, _ in PUBLIC]
    command = [sys.executable, "-W", "error", "-c", EACH_BY_ITSELF, json.dumps(statements)]
    answer = subprocess.run(command, capture_output=True, text=True)
    return dict(zip(statements, answer.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(("statement", "home"), PUBLIC)
def test_public_names_are_the_objects_of_the_rooms(public_homes, statement, home):
    assert public_homes[statement] == f"diffoseg.{home}"
