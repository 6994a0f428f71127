"""Where a run's nodes stand among the others: their common name, and a folder beside the volume."""

from itertools import chain, count

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .Matrices import between

RUN = "DiffOSeg.Run"
"""Attribute of a node that holds the name of the run that made it."""

SCAN = "DiffOSeg.Scan"
"""Role of a segmentation's reference to the volume that the latest run into it was on."""

_RIGID = 1e-3  # relative change of a length that counts as none


def uniqueRunName(volumeNode: slicer.vtkMRMLVolumeNode) -> str:
    """Return "<volume> DiffOSeg", or "<volume> DiffOSeg 2" and so on where that is taken."""
    nodes = slicer.mrmlScene.GetNodes()
    taken: set[str | None] = set()
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        taken |= {node.GetName(), node.GetAttribute(RUN)}
    base = _("{volume} DiffOSeg").format(volume=volumeNode.GetName())
    numbered = (f"{base} {number}" for number in count(2))
    return next(name for name in chain([base], numbered) if name not in taken)


def sizeWarning(volumeNode: slicer.vtkMRMLVolumeNode) -> list[str]:
    """Return a sentence where the volume's transform changes lengths; the table leaves it out."""
    toWorld = between(volumeNode, None)
    linear = np.eye(3) if toWorld is None else toWorld[:3, :3]
    if np.allclose(linear.T @ linear, np.eye(3), rtol=0, atol=2 * _RIGID):
        return []
    return [
        _(
            "The volume's transform changes sizes. The table's volumes and lengths are those of"
            " the volume itself, without it."
        )
    ]


class ResultFolder:
    """A folder of the subject hierarchy beside a volume, made when the first node is put in."""

    def __init__(self, volumeNode: slicer.vtkMRMLVolumeNode, name: str):
        self._volumeNode, self._name = volumeNode, name

    def put(self, node: slicer.vtkMRMLNode) -> None:
        """Put a node into the folder."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        folder = self._item(hierarchy)
        item = hierarchy.GetItemByDataNode(node)
        if item == hierarchy.GetInvalidItemID():
            hierarchy.CreateItem(folder, node)
        else:
            hierarchy.SetItemParent(item, folder)

    def _item(self, hierarchy: slicer.vtkMRMLSubjectHierarchyNode) -> int:
        """Return the folder, made anew where a reader has removed it."""
        volume = hierarchy.GetItemByDataNode(self._volumeNode)
        nowhere = hierarchy.GetInvalidItemID()
        parent = hierarchy.GetItemParent(volume) if volume != nowhere else nowhere
        if parent == nowhere:
            parent = hierarchy.GetSceneItemID()
        # The segmentation has the folder's name, and may stand beside it: only folders count.
        level = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyLevelFolder()
        children = vtk.vtkIdList()
        hierarchy.GetItemChildren(parent, children, False)
        for index in range(children.GetNumberOfIds()):
            item = children.GetId(index)
            if (hierarchy.GetItemLevel(item), hierarchy.GetItemName(item)) == (level, self._name):
                return item
        return hierarchy.CreateFolderItem(parent, self._name)
