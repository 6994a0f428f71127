"""The grid: one linked slice view per segment, in place of the reader's layout until it is left.

All that is needed to put the reader's views back stands in the scene, as attributes, so that a grid
that was saved with a scene can be taken away after loading too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import slicer

from ..scene.SegmentPlaces import largestSection, spanOf
from . import Shadows
from .GridLayout import LAYOUT, TAGS, Cell, description, rowsOf

_GRID = "grid"
_KEPT_OUT = "DiffOSeg.KeptOutOfGrid"  # on the reader's display nodes
_FORMER_LAYOUT = "DiffOSeg.FormerLayout"  # on the layout node

_FOUR_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
_FILL = 0.2
_THICKNESS = 2  # pixels
_ZOOM = 2.0  # width of what is shown over the longest edge of the drawings
_NARROWEST = 40.0  # mm


def layoutNode() -> "slicer.vtkMRMLLayoutNode | None":
    """Return the application's layout node, None where it has no views (--no-main-window)."""
    manager = slicer.app.layoutManager()
    return manager.layoutLogic().GetLayoutNode() if manager is not None else None


def choose(layout: int) -> None:
    """Choose the application's layout, which a maximised view would hide if the node was asked."""
    slicer.app.layoutManager().setLayout(layout)


def isShown() -> bool:
    """Return whether the application's layout is the grid."""
    node = layoutNode()
    return node is not None and node.GetViewArrangement() == LAYOUT


def show(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    keepPlace: bool,
) -> None:
    """Show the grid, or show it anew with the segments there are now; needs a layout node.

    Args:
        keepPlace: stay at the slice and zoom of the grid that is shown; otherwise begin at the
            largest section of the consensus.
    """
    rows = rowsOf(segmentationNode)
    with slicer.util.RenderBlocker():
        _takeAway()
        _arrange(description(rows))
        cells = list(chain(*rows))
        _keepOthersOut(cells)
        shadow = Shadows.cast(segmentationNode, _GRID)
        for cell in cells:
            _dress(cell, volumeNode)
            _draw(cell, shadow)
        views = [_viewOf(cell) for cell in cells]
        if keepPlace:
            _follow(views)
        else:
            _place(views, segmentationNode, volumeNode)


def holds(segmentationNode: slicer.vtkMRMLSegmentationNode) -> bool:
    """Return whether the grid was made of the segments that there are now, by their IDs."""
    ids = segmentationNode.GetSegmentation().GetSegmentIDs()
    grids = Shadows.shadows(_GRID)
    return bool(grids) and grids[0].GetSegmentation().GetSegmentIDs() == ids


