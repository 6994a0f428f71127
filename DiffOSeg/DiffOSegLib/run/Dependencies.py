"""What DiffOSeg needs beyond what Slicer ships: told without importing it, installed when asked.

torch is never imported into Slicer's own process: there its crash would be Slicer's, and on Windows
its open files could not be repaired. Whether it truly works only the worker can tell, which then
calls noteBroken(). Python 3.9 can import this file too: old Slicers get their sentence from it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from diffoseg.errors import CancelledError, DependencyError

REQUIREMENTS = Path(__file__).resolve().parents[2] / "Resources" / "DiffOSegRequirements.txt"

_NEEDED_SLICER = (5, 12, 1)  # 5.10 has no slicer.packaging; in 5.12.0 pip could hang
_NEEDED_TORCH = ">=2.4"
_TORCH = "PyTorch"
_LONGEST_SITE_PACKAGES = 86  # characters; beyond, torch's own paths pass the 260 of Windows


@dataclass(frozen=True)
class Package:
    """One package that is to be installed: its name, what it is for and how big it is."""

    name: str
    why: str
    size: str


@dataclass(frozen=True)
class DependencyState:
    """What stands between this Slicer and a run.

    Attributes:
        missing: packages that an installation would bring, torch first.
        broken: what is installed but does not work, as a sentence, or None.
        slicerTooOld: which Slicer or which computer is needed, as a sentence, or None; then no
            more is looked at.
    """

    missing: tuple[Package, ...] = ()
    broken: str | None = None
    slicerTooOld: str | None = None

    @property
    def ready(self) -> bool:
        """Whether a run can start."""
        return not (self.missing or self.broken or self.slicerTooOld)


_reportedByWorker: tuple[str, list[float]] | None = None
_isInstalling = False
_listeners: list[Callable[[], None]] = []


def whyWait() -> str | None:
    """Return why nothing can be started while packages are installed; None while none are.

    The installers let clicks through while they wait, so whatever starts something asks here.
    """
    if not _isInstalling:
        return None
    return _("Packages are being installed. Wait until that is done.")


def observeInstalling(onChanged: Callable[[], None]) -> Callable[[], None]:
    """Have this called when an installation begins and when it ends; return what stops that."""
    _listeners.append(onChanged)
    return lambda: _listeners.remove(onChanged) if onChanged in _listeners else None


def noteBroken(sentence: str | None) -> None:
    """Remember what the worker said about packages that do not load; None when it works again.

    It is forgotten by itself once the packages have been installed anew.
    """
    global _reportedByWorker
    _reportedByWorker = (sentence, _installedAt()) if sentence else None


def state() -> DependencyState:
    """Tell missing, broken and too old apart; reads metadata only, a few milliseconds."""
    tooOld = _slicerTooOld() or _noTorchHere(sys.platform, platform.machine())
    if tooOld:
        return DependencyState(slicerTooOld=tooOld)
    importlib.invalidate_caches()
    missing: list[Package] = []
    for requirement in _requirements():
        name = requirement.name
        if _halfInstalled(name):
            return DependencyState(broken=_halfInstalledSentence(name))
        if not _pip().pip_check(requirement):
            missing.append(_package(name))
    if missing or not _reportedByWorker or _reportedByWorker[1] != _installedAt():
        return DependencyState(tuple(missing))
    return DependencyState(broken=_reportedByWorker[0])


def install(ask: Callable[[str], bool], report: Callable[[str], None]) -> bool:
    """Install what is missing after one question; on the main thread, returns when all is there.

    The application lives on meanwhile: where True is returned, much time has passed, and nothing
    that was read from the scene before is to be trusted.

    Args:
        ask: shows a question, answers whether the user agrees.
        report: shows one line about what is being done.

    Raises CancelledError when the user declines, DependencyError when something is broken, cannot
    be installed, or another installation is under way.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Packages can be installed on the main thread only.")
    busy = whyWait()
    if busy:
        raise DependencyError(busy)
    found = state()
    obstacle = found.slicerTooOld or found.broken or _obstacle(found.missing)
    if obstacle:
        raise DependencyError(obstacle)
    if not found.missing:
        return False
    with _oneAtATime():
        if not ask(question(found.missing)):
            raise CancelledError(
                _("Nothing was installed. DiffOSeg cannot run without its packages.")
            )
        _installAll(found.missing, report)
    return True


@contextmanager
def _oneAtATime() -> Iterator[None]:
    """Tell everybody that an installation goes on, and when it is over."""
    global _isInstalling
    _isInstalling = True
    try:
        _tell()
        yield
    finally:
        _isInstalling = False
        _tell()


