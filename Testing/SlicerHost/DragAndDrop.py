"""Dragging without a mouse: what Slicer's tree or a file manager would drop on a widget."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import qt
import slicer

_EVENTS = (qt.QDragEnterEvent, qt.QDragMoveEvent)


def drop(widget: Any, things: Iterable[Any]) -> bool:
    urls = [_url(thing) for thing in things]
    data = qt.QMimeData()
    data.setUrls(urls)
    inTree = any(url.scheme() == "mrml" for url in urls)  # whose tree offers moves and no more
    actions = qt.Qt.MoveAction if inTree else qt.Qt.MoveAction | qt.Qt.CopyAction
    at = qt.QPointF(widget.rect.center())
    for kind in _EVENTS:
        event = kind(at, actions, data, qt.Qt.LeftButton, qt.Qt.NoModifier)
        event.setAccepted(False)
        slicer.app.sendEvent(widget, event)
        if not event.isAccepted():
            return False
    dropped = qt.QDropEvent(at, actions, data, qt.Qt.LeftButton, qt.Qt.NoModifier)
    dropped.setDropAction(qt.Qt.MoveAction)  # as Slicer's tree proposes
    dropped.setAccepted(False)
    slicer.app.sendEvent(widget, dropped)
    if inTree and dropped.isAccepted() and dropped.dropAction() == qt.Qt.MoveAction:
        _takeOut(things)
    return dropped.isAccepted()


def _takeOut(things: Iterable[Any]) -> None:
    """Delete what was dragged, as a tree view does after each move that was accepted."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    for thing in (thing for thing in things if not isinstance(thing, Path)):
        isNode = isinstance(thing, slicer.vtkMRMLNode)
        item = hierarchy.GetItemByDataNode(thing) if isNode else thing
        hierarchy.RemoveItem(item, True, True)


def _url(thing: Any) -> Any:
    if isinstance(thing, Path):
        return qt.QUrl.fromLocalFile(str(thing))
    if isinstance(thing, slicer.vtkMRMLNode):
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        thing = hierarchy.GetItemByDataNode(thing)
    return qt.QUrl(f"mrml://scene/subjecthierarchy/item?id={thing}")
