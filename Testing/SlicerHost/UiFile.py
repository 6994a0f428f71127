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
        if file.isOpen():
            file.seek(0)
        widget = super().load(file, parent)
        if widget is not None:
            self._connectScene(file.fileName(), widget)
        return widget

    def _connectScene(self, path: str, widget: Any) -> None:
        """Make the connections whose arguments are nodes; one forgotten in the file stays so."""
        for connection in ElementTree.parse(path).iter("connection"):
            names = (connection.findtext(k) for k in ("sender", "signal", "receiver", "slot"))
            sender, signal, receiver, slot = (name or "" for name in names)
            if "vtkMRML" not in signal:
                continue
            source, target = _named(widget, sender), _named(widget, receiver)
            source.connect(signal, getattr(target, slot.partition("(")[0]))


def _named(widget: Any, name: str) -> Any:
    found = widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
    if found is None:
        raise RuntimeError(f"The .ui file connects {name}, which it does not have.")
    return found
