"""A stand-in for slicer.packaging that installs nothing and keeps what it was asked for."""

from importlib import metadata
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import InvalidRequirement, Requirement

import SlicerHost

from .ScriptedModule import addModule


def load_requirements(path: str | Path) -> list[Requirement]:
    """Read a requirements file; as in Slicer a remark after a requirement is an error."""
    lines = (line.strip() for line in Path(path).read_text().splitlines())
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pip_check(req: Any) -> bool:
    """Tell whether all requirements are met by what is installed."""
    return all(_isMet(requirement) for requirement in _requirements(req))


def pip_ensure(
    requirements: Any,
    constraints: Any = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> None:
    """Keep what is missing in SlicerHost.pipCalls; ask first, but at the user's desk only.

    Slicer passes over all of this in testing mode, unless told not to.

    Raises:
        RuntimeError: the answer was no.
    """
    missing = [str(r) for r in _requirements(requirements) if not _isMet(r)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return
    question = f"{len(missing)} Python packages need to be installed."
    if prompt_install and not slicer.util.confirmOkCancelDisplay(question):
        raise RuntimeError("User declined package installation")
    pip_install(missing)


def pip_install(requirements: Any, **_: Any) -> None:
    """Keep the call in SlicerHost.pipCalls; the application lives on meanwhile."""
    wait()
    words = requirements.split() if isinstance(requirements, str) else requirements
    SlicerHost.pipCalls.append([str(word) for word in words])


def wait() -> None:
    """Do what Slicer does after each line that pip prints: let events through."""
    if SlicerHost.meanwhile:
        SlicerHost.meanwhile.pop(0)()
    slicer.app.processEvents()


def isPipInstallInProgress() -> bool:
    """Tell that nothing is being installed, as ever."""
    return False


def _requirements(given: Any) -> list[Requirement]:
    if isinstance(given, str):
        try:
            return [Requirement(given)]
        except InvalidRequirement:
            return [Requirement(word) for word in given.split()]
    many = [given] if isinstance(given, Requirement) else given
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