def _tell() -> None:
    for onChanged in tuple(_listeners):
        onChanged()


def _installAll(missing: tuple[Package, ...], report: Callable[[str], None]) -> None:
    if _lacksTorch(missing):
        report(_("Installing PyTorch. This can take many minutes; Slicer waits."))
        _installTorch()
    report(_("Installing the other packages."))
    _installOthers()
    noteBroken(None)
    left = state()
    if left.broken or left.missing:
        raise DependencyError(left.broken or _notInstalled(p.name for p in left.missing))


def confirm(question: str) -> bool:
    """Ask in a message box; what a panel gives to :func:`install`."""
    return bool(slicer.util.confirmOkCancelDisplay(question, _("DiffOSeg")))


def question(missing: tuple[Package, ...]) -> str:
    """Return the one question that is asked before anything is downloaded."""
    lines = [f"- {package.name}: {package.why} ({package.size})" for package in missing]
    text = _(
        "DiffOSeg needs packages that are not installed in Slicer yet:\n\n{packages}\n\n"
        "They are downloaded from the internet; no image leaves this computer. Install them now?"
    ).format(packages="\n".join(lines))
    warning = pathWarning(sysconfig.get_paths()["purelib"], onWindows=os.name == "nt")
    return f"{text}\n\n{warning}" if warning and _lacksTorch(missing) else text


def pathWarning(sitePackages: str, onWindows: bool) -> str | None:
    """Return what to do where Slicer's folder is so deep that Windows cannot hold torch in it."""
    if not onWindows or len(sitePackages) <= _LONGEST_SITE_PACKAGES:
        return None
    return _(
        "Slicer's folder has a long path ({length} characters up to its packages), and Windows may"
        " refuse PyTorch's files in it. If the installation fails, install Slicer in C:\\Slicer."
    ).format(length=len(sitePackages))


def _package(name: str) -> Package:
    """Describe one package; the sizes are those of the downloads, as of 2026."""
    if name == "torch":
        return Package(_TORCH, _("runs the model"), _("0.2 GB for CPU, 2-3 GB with CUDA"))
    if name == "safetensors":
        return Package(name, _("reads the model's file"), _("under 1 MB"))
    if name == "monai":
        return Package(name, _("measures the distances between outlines"), _("3 MB"))
    return Package(name, _("needed by DiffOSeg"), _("small"))


def _lacksTorch(missing: tuple[Package, ...]) -> bool:
    return any(package.name == _TORCH for package in missing)


def _pip() -> Any:
    """Return slicer.packaging, which Slicers older than the needed one lack."""
    return importlib.import_module("slicer.packaging")


def _requirements() -> list[Any]:
    """Return torch's requirement and those of the file, as packaging.requirements.Requirement."""
    listed = _pip().load_requirements(REQUIREMENTS)
    return [type(listed[0])(f"torch{_NEEDED_TORCH}"), *listed]


def _slicerTooOld() -> str | None:
    app = slicer.app
    found: tuple[int, ...] = (app.majorVersion, app.minorVersion)
    needed: tuple[int, ...] = _NEEDED_SLICER
    if app.isCustomMainApplication:
        needed = needed[:2]  # the patch level that is told is the application's, not Slicer's
    elif found == needed[:2]:
        found += (app.mainApplicationPatchVersion,)
    if found >= needed:
        return None
    return _("DiffOSeg needs Slicer {needed} or newer; this is Slicer {found}.").format(
        needed=".".join(map(str, _NEEDED_SLICER)), found=".".join(map(str, found))
    )


def _noTorchHere(system: str, machine: str) -> str | None:
    """Return why there is no PyTorch for this Slicer; one that is there already will do."""
    if system != "darwin" or machine != "x86_64":
        return None
    torch = _requirements()[0]
    if _pip().pip_check(torch):
        return None
    return _(
        "DiffOSeg cannot run in this Slicer: Slicer for macOS is built for Intel processors, also"
        " on a Mac with an Apple processor, and PyTorch {needed} exists for Apple processors only."
        " Use Slicer on Windows or Linux, or DiffOSeg's command line on this Mac."
    ).format(needed=_NEEDED_TORCH.removeprefix(">=") + _(" or newer"))


def _halfInstalled(name: str) -> bool:
    """Return whether pip believes in a package whose files are not all there.

    An installation that broke off leaves a folder without ``__init__``, which imports as an empty
    namespace, and pip would not touch it again.
    """
    try:
        if not importlib.metadata.version(name):
            return True  # the record itself is damaged
    except importlib.metadata.PackageNotFoundError:
        return False
    spec = PathFinder.find_spec(name)  # unlike importlib.util's, blind to what is imported already
    return spec is None or spec.origin is None


