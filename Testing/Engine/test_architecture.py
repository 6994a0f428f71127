"""The rooms of the house reach only downwards; read from the import statements themselves."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import diffoseg

ROOT = Path(diffoseg.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")
}

# Equations: which of the engine's other modules each may use, beside torch, numpy and scipy.
MATHEMATICS = {
    "diffusion": {"errors"},
    "sampling": {"errors", "diffusion"},
    "overlap": {"errors"},
    "metrics": {"errors", "overlap", "published_metrics"},
    "published_metrics": {"overlap"},
    "intervals": {"errors"},
    "noise": {"errors"},
    "geometry": {"errors"},
}

# From the ground up: a module imports from its own floor and from those below. Two file formats
# lie in output/, where results are written, and are needed below by the cohorts.
FLOORS = (
    {"errors", "version", "experts", "geometry", "intensity", "progress", "output.atomic"}
    | {"segment_tags", "waiting"}
    | {"allocator", "device"},
    {"volume", "job", "reading", "output.seg_nrrd", "networks", "metadata", "consensus"}
    | {"same_grid"}
    | {"catalog", "field_of_view", "workload", "presets", "local_expert", "expert_library"}
    | MATHEMATICS.keys(),
    {
        "model",
        "calibration",
        "restore",
        "weights",
        "research_checkpoint",
        "cohorts",
        "comparison",
        "scoring",
        "training_job",
        "case_checks",
    },
    {
        "segmentation",
        "drawing",
        "fast_drawing",
        "fast_look",
        "applicability",
        "canvas",
        "tiling",
        "training",
        "output",
    }
    | {
        "bounds",
        "evaluation",
        "evaluation_tables",
        "phantom_evaluation",
        "style_swap",
        "volume_evaluation",
    },
    {"demo", "commands", "train_commands", "command_text", "cli", "__main__"}
    | {"worker", "worker_answers", "worker_errors", "worker_training"},
)


def imports_of(module: str, *, nested: bool = True) -> Iterator[str]:
    """Yield what a module imports: "torch", or "diffoseg.model" for one of the engine's own."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    package = ("diffoseg", *module.split("."))
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = ".".join((*package[: -node.level or None], *filter(None, [node.module])))
            home = home if node.level else str(node.module)
            for alias in node.names:
                name = f"{home}.{alias.name}"
                yield name if name.removeprefix("diffoseg.") in MODULES else home


def own(module: str, *, nested: bool = True) -> set[str]:
    """Return the engine's modules that ``module`` imports, such as "networks.unet"."""
    names = (name.removeprefix("diffoseg.") for name in imports_of(module, nested=nested))
    return {name for name in names if name in MODULES and name != module}


def floor_of(module: str) -> int:
    room = module if any(module in rooms for rooms in FLOORS) else module.split(".")[0]
    levels = [level for level, rooms in enumerate(FLOORS) if room in rooms]
    assert levels, f"{module} has no floor: add it to FLOORS"
    return levels[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_engine_never_touches_slicer(module):
    tops = {name.split(".")[0].lower() for name in imports_of(module)}
    assert not tops & {"slicer", "qt", "ctk", "vtk", "pyside6", "pyqt5"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"__init__"}))
def test_every_module_has_a_floor_and_reaches_only_downwards(module):
    above = {other for other in own(module) if floor_of(other) > floor_of(module)}
    assert not above


@pytest.mark.parametrize("module", sorted(set(MATHEMATICS) & set(MODULES)))
def test_the_mathematics_imports_only_numbers(module):
    allowed = {"torch", "numpy", "scipy", "diffoseg"} | sys.stdlib_module_names
    assert {name.split(".")[0] for name in imports_of(module)} <= allowed
    assert own(module) <= MATHEMATICS[module]


def test_no_module_needs_itself_to_load():
    graph = {module: own(module, nested=False) for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "statement",
    [
        "import diffoseg",
        "from diffoseg import job, catalog, workload, geometry, experts, errors, intensity",
        "from diffoseg import version, metadata, field_of_view, volume, worker, presets",
        "from diffoseg import training_job, case_checks; import diffoseg.cohorts.datalist",
        "from diffoseg import expert_library as e; e.ExpertLibrary(e.default_folder()).cards()",
        "from diffoseg.local_expert import save_expert, load_expert, read_expert_card",
        "from diffoseg.catalog import available_cards; assert available_cards()",
        "from diffoseg.cli import main; main(['--help'])",
    ],
)
def test_loads_without_torch(statement):
    heavy = "{'torch', 'monai', 'scipy', 'SimpleITK', 'matplotlib', 'safetensors'}"
    check = f"{statement}\nimport sys\nassert not {heavy} & set(sys.modules)"
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
