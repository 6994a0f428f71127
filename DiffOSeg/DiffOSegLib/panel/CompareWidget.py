"""What the last run found: a line for each drawing, the ways to look at them, the keys."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from diffoseg.comparison.outline import LEAST_PRESENCE
from diffoseg.experts.panel import CONSENSUS, display_name
from diffoseg.model.cards import ModelCard

from ..run.Parameters import DiffOSegParameterNode
from ..scene import Presence
from ..scene.Conditions import conditions
from ..scene.ResultFolder import SCAN
from ..scene.SegmentTags import EXPERT, PRESENCE, PRESENCE_MEANS, askedOf, tagOf, tagText
from ..scene.VolumeTable import linesOf
from ..views.ComparisonViews import ComparisonViews
from .ExpertsTableWidget import dress, fitHeight, swatch
from .Sentences import asHtml

_KEYS = 10


def drawnBy(segmentationNode: "slicer.vtkMRMLSegmentationNode | None") -> dict[str, str]:
    """Return the segments of the latest run, expert's name as ``tagText`` writes it to its ID."""
    if segmentationNode is None or segmentationNode.GetScene() is None:
        return {}
    segmentation = segmentationNode.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    tagged = {segmentID: tagOf(segmentation.GetSegment(segmentID), EXPERT) for segmentID in ids}
    return {expert: segmentID for segmentID, expert in tagged.items() if expert}


def scanOf(parameters: DiffOSegParameterNode) -> "slicer.vtkMRMLScalarVolumeNode | None":
    """Return the volume that the result was drawn on; another one may be chosen by now."""
    result = parameters.resultSegmentation
    return (result and result.GetNodeReference(SCAN)) or parameters.inputVolume


