"""The list of who can be asked to draw: check box, colour, name and description."""

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from diffoseg.catalog import ModelCard
from diffoseg.experts import CONSENSUS, Color, display_name

NOBODY = ("",)
"""What the parameter node holds where nobody is ticked, since an empty list there is everybody."""

_SWATCH = 14  # pixels
_VISIBLE_ROWS = 8
_ROW_HEIGHT = 24  # pixels


def swatch(color: Color) -> "qt.QIcon":
    """Return a small square in the colour that an expert has everywhere."""
    pixmap = qt.QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(qt.QColor(*(round(255 * channel) for channel in color)))
    return qt.QIcon(pixmap)


def fitHeight(table: "qt.QTableWidget", headerRows: int) -> None:
    """Make a table as high as its rows, up to a few, so that it leaves no empty space."""
    rows = max(min(table.rowCount, _VISIBLE_ROWS), 1) + headerRows
    table.setFixedHeight(rows * _ROW_HEIGHT + 2 * table.frameWidth)


def dress(table: "qt.QTableWidget", columns: int) -> None:
    """Give a table the panel's looks: no grid, no editing, no selection, rows of one height."""
    table.setColumnCount(columns)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
    table.horizontalHeader().setStretchLastSection(True)
    table.horizontalHeader().setFixedHeight(_ROW_HEIGHT)
    table.setShowGrid(False)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionMode(qt.QAbstractItemView.NoSelection)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)


class ExpertsTableWidget:
    """A table of one model's answers, of which some are ticked; the consensus stands first."""

    def __init__(self, ui: Any, onChanged: Callable[[tuple[str, ...]], None]):
        """Dress the panel's table; ``onChanged`` is called with the ticked ones after a click."""
        self._table, self._count = ui.expertsTable, ui.expertsCountLabel
        self._onChanged = onChanged
        self._card: ModelCard | None = None
        self._answers: tuple[str, ...] = ()
        self._filling = False
        dress(self._table, columns=2)
        self._table.horizontalHeader().setVisible(False)
        self._table.connect("cellChanged(int,int)", self._onCellChanged)
        ui.allExpertsButton.connect("clicked(bool)", self._tickAll)
        ui.noExpertsButton.connect("clicked(bool)", self._tickNone)

    @property
    def ticked(self) -> tuple[str, ...]:
        """The names that are ticked, in the model's order."""
        items = (self._table.item(row, 0) for row in range(len(self._answers)))
        states = [item.checkState() == qt.Qt.Checked for item in items]
        return tuple(name for name, on in zip(self._answers, states, strict=True) if on)

    def setCard(self, card: ModelCard | None) -> None:
        """List what a model can answer; None empties the table."""
        if card is self._card:
            return
        self._card = card
        self._answers = card.answers if card else ()
        self._filling = True
        self._table.setRowCount(len(self._answers))
        for row, name in enumerate(self._answers):
            assert card is not None
            self._fillRow(row, name, card)
        self._filling = False
        fitHeight(self._table, headerRows=0)

    def setTicked(self, names: Sequence[str]) -> None:
        """Tick some names; an empty sequence ticks everybody. Unknown names are passed over."""
        self._filling = True
        for row, name in enumerate(self._answers):
            on = not names or name in names
            self._table.item(row, 0).setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)
        self._filling = False
        self._showCount()

    def _fillRow(self, row: int, name: str, card: ModelCard) -> None:
        item = qt.QTableWidgetItem(display_name(name))
        item.setIcon(swatch(card.panel.color_of(name)))
        item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
        item.setCheckState(qt.Qt.Checked)
        self._table.setItem(row, 0, item)
        text = _describe(name, card)
        description = qt.QTableWidgetItem(text)
        description.setFlags(qt.Qt.ItemIsEnabled)
        description.setToolTip(text)
        self._table.setItem(row, 1, description)
        self._table.resizeColumnToContents(0)

    def _onCellChanged(self, _row: int, column: int) -> None:
        if column == 0 and not self._filling:
            self._changed()

    def _tickAll(self, *_args: object) -> None:
        self.setTicked(())
        self._changed()

    def _tickNone(self, *_args: object) -> None:
        self.setTicked(NOBODY)
        self._changed()

    def _changed(self) -> None:
        self._showCount()
        ticked = self.ticked
        self._onChanged(() if ticked == self._answers else ticked or NOBODY)

    def _showCount(self) -> None:
        self._count.text = _("{ticked} of {all} will be drawn").format(
            ticked=len(self.ticked), all=len(self._answers)
        )


def _describe(name: str, card: ModelCard) -> str:
    """Return a model's own words on an expert, else what every expert is."""
    if name == CONSENSUS:
        return _("what the experts agree on")
    described = card.panel[card.panel.index_of(name)].description
    return described or _("predicted in the style of {name}").format(name=name)
