"""The experts that were taught on this computer: enable, rename, export, import, delete."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from diffoseg.experts.local_expert import SUFFIX
from diffoseg.model.cards import ExpertCard, available_cards
from DiffOSegLib.panel.ExpertsTableWidget import dress, fitHeight, swatch
from DiffOSegLib.panel.Sentences import asHtml
from DiffOSegLib.run import LocalExperts

from .Sentences import about, deleteQuestion, dice, personalData

_GREY = (0.6, 0.6, 0.6)


class ManageWidget:
    """The section on taught experts; the files of the library are all there is, read anew."""

    def __init__(self, ui: Any, act: Callable[[Callable[[], Any]], None]):
        """Connect table and buttons; ``act`` does something and says why it could not be done."""
        self._ui, self._act = ui, act
        self._cards: tuple[ExpertCard, ...] = ()
        self._titles = {card.hash: card.title for card in available_cards()}
        self._filling = False
        titles = {
            _("Expert"): _("Ticked experts are offered by the DiffOSeg module."),
            _("Cases"): _("How many cases the expert was taught from."),
            _("Date"): _("When the expert was taught."),
            _("Dice"): _("Overlap with what the expert drew on held-out cases, from 0 to 1."),
            _("Consensus"): _("The same for the consensus, which the expert should surpass."),
        }
        table = ui.libraryTable
        dress(table, len(titles))
        table.setHorizontalHeaderLabels(list(titles))
        for column, sentence in enumerate(titles.values()):
            table.horizontalHeaderItem(column).setToolTip(sentence)
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in range(1, len(titles)):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        table.connect("cellChanged(int,int)", self._onCell)
        table.connect("itemSelectionChanged()", self._onSelection)
        ui.renameButton.connect("clicked(bool)", self._onRename)
        ui.exportButton.connect("clicked(bool)", self._onExport)
        ui.deleteButton.connect("clicked(bool)", self._onDelete)
        ui.importButton.connect("clicked(bool)", self._onImport)
        ui.privacyLabel.text = personalData()
        self._stopObserving = LocalExperts.observe(self.update)
        self.update()

    def stop(self) -> None:
        """Look at the library no more, for good."""
        self._stopObserving()

    def update(self) -> None:
        """Show what is in the library now."""
        library, selected = LocalExperts.library(), self._selected()
        self._cards = library.cards()
        table = self._ui.libraryTable
        self._filling = True
        table.clearSelection()
        table.setRowCount(len(self._cards))
        for row, card in enumerate(self._cards):
            self._fillRow(row, card, library.is_enabled(card))
        if selected is not None:
            self._selectAgain(selected)
        self._filling = False
        table.visible = bool(self._cards)
        fitHeight(table, headerRows=1)
        broken = "\n".join(f"\u26a0 {sentence}" for _path, sentence in library.broken())
        self._ui.brokenLabel.text = broken
        self._ui.brokenLabel.visible = bool(broken)
        self._onSelection()

    # --- the table -------------------------------------------------------------------------------

    def _fillRow(self, row: int, card: ExpertCard, enabled: bool) -> None:
        baseTitle = self._titles.get(card.base_hash)
        words = about(card, baseTitle)
        name = qt.QTableWidgetItem(card.name)
        name.setIcon(swatch(card.expert.color or _GREY))
        name.setFlags(
            qt.Qt.ItemIsUserCheckable
            | qt.Qt.ItemIsEnabled
            | qt.Qt.ItemIsSelectable
            | qt.Qt.ItemIsEditable
        )
        name.setCheckState(qt.Qt.Checked if enabled else qt.Qt.Unchecked)
        validation = card.training.get("validation") or {}
        values = (
            str(card.training.get("cases", "\u2013")),
            str(card.training.get("date", "\u2013")),
            dice(validation.get("dice")),
            dice(validation.get("consensus")),
        )
        items = [name, *map(qt.QTableWidgetItem, values)]
        for column, item in enumerate(items):
            if column:
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setToolTip(asHtml(f"{card.name}\n{words}"))
            if baseTitle is None:
                item.setForeground(qt.QBrush(qt.QColor("gray")))
            self._ui.libraryTable.setItem(row, column, item)

    def _selected(self) -> ExpertCard | None:
        table = self._ui.libraryTable
        for row, card in enumerate(self._cards):
            if table.item(row, 0) is not None and table.item(row, 0).isSelected():
                return card
        return None

    def _selectAgain(self, former: ExpertCard) -> None:
        """Select the expert that was selected, also by another name; nobody where it is gone."""
        same = [row for row, card in enumerate(self._cards) if card.hash == former.hash]
        named = [row for row in same if self._cards[row].name == former.name]
        for row in (named or same)[:1]:
            self._ui.libraryTable.selectRow(row)

    def _onSelection(self) -> None:
        if self._filling:
            return
        card, ui = self._selected(), self._ui
        for button in (ui.renameButton, ui.exportButton, ui.deleteButton):
            button.enabled = card is not None
        if card is not None:
            ui.libraryLabel.text = about(card, self._titles.get(card.base_hash))
        elif self._cards:
            ui.libraryLabel.text = _("Ticked experts are offered by the DiffOSeg module.")
        else:
            ui.libraryLabel.text = _("No expert was taught on this computer yet.")

    def _onCell(self, row: int, column: int) -> None:
        """Take a tick or a new name."""
        if self._filling or column != 0:
            return
        card, library = self._cards[row], LocalExperts.library()
        item = self._ui.libraryTable.item(row, 0)
        enabled, name = item.checkState() == qt.Qt.Checked, item.text().strip()
        if name != card.name:
            self._change(lambda: library.rename(card, name))
        elif enabled != library.is_enabled(card):
            self._change(lambda: library.set_enabled(card, enabled))

    # --- buttons ---------------------------------------------------------------------------------

    def _onRename(self, *_args: object) -> None:
        table, card = self._ui.libraryTable, self._selected()
        if card is not None:
            table.editItem(table.item(self._cards.index(card), 0))

    def _onExport(self, *_args: object) -> None:
        card = self._selected()
        if card is None:
            return
        path = qt.QFileDialog.getSaveFileName(
            self._window(),
            _("Export an expert"),
            card.path.name,
            _("Expert (*{s})").format(s=SUFFIX),
        )
        if path:
            goal = Path(path if path.endswith(SUFFIX) else path + SUFFIX)
            self._act(lambda: LocalExperts.library().export(card, goal))

    def _onImport(self, *_args: object) -> None:
        path = qt.QFileDialog.getOpenFileName(
            self._window(), _("Import an expert"), "", _fileTypes()
        )
        if path:
            self._change(lambda: LocalExperts.library().add(Path(path)))

    def _onDelete(self, *_args: object) -> None:
        card = self._selected()
        if card is None:
            return
        question = asHtml(deleteQuestion(card.name))
        if slicer.util.confirmOkCancelDisplay(question, _("DiffOSeg Training")):
            self._change(lambda: LocalExperts.library().delete(card))

    def _change(self, change: Callable[[], Any]) -> None:
        """Change the library and tell everybody who lists its experts, also after a failure."""
        self._act(change)
        LocalExperts.changed()

    def _window(self) -> Any:
        return self._ui.libraryTable.window()


def _fileTypes() -> str:
    """Return what a file dialog lists."""
    return _("Expert (*{suffix})").format(suffix=SUFFIX)
