"""The list of who can be asked to draw: check box, colour, name and description."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from diffoseg.experts.panel import CONSENSUS, Color, display_name
from diffoseg.model.cards import ModelCard

from ..run import LocalExperts
from .Sentences import asHtml

NOBODY = ("",)
"""What the parameter node holds where nobody is ticked, since an empty list there is everybody."""

_SWATCH = 14  # pixels
_VISIBLE_ROWS = 8
_PADDING = 8  # pixels above and below a row's text, together


def swatch(color: Color) -> "qt.QIcon":
    """Return a small square in the colour that an expert has everywhere."""
    pixmap = qt.QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(qt.QColor(*(round(255 * channel) for channel in color)))
    return qt.QIcon(pixmap)


def rowHeight(table: "qt.QTableWidget") -> int:
    """Return the height of a row in pixels, as the font wants it, or the coloured square."""
    return max(qt.QFontMetrics(table.font).height(), _SWATCH) + _PADDING


def fitHeight(table: "qt.QTableWidget", headerRows: int) -> None:
    """Make a table as high as its rows, up to a few, so that it leaves no empty space."""
    rows = max(min(table.rowCount, _VISIBLE_ROWS), 1) + headerRows
    table.setFixedHeight(rows * rowHeight(table) + 2 * table.frameWidth)


def dress(table: "qt.QTableWidget", columns: int) -> None:
    """Give a table the panel's looks: no grid, no editing, no selection, rows of one height."""
    table.setColumnCount(columns)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(rowHeight(table))
    table.horizontalHeader().setStretchLastSection(True)
    table.horizontalHeader().setFixedHeight(rowHeight(table))
    table.setShowGrid(False)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionMode(qt.QAbstractItemView.NoSelection)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAsNeeded)


@dataclass(frozen=True)
class _Row:
    name: str
    color: Color
    text: str
    toolTip: str


class ExpertsTableWidget:
    """A table of one model's answers, of which some are ticked; the consensus stands first."""

    def __init__(self, ui: Any, onChanged: Callable[[tuple[str, ...]], None]):
        """Dress the panel's table; ``onChanged`` is called with the ticked ones after a click."""
        self._table, self._count = ui.expertsTable, ui.expertsCountLabel
        self._onChanged = onChanged
        self._rows: tuple[_Row, ...] = ()
        self._filling = False
        dress(self._table, columns=2)
        self._table.horizontalHeader().setVisible(False)
        self._table.connect("cellChanged(int,int)", self._onCellChanged)
        ui.allExpertsButton.connect("clicked(bool)", self._tickAll)
        ui.noExpertsButton.connect("clicked(bool)", self._tickNone)

    @property
    def ticked(self) -> tuple[str, ...]:
        """The names that are ticked, in the model's order."""
        items = (self._table.item(row, 0) for row in range(len(self._rows)))
        states = [item.checkState() == qt.Qt.Checked for item in items]
        return tuple(row.name for row, on in zip(self._rows, states, strict=True) if on)

    def setCard(self, card: ModelCard | None) -> None:
        """List what a model can answer; None empties the table."""
        rows = _rowsOf(card) if card else ()
        if rows == self._rows:
            return
        self._rows = rows
        self._filling = True
        self._table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            self._fillRow(index, row)
        self._filling = False
        fitHeight(self._table, headerRows=0)

    def setTicked(self, names: Sequence[str]) -> None:
        """Tick some names; an empty sequence ticks everybody. Unknown names are passed over."""
        self._filling = True
        for index, row in enumerate(self._rows):
            on = not names or row.name in names
            self._table.item(index, 0).setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)
        self._filling = False
        self._showCount()

    def _fillRow(self, index: int, row: _Row) -> None:
        item = qt.QTableWidgetItem(display_name(row.name))
        item.setIcon(swatch(row.color))
        item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
        item.setCheckState(qt.Qt.Checked)
        item.setToolTip(asHtml(row.toolTip))
        self._table.setItem(index, 0, item)
        description = qt.QTableWidgetItem(row.text)
        description.setFlags(qt.Qt.ItemIsEnabled)
        description.setToolTip(asHtml(row.toolTip))
        self._table.setItem(index, 1, description)
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
        self._onChanged(() if len(ticked) == len(self._rows) else ticked or NOBODY)

    def _showCount(self) -> None:
        self._count.text = _("{ticked} of {all} will be drawn").format(
            ticked=len(self.ticked), all=len(self._rows)
        )


def _rowsOf(card: ModelCard) -> tuple[_Row, ...]:
    """Return a line for each who can be asked; those who were taught here say so."""
    taught, rows = LocalExperts.taughtAmong(card), []
    for name in card.answers:
        if name in taught:
            text, toolTip = LocalExperts.inAWord(taught[name]), LocalExperts.inAll(taught[name])
        else:
            text = toolTip = _describe(name, card)
        rows.append(_Row(name, card.panel.color_of(name), text, toolTip))
    return tuple(rows)


def _describe(name: str, card: ModelCard) -> str:
    """Return a model's own words on an expert, else what every expert is."""
    if name == CONSENSUS:
        return _("what the experts agree on")
    described = card.panel[card.panel.index_of(name)].description
    return described or _("predicted in the style of {name}").format(name=name)