class CompareWidget:
    """The Compare section; all that it shows is read from the scene, so it survives saving."""

    def __init__(self, ui: Any, views: ComparisonViews):
        """Connect the buttons to the views."""
        self._ui, self._views = ui, views
        self._parameters: DiffOSegParameterNode | None = None
        self._card: ModelCard | None = None
        self._shortcuts: list[qt.QShortcut] = []
        titles = {
            _("Drawing"): _("Whose drawing it is."),
            _("Presence"): _("How probable it is that anything is marked, or in how many samples."),
            _("Volume"): _(
                "Of the outline: how it would be drawn where it is drawn at all. Whether it is,"
                " presence says; below {least} % nothing is outlined."
            ).format(least=round(100 * LEAST_PRESENCE)),
            _("Range [ml]"): _("Where the volumes of the samples lie."),
            _("Dice"): _("Overlap with the consensus, from 0 to 1."),
        }
        dress(ui.resultsTable, len(titles))
        ui.resultsTable.setHorizontalHeaderLabels(list(titles))
        for column, sentence in enumerate(titles.values()):
            ui.resultsTable.horizontalHeaderItem(column).setToolTip(sentence)
        ui.resultsTable.connect("cellClicked(int,int)", self._onCell)
        ui.outlinesButton.connect("clicked(bool)", self._onOutlines)
        ui.gridButton.connect("clicked(bool)", self._onGrid)
        ui.disagreementButton.connect("clicked(bool)", self._onDisagreement)
        ui.tableButton.connect("clicked(bool)", self._onTable)
        views.setOnGridLeft(self._showWhetherGrid)

    def setParameters(
        self, parameters: DiffOSegParameterNode | None, card: ModelCard | None
    ) -> None:
        """Show the results that this parameter node names; None lets go of it."""
        self._parameters, self._card = parameters, card
        self.update()

    def update(self) -> None:
        """Show what is in the scene."""
        drawn = self._drawn()
        self._ui.resultsCollapsibleButton.visible = bool(drawn)
        if self._parameters is None or self._parameters.resultDisagreement is None:
            self._hideDisagreement()
        if not drawn or self._parameters is None:
            return
        self._fill(drawn)
        self._showConditions(drawn)
        parameters, ui = self._parameters, self._ui
        ui.disagreementButton.enabled = parameters.resultDisagreement is not None
        ui.tableButton.enabled = parameters.resultTable is not None
        self._showWhetherGrid()
        ui.keysLabel.text = _(
            "Keys: 0 the consensus alone, 1 to {n} an expert alone, the same key again all of"
            " them, U the disagreement."
        ).format(n=min(len(self._card.panel) if self._card else 9, 9))

    # --- keys ------------------------------------------------------------------------------------

    def bindKeys(self) -> None:
        """Let the keys work while the module is shown; without a main window there are none."""
        window = slicer.util.mainWindow()
        if window is None or self._shortcuts:
            return
        for digit in range(_KEYS):
            self._bind(window, str(digit), lambda digit=digit: self.showAlone(digit))
        self._bind(window, "U", self.toggleDisagreement)

    def releaseKeys(self) -> None:
        """Give the keys back to the application."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts.clear()

    def showAlone(self, digit: int) -> None:
        """Show the consensus (0) or the model's n-th expert alone; again, all of them."""
        names = (CONSENSUS, *(self._card.panel.names if self._card else ()))
        if digit < len(names):
            self._isolate(self._drawn().get(tagText(names[digit])))

    def toggleDisagreement(self) -> None:
        """Show the disagreement map over the scan, or hide it."""
        if self._ui.disagreementButton.enabled and self._drawn():
            self._ui.disagreementButton.click()

    def _bind(self, window: Any, key: str, slot: Any) -> None:
        shortcut = qt.QShortcut(window)
        shortcut.setKey(qt.QKeySequence(key))
        shortcut.connect("activated()", slot)
        self._shortcuts.append(shortcut)

    # --- buttons ---------------------------------------------------------------------------------

    def _onOutlines(self, *_args: object) -> None:
        if self._parameters:
            self._views.leaveGrid()
            self._views.showOutlines(self._parameters.resultSegmentation, self._scan())
            self._views.centerOn(self._parameters.resultSegmentation)
            self.update()

    def _onGrid(self, *_args: object) -> None:
        if self._parameters is None:
            return
        if self._views.gridShown:
            self._views.leaveGrid()
        else:
            self._views.showGrid(self._parameters.resultSegmentation, self._scan())
        self.update()

    def _showWhetherGrid(self) -> None:
        self._ui.gridButton.checked = self._views.gridShown

    def _onDisagreement(self, *_args: object) -> None:
        if self._parameters:
            shown = self._ui.disagreementButton.checked
            self._views.showDisagreement(self._parameters.resultDisagreement if shown else None)

    def _hideDisagreement(self) -> None:
        """Take a former run's map out of the views."""
        if self._ui.disagreementButton.checked:
            self._ui.disagreementButton.checked = False
            self._views.showDisagreement(None)

    def _onTable(self, *_args: object) -> None:
        if self._parameters:
            self._views.showTable(self._parameters.resultTable)

    def _onCell(self, row: int, _column: int) -> None:
        drawn = self._drawn()
        if row < len(drawn):
            self._isolate(list(drawn.values())[row])

    def _isolate(self, segmentID: "str | None") -> None:
        """Show one segment alone; where it is alone already, all."""
        if segmentID is None or self._parameters is None:
            return
        node = self._parameters.resultSegmentation
        display = node.GetDisplayNode()
        visible = [s for s in self._drawn().values() if display.GetSegmentVisibility(s)]
        self._views.isolate(node, None if visible == [segmentID] else segmentID)

    def _scan(self) -> "slicer.vtkMRMLScalarVolumeNode | None":
        return scanOf(self._parameters) if self._parameters else None

    def _showConditions(self, drawn: dict[str, str]) -> None:
        """Say above the lines what they are subject to, where the last run was not a full one."""
        assert self._parameters is not None
        segmentation = self._parameters.resultSegmentation.GetSegmentation()
        latest = segmentation.GetSegment(list(drawn.values())[-1])
        words = conditions(*askedOf(latest))
        self._ui.conditionsLabel.text = words[:1].upper() + words[1:] + "." if words else ""
        self._ui.conditionsLabel.visible = bool(words)

    # --- lines -----------------------------------------------------------------------------------

    def _drawn(self) -> dict[str, str]:
        return drawnBy(self._parameters.resultSegmentation if self._parameters else None)

    def _fill(self, drawn: dict[str, str]) -> None:
        assert self._parameters is not None
        table, found = self._ui.resultsTable, linesOf(self._parameters.resultTable)
        lines = {tagText(name): line for name, line in found.items()}
        segmentation = self._parameters.resultSegmentation.GetSegmentation()
        table.setRowCount(len(drawn))
        for row, (expert, segmentID) in enumerate(drawn.items()):
            segment = segmentation.GetSegment(segmentID)
            name = qt.QTableWidgetItem(segment.GetName())
            name.setIcon(swatch(segment.GetColor()))
            name.setFlags(qt.Qt.ItemIsEnabled)
            table.setItem(row, 0, name)
            presence = Presence.percentage(tagOf(segment, PRESENCE))
            numbers = lines.get(display_name(expert), ("", "", ""))
            for column, text in enumerate((presence, *numbers), start=1):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled)
                table.setItem(row, column, item)
            meant = tagOf(segment, PRESENCE_MEANS)
            sentence = Presence.explanation(segment.GetName(), meant, presence)
            table.item(row, 1).setToolTip(asHtml(sentence))
        for column in range(table.columnCount):
            table.resizeColumnToContents(column)
        fitHeight(table, headerRows=1)