def refresh(segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
    """Draw and name the segments as they are now, where they are now."""
    changed = [Shadows.follow(shadow) for shadow in Shadows.shadows(_GRID)]
    if any(changed):
        for cell in chain(*rowsOf(segmentationNode)):
            _name(cell)


def leave() -> None:
    """Put the reader's layout and display nodes back as they were; harmless without a grid."""
    node = layoutNode()
    with slicer.util.RenderBlocker():
        _takeAway()
        _emptyViews()
        former = node.GetAttribute(_FORMER_LAYOUT) if node is not None else None
        if node is not None and node.GetViewArrangement() == LAYOUT:
            choose(int(former or _FOUR_UP))
        if node is not None:
            node.RemoveAttribute(_FORMER_LAYOUT)


class Save:
    """Lets a scene be saved as if the grid was not shown: it may be opened without DiffOSeg.

    Nobody is told of what changes for the while, so the views stay as they are.
    """

    def __init__(self) -> None:
        self._former: str | None = None
        self._keptOut: dict[str, str] = {}  # by the display nodes' IDs

    def begin(self) -> None:
        """Put what the scene had before the grid into the nodes that are written."""
        node = layoutNode()
        if node is None or not isShown():
            return
        self._former = node.GetAttribute(_FORMER_LAYOUT) or str(_FOUR_UP)
        with _quietly(node):
            node.RemoveAttribute(_FORMER_LAYOUT)
            node.SetViewArrangement(int(self._former))
        for display in _restrictable():
            kept = display.GetAttribute(_KEPT_OUT)
            if kept and kept == _joined(display.GetViewNodeIDs()):
                self._keptOut[display.GetID()] = kept
                with _quietly(display):
                    display.RemoveAllViewNodeIDs()
                    display.RemoveAttribute(_KEPT_OUT)

    def end(self) -> None:
        """Put it back."""
        node = layoutNode()
        if node is None or self._former is None:
            return
        with _quietly(node):
            node.SetViewArrangement(LAYOUT)
            node.SetAttribute(_FORMER_LAYOUT, self._former)
        for nodeID, kept in self._keptOut.items():
            display = slicer.mrmlScene.GetNodeByID(nodeID)
            if display is not None:
                with _quietly(display):
                    display.SetViewNodeIDs(kept.split())
                    display.SetAttribute(_KEPT_OUT, kept)
        self._former, self._keptOut = None, {}


@contextmanager
def _quietly(node: slicer.vtkMRMLNode) -> Iterator[None]:
    was = node.GetDisableModifiedEvent()
    node.SetDisableModifiedEvent(True)
    try:
        yield
    finally:
        node.SetDisableModifiedEvent(was)


def wasLeft() -> bool:
    """Return whether the reader has chosen another layout while the grid was shown."""
    node = layoutNode()
    return node is not None and bool(node.GetAttribute(_FORMER_LAYOUT)) and not isShown()


def gridViews() -> "list[slicer.vtkMRMLSliceNode]":
    """Return the slice nodes of all cells there have ever been, the first cell first."""
    views = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    own = [view for view in views if (view.GetLayoutName() or "").startswith(TAGS)]
    return sorted(own, key=lambda view: int(view.GetLayoutName().removeprefix(TAGS)))


def _arrange(text: str) -> None:
    node = layoutNode()
    assert node is not None
    if not node.AddLayoutDescription(LAYOUT, text):
        node.SetLayoutDescription(LAYOUT, text)
    if node.GetViewArrangement() != LAYOUT:
        node.SetAttribute(_FORMER_LAYOUT, str(node.GetViewArrangement()))
        choose(LAYOUT)


def _takeAway() -> None:
    """Remove what the grid draws and let the reader's drawings be shown everywhere again."""
    for shadow in Shadows.shadows(_GRID):
        Shadows.remove(shadow)
    for node in _restrictable():
        if node.GetAttribute(_KEPT_OUT):
            if node.GetAttribute(_KEPT_OUT) == _joined(node.GetViewNodeIDs()):
                node.RemoveAllViewNodeIDs()  # else the reader has changed it meanwhile
            node.RemoveAttribute(_KEPT_OUT)


def _restrictable() -> "Iterator[slicer.vtkMRMLDisplayNode]":
    """Yield what would be in the cells too: drawings, and boxes, whose dot lies on the lesion."""
    for className in ("vtkMRMLSegmentationDisplayNode", "vtkMRMLMarkupsROIDisplayNode"):
        yield from slicer.util.getNodesByClass(className)


def _emptyViews() -> None:
    """Take the scan out of the cells, which stay in the scene, and let go of their links."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if not (composite.GetLayoutName() or "").startswith(TAGS):
            continue
        composite.SetLinkedControl(False)
        composite.SetHotLinkedControl(False)
        composite.SetBackgroundVolumeID(None)
        composite.SetForegroundVolumeID(None)


def _keepOthersOut(cells: list[Cell]) -> None:
    """Restrict the display nodes that are shown in all views to those that are not cells."""
    tags = {cell.tag for cell in cells}
    others = [view.GetID() for view in _allViews() if view.GetLayoutName() not in tags]
    for node in _restrictable():
        if not node.GetViewNodeIDs():
            for viewID in others:
                node.AddViewNodeID(viewID)
            node.SetAttribute(_KEPT_OUT, _joined(others))


def _dress(cell: Cell, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Give a cell its name, its colour, the scan, and its links to the others."""
    _name(cell)
    view = _viewOf(cell)
    composite = _compositeOf(view)
    composite.SetBackgroundVolumeID(volumeNode.GetID())
    composite.SetLinkedControl(True)
    composite.SetHotLinkedControl(True)
    for node in (view, composite):
        node.SetSaveWithScene(False)


def _name(cell: Cell) -> None:
    view = _viewOf(cell)
    view.SetLayoutLabel(cell.title)
    view.SetLayoutColor(*cell.color)


def _draw(cell: Cell, shadow: slicer.vtkMRMLSegmentationNode) -> None:
    """Draw the cell's segments in its view alone."""
    display = Shadows.addDisplay(shadow, cell.segmentIDs, _viewOf(cell).GetID())
    display.SetVisibility2DFill(len(cell.segmentIDs) == 1)
    display.SetOpacity2DFill(_FILL)
    display.SetSliceIntersectionThickness(_THICKNESS)


def _place(
    views: "list[slicer.vtkMRMLSliceNode]",
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Show the largest section of the consensus, with some surroundings; without any, the scan."""
    section = largestSection(segmentationNode)
    shown = max(_NARROWEST, _ZOOM * spanOf(segmentationNode))
    for view in views:
        view.SetOrientation(section.plane if section else "Axial")
        view.RotateToVolumePlane(volumeNode)
        slicer.app.applicationLogic().GetSliceLogic(view).FitSliceToBackground()
        if section:
            _zoom(view, shown)
            view.JumpSliceByCentering(*section.center)


def _zoom(view: slicer.vtkMRMLSliceNode, shown: float) -> None:
    """Let the shorter edge of a view show so many mm, unless it shows less already."""
    x, y, z = view.GetFieldOfView()
    factor = min(1.0, shown / min(x, y))
    view.SetFieldOfView(x * factor, y * factor, z)


def _follow(views: "list[slicer.vtkMRMLSliceNode]") -> None:
    """Bring all views to where the first one is."""
    first, *others = views
    x = first.GetFieldOfView()[0]
    for view in others:
        view.GetSliceToRAS().DeepCopy(first.GetSliceToRAS())
        view.SetXYZOrigin(first.GetXYZOrigin())
        own = view.GetFieldOfView()
        view.SetFieldOfView(x, x * own[1] / own[0], own[2])
        view.UpdateMatrices()


def _viewOf(cell: Cell) -> slicer.vtkMRMLSliceNode:
    return slicer.mrmlScene.GetSingletonNode(cell.tag, "vtkMRMLSliceNode")


def _compositeOf(view: slicer.vtkMRMLSliceNode) -> slicer.vtkMRMLSliceCompositeNode:
    return slicer.app.applicationLogic().GetSliceLogic(view).GetSliceCompositeNode()


def _allViews() -> "Iterator[slicer.vtkMRMLAbstractViewNode]":
    for className in ("vtkMRMLSliceNode", "vtkMRMLViewNode"):
        yield from slicer.util.getNodesByClass(className)


def _joined(ids: "list[str] | tuple[str, ...]") -> str:
    return " ".join(ids)
