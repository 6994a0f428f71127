"""Further ways to draw a segmentation without touching how the reader has it drawn.

A shadow is a segmentation node of its own, hidden from lists and never saved, with a copy of the
segments; so it can be drawn differently and taken away again. A second display node on the
reader's segmentation would not do: Slicer 5.12's slice views keep a pointer to a display node that
is removed before its segmentation, and crash at the next change of a segment. Nor would the same
segments in two nodes: Slicer logs an error at each change in a node that it does not list.
"""

from typing import Any

import slicer

from ..scene.HiddenItems import enlist
from ..scene.SegmentVoxels import LABELMAP

PURPOSE = "DiffOSeg.View"  # the attribute that makes a node a shadow, and says what for
_ORIGINAL = "DiffOSeg.Original"
_COPIED = "DiffOSeg.Copied"  # what the copy was made of

CHANGES = (  # of a segmentation node, after which its shadows have to follow()
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
)


def cast(
    segmentationNode: slicer.vtkMRMLSegmentationNode, purpose: str
) -> slicer.vtkMRMLSegmentationNode:
    """Return a new shadow of a segmentation; it is drawn nowhere until addDisplay()."""
    shadow = slicer.vtkMRMLSegmentationNode()
    shadow.SetName(f"{segmentationNode.GetName()} ({purpose})")
    shadow.SetAttribute(PURPOSE, purpose)
    shadow.SetHideFromEditors(True)
    shadow.SetSaveWithScene(False)
    shadow.SetNodeReferenceID(_ORIGINAL, segmentationNode.GetID())
    _copy(segmentationNode, shadow)
    slicer.mrmlScene.AddNode(shadow)
    enlist(shadow)
    follow(shadow)
    return shadow


def addDisplay(
    shadow: slicer.vtkMRMLSegmentationNode, segmentIDs: "tuple[str, ...] | list[str]", viewID: str
) -> slicer.vtkMRMLSegmentationDisplayNode:
    """Draw some of a shadow's segments, in one slice view ("" for all); return the display node."""
    display = slicer.vtkMRMLSegmentationDisplayNode()
    display.SetSaveWithScene(False)
    if viewID:
        display.AddViewNodeID(viewID)
    slicer.mrmlScene.AddNode(display)
    shadow.AddAndObserveDisplayNodeID(display.GetID())
    display.SetAllSegmentsVisibility(False)
    for segmentID in segmentIDs:
        display.SetSegmentVisibility(segmentID, True)
    display.SetVisibility3D(False)
    return display


def original(shadow: slicer.vtkMRMLSegmentationNode) -> Any:
    """Return the segmentation that a shadow is of, None where it is gone."""
    return shadow.GetNodeReference(_ORIGINAL)


def follow(shadow: slicer.vtkMRMLSegmentationNode) -> bool:
    """Bring a shadow to where its segmentation is now, and its segments to what they are now.

    Return whether the segments had changed.
    """
    source = original(shadow)
    shadow.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    if shadow.GetAttribute(_COPIED) == _state(source.GetSegmentation()):
        return False
    _copy(source, shadow)
    return True


def _copy(source: slicer.vtkMRMLSegmentationNode, shadow: slicer.vtkMRMLSegmentationNode) -> None:
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(source.GetSegmentation())
    shadow.SetAndObserveSegmentation(copy)  # in one go: no event per segment
    shadow.SetAttribute(_COPIED, _state(source.GetSegmentation()))


def _state(segmentation: slicer.vtkSegmentation) -> str:
    """Return what changes when a segment looks different; tags do not count."""
    parts = []
    for segmentID in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentID)
        image = segment.GetRepresentation(LABELMAP)
        drawn = (image.GetMTime(), image.GetAddressAsString("")) if image is not None else ()
        looks = segment.GetName(), segment.GetColor(), segment.GetLabelValue()
        parts.append((segmentID, looks, drawn))
    return repr(parts)


def shadows(purpose: str = "") -> list[slicer.vtkMRMLSegmentationNode]:
    """Return all shadows, or those for one purpose."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [
        n for n in nodes if n.GetAttribute(PURPOSE) and purpose in ("", n.GetAttribute(PURPOSE))
    ]


def remove(shadow: slicer.vtkMRMLSegmentationNode) -> None:
    """Take a shadow and its display nodes, which Slicer would leave, out of the scene.

    The other way round Slicer 5.12's slice views keep a pointer to a display node that is gone.
    """
    ids = [shadow.GetNthDisplayNodeID(n) for n in range(shadow.GetNumberOfDisplayNodes())]
    slicer.mrmlScene.RemoveNode(shadow)
    for display in map(slicer.mrmlScene.GetNodeByID, ids):
        if display is not None:
            slicer.mrmlScene.RemoveNode(display)
