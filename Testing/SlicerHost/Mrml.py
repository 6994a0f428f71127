"""Stand-ins for Slicer's scene-aware widgets, in the module `slicer`."""

import sys
from typing import Any

import qt
import slicer
from PySide6.QtCore import Signal

from .Ctk import SliderBase, ctkCollapsibleButton, ctkRangeWidget, stored
from .Observers import observe
from .UiFile import standIn


def widget(cls: type) -> type:
    """Put a stand-in into `slicer` and make it known to .ui files."""
    setattr(slicer, cls.__name__, cls)
    return standIn(cls)


class SceneAware:
    """A widget that shows nothing of a scene until it is given one."""

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self._onScene(scene)
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return vars(self).get("_scene")

    def _onScene(self, scene: Any) -> None:
        """Take the scene in."""


@widget
class qMRMLWidget(qt.QWidget, SceneAware):
    mrmlSceneChanged = Signal(object)


@widget
class qSlicerWidget(qMRMLWidget):
    pass


@widget
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The panel's frame; `self()` is the module's own widget object."""

    isEntered = stored(bool, "isEntered", False)

    def self(self) -> Any:
        return vars(self).get("_python")

    def setPythonClass(self, name: str) -> None:
        """Fill the frame by the class of that name in the module of that name."""
        self._className = name
        self.reload()

    def reload(self) -> None:
        """Make the module's widget anew from its code, which may have changed."""
        code = sys.modules[self._className.removesuffix("Widget")]
        self._python = getattr(code, self._className)(self)
        setattr(slicer.modules, self._className, self._python)
        self._python.setup()


@widget
class qMRMLCollapsibleButton(ctkCollapsibleButton, SceneAware):
    mrmlSceneChanged = Signal(object)


@widget
class qMRMLSliderWidget(SliderBase, SceneAware):
    mrmlSceneChanged = Signal(object)
    quantity = stored(str, "quantity", "")
    unitAwareProperties = stored(int, "unitAwareProperties", 0)


@widget
class qMRMLSpinBox(SliderBase, SceneAware):
    mrmlSceneChanged = Signal(object)
    quantity = stored(str, "quantity", "")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider.hide()


@widget
class qMRMLRangeWidget(ctkRangeWidget, SceneAware):
    mrmlSceneChanged = Signal(object)


@widget
class qMRMLTableView(qt.QTableWidget, SceneAware):
    """A table node, shown; not edited."""

    mrmlSceneChanged = Signal(object)

    def setMRMLTableNode(self, node: Any) -> None:
        vars(self).get("_stop", lambda: None)()
        self._node = node
        self._stop = observe(node, "ModifiedEvent", self._fill) if node else lambda: None
        self._fill()

    def mrmlTableNode(self) -> Any:
        return vars(self).get("_node")

    def setFirstRowLocked(self, locked: bool) -> None:
        """Keep the heading; there is one anyway."""

    def _fill(self, *_: Any) -> None:
        node = self.mrmlTableNode()
        rows, columns = (node.GetNumberOfRows(), node.GetNumberOfColumns()) if node else (0, 0)
        self.setRowCount(rows)
        self.setColumnCount(columns)
        if node:
            self.setHorizontalHeaderLabels([node.GetColumnName(c) for c in range(columns)])
        for row in range(rows):
            for column in range(columns):
                self.setItem(row, column, qt.QTableWidgetItem(node.GetCellText(row, column)))


def _plain(name: str) -> None:
    widget(type(name, (qMRMLWidget,), {"__module__": __name__}))


for _name in (
    "qMRMLSubjectHierarchyComboBox",
    "qMRMLSubjectHierarchyTreeView",
    "qMRMLSegmentsTableView",
    "qMRMLPlotView",
    "qMRMLVolumeThresholdWidget",
):
    _plain(_name)
