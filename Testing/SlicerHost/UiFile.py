"""Reading .ui files: stand-in widgets by name, and the MRML connections Qt itself cannot make."""

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

WIDGETS: dict[str, type] = {}  # the stand-ins' classes by the name a .ui file gives them


def standIn(cls: type) -> type:
    """Make a stand-in widget known to .ui files."""
    WIDGETS[cls.__name__] = cls
    return cls


class QUiLoader(QtUiTools.QUiLoader):
    """Qt's loader for files made with Slicer's designer."""

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> Any:
        cls = WIDGETS.get(className) or getattr(QtWidgets, className, None)
        if cls is None:
            raise RuntimeError(f"The .ui file asks for {className}, which this host does not have.")
        widget = cls(parent) if parent is not None else cls()
        widget.setObjectName(name)
        return widget

    def load(self, file: QtCore.QFile, parent: Any = None) -> Any:
        """Load all but the connections whose arguments are nodes, then make those.

        One forgotten in the file stays forgotten.
        """
        path = file.fileName()
        document = ElementTree.parse(path)
        ours = [c for c in document.iter("connection") if "vtkMRML" in (c.findtext("signal") or "")]
        for parentOfConnections in document.iter("connections"):
            for connection in ours:
                parentOfConnections.remove(connection)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(document.getroot()))
        buffer.open(QtCore.QIODevice.ReadOnly)
        self.setWorkingDirectory(QtCore.QFileInfo(path).dir())  # icons beside the file
        widget = super().load(buffer, parent)
        for connection in ours if widget is not None else ():
            _connect(widget, connection)
        return widget


def _connect(widget: Any, connection: ElementTree.Element) -> None:
    names = (connection.findtext(k) for k in ("sender", "signal", "receiver", "slot"))
    sender, signal, receiver, slot = (name or "" for name in names)
    function = getattr(_named(widget, receiver), slot.partition("(")[0])
    _named(widget, sender).connect(signal, function)


def _named(widget: Any, name: str) -> Any:
    found = widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
    if found is None:
        raise RuntimeError(f"The .ui file connects {name}, which it does not have.")
    return found
