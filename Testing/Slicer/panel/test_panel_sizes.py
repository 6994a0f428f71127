"""Nothing in the panel is cut off or out of reach, however large a desktop's letters are."""

import pytest
import qt
import slicer
from a_panel import openPanel
from a_picture import cutOff, fitted
from a_reading import aPhantomReading
from a_run import logic_with
from a_training import a_case
from a_training_panel import aTrainingPanel, lookedAt

SIZES = (9, 12, 13, 18)  # points; the last as on a desktop for weak eyes


@pytest.fixture(params=SIZES)
def letters(request):
    """Give the application's letters a size, and the former one back."""
    before = slicer.app.font
    font = qt.QFont(before() if callable(before) else before)
    kept = qt.QFont(font)
    font.setPointSize(request.param)
    slicer.app.setFont(font)
    yield request.param
    slicer.app.setFont(kept)


def test_every_text_and_row_of_the_panel_is_seen(letters, monkeypatch):
    aPhantomReading((10, 60, 60))
    with openPanel(logic_with(), monkeypatch) as widget:
        panel = widget.panel
        frame = fitted(panel.ui.applyButton)
        assert cutOff(frame) == []
        table = panel.ui.expertsTable
        assert rowsSeen(table) >= min(table.rowCount, 8)
        assert allRowsFitTheirText(table)


def rowsSeen(table):
    """Return how many rows a table shows whole."""
    room = table.height - 2 * table.frameWidth
    header = table.horizontalHeader()
    room -= header.height if header.visible else 0
    return room // table.rowHeight(0)


def allRowsFitTheirText(table):
    high = qt.QFontMetrics(table.font).height()
    return all(table.rowHeight(row) >= high for row in range(table.rowCount))


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_every_text_and_row_of_the_training_panel_is_seen(letters, monkeypatch, count):
    with aTrainingPanel(monkeypatch) as panel:
        for number in range(count):
            a_case(number)
        panel.logic.addAllPairs()
        if count:
            lookedAt(panel)
        frame = fitted(panel.ui.startButton)
        assert cutOff(frame) == []
        table = panel.ui.casesTable
        assert rowsSeen(table) >= min(count, 8)
        assert allRowsFitTheirText(table)
