"""All experts' outlines over one slice: nothing filled in, the consensus drawn thicker.

The thickness of outlines is one for a whole display node, so the consensus has a second one, the
accent. It follows the reader's display node: what is hidden there is hidden here.
"""

from typing import Any

import slicer
from slicer.util import VTKObservationMixin
from vtk import vtkCommand

from .ExpertGrid import OWN
from .SegmentPlaces import consensusFirst, isConsensus

_ACCENT = "accent"
_THICKNESS = 2  # pixels
_CONSENSUS_THICKNESS = 4


class Outlines(VTKObservationMixin):
    """Turns segmentations into outlines and keeps their accents in step."""

    def show(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """Show the segmentation as outlines, in the views and with the segments as they are."""
        segmentationNode.CreateDefaultDisplayNodes()
        display = segmentationNode.GetDisplayNode()
        display.SetVisibility(True)
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(True)
        display.SetOpacity2DOutline(1.0)
        display.SetSliceIntersectionThickness(_THICKNESS)
        if self._accentOf(segmentationNode) is None and self._consensuses(segmentationNode):
            self._addAccent(segmentationNode)
        self.follow(segmentationNode)

    def follow(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """Keep the accent that a segmentation has, also from a loaded scene, in step."""
        display, accent = segmentationNode.GetDisplayNode(), self._accentOf(segmentationNode)
        if accent is None or display is accent:
            return
        if not self.hasObserver(display, vtkCommand.ModifiedEvent, self._onModified):
            self.addObserver(display, vtkCommand.ModifiedEvent, self._onModified)
        self._onModified(display)

    def _addAccent(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        accent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationDisplayNode")
        accent.SetName("DiffOSeg consensus outline")
        accent.SetAttribute(OWN, _ACCENT)
        segmentationNode.AddAndObserveDisplayNodeID(accent.GetID())
        accent.SetVisibility3D(False)
        accent.SetVisibility2DFill(False)
        accent.SetSliceIntersectionThickness(_CONSENSUS_THICKNESS)

    def _onModified(self, display: Any, _event: str = "") -> None:
        segmentationNode = display.GetDisplayableNode()
        accent = self._accentOf(segmentationNode) if segmentationNode is not None else None
        if accent is None:
            return
        thick = set(self._consensuses(segmentationNode))
        wasModifying = accent.StartModify()
        accent.SetVisibility(display.GetVisibility())
        accent.SetVisibility2D(display.GetVisibility2D())
        accent.SetVisibility2DOutline(display.GetVisibility2DOutline())
        accent.SetOpacity2DOutline(display.GetOpacity2DOutline())
        if accent.GetViewNodeIDs() != display.GetViewNodeIDs():
            accent.SetViewNodeIDs(display.GetViewNodeIDs())
        for segmentID in consensusFirst(segmentationNode):
            shown = segmentID in thick and display.GetSegmentVisibility(segmentID)
            accent.SetSegmentVisibility(segmentID, shown)
        accent.EndModify(wasModifying)

    def _consensuses(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[str]:
        segmentation = segmentationNode.GetSegmentation()
        ids = consensusFirst(segmentationNode)
        return [one for one in ids if isConsensus(segmentation.GetSegment(one))]

    def _accentOf(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> Any:
        for n in range(segmentationNode.GetNumberOfDisplayNodes()):
            display = segmentationNode.GetNthDisplayNode(n)
            if display is not None and display.GetAttribute(OWN) == _ACCENT:
                return display
        return None
