"""The module's panel as a person sees it: made anew for a test, its worker a fake one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qt
import slicer

import SlicerHost
from diffoseg.experts.panel import display_name

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "DiffOSeg" / "DiffOSeg.py"


def until(condition: Callable[[], Any], seconds: float = 90.0, pause: float = 0.005) -> None:
    """Let the application live until something is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        slicer.app.processEvents()
        time.sleep(pause)


def live(seconds: float) -> None:
    """Let the application live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.005)


@contextmanager
def openModule(path: Path) -> Iterator[Any]:
    """Open a module as a click in Slicer's list of modules does; yields its widget."""
    module = SlicerHost.loadModule(path)
    frame = module.createNewWidgetRepresentation()
    frame.resize(420, 1000)
    frame.show()
    widget = getattr(slicer.modules, f"{path.stem}Widget")
    widget.enter()
    try:
        yield widget
    finally:
        widget.exit()
        widget.cleanup()
        frame.hide()
        frame.deleteLater()
        slicer.app.processEvents()


@contextmanager
def openPanel(logic: Any, monkeypatch: Any) -> Iterator[Any]:
    """Open the module with a logic in place of the application's; yields DiffOSegWidget."""
    from DiffOSegLib.run import Logic

    monkeypatch.setattr(Logic, "_shared", logic)
    with openModule(MODULE) as widget:
        yield widget


def run(panel: Any) -> None:
    """Press Apply and wait until all is drawn."""
    panel.ui.applyButton.click()
    until(lambda: panel.logic.activeRun is None)


def choose(combo: Any, data: str) -> None:
    """Choose an entry of a combo box by what it stands for."""
    index = combo.findData(data)
    assert index >= 0, f"{data!r} is not on offer"
    combo.setCurrentIndex(index)


def tick(panel: Any, *names: str) -> None:
    """Tick these experts, and no other, by hand."""

    table, wanted = panel.ui.expertsTable, [display_name(name) for name in names]
    for row in range(table.rowCount):
        item = table.item(row, 0)
        item.setCheckState(qt.Qt.Checked if item.text() in wanted else qt.Qt.Unchecked)
