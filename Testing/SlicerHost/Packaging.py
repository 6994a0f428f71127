"""A stand-in for slicer.packaging that installs nothing and keeps what it was asked for."""

from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

import SlicerHost

from .ScriptedModule import addModule


def load_requirements(path: str | Path) -> list[Requirement]:
    """Read a requirements file."""
    lines = (line.partition("#")[0].strip() for line in Path(path).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def pip_check(req: Any) -> bool:
    """Tell whether all requirements are met by what is installed."""
    return all(_isMet(requirement) for requirement in _requirements(req))


def pip_ensure(requirements: Any, **_: Any) -> None:
    """Keep what is missing in SlicerHost.pipCalls."""
    missing = [str(r) for r in _requirements(requirements) if not _isMet(r)]
    if missing:
        SlicerHost.pipCalls.append(missing)


def pip_install(requirements: Any, **_: Any) -> None:
    """Keep the call in SlicerHost.pipCalls."""
    words = requirements.split() if isinstance(requirements, str) else requirements
    SlicerHost.pipCalls.append([str(word) for word in words])


def isPipInstallInProgress() -> bool:
    """Tell that nothing is being installed, as ever."""
    return False


def _requirements(given: Any) -> list[Requirement]:
    many = [given] if isinstance(given, (str, Requirement)) else given
    return [one if isinstance(one, Requirement) else Requirement(one) for one in many]


def _isMet(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def install() -> None:
    functions = (load_requirements, pip_check, pip_ensure, pip_install, isPipInstallInProgress)
    addModule("slicer.packaging", Requirement=Requirement, **{f.__name__: f for f in functions})
