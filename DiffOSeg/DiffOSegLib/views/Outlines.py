"""All experts' outlines over one slice: nothing filled in, the consensus drawn thicker.

The thickness of outlines is one for a whole display node, so the consensus has a shadow, a broad
translucent line around its outline. It follows the reader's display node: what is hidden there is
hidden here.
"""

from typing import Any

import slicer
from slicer.util import VTKObservationMixin
from vtk import vtkCommand

from ..scene.SegmentPlaces import consensusFirst, isConsensus
from . import Shadows

_OUTLINE = "outline"
_THICKNESS = 2  # pixels
_CONSENSUS_THICKNESS = 6
_CONSENSUS_OPACITY = 0.6  # it lies over the experts' outlines, which must shine through


class Outlines(VTKObservationMixin):
    """Turns segmentations into outlines and keeps their consensus' shadows in step."""

    def show(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """Show the segmentation as outlines, in the views and with the segments as they are."""
        segmentationNode.CreateDefaultDisplayNodes()
        display = segmentationNode.GetDisplayNode()
        display.SetVisibility(True)
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(True)
        display.SetOpacity2DOutline(1.0)
        display.SetSliceIntersectionThickness(_THICKNESS)
        if _shadowOf(segmentationNode) is None:
            shadow = Shadows.cast(segmentationNode, _OUTLINE)
            thick = Shadows.addDisplay(shadow, (), "")
            thick.SetVisibility2DFill(False)
            thick.SetSliceIntersectionThickness(_CONSENSUS_THICKNESS)
            self.addObserver(display, vtkCommand.ModifiedEvent, self._onDisplayModified)
            for event in Shadows.CHANGES:
                self.addObserver(segmentationNode, event, self._onChanged)
        self._onDisplayModified(display)

    def hide(self) -> None:
        """Take the thick consensus of all segmentations away; their outlines stay."""
        self.removeObservers()
        for shadow in Shadows.shadows(_OUTLINE):
            Shadows.remove(shadow)

    def _onDisplayModified(self, display: Any, _event: str = "") -> None:
        segmentationNode = display.GetDisplayableNode()
        shadow = _shadowOf(segmentationNode) if segmentationNode is not None else None
        if shadow is None:
            return
        thick = shadow.GetDisplayNode()
        wasModifying = thick.StartModify()
        thick.SetVisibility(display.GetVisibility())
        thick.SetVisibility2D(display.GetVisibility2D())
        thick.SetVisibility2DOutline(display.GetVisibility2DOutline())
        thick.SetOpacity2DOutline(_CONSENSUS_OPACITY * display.GetOpacity2DOutline())
        if thick.GetViewNodeIDs() != display.GetViewNodeIDs():
            thick.SetViewNodeIDs(display.GetViewNodeIDs())
        segmentation = segmentationNode.GetSegmentation()
        for one in consensusFirst(segmentationNode):
            shown = isConsensus(segmentation.GetSegment(one)) and display.GetSegmentVisibility(one)
            thick.SetSegmentVisibility(one, shown)
        thick.EndModify(wasModifying)

    def _onChanged(self, segmentationNode: Any, _event: str) -> None:
        shadow = _shadowOf(segmentationNode)
        if shadow is not None:
            Shadows.follow(shadow)
            self._onDisplayModified(segmentationNode.GetDisplayNode())


def _shadowOf(segmentationNode: slicer.vtkMRMLSegmentationNode) -> Any:
    for shadow in Shadows.shadows(_OUTLINE):
        if Shadows.original(shadow) is segmentationNode:
            return shadow
    return None
