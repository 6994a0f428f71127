"""What is missing, broken or too old is told apart, and installed after one question only."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import packaging.requirements  # noqa: F401  (loaded before the tests narrow sys.path)
import pytest
import slicer

import SlicerHost
from diffoseg.errors import CancelledError, DependencyError

PACKAGES = {"torch": "2.6.0+cpu", "safetensors": "0.5.0", "monai": "1.4.0"}


class SitePackages:
    """A folder of packages, as pip leaves it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, name: str, version: str) -> None:
        self.addRecord(name, version)
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / "__init__.py").write_text("raise RuntimeError('was imported')")

    def addRecord(self, name: str, version: str) -> None:
        for old in self.folder.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        record = self.folder / f"{name}-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )


@pytest.fixture
def dependencies(host, monkeypatch):
    from DiffOSegLib.run import Dependencies

    monkeypatch.setattr(Dependencies, "_reportedByWorker", None)
    return Dependencies


@pytest.fixture
def site(dependencies, monkeypatch, tmp_path):
    """An empty site-packages that hides the real one; only Python's own library stays."""
    for name in ("torch", "torchvision", "monai", "safetensors"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    standard = [sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED")]
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *standard])
    return SitePackages(folder)


@pytest.fixture
def fullSite(site):
    for name, version in PACKAGES.items():
        site.add(name, version)
    return site


@pytest.fixture
def pip(site, monkeypatch):
    """Slicer's pip, which writes into the site-packages above; `calls` tells what was asked."""
    calls = []

    def pipEnsure(requirements, **options):
        options["constraints"] = Path(options["constraints"]).read_text()
        calls.append(([r.name for r in requirements], options))
        for requirement in requirements:
            if not slicer.packaging.pip_check(requirement):
                site.add(requirement.name, PACKAGES[requirement.name])

    monkeypatch.setattr(slicer.packaging, "pip_ensure", pipEnsure)
    return calls


@pytest.fixture
def pyTorch(site, monkeypatch):
    """Slicer's PyTorch extension; like the real one, it imports torch once it is installed."""
    calls = []

    class PyTorchUtilsLogic:
        @property
        def torch(self):
            raise AssertionError("reading .torch installs silently")

        def installTorch(self, askConfirmation=False, torchVersionRequirement=None):
            calls.append((askConfirmation, torchVersionRequirement))
            SlicerHost.waitForPip()
            site.add("torch", PACKAGES["torch"])
            import torch

            return torch

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return calls


