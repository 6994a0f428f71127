"""Further ways to draw a segmentation without touching how the reader has it drawn.

A shadow is a segmentation node of its own, hidden from lists and never saved, that holds the very
same segments; so it can be drawn differently and taken away again. A second display node on the
reader's segmentation would not do: Slicer 5.12's slice views keep a pointer to a display node that
is removed before its segmentation, and crash at the next change of a segment.
"""

from typing import Any

import slicer

PURPOSE = "DiffOSeg.View"  # the attribute that makes a node a shadow, and says what for
_ORIGINAL = "DiffOSeg.Original"


def cast(
    segmentationNode: slicer.vtkMRMLSegmentationNode, purpose: str
) -> slicer.vtkMRMLSegmentationNode:
    """Return a new shadow of a segmentation; it is drawn nowhere until addDisplay()."""
    shadow = slicer.vtkMRMLSegmentationNode()
    shadow.SetName(f"{segmentationNode.GetName()} ({purpose})")
    shadow.SetAttribute(PURPOSE, purpose)
    shadow.SetHideFromEditors(True)
    shadow.SetSaveWithScene(False)
    shadow.SetAndObserveSegmentation(segmentationNode.GetSegmentation())
    slicer.mrmlScene.AddNode(shadow)
    shadow.SetNodeReferenceID(_ORIGINAL, segmentationNode.GetID())
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


def follow(shadow: slicer.vtkMRMLSegmentationNode) -> None:
    """Move a shadow to where its segmentation is now."""
    shadow.SetAndObserveTransformNodeID(original(shadow).GetTransformNodeID())


def shadows(purpose: str = "") -> list[slicer.vtkMRMLSegmentationNode]:
    """Return all shadows, or those for one purpose."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [
        n for n in nodes if n.GetAttribute(PURPOSE) and purpose in ("", n.GetAttribute(PURPOSE))
    ]


def remove(shadow: slicer.vtkMRMLSegmentationNode) -> None:
    """Take a shadow and its display nodes out of the scene, in the order that is safe."""
    ids = [shadow.GetNthDisplayNodeID(n) for n in range(shadow.GetNumberOfDisplayNodes())]
    slicer.mrmlScene.RemoveNode(shadow)
    for display in map(slicer.mrmlScene.GetNodeByID, ids):
        if display is not None:
            slicer.mrmlScene.RemoveNode(display)
