"""Where to look: a box, the surroundings of a segment, or the whole volume."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from diffoseg.errors import InputError

from ..run.Parameters import REGION_KINDS, DiffOSegParameterNode
from ..scene import SceneInputs


class RegionWidget:
    """The rows of the panel that choose a region; the parameter node holds the choice."""

    def __init__(self, ui: Any, complain: Callable[[str], None]):
        """Fill the choices of the panel; ``complain`` shows a sentence to the user."""
        self._ui, self._complain = ui, complain
        self._parameters: DiffOSegParameterNode | None = None
        self._filling = False
        texts = (_("Box"), _("Around a segment"), _("Whole volume"))
        for kind, text in zip(REGION_KINDS, texts, strict=True):
            ui.regionKindComboBox.addItem(text, kind)
        ui.regionKindComboBox.connect("currentIndexChanged(int)", self._onKind)
        ui.regionSegmentComboBox.connect("currentIndexChanged(int)", self._onSegment)
        ui.placeRoiButton.connect("clicked(bool)", self._onPlace)

    def setParameters(self, parameters: DiffOSegParameterNode | None) -> None:
        """Show and change this parameter node from now on; None lets go of it."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """Show what the parameter node holds."""
        if self._parameters is None:
            return
        ui, kind = self._ui, self._parameters.regionKind
        self._filling = True
        ui.regionKindComboBox.currentIndex = REGION_KINDS.index(kind)
        self._fillSegments(self._parameters.regionSegmentation)
        self._filling = False
        for widget in (ui.roiLabel, ui.roiWidget):
            widget.visible = kind == "roi"
        for widget in (ui.segmentLabel, ui.segmentWidget):
            widget.visible = kind == "segment"
        ui.placeRoiButton.text = _("Show box") if self._parameters.regionRoi else _("Place box")

    def ensureBox(self) -> bool:
        """Make and show the default box where a box is wanted and none is chosen; tell whether.

        Raises InputError where there is no volume for it.
        """
        parameters = self._parameters
        if parameters is None or parameters.regionKind != "roi" or parameters.regionRoi:
            return False
        SceneInputs.checkVolume(parameters.inputVolume)
        parameters.regionRoi = SceneInputs.defaultRoi(parameters.inputVolume)
        showBox(parameters.regionRoi)
        return True

    def _fillSegments(self, segmentationNode: "slicer.vtkMRMLSegmentationNode | None") -> None:
        assert self._parameters is not None
        combo = self._ui.regionSegmentComboBox
        combo.clear()
        combo.enabled = segmentationNode is not None
        if segmentationNode is None:
            return
        segmentation = segmentationNode.GetSegmentation()
        for index in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(index)
            combo.addItem(segment.GetName(), segmentation.GetNthSegmentID(index))
        if segmentation.GetSegment(self._parameters.regionSegmentID) is None:
            self._parameters.regionSegmentID = _selectedSegmentID(segmentation)
        combo.currentIndex = combo.findData(self._parameters.regionSegmentID)

    def _onKind(self, index: int) -> None:
        if self._parameters and not self._filling:
            self._parameters.regionKind = REGION_KINDS[index]

    def _onSegment(self, index: int) -> None:
        if self._parameters and not self._filling and index >= 0:
            self._parameters.regionSegmentID = self._ui.regionSegmentComboBox.itemData(index)

    def _onPlace(self, *_args: object) -> None:
        if self._parameters is None:
            return
        try:
            self.ensureBox()
        except InputError as error:
            self._complain(str(error))
        if self._parameters.regionRoi:
            showBox(self._parameters.regionRoi)


def showBox(roiNode: "slicer.vtkMRMLMarkupsROINode") -> None:
    """Make a box visible and bring its middle into every slice view."""
    roiNode.CreateDefaultDisplayNodes()
    roiNode.SetDisplayVisibility(True)
    center = [0.0, 0.0, 0.0]
    roiNode.GetCenterWorld(center)
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        slicer.mrmlScene, *center, slicer.vtkMRMLSliceNode.CenteredJumpSlice
    )


def _selectedSegmentID(segmentation: "slicer.vtkSegmentation") -> str:
    """Return the segment that is selected in the Segment Editor, else the first; "" for none."""
    editor = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    selected = editor.GetSelectedSegmentID() if editor else None
    if selected and segmentation.GetSegment(selected) is not None:
        return selected
    return segmentation.GetNthSegmentID(0) if segmentation.GetNumberOfSegments() else ""
