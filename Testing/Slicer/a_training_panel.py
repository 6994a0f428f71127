"""The panel of DiffOSeg Training as a person sees it, its worker a fake one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from a_panel import ROOT, openModule, until
from a_training import training_logic

TRAINING = ROOT / "DiffOSegTraining" / "DiffOSegTraining.py"
WIDTH = 400  # pixels, of a narrow module panel


@contextmanager
def openTraining(logic: Any, monkeypatch: Any) -> Iterator[Any]:
    """Open the module with a logic in place of the application's; yields its PanelWidget."""
    from DiffOSegTrainingLib.run import TrainingLogic

    monkeypatch.setattr(TrainingLogic, "_shared", logic)
    with openModule(TRAINING) as widget:
        yield widget.panel


@contextmanager
def aTrainingPanel(monkeypatch: Any, mode: str = "normal", step: float = 0.002) -> Iterator[Any]:
    """Open the module with a fake worker; yields its PanelWidget."""
    with openTraining(training_logic(mode, step), monkeypatch) as panel:
        yield panel


def lookedAt(panel: Any) -> None:
    """Wait until every case has been looked at."""
    until(lambda: None not in panel.logic.checks())
    panel._update()


def cellsOf(table: Any, row: int) -> list[str]:
    """Return what a row of a table says."""
    items = (table.item(row, column) for column in range(table.columnCount))
    return [item.text() if item else "" for item in items]


def select(table: Any, *rows: int) -> None:
    """Select these rows of a table and no others, as clicks do."""
    table.clearSelection()
    for row in rows:
        for column in range(table.columnCount):
            table.item(row, column).setSelected(True)


def enter(edit: Any, text: str) -> None:
    """Type into a line edit and leave it."""
    edit.setText(text)
    edit.editingFinished.emit()


def pick(selector: Any, node: Any) -> None:
    """Choose a node; Slicer's selector says the same, whoever has chosen it."""
    selector.setCurrentNode(node)


def start(panel: Any) -> None:
    """Press Start and wait until all is over."""
    panel.ui.startButton.click()
    until(lambda: panel.logic.activeTraining is None)
