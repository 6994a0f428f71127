"""The application stand-in for all tests of the Slicer side: booted once, cleared for each test."""

from collections.abc import Iterator
from typing import Any

import pytest

PACKAGES = "libegl1 libgl1 libgl1-mesa-dri libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0"

try:
    import SlicerHost

    SlicerHost.boot()
    missing = ""
except ImportError as error:
    missing = f"Slicer's test host needs the 'slicer' extra and, on Debian: {PACKAGES} ({error})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if missing:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def host() -> Any:
    """Return slicer.app."""
    return SlicerHost.boot()


@pytest.fixture
def scene(host: Any) -> Iterator[Any]:
    """Return the cleared scene; what slots and observers raised fails the test."""
    SlicerHost.clear()
    yield host.mrmlScene()
    host.processEvents()
    raised, SlicerHost.uncaught[:] = list(SlicerHost.uncaught), []
    assert not raised, "\n".join(raised)
