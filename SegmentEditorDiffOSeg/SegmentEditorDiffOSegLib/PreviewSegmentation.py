"""The preview over the slices: a segmentation node that no list shows and no scene keeps."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from DiffOSegLib.scene.HiddenItems import enlist
from DiffOSegLib.scene.SegmentVoxels import LABELMAP
from DiffOSegLib.views import Shadows

from .Operations import drawn
from .Placement import PlacedAnswer

_IS_PREVIEW = "DiffOSeg.Preview"
_SEGMENT_ID = "Preview"


class PreviewSegmentation:
    """At most one preview stands in the scene, whichever Segment Editor asked for it."""

    def __init__(self) -> None:
        self._nodeID = ""
        self._placed: PlacedAnswer | None = None
        self._labelmap: slicer.vtkOrientedImageData | None = None
        self._voxels = np.zeros((0, 0, 0), np.uint8)
        self._threshold: float | None = None

    @property
    def node(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The node in the scene; None where there is none, or where it was removed."""
        return slicer.mrmlScene.GetNodeByID(self._nodeID) if self._nodeID else None

    def show(
        self,
        placed: PlacedAnswer,
        title: str,
        color: tuple[float, float, float],
        segmentationNode: slicer.vtkMRMLSegmentationNode,
    ) -> None:
        """Begin a new preview, still empty, under the transform of the segmentation."""
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(_("DiffOSeg preview"))
        node.SetAttribute(_IS_PREVIEW, "1")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self._placed, self._threshold = placed, None
        self._labelmap, self._voxels = placed.emptyLabelmap()
        # Before the node is in the scene: Slicer logs an error for each segment that is added to
        # a node that it does not list.
        node.GetSegmentation().AddSegment(_segment(self._labelmap, title, color), _SEGMENT_ID)
        slicer.mrmlScene.AddNode(node)
        enlist(node)
        self._nodeID = node.GetID()
        _removePreviewsBut(node)
        node.SetAndObserveTransformNodeID(segmentationNode.GetTransformNodeID())
        _display(node)

    @property
    def voxelCount(self) -> int:
        """How many voxels are drawn."""
        return int(np.count_nonzero(self._voxels))

    def setThreshold(self, threshold: float) -> None:
        """Draw what is above the threshold.

        The voxels are written in place: a drag of the slider neither makes nor removes an object.
        """
        if self._placed is None or self._labelmap is None:
            return
        if threshold != self._threshold:
            self._threshold = threshold
            self._voxels[:] = drawn(self._placed.probability, threshold)
            self._labelmap.GetPointData().GetScalars().Modified()
            self._labelmap.Modified()

    def remove(self) -> None:
        """Take the preview out of the scene."""
        node, self._nodeID = self.node, ""
        self._placed = self._labelmap = self._threshold = None
        if node is not None:
            Shadows.remove(node)


def _removePreviewsBut(kept: slicer.vtkMRMLSegmentationNode) -> None:
    """Remove every other preview from the scene, also one of another Segment Editor."""
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if node is not kept and node.GetAttribute(_IS_PREVIEW):
            Shadows.remove(node)


def _segment(
    labelmap: slicer.vtkOrientedImageData, title: str, color: tuple[float, float, float]
) -> slicer.vtkSegment:
    segment = slicer.vtkSegment()
    segment.SetName(title)
    segment.SetColor(color)
    segment.AddRepresentation(LABELMAP, labelmap)
    return segment


def _display(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Show it in slices as a strong outline over a light fill, and not in 3D."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetVisibility3D(False)
    display.SetOpacity2DFill(0.35)
    display.SetSliceIntersectionThickness(2)
