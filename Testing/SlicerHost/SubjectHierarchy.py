"""Subject hierarchy items that come and go with their nodes, as Slicer's plugins see to."""

from typing import Any

import slicer
import vtk

import SlicerHost

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

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def onNodeAdded(_scene: Any, _event: str, node: Any) -> None:
            if not scene.IsImporting():
                self._add(node)
            if node.IsA("vtkMRMLSegmentationNode"):
                node.AddObserver(node.DisplayModifiedEvent, self._onDisplayModified)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def onNodeAboutToBeRemoved(_scene: Any, _event: str, node: Any) -> None:
            if not scene.IsClosing():
                self._remove(node)

        scene.AddObserver(scene.NodeAddedEvent, onNodeAdded)
        scene.AddObserver(scene.NodeAboutToBeRemovedEvent, onNodeAboutToBeRemoved)
        for event in (scene.EndImportEvent, scene.EndBatchProcessEvent, scene.EndCloseEvent):
            scene.AddObserver(event, self._addMissing, 10.0)  # before the widgets look

    def _onDisplayModified(self, node: Any, _event: str) -> None:
        """Complain as Slicer's segmentations module does, in its error log."""
        hierarchy = self.scene.GetSubjectHierarchyNode()
        busy = self.scene.IsClosing() or self.scene.IsImporting()
        if busy or node.GetScene() is None or hierarchy is None:
            return
        if not hierarchy.GetItemByDataNode(node):
            SlicerHost.uncaught.append(f"{node.GetName()} has no subject hierarchy item")

    def _addMissing(self, *_: Any) -> None:
        if self.scene.IsBatchProcessing():
            return
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self.scene)
        for index in range(self.scene.GetNumberOfNodes()):
            self._add(self.scene.GetNthNode(index))

    def _add(self, node: Any) -> None:
        plugin = next((name for cls, name in PLUGINS.items() if node.IsA(cls)), None)
        if plugin is None or node.GetHideFromEditors():
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node, plugin)

    def _remove(self, node: Any) -> None:
        hierarchy = self.scene.GetSubjectHierarchyNode()
        item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
        if item and not node.IsA("vtkMRMLSubjectHierarchyNode"):
            hierarchy.RemoveItem(item, False, False)
