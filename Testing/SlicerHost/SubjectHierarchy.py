"""Subject hierarchy items that come and go with their nodes, as Slicer's plugins see to."""

from typing import Any

import slicer
import vtk

PLUGINS = {  # the first class that fits owns the node
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLVolumeNode": "Volumes",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLTransformNode": "Transforms",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLPlotChartNode": "Charts",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLSequenceNode": "Sequences",
}


class PluginHandler:
    """Adds an item for each data node of the scene and removes it with the node."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        events = {
            scene.NodeAddedEvent: self._onNodeAdded,
            scene.NodeAboutToBeRemovedEvent: self._onNodeAboutToBeRemoved,
        }
        for event, callback in events.items():
            callback.__func__.CallDataType = vtk.VTK_OBJECT
            scene.AddObserver(event, callback)
        scene.AddObserver(scene.EndImportEvent, self._onEndImport)

    def _onNodeAdded(self, scene: Any, _event: str, node: Any) -> None:
        if not scene.IsImporting() and not scene.IsClosing():
            self._add(node)

    def _onEndImport(self, scene: Any, _event: str) -> None:
        for index in range(scene.GetNumberOfNodes()):
            self._add(scene.GetNthNode(index))

    def _onNodeAboutToBeRemoved(self, scene: Any, _event: str, node: Any) -> None:
        hierarchy = scene.GetSubjectHierarchyNode()
        if hierarchy is None or scene.IsClosing():
            return
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)

    def _add(self, node: Any) -> None:
        plugin = next((name for cls, name in PLUGINS.items() if node.IsA(cls)), None)
        if plugin is None or node.GetHideFromEditors():
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node, plugin)
