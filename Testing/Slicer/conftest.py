"""The application stand-in for all tests of the Slicer side: booted once, cleared for each test."""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGES = (
    "libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libxkbcommon0 libdbus-1-3 libfontconfig1"
    " libglib2.0-0 fonts-dejavu-core"
)


def _boot() -> str:
    """Start the host; return why it cannot, or nothing."""
    try:
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            ctypes.CDLL("libEGL.so.1")  # VTK would end the process without it
        import SlicerHost

        SlicerHost.boot()
    except (ImportError, OSError) as error:
        return (
            f"Tests of the Slicer side need `pip install .[slicer]` and, on Debian,"
            f" `apt install {PACKAGES}` ({error})."
        )
    return ""


missing = _boot()
collect_ignore_glob = ["*test_*.py"] if missing else []  # in the rooms, too


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if missing:
        terminalreporter.write_line(f"SKIPPED Testing/Slicer: {missing}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if missing and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session", autouse=True)
def noExpertsOfOnesOwn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep every test away from the experts that were taught on this computer."""
    patched = pytest.MonkeyPatch()
    patched.setenv("DIFFOSEG_EXPERTS", str(tmp_path_factory.mktemp("taught") / "experts"))
    yield
    patched.undo()


@pytest.fixture
def experts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a test's own experts, which are nobody's at first."""
    folder = tmp_path / "taught" / "experts"
    monkeypatch.setenv("DIFFOSEG_EXPERTS", str(folder))
    return folder


@pytest.fixture(scope="session")
def host() -> Any:
    """Return slicer.app."""
    import SlicerHost

    return SlicerHost.boot()


@pytest.fixture
def scene(host: Any) -> Iterator[Any]:
    """Return the cleared scene; what slots and observers raised fails the test."""
    import SlicerHost

    SlicerHost.clear()
    yield host.mrmlScene()
    host.processEvents()
    raised, SlicerHost.uncaught[:] = list(SlicerHost.uncaught), []
    assert not raised, "\n".join(raised)