class Reader:
    """Answers the question, and keeps what was said."""

    def __init__(self, answer: bool):
        self.answer, self.questions, self.lines = answer, [], []

    def ask(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer

    def report(self, line: str) -> None:
        self.lines.append(line)


def test_a_complete_installation_is_ready_and_nothing_was_imported(dependencies, fullSite):
    state = dependencies.state()

    assert state.ready
    assert not {"torch", "monai", "safetensors"} & set(sys.modules)


def test_the_real_environment_is_looked_at_without_importing_torch():
    """In a process of its own, where nobody else has imported it."""
    program = (
        "import sys; sys.path[:0] = ['Testing', 'DiffOSeg']\n"
        "import SlicerHost; SlicerHost.boot()\n"
        "from DiffOSegLib.run import Dependencies; print(Dependencies.state().ready)\n"
        "print(sorted({'torch', 'monai', 'safetensors', 'SimpleITK'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split("\n")[:2] == ["True", "[]"]


def test_missing_packages_are_named_with_purpose_and_size_and_torch_first(dependencies, site):
    missing = dependencies.state().missing

    assert [package.name for package in missing] == ["PyTorch", "safetensors", "monai"]
    assert all(package.why and package.size for package in missing)


def test_a_torch_that_is_too_old_counts_as_missing(dependencies, fullSite):
    fullSite.addRecord("torch", "2.2.0")

    assert [package.name for package in dependencies.state().missing] == ["PyTorch"]


@pytest.mark.parametrize("name", ["torch", "monai"])
def test_a_package_without_its_files_is_broken_not_missing(dependencies, fullSite, name):
    (fullSite.folder / name / "__init__.py").unlink()

    state = dependencies.state()

    assert "only partly installed" in state.broken
    assert ("PyTorch Utils" if name == "torch" else name) in state.broken
    assert not state.missing


def test_leftover_files_that_pip_knows_nothing_of_are_installed_over(dependencies, site):
    (site.folder / "torch").mkdir()

    state = dependencies.state()

    assert state.broken is None
    assert state.missing[0].name == "PyTorch"


def test_what_the_worker_says_is_broken_stays_so_until_it_works_again(dependencies, fullSite):
    dependencies.noteBroken("PyTorch does not load: a file is missing.")
    assert dependencies.state().broken == "PyTorch does not load: a file is missing."
    assert not dependencies.state().ready

    dependencies.noteBroken(None)
    assert dependencies.state().ready


def test_packages_installed_anew_are_given_another_chance(dependencies, fullSite):
    dependencies.noteBroken("PyTorch does not load: a file is missing.")

    os.utime(fullSite.folder / "torch" / "__init__.py", (0, 0))

    assert dependencies.state().ready


@pytest.mark.parametrize(
    ("version", "custom", "enough"),
    [
        ((5, 8, 1), False, False),
        ((5, 12, 0), False, False),
        ((5, 12, 1), False, True),
        ((5, 13, 0), False, True),
        ((6, 0, 0), False, True),
        ((5, 12, 0), True, True),  # the patch level is the other application's
        ((5, 11, 7), True, False),
    ],
)
def test_slicer_before_5_12_1_is_told_what_is_needed(
    dependencies, fullSite, monkeypatch, version, custom, enough
):
    app = types.SimpleNamespace(
        majorVersion=version[0],
        minorVersion=version[1],
        mainApplicationPatchVersion=version[2],
        isCustomMainApplication=custom,
        translate=lambda context, text: text,
    )
    monkeypatch.setattr(slicer, "app", app)

    sentence = dependencies.state().slicerTooOld

    assert (sentence is None) == enough
    if not enough:
        assert "5.12.1" in sentence
        assert f"{version[0]}.{version[1]}" in sentence


@pytest.mark.parametrize(
    ("system", "machine", "told"),
    [
        ("darwin", "x86_64", True),  # official Slicer, also on Apple processors
        ("darwin", "arm64", False),
        ("linux", "x86_64", False),
        ("win32", "AMD64", False),
    ],
)
def test_a_slicer_that_no_pytorch_exists_for_is_told_before_anything_is_asked(
    dependencies, site, pip, pyTorch, monkeypatch, system, machine, told
):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    reader = Reader(answer=True)

    sentence = dependencies.state().slicerTooOld

    assert (sentence is not None) == told
    if told:
        assert "macOS" in sentence
        with pytest.raises(DependencyError, match="macOS"):
            dependencies.install(reader.ask, reader.report)
        assert not reader.questions
        assert not pyTorch


def test_a_torch_that_somebody_built_for_such_a_slicer_will_do(dependencies, fullSite, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    assert dependencies.state().ready


def test_one_question_then_torch_by_its_extension_and_the_rest_by_pip(
    dependencies, site, pip, pyTorch
):
    reader = Reader(answer=True)

    dependencies.install(reader.ask, reader.report)

    assert len(reader.questions) == 1
    for part in ("PyTorch", "0.2 GB for CPU, 2-3 GB with CUDA", "safetensors", "monai"):
        assert part in reader.questions[0]
    assert pyTorch == [(False, ">=2.4")]
    [(names, options)] = pip
    assert names == ["safetensors", "monai"]
    assert options["prompt_install"] is False
    assert dependencies.state().ready
    assert any("PyTorch" in line for line in reader.lines)


def test_installing_torch_does_not_import_it_here(dependencies, site, pip, pyTorch):
    reader = Reader(answer=True)

    dependencies.install(reader.ask, reader.report)

    assert "torch" not in sys.modules


def test_other_code_may_import_torch_while_it_is_installed(dependencies, site, pip, pyTorch):
    def another():
        site.add("torch", PACKAGES["torch"])
        (site.folder / "torch" / "__init__.py").write_text("")
        exec("import torch", {"__name__": "AnotherExtension"})

    SlicerHost.meanwhile.append(another)
    reader = Reader(answer=True)

    dependencies.install(reader.ask, reader.report)

    assert not SlicerHost.meanwhile
    assert "torch" in sys.modules


def test_whoever_starts_something_meanwhile_is_told_to_wait(dependencies, site, pip, pyTorch):
    reader, told, changes = Reader(answer=True), [], []
    stop = dependencies.observeInstalling(lambda: changes.append(dependencies.whyWait()))

    def clickAgain():
        told.append(dependencies.whyWait())
        with pytest.raises(DependencyError, match="being installed"):
            dependencies.install(reader.ask, reader.report)

    SlicerHost.meanwhile.append(clickAgain)
    assert dependencies.install(reader.ask, reader.report)
    stop()

    assert len(pyTorch) == 1
    assert told == [changes[0]]
    assert changes == [told[0], None]


def test_pip_may_change_no_package_that_is_there_already(dependencies, site, pip, pyTorch):
    site.add("numpy", "2.4.6")
    site.add("monai", "0.9.0")
    reader = Reader(answer=True)

    dependencies.install(reader.ask, reader.report)
    constraints = pip[0][1]["constraints"].split()

    assert "numpy==2.4.6" in constraints
    assert "torch==2.6.0+cpu" in constraints
    assert not any(line.startswith(("monai", "safetensors")) for line in constraints)


def test_declining_installs_nothing_and_says_so(dependencies, site, pip, pyTorch):
    reader = Reader(answer=False)

    with pytest.raises(CancelledError, match="Nothing was installed"):
        dependencies.install(reader.ask, reader.report)

    assert not pip
    assert not pyTorch
    assert not list(site.folder.iterdir())


def test_nothing_is_asked_where_nothing_is_missing(dependencies, fullSite, pip):
    reader = Reader(answer=True)

    dependencies.install(reader.ask, reader.report)

    assert not reader.questions
    assert not pip


def test_without_the_pytorch_extension_its_name_and_place_are_told_before_asking(
    dependencies, site, pip
):
    reader = Reader(answer=True)

    with pytest.raises(DependencyError, match=r'"PyTorch".*Extensions Manager'):
        dependencies.install(reader.ask, reader.report)

    assert not reader.questions
    assert not pip


def test_the_extension_is_not_needed_where_torch_is_there(dependencies, site, pip):
    site.add("torch", PACKAGES["torch"])
    reader = Reader(answer=True)

    dependencies.install(reader.ask, reader.report)

    assert "PyTorch" not in reader.questions[0]
    assert dependencies.state().ready


def test_a_second_installation_waits_for_the_first(dependencies, site, pip, pyTorch, monkeypatch):
    monkeypatch.setattr(slicer.packaging, "isPipInstallInProgress", lambda: True)
    reader = Reader(answer=True)

    with pytest.raises(DependencyError, match="under way"):
        dependencies.install(reader.ask, reader.report)

    assert not reader.questions


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("[WinError 206] The filename or extension is too long", r"C:\\Slicer"),
        ("Command returned non-zero exit status 1.", "internet"),
    ],
)
def test_a_failed_torch_installation_ends_in_advice(
    dependencies, site, pip, pyTorch, monkeypatch, words, advice
):
    def fail(self, **options):
        raise OSError(words)

    monkeypatch.setattr(sys.modules["PyTorchUtils"].PyTorchUtilsLogic, "installTorch", fail)
    reader = Reader(answer=True)

    with pytest.raises(DependencyError, match=advice):
        dependencies.install(reader.ask, reader.report)

    assert not pip  # without torch, pip would bring the wrong one as monai's dependency


def test_a_torch_installation_that_brings_nothing_stops_there(
    dependencies, site, pip, pyTorch, monkeypatch
):
    logic = sys.modules["PyTorchUtils"].PyTorchUtilsLogic
    monkeypatch.setattr(logic, "installTorch", lambda self, **options: None)
    reader = Reader(answer=True)

    with pytest.raises(DependencyError, match="PyTorch"):
        dependencies.install(reader.ask, reader.report)

    assert not pip


def test_packages_that_pip_did_not_bring_are_named(dependencies, site, pyTorch, monkeypatch):
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda requirements, **options: None)
    reader = Reader(answer=True)

    with pytest.raises(DependencyError, match="safetensors, monai"):
        dependencies.install(reader.ask, reader.report)


def test_a_deep_folder_on_windows_is_warned_of_before_torch():
    from DiffOSegLib.run.Dependencies import pathWarning

    deep = "C:\\" + "s" * 83
    assert pathWarning(deep, onWindows=True) is None
    assert "C:\\Slicer" in pathWarning(deep + "s", onWindows=True)
    assert pathWarning(deep + "s", onWindows=False) is None


def test_the_requirements_list_what_is_described_and_no_torch(dependencies):
    names = [requirement.name for requirement in dependencies._requirements()]

    assert names[0] == "torch"
    assert names.count("torch") == 1
    assert all(dependencies._package(name).size != "small" for name in names)
    assert importlib.metadata.version("torch")
