"""Dragging cases onto the panel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt

_SCHEME, _PATH = "mrml", "/subjecthierarchy/item"  # how Slicer's tree names what is dragged


class DropWidget(qt.QWidget):
    """Watches a table, without being seen, for what is dragged onto it.

    Files that are no data list are left to Slicer, which loads them.
    """

    def __init__(
        self,
        table: "qt.QTableWidget",
        onItems: Callable[[list[int]], None],
        onPath: Callable[[Path], None],
    ):
        """Let a table take drops.

        Args:
            table: the one that is watched as long as this object lives.
            onItems: told the subject hierarchy items that were dropped.
            onPath: told of a folder or a data list (.json) that was dropped.
        """
        qt.QWidget.__init__(self)
        self._onItems, self._onPath = onItems, onPath
        self._watched = table.viewport()
        table.setAcceptDrops(True)
        self._watched.setAcceptDrops(True)
        self._watched.installEventFilter(self)

    def stop(self) -> None:
        """Watch no more."""
        self._watched.removeEventFilter(self)

    def eventFilter(self, _watched: Any, event: Any) -> bool:
        """Take what can be taken; called by Qt."""
        kind = event.type()
        if kind not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        items, paths = dropped(event.mimeData())
        if not items and not paths:
            return False
        event.acceptProposedAction()
        if kind == qt.QEvent.Drop:
            # The tree offers a move only, and takes out what was moved.
            event.setDropAction(qt.Qt.IgnoreAction if items else qt.Qt.CopyAction)
            if items:
                self._onItems(items)
            for path in paths:
                self._onPath(path)
        return True


def dropped(mimeData: "qt.QMimeData") -> tuple[list[int], list[Path]]:
    """Return the subject hierarchy items, and the folders and data lists, that are dragged."""
    items, paths = [], []
    for url in mimeData.urls():
        if url.scheme() == _SCHEME and url.path() == _PATH:
            number = url.query().partition("id=")[2]
            items += [int(number)] if number.isdecimal() else []
        elif url.isLocalFile():
            path = Path(url.toLocalFile())
            paths += [path] if path.is_dir() or path.suffix.lower() == ".json" else []
    return items, paths
