"""The table of cases: what an expert drew, on which scan, and whether it can be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from diffoseg.errors import DiffOSegError
from DiffOSegLib.panel.ExpertsTableWidget import dress, rowHeight
from DiffOSegLib.panel.Sentences import asHtml

from ..cases.CaseRows import CaseRow
from ..cases.TrainingParameters import TrainingParameterNode
from ..run.TrainingLogic import DiffOSegTrainingLogic
from . import Dropped
from .CaseWidget import CaseWidget
from .DropWidget import DropWidget
from .FilesWidget import FilesWidget
from .Sentences import Checked, aboutCases, inWords, noCases, worst

_INVITATION_ROWS = 2.5  # as high as the words on how to add a case
_MOST_ROWS = 9  # of the table's height: the header and eight rows
_STATES = {  # a sign and its colour, told apart by either
    "unknown": ("\u2026", "#707070"),
    "fine": ("\u2714", "#1a7f37"),
    "warning": ("\u26a0", "#b26a00"),
    "error": ("\u2716", "#c62828"),
}


class CasesWidget:
    """The Cases section; the rows are the logic's, only the selection is kept here."""

    def __init__(
        self, ui: Any, logic: DiffOSegTrainingLogic, act: Callable[[Callable[[], Any]], None]
    ):
        """Connect the buttons and the table.

        Args:
            ui: the panel's widgets.
            logic: the application's one.
            act: does something and says in words why it could not be done.
        """
        self._ui, self._logic, self._act = ui, logic, act
        self._parameters: TrainingParameterNode | None = None
        self._rows: tuple[CaseRow, ...] = ()
        self._shown: list[tuple[str, ...]] | None = None
        self._filling = False
        self._files = FilesWidget(ui.filesWidget, ui.filesLabel, ui.cancelFilesButton, logic)
        self._case = CaseWidget(ui, logic, act)
        self._drop = DropWidget(ui.casesTable, self._onItems, self._onPath)
        self._dress()
        ui.addPairsButton.connect("clicked(bool)", self._onAddPairs)
        ui.addFolderButton.connect("clicked(bool)", self._onAddFolder)
        ui.addListButton.connect("clicked(bool)", self._onAddList)
        ui.removeCasesButton.connect("clicked(bool)", self._onRemove)
        ui.assignButton.connect("clicked(bool)", self._onAssign)
        ui.casesTable.connect("itemSelectionChanged()", self._onSelection)

    def setParameters(self, parameters: TrainingParameterNode | None) -> None:
        """Show the cases of this parameter node; None lets go of it."""
        self._parameters = parameters
        if parameters is None:
            self._rows, self._shown = (), None
            self._case.show(None)
        self.update()

    def stop(self) -> None:
        """Let go of what is watched, for good."""
        self._drop.stop()
        self._case.stop()

    def update(self) -> None:
        """Show the rows and what is known of them."""
        if self._parameters is None:
            return
        checks = self._logic.checks()
        self._rows = self._logic.rows()
        lines = [self._line(row, one) for row, one in zip(self._rows, checks, strict=True)]
        if lines != self._shown:
            self._fill(lines)
        self._ui.casesLabel.text = aboutCases(checks)
        self._ui.casesLabel.visible = bool(checks)
        self._offerAssignment()
        self._onSelection()

    # --- the table -------------------------------------------------------------------------------

    def _dress(self) -> None:
        table = self._ui.casesTable
        titles = ("", _("Volume"), _("Segment"), _("Region"), _("Expert"))
        dress(table, len(titles))
        table.setHorizontalHeaderLabels(list(titles))
        table.setSelectionMode(qt.QAbstractItemView.ExtendedSelection)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        header = table.horizontalHeader()
        for one in (header, table.verticalHeader()):
            one.setHighlightSections(False)
        header.setMinimumSectionSize(rowHeight(table))
        header.setStretchLastSection(False)
        for column in range(1, len(titles)):
            header.setSectionResizeMode(column, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(0, qt.QHeaderView.Fixed)
        table.setColumnWidth(0, rowHeight(table))

    def _line(self, row: CaseRow, checked: Checked) -> tuple[str, ...]:
        assert self._parameters is not None
        return (
            row.id,
            worst(checked),
            inWords(checked),
            row.volumeName or _("no volume"),
            row.segmentName or _("no segment"),
            row.roiName or _("around it"),
            row.drawnBy(self._parameters.expertName) or _("no name yet"),
        )

    def _fill(self, lines: list[tuple[str, ...]]) -> None:
        """Bring the table up to these lines; rows that stay as they are are not touched."""
        before, table = self._shown, self._ui.casesTable
        selected = {row.id for row in self._selected()}
        sameRows = before is not None and [b[0] for b in before] == [line[0] for line in lines]
        self._shown = lines
        self._filling = True
        if not sameRows:
            self._resize(len(lines))
        for number, line in enumerate(lines):
            if not sameRows or not before or line != before[number]:
                self._fillRow(number, *line[1:])
                for column in range(table.columnCount):
                    table.item(number, column).setSelected(line[0] in selected)
        self._filling = False

    def _resize(self, count: int) -> None:
        """Make room for so many rows; without any, for how to add some."""
        table = self._ui.casesTable
        table.clearSpans()
        table.clearSelection()
        table.setRowCount(max(count, 1))
        for header in (table.verticalHeader(), table.horizontalHeader()):
            header.setVisible(count > 0)
        row = rowHeight(table)
        table.setRowHeight(0, row if count else round(_INVITATION_ROWS * row))
        rows = min(count + 1, _MOST_ROWS) if count else _INVITATION_ROWS
        table.setFixedHeight(round(rows * row) + 2 * table.frameWidth)
        if not count:
            self._invite()

    def _fillRow(self, number: int, state: str, words: str, *names: str) -> None:
        sign, color = _STATES[state]
        for column, text in enumerate((sign, *names)):
            item = qt.QTableWidgetItem(text)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setToolTip(asHtml(words if column == 0 else f"{text}\n{words}"))
            if column == 0:
                item.setForeground(qt.QBrush(qt.QColor(color)))
                item.setTextAlignment(qt.Qt.AlignCenter)
            self._ui.casesTable.setItem(number, column, item)

    def _invite(self) -> None:
        """Say in the empty table how it is filled."""
        table = self._ui.casesTable
        item = qt.QTableWidgetItem(noCases())
        item.setFlags(qt.Qt.ItemIsEnabled)
        item.setTextAlignment(qt.Qt.AlignCenter)
        table.setItem(0, 0, item)
        table.setSpan(0, 0, 1, table.columnCount)

    def _selected(self) -> list[CaseRow]:
        """Return the rows that are selected, as the table shows them."""
        table, shown = self._ui.casesTable, self._shown or []
        numbers = [n for n in range(len(shown)) if table.item(n, 0).isSelected()]
        byID = {row.id: row for row in self._rows}
        return [byID[shown[n][0]] for n in numbers if shown[n][0] in byID]

    def _onSelection(self) -> None:
        if self._filling:
            return
        selected = self._selected()
        self._ui.removeCasesButton.enabled = bool(selected)
        self._case.show(selected[0] if len(selected) == 1 else None)

    # --- adding and removing ---------------------------------------------------------------------

    def _onItems(self, itemIDs: list[int]) -> None:
        self._act(lambda: Dropped.addItems(self._logic, itemIDs))

    def _onPath(self, path: Path) -> None:
        add = self._logic.addFromFolder if path.is_dir() else self._logic.addFromList
        self._act(lambda: add(path, self._files.show))

    def _onAddPairs(self, *_args: object) -> None:
        def add() -> None:
            if not self._logic.addAllPairs():
                nothing = _(
                    "There is no segmentation in the scene that is not in the table already and"
                    " belongs to a volume. Load or draw one first."
                )
                raise DiffOSegError(nothing)

        self._act(add)

    def _onAddFolder(self, *_args: object) -> None:
        title = _("A folder with images and masks")
        path = qt.QFileDialog.getExistingDirectory(self._ui.casesTable.window(), title)
        if path:
            self._onPath(Path(path))

    def _onAddList(self, *_args: object) -> None:
        path = qt.QFileDialog.getOpenFileName(
            self._ui.casesTable.window(), _("A data list"), "", _("Data list (*.json)")
        )
        if path:
            self._onPath(Path(path))

    def _onRemove(self, *_args: object) -> None:
        self._act(lambda: self._logic.removeRows([row.id for row in self._selected()]))

    # --- several experts on the same scans -------------------------------------------------------

    def _offerAssignment(self) -> None:
        names, combo = self._logic.segmentNames(), self._ui.assignSegmentComboBox
        self._ui.assignWidget.visible = len(names) > 1
        if [combo.itemText(n) for n in range(combo.count)] != list(names):
            chosen = combo.currentText
            combo.clear()
            combo.addItems(list(names))
            combo.setCurrentIndex(max(combo.findText(chosen), 0 if names else -1))

    def _onAssign(self, *_args: object) -> None:
        ui = self._ui
        name = ui.assignExpertLineEdit.text.strip()
        self._act(lambda: self._logic.assign(ui.assignSegmentComboBox.currentText, name))
