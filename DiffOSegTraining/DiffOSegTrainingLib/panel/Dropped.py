"""What is dropped on the table of cases: items of the subject hierarchy, folders and data lists."""

from collections.abc import Iterable

import slicer
import vtk

from ..run.TrainingLogic import DiffOSegTrainingLogic

_SEGMENT_ID = slicer.vtkMRMLSegmentationNode.GetSegmentIDAttributeName()


def addItems(logic: DiffOSegTrainingLogic, itemIDs: Iterable[int]) -> int:
    """Add rows for items of the subject hierarchy; return how many.

    A segment becomes a row of its own, a folder stands for all that is in it. A volume waits for
    its segment, unless a segmentation that was dropped with it names it already.

    Raises InputError for what is no volume, segmentation or segment.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    nodes, added = [], 0
    for itemID in itemIDs:
        segmentID = hierarchy.GetItemAttribute(itemID, _SEGMENT_ID)
        if segmentID:
            owner = hierarchy.GetItemDataNode(hierarchy.GetItemParent(itemID))
            added += logic.addSegments(owner, [segmentID])
        else:
            nodes += _nodesOf(hierarchy, itemID)
    for node in sorted(nodes, key=lambda node: not node.IsA("vtkMRMLSegmentationNode")):
        if not any(row.volume is node for row in logic.rows()):
            added += logic.addNode(node)
    return added


def _nodesOf(hierarchy: "slicer.vtkMRMLSubjectHierarchyNode", itemID: int) -> list:
    """Return the node of an item; of a folder, the volumes and segmentations in it."""
    node = hierarchy.GetItemDataNode(itemID)
    if node is not None:
        return [node]
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(itemID, children, True)
    inside = range(children.GetNumberOfIds())
    found = [hierarchy.GetItemDataNode(children.GetId(n)) for n in inside]
    kinds = ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode")
    return [node for node in found if node is not None and node.GetClassName() in kinds]
