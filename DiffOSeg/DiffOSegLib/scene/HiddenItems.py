"""Items in the subject hierarchy for segmentations that no list shows and no scene keeps.

Slicer logs an error at each change of how a segmentation is drawn that has no item. The tree shows
no item of a hidden node. A saved scene would keep the item without its node, so it goes meanwhile.
"""

from weakref import WeakSet

import slicer

_HIDDEN = "DiffOSeg.HiddenItem"  # the attribute of a node whose item is ours
_PLUGIN = "Segmentations"

_watched: "WeakSet[slicer.vtkMRMLScene]" = WeakSet()


def enlist(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Give a hidden segmentation that is in the scene its item."""
    node.SetAttribute(_HIDDEN, "1")
    _create(node)
    scene = slicer.mrmlScene
    if scene not in _watched:
        _watched.add(scene)
        scene.AddObserver(scene.StartSaveEvent, _removeAll)
        scene.AddObserver(scene.EndSaveEvent, _createAll)


def _create(node: slicer.vtkMRMLSegmentationNode) -> None:
    hierarchy = _hierarchy()
    if hierarchy is not None and not hierarchy.GetItemByDataNode(node):
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node, _PLUGIN)


def _createAll(*_: object) -> None:
    for node in _nodes():
        _create(node)


def _removeAll(*_: object) -> None:
    hierarchy = _hierarchy()
    for node in _nodes():
        if hierarchy is not None and (item := hierarchy.GetItemByDataNode(node)):
            hierarchy.RemoveItem(item, False, False)  # neither the node nor what is below it


def _nodes() -> list[slicer.vtkMRMLSegmentationNode]:
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetAttribute(_HIDDEN)]


def _hierarchy() -> "slicer.vtkMRMLSubjectHierarchyNode | None":
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
