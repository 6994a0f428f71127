"""Selectors of nodes and of segments."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from PySide6.QtCore import Property, Qt, Signal

from .Ctk import stored
from .Mrml import SceneAware, qMRMLWidget, widget
from .Observers import observe


def _known(nodes: list[Any]) -> list[tuple[str, str]]:
    """Return what tells these nodes from others, also of the same IDs, and keeps none alive."""
    return [(node.GetID(), node.GetAddressAsString("")) for node in nodes]


def _refill(self: Any, _value: Any = None) -> None:
    self._fill()


class NodeList(qt.QComboBox, SceneAware):
    """The nodes of some classes, kept up to date with the scene."""

    mrmlSceneChanged = Signal(object)
    nodeTypes = stored("QStringList", "nodeTypes", [], _refill)
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, _refill)
    showHidden = stored(bool, "showHidden", False, _refill)
    noneEnabled = stored(bool, "noneEnabled", False, _refill)
    noneDisplay = stored(str, "noneDisplay", "None", _refill)
    addEnabled = stored(bool, "addEnabled", True)
    removeEnabled = stored(bool, "removeEnabled", True)
    renameEnabled = stored(bool, "renameEnabled", False)
    editEnabled = stored(bool, "editEnabled", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    baseName = stored(str, "baseName", "")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scenes: list[Callable[[], None]] = []
        self._names: list[Callable[[], None]] = []
        self._listed: list[tuple[str, str]] = []
        self._attributes: list[tuple[str, str, str | None]] = []

    def addAttribute(self, nodeType: str, name: str, value: str | None = None) -> None:
        """Show only nodes of the type that have the attribute (of that value)."""
        self._attributes.append((nodeType, name, value))
        self._fill()

    def setNodeTypes(self, types: Any) -> None:
        self.nodeTypes = list(types)

    def setNoneEnabled(self, enabled: bool) -> None:
        self.noneEnabled = enabled

    def nodes(self) -> list[Any]:
        """Return the nodes on offer."""
        types = self.nodeTypes
        if self.mrmlScene() is None or not types:
            return []
        fits, (only, *others) = self._fits(), types
        known = slicer.util.getNodesByClass("vtkMRMLNode" if others else only, self._scene)
        return [node for node in known if fits(node)]

    def nodeCount(self) -> int:
        return len(self.nodes())

    def _fits(self) -> Callable[[Any], bool]:
        """Return what tells whether a node is on offer.

        The properties are read once for all nodes: each reading goes through Qt and back.
        """
        types, children, hidden = self.nodeTypes, self.showChildNodeTypes, self.showHidden
        attributes = tuple(self._attributes)

        def fits(node: Any) -> bool:
            exact = node.GetClassName() in types
            if not exact and not (children and any(node.IsA(name) for name in types)):
                return False
            wanted = [(n, v) for t, n, v in attributes if node.IsA(t)]
            values = [(node.GetAttribute(name), value) for name, value in wanted]
            held = all(own is not None and value in (None, own) for own, value in values)
            return held and (hidden or not node.GetHideFromEditors())

        return fits

    def _onScene(self, scene: Any) -> None:
        for stop in self._scenes:
            stop()
        events = ("NodeAddedEvent", "NodeRemovedEvent", "EndImportEvent", "EndCloseEvent")
        events = (*events, "EndBatchProcessEvent") if scene is not None else ()
        self._scenes = [observe(scene, getattr(scene, e), self._onSceneEvent) for e in events]
        self._fill()

    def _onSceneEvent(self, *_: Any) -> None:
        """List the nodes anew if others are on offer: of most that come and go, none is."""
        if not self._scene.IsBatchProcessing() and _known(self.nodes()) != self._listed:
            self._fill()

    def _addNodes(self) -> None:
        """Put the nodes in, named as they are called now and later."""
        for stop in self._names:
            stop()
        nodes = self.nodes()
        self._listed = _known(nodes)
        for node in nodes:
            self.addItem(node.GetName() or "", node.GetID())
        self._names = [observe(node, "ModifiedEvent", self._onRenamed) for node in nodes]

    def _onRenamed(self, node: Any, _event: str) -> None:
        index = self.findData(node.GetID())
        if index >= 0 and self.itemText(index) != node.GetName():
            self.setItemText(index, node.GetName())

    def _fill(self) -> None:
        raise NotImplementedError


@widget
class qMRMLNodeComboBox(NodeList):
    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAdded = Signal(object)
    nodeRemoved = Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._busy, self._told = False, ""
        self.currentIndexChanged.connect(self._onIndex)

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self.currentNodeID) if self.currentNodeID else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) or node is None else node.GetID())

    def setCurrentNodeID(self, nodeID: str | None) -> None:
        index = self.findData(nodeID or "")
        self.setCurrentIndex(index)

    def addNode(self, nodeType: str | None = None) -> Any:
        """Make a node as the user does with "Create new"."""
        node = self._scene.AddNewNodeByClass(nodeType or self.nodeTypes[0], self.baseName)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def _fill(self) -> None:
        current, row, self._busy = self.currentNodeID, self.currentIndex, True
        stays = row < 0 < self.count  # nobody was chosen among those that there were
        self.clear()
        if self.noneEnabled and self.mrmlScene() is not None:
            self.addItem(self.noneDisplay, "")
        self._addNodes()
        index = self.findData(current) if current else -1
        if index < 0 and current:  # it was removed: Qt goes on to its neighbour
            index = min(row, self.count - 1)
        self.setCurrentIndex(index if index >= 0 else (-1 if stays or not self.count else 0))
        self._busy = False
        self._onIndex()

    def _onIndex(self, *_: Any) -> None:
        nodeID = self.currentNodeID
        if self._busy or nodeID == self._told:
            return
        self._told = nodeID
        self.currentNodeIDChanged.emit(nodeID)
        self.currentNodeChanged[object].emit(self.currentNode())
        self.currentNodeChanged[bool].emit(bool(nodeID))
        self.nodeActivated.emit(self.currentNode())  # as Slicer does, whoever has chosen it

    def _currentNodeID(self) -> str:
        return self.itemData(self.currentIndex) or ""

    currentNodeID = Property(str, _currentNodeID, setCurrentNodeID)


@widget
class qMRMLCheckableNodeComboBox(NodeList):
    checkedNodesChanged = Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._checked: list[str] = []

    def checkedNodes(self) -> list[Any]:
        return [node for node in self.nodes() if node.GetID() in self._checked]

    def uncheckedNodes(self) -> list[Any]:
        return [node for node in self.nodes() if node.GetID() not in self._checked]

    def setCheckState(self, node: Any, state: Any) -> None:
        others = [known for known in self._checked if known != node.GetID()]
        self._checked = [*others, node.GetID()] if state == Qt.Checked else others
        self.checkedNodesChanged.emit()

    def _fill(self) -> None:
        self.clear()
        self._addNodes()


@widget
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A segmentation and one of its segments."""

    currentNodeChanged = Signal((object,), (bool,))
    currentSegmentChanged = Signal(str)
    segmentSelectionChanged = Signal("QStringList")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        column = qt.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._nodes, self._segments = qMRMLNodeComboBox(), qt.QComboBox()
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        column.addWidget(self._nodes)
        column.addWidget(self._segments)
        self._stop: Callable[[], None] | None = None
        self._busy, self._told = False, ""
        self._nodes.connect("currentNodeChanged(vtkMRMLNode*)", self._onNode)
        self._segments.connect("currentIndexChanged(int)", self._onSegment)

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def currentNodeID(self) -> str:
        return self._nodes.currentNodeID

    def setCurrentNode(self, node: Any) -> None:
        self._nodes.setCurrentNode(node)

    def setCurrentNodeID(self, nodeID: str) -> None:
        self._nodes.setCurrentNodeID(nodeID)

    def currentSegmentID(self) -> str:
        return self._segments.itemData(self._segments.currentIndex) or ""

    def setCurrentSegmentID(self, segmentID: str | None) -> None:
        self._segments.setCurrentIndex(self._segments.findData(segmentID or ""))

    def setNoneEnabled(self, enabled: bool) -> None:
        self.noneEnabled = enabled

    def _onScene(self, scene: Any) -> None:
        self._nodes.setMRMLScene(scene)

    def _onNode(self, node: Any) -> None:
        if self._stop is not None:
            self._stop()
        self._stop = None
        if node is not None:
            self._stop = observe(node.GetSegmentation(), "AnyEvent", self._fill)
        self._fill()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)

    def _fill(self, *_: Any) -> None:
        node, current = self.currentNode(), self.currentSegmentID()
        self._busy = True
        self._segments.clear()
        if self.noneEnabled:
            self._segments.addItem("None", "")
        if node is not None:
            segmentation = node.GetSegmentation()
            for segmentID in segmentation.GetSegmentIDs():
                self._segments.addItem(segmentation.GetSegment(segmentID).GetName(), segmentID)
        index = self._segments.findData(current) if current else -1
        self._segments.setCurrentIndex(index if index >= 0 else (0 if self._segments.count else -1))
        self._busy = False
        self._onSegment()

    def _onSegment(self, *_: Any) -> None:
        if not self._busy and self.currentSegmentID() != self._told:
            self._told = self.currentSegmentID()
            self.currentSegmentChanged.emit(self._told)

    noneEnabled = stored(bool, "noneEnabled", False, _refill)
    segmentationNodeSelectorVisible = stored(
        bool, "segmentationNodeSelectorVisible", True, lambda s, on: s._nodes.setVisible(on)
    )
