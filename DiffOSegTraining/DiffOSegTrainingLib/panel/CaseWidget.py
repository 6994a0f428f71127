"""The case that is selected in the table, to be put right."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from DiffOSegLib.scene.Removals import observeRemovals

from ..cases.CaseRows import CaseRow
from ..run.TrainingLogic import DiffOSegTrainingLogic


class CaseWidget:
    """The fields of one row; each change is written to the row at once."""

    def __init__(
        self, ui: Any, logic: DiffOSegTrainingLogic, act: Callable[[Callable[[], Any]], None]
    ):
        """Connect the fields; ``act`` does something and says in words why it could not be done."""
        self._ui, self._logic, self._act = ui, logic, act
        self._row: CaseRow | None = None
        self._filling = False
        self._selectors = {
            "volume": ui.caseVolumeSelector,
            "segmentation": ui.caseSegmentationSelector,
            "roi": ui.caseRoiSelector,
        }
        self.stop = observeRemovals(self._onAboutToBeRemoved)
        for field, selector in self._selectors.items():
            selector.connect(
                "nodeActivated(vtkMRMLNode*)",
                lambda node, field=field: self._onNode(field, node),
            )
        ui.caseSegmentComboBox.connect("currentIndexChanged(int)", self._onSegment)
        ui.caseExpertLineEdit.connect("editingFinished()", self._onExpert)
        ui.casePatientLineEdit.connect("editingFinished()", self._onPatient)

    def show(self, row: CaseRow | None) -> None:
        """Show one row; None hides the fields."""
        ui = self._ui
        ui.caseGroupBox.visible = row is not None
        isOther = row is not None and (self._row is None or row.id != self._row.id)
        self._row = row
        if row is None:
            return
        self._filling = True
        ui.caseVolumeSelector.setCurrentNode(row.volume)
        ui.caseSegmentationSelector.setCurrentNode(row.segmentation)
        ui.caseRoiSelector.setCurrentNode(row.roi)
        self._fillSegments(row)
        for edit, text in (
            (ui.caseExpertLineEdit, row.expertName),
            (ui.casePatientLineEdit, row.patient),
        ):
            if isOther or not edit.focus:  # what is being typed stays
                edit.text = text
        ui.caseExpertLineEdit.placeholderText = ui.expertNameLineEdit.text or _("the expert above")
        self._filling = False

    def _fillSegments(self, row: CaseRow) -> None:
        combo = self._ui.caseSegmentComboBox
        combo.clear()
        combo.enabled = row.segmentation is not None
        if row.segmentation is None:
            return
        segmentation = row.segmentation.GetSegmentation()
        for segmentID in _segmentIDs(row.segmentation):
            combo.addItem(segmentation.GetSegment(segmentID).GetName(), segmentID)
        combo.setCurrentIndex(combo.findData(row.segmentID))

    def _set(self, **values: Any) -> None:
        row = self._row
        if row is None or self._filling:
            return
        if any(getattr(row, name) != value for name, value in values.items()):
            self._act(lambda: self._logic.setRow(row.id, **values))

    def _onAboutToBeRemoved(self, node: Any) -> None:
        """Show nothing in place of a node that goes; Slicer would choose its neighbour."""
        if self._row is None:
            return
        wasFilling, self._filling = self._filling, True
        for field, selector in self._selectors.items():
            if getattr(self._row, field) is node:
                selector.setCurrentNode(None)
        self._filling = wasFilling

    def _onNode(self, field: str, node: Any) -> None:
        if field == "segmentation":
            first = next(iter(_segmentIDs(node)), "") if node is not None else ""
            self._set(segmentation=node, segmentID=first)
        else:
            self._set(**{field: node})

    def _onSegment(self, index: int) -> None:
        if index >= 0:
            self._set(segmentID=self._ui.caseSegmentComboBox.itemData(index))

    def _onExpert(self) -> None:
        self._set(expertName=self._ui.caseExpertLineEdit.text.strip())

    def _onPatient(self) -> None:
        self._set(patient=self._ui.casePatientLineEdit.text.strip())


def _segmentIDs(node: "slicer.vtkMRMLSegmentationNode") -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