def _installedAt() -> list[float]:
    """Return when each package's files were written, seconds; 0 where there are none."""
    specs = [PathFinder.find_spec(requirement.name) for requirement in _requirements()]
    files = [spec.origin if spec else None for spec in specs]
    return [Path(file).stat().st_mtime if file else 0.0 for file in files]


def _halfInstalledSentence(name: str) -> str:
    if name == "torch":
        return _(
            "PyTorch is only partly installed. Open the module PyTorch Utils, press"
            ' "Uninstall PyTorch", restart Slicer and press Apply again.'
        )
    return _(
        "The package {name} is only partly installed. Remove it with"
        ' slicer.packaging.pip_uninstall("{name}") in the Python console and press Apply again.'
    ).format(name=name)


def _obstacle(missing: tuple[Package, ...]) -> str | None:
    """Return why an installation cannot begin now."""
    if missing and _pip().isPipInstallInProgress():
        return _("Another installation is under way. Wait until it is done and press Apply again.")
    if _lacksTorch(missing) and _pyTorchUtils() is None:
        return _(
            'PyTorch is installed by Slicer\'s extension "PyTorch", which is missing. Install it'
            " from the Extensions Manager, restart Slicer and press Apply again."
        )
    return None


def _pyTorchUtils() -> Any:
    try:
        return importlib.import_module("PyTorchUtils")
    except ImportError:
        return None


def _installTorch() -> None:
    try:
        logic = _pyTorchUtils().PyTorchUtilsLogic()
        with _notImportedBy(type(logic).__module__, "torch", "torchvision"):
            logic.installTorch(torchVersionRequirement=_NEEDED_TORCH)
    except Exception as error:  # another extension's code: whatever it raises, say what it means
        blocked = isinstance(error, ModuleNotFoundError) and error.name in ("torch", "torchvision")
        if not blocked:
            raise DependencyError(_torchFailed(str(error))) from error
    if _lacksTorch(state().missing):
        raise DependencyError(_torchFailed(""))


class _Refusal:
    """A finder of modules that refuses some to one importer, and leaves all else to the others."""

    def __init__(self, importer: str, names: tuple[str, ...]):
        self._importer, self._names = importer, names

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
        """Raise ModuleNotFoundError where that importer asks; called by Python."""
        if name in self._names and _whoImports() == self._importer:
            raise ModuleNotFoundError(f"{name} is not imported here.", name=name)


def _whoImports() -> str:
    """Return the name of the module whose import is being carried out."""
    frame: Any = sys._getframe(2)
    while frame is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame.f_globals.get("__name__", "") if frame is not None else ""


@contextmanager
def _notImportedBy(importer: str, *names: str) -> Iterator[None]:
    """Keep one module from importing others meanwhile: there it raises ModuleNotFoundError.

    PyTorchUtils imports torch once it is installed, and has no way to ask it not to. Other code
    that runs while Slicer waits for pip may import what it likes.
    """
    refusal = _Refusal(importer, names)
    sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(refusal)


def _torchFailed(words: str) -> str:
    if "WinError 206" in words:
        return _(
            "Windows refused PyTorch's files because Slicer's folder has too long a path. Install"
            " Slicer in C:\\Slicer and press Apply again."
        )
    return _(
        "PyTorch could not be installed: {reason}. Check the connection to the internet and the"
        " free disk space, then press Apply again."
    ).format(reason=words.strip().rstrip(".") or _("no reason was given"))


def _installOthers() -> None:
    """Bring what the file lists, and nothing that would change a package that is there already."""
    with tempfile.TemporaryDirectory(prefix="diffoseg-") as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(_asInstalled(), encoding="utf-8")
        try:
            _pip().pip_ensure(
                _pip().load_requirements(REQUIREMENTS),
                constraints=constraints,
                prompt_install=False,
                requester="DiffOSeg",
            )
        except Exception as error:
            raise DependencyError(_notInstalled(p.name for p in state().missing)) from error


def _asInstalled() -> str:
    """Return pip constraints that hold every package at its version, but for those we install."""
    ours = {requirement.name for requirement in _requirements()} - {"torch"}
    versions = {
        dist.metadata["Name"]: dist.version
        for dist in importlib.metadata.distributions()
        if dist.metadata["Name"] and dist.version
    }
    return "".join(f"{name}=={version}\n" for name, version in versions.items() if name not in ours)


def _notInstalled(names: Iterator[str]) -> str:
    return _(
        "Not everything could be installed; still missing: {names}. Check the connection to the"
        " internet and press Apply again, or see the Python console for pip's own words."
    ).format(names=", ".join(names))
