"""The layout manager: slicer-core's layout logic, and a view for each node of the arrangement."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import qt
import slicer
import vtk
from PySide6.QtCore import Property, Signal

from .PlotView import PlotView
from .Views import SIZE, SliceView, ThreeDView

FOUR_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
ORIENTATIONS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


class SliceController:
    """What module code asks of the bar above a slice view."""

    def __init__(self, view: SliceView) -> None:
        self._view = view

    def setSliceLink(self, linked: bool) -> None:
        for view in slicer.app.layoutManager().sliceViews():
            view.logic.GetSliceCompositeNode().SetLinkedControl(bool(linked))

    def setSliceVisible(self, visible: bool) -> None:
        self._view.node.SetSliceVisible(bool(visible))

    def fitSliceToBackground(self) -> None:
        self._view.logic.FitSliceToBackground(-1, -1)
        self._view.logic.SnapSliceOffsetToIJK()

    def setSliceOffsetValue(self, offset: float) -> None:
        self._view.logic.StartSliceOffsetInteraction()
        self._view.logic.SetSliceOffset(float(offset))
        self._view.logic.EndSliceOffsetInteraction()

    def mrmlSliceNode(self) -> Any:
        return self._view.node


class SliceWidget:
    """The part of qMRMLSliceWidget that needs no screen."""

    def __init__(self, view: SliceView) -> None:
        self._view, self._controller = view, SliceController(view)

    def sliceLogic(self) -> Any:
        return self._view.logic

    def sliceController(self) -> SliceController:
        return self._controller

    def sliceView(self) -> SliceView:
        return self._view

    def mrmlSliceNode(self) -> Any:
        return self._view.node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._view.logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._controller.fitSliceToBackground()


class ThreeDWidget:
    """The part of qMRMLThreeDWidget that needs no screen."""

    def __init__(self, view: ThreeDView) -> None:
        self._view = view

    def threeDView(self) -> ThreeDView:
        return self._view

    def viewLogic(self) -> Any:
        return self._view.logic

    def mrmlViewNode(self) -> Any:
        return self._view.node


class PlotWidget:
    """The part of qMRMLPlotWidget that needs no screen."""

    def __init__(self, view: PlotView) -> None:
        self._view = view

    def plotView(self) -> PlotView:
        return self._view

    def mrmlPlotViewNode(self) -> Any:
        return self._view.node


def _viewOf(widget: SliceWidget | ThreeDWidget) -> Any:
    return widget.sliceView() if isinstance(widget, SliceWidget) else widget.threeDView()


class LayoutManager(qt.QObject):
    """slicer.app.layoutManager()."""

    layoutChanged = Signal(int)

    def __init__(self, scene: Any, application: Any) -> None:
        super().__init__()
        self._scene, self._application = scene, application
        self._slices: dict[str, SliceWidget] = {}
        self._threeD: dict[str, ThreeDWidget] = {}
        self._plots: dict[str, PlotWidget] = {}
        self._current = None
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(application)
        self._logic.SetMRMLScene(scene)
        node = self._logic.GetLayoutNode()
        node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLayoutNodeModified)
        scene.AddObserver(scene.EndCloseEvent, self._onLayoutNodeModified)
        scene.AddObserver(scene.NodeRemovedEvent, self._onNodeRemoved)
        node.SetViewArrangement(FOUR_UP)

    def layoutLogic(self) -> Any:
        return self._logic

    def mrmlSliceLogics(self) -> Any:
        return self._application.GetSliceLogics()

    def mrmlScene(self) -> Any:
        return self._scene

    def _getLayout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, layout: int) -> None:
        """Choose an arrangement; a view that was maximised is one among others again."""
        node = self._logic.GetLayoutNode()
        node.RemoveAllMaximizedViewNodes()
        node.SetViewArrangement(int(layout))

    layout = Property(int, _getLayout, setLayout)
    threeDViewCount = Property(int, lambda self: len(self._threeD))
    tableViewCount = Property(int, lambda self: 0)
    plotViewCount = Property(int, lambda self: len(self._plots))

    def sliceViewNames(self) -> tuple[str, ...]:
        """Return all names, hidden views' too, as Slicer does."""
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._slices.get(name)

    def plotWidget(self, which: int) -> PlotWidget | None:
        widgets = list(self._plots.values())
        return widgets[which] if 0 <= which < len(widgets) else None

    def threeDWidget(self, which: int | str) -> ThreeDWidget | None:
        if isinstance(which, str):
            return self._threeD.get(which)
        widgets = list(self._threeD.values())
        return widgets[which] if 0 <= which < len(widgets) else None

    def viewWidget(self, node: Any) -> SliceWidget | ThreeDWidget | None:
        known = self._slices if node.IsA("vtkMRMLSliceNode") else self._threeD
        return known.get(node.GetLayoutName())

    def sliceViews(self) -> list[SliceView]:
        return [widget.sliceView() for widget in self._slices.values()]

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._threeD.values():
            widget.threeDView().resetFocalPoint()

    def shownViews(self) -> list[Any]:
        """Return the views that are seen: those that are maximised, or the arrangement's."""
        layout, nodes = self._logic.GetLayoutNode(), self._logic.GetViewNodes()
        maximized = range(layout.GetNumberOfMaximizedViewNodes())
        shown = [layout.GetMaximizedViewNode(i) for i in maximized] or [
            nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())
        ]
        widgets = [self.viewWidget(node) for node in shown]
        return [_viewOf(widget) for widget in widgets if widget is not None]

    def _onLayoutNodeModified(self, *_: Any) -> None:
        nodes = self._logic.GetViewNodes()
        shown = [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())]
        for node in shown:
            self._makeView(node)
        for widget in (*self._slices.values(), *self._threeD.values()):
            node = _viewOf(widget).node
            node.SetMappedInLayout(int(node in shown))
        if self._current != self._getLayout():
            self._current = self._getLayout()
            self.layoutChanged.emit(self._current)

    def _onNodeRemoved(self, *_: Any) -> None:
        """Let go of views whose nodes have left the scene."""
        for known, logics in (
            (self._slices, self._application.GetSliceLogics()),
            (self._threeD, self._application.GetViewLogics()),
        ):
            gone = [n for n, widget in known.items() if _viewOf(widget).node.GetScene() is None]
            for name in gone:
                view = _viewOf(known.pop(name))
                logics.RemoveItem(view.logic)
                view.close()
        plots = self._plots.items()
        self._plots = {n: w for n, w in plots if w.mrmlPlotViewNode().GetScene() is not None}

    def _makeView(self, node: Any) -> None:
        name = node.GetLayoutName()
        if node.IsA("vtkMRMLSliceNode") and name not in self._slices:
            self._slices[name] = SliceWidget(SliceView(node, self._application, self._scene))
        elif node.IsA("vtkMRMLViewNode") and name not in self._threeD:
            self._threeD[name] = ThreeDWidget(ThreeDView(node, self._application, self._scene))
        elif node.IsA("vtkMRMLPlotViewNode") and name not in self._plots:
            self._plots[name] = PlotWidget(PlotView(node, self._scene))

    def viewOf(self, element: ElementTree.Element) -> SliceView | ThreeDView | PlotView | None:
        """Return the view a <view> element of a description names."""
        tag = element.get("singletontag", "")
        if element.get("class") == "vtkMRMLSliceNode":
            return self._slices[tag].sliceView()
        if element.get("class") == "vtkMRMLViewNode":
            return self._threeD[tag].threeDView()
        if element.get("class") == "vtkMRMLPlotViewNode":
            return self._plots[tag].plotView()
        return None  # tables are not drawn

    def restore(self) -> None:
        """Go back to four views as they are when the application starts, and to no others."""
        self.setLayout(FOUR_UP)
        for view in self.sliceViews():
            if view not in self.shownViews():
                self._scene.RemoveNode(view.logic.GetSliceCompositeNode())
                self._scene.RemoveNode(view.node)
                continue
            view.logic.GetSliceCompositeNode().SetLinkedControl(False)
            view.node.SetOrientation(ORIENTATIONS[view.node.GetLayoutName()])
            view.setSize(SIZE)

    def description(self) -> ElementTree.Element:
        """Return the current arrangement as it was described."""
        return ElementTree.fromstring(self._logic.GetLayoutNode().GetCurrentLayoutDescription())
