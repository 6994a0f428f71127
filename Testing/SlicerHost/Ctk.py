"""Stand-ins for the widgets of CTK that modules use, as the module `ctk`."""

import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from PySide6.QtCore import Property, Qt, Signal

from .UiFile import standIn

ctk = types.ModuleType("ctk")
sys.modules["ctk"] = ctk


def widget(cls: type) -> type:
    """Put a stand-in into `ctk` and make it known to .ui files."""
    setattr(ctk, cls.__name__, cls)
    return standIn(cls)


def stored(kind: Any, name: str, default: Any, after: Callable | None = None) -> Property:
    """Return a real Qt property, which .ui files can set, that keeps its value in Python."""
    key = "_stored_" + name

    def getter(self: Any) -> Any:
        return vars(self).get(key, default)

    def setter(self: Any, value: Any) -> None:
        vars(self)[key] = value
        if after is not None:
            after(self, value)

    return Property(kind, getter, setter)


def passedOn(kind: Any, name: str, inner: str) -> Property:
    """Return a Qt property that is the one of an inner widget."""

    def getter(self: Any) -> Any:
        return getattr(vars(self)[inner], name)

    def setter(self: Any, value: Any) -> None:
        setattr(vars(self)[inner], name, value)

    return Property(kind, getter, setter)


@widget
class ctkCollapsibleButton(qt.QWidget):
    """A heading that shows and hides what lies under it."""

    contentsCollapsed = Signal(bool)
    clicked = Signal(bool)
    toggled = Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        words = [a for a in arguments if isinstance(a, str)]
        super().__init__(*(a for a in arguments if not isinstance(a, str)))
        self._text, self._collapsed, self._hidden = (words or [""])[0], False, []
        self._head = qt.QToolButton(self)
        self._head.setObjectName("__head")
        self._head.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self._head.setAutoRaise(True)
        self._head.clicked.connect(self._onClicked)
        self.setContentsMargins(0, 24, 0, 0)
        self._update()

    def click(self) -> None:
        self._head.click()

    def setText(self, text: str) -> None:
        self._text = text
        self._update()

    def setCollapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self._hideContents() if collapsed else self._showContents()
        self._update()
        self.contentsCollapsed.emit(collapsed)
        self.toggled.emit(not collapsed)

    def resizeEvent(self, _event: Any) -> None:
        self._head.setGeometry(0, 0, self.width, 22)

    def showEvent(self, _event: Any) -> None:
        if self._collapsed:
            self._hideContents()

    def _onClicked(self) -> None:
        self.setCollapsed(not self._collapsed)
        self.clicked.emit(not self._collapsed)

    def _hideContents(self) -> None:
        for child in self.children():
            if child.isWidgetType() and child is not self._head and not child.isHidden():
                child.hide()
                self._hidden.append(child)

    def _showContents(self) -> None:
        while self._hidden:
            self._hidden.pop().show()

    def _update(self) -> None:
        self._head.setText(self._text)
        self._head.setArrowType(Qt.RightArrow if self._collapsed else Qt.DownArrow)
        self.setMaximumHeight(24 if self._collapsed else 16777215)

    text = Property(str, lambda self: self._text, setText)
    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)
    checked = Property(bool, lambda self: not self._collapsed, lambda s, v: s.setCollapsed(not v))
    contentsFrameShape = stored(int, "contentsFrameShape", 0)
    flat = stored(bool, "flat", False)


class SliderBase(qt.QWidget):
    """A slider beside a spin box."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    STEPS = 1000

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        row = qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._slider, self._box = qt.QSlider(Qt.Horizontal), qt.QDoubleSpinBox()
        self._slider.setRange(0, self.STEPS)
        self._box.setRange(0, 100)
        row.addWidget(self._slider)
        row.addWidget(self._box)
        self._box.valueChanged.connect(self._onValue)
        self._slider.sliderMoved.connect(self._onMoved)

    def _onValue(self, value: float) -> None:
        span = self._box.maximum - self._box.minimum
        place = (value - self._box.minimum) / span if 0 < span < math.inf else 0
        self._slider.setValue(round(self.STEPS * place))
        self.valueChanged.emit(value)

    def _onMoved(self, place: int) -> None:
        span = self._box.maximum - self._box.minimum
        self._box.setValue(self._box.minimum + place / self.STEPS * span)

    value = passedOn(float, "value", "_box")
    minimum = passedOn(float, "minimum", "_box")
    maximum = passedOn(float, "maximum", "_box")
    singleStep = passedOn(float, "singleStep", "_box")
    decimals = passedOn(int, "decimals", "_box")
    suffix = passedOn(str, "suffix", "_box")
    prefix = passedOn(str, "prefix", "_box")
    pageStep = stored(float, "pageStep", 1.0)
    tracking = stored(bool, "tracking", True)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setRange(self, low: float, high: float) -> None:
        self._box.setRange(low, high)

    def setMinimum(self, value: float) -> None:
        self._box.setMinimum(value)

    def setMaximum(self, value: float) -> None:
        self._box.setMaximum(value)

    def setSingleStep(self, value: float) -> None:
        self._box.setSingleStep(value)

    def setDecimals(self, value: int) -> None:
        self._box.setDecimals(value)

    def setSuffix(self, value: str) -> None:
        self._box.setSuffix(value)


@widget
class ctkSliderWidget(SliderBase):
    spinBoxVisible = stored(bool, "spinBoxVisible", True, lambda s, on: s._box.setVisible(on))


@widget
class ctkDoubleSlider(SliderBase):
    pass


@widget
class ctkDoubleSpinBox(SliderBase):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider.hide()


@widget
class ctkRangeWidget(qt.QWidget):
    """A pair of numbers."""

    valuesChanged = Signal(float, float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        row = qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._low, self._high = qt.QDoubleSpinBox(), qt.QDoubleSpinBox()
        for box in (self._low, self._high):
            box.setRange(0, 99)
            row.addWidget(box)
            box.valueChanged.connect(self._onValue)

    def _onValue(self, *_: Any) -> None:
        self.valuesChanged.emit(self._low.value, self._high.value)

    def setValues(self, low: float, high: float) -> None:
        self._low.setValue(low)
        self._high.setValue(high)

    def setRange(self, low: float, high: float) -> None:
        self._low.setRange(low, high)
        self._high.setRange(low, high)

    minimumValue = passedOn(float, "value", "_low")
    maximumValue = passedOn(float, "value", "_high")
    singleStep = passedOn(float, "singleStep", "_low")


@widget
class ctkDoubleRangeSlider(ctkRangeWidget):
    pass


@widget
class ctkPathLineEdit(qt.QWidget):
    """A path with its history."""

    currentPathChanged = Signal(str)
    Dirs, Files = 1, 2

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        row = qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._edit = qt.QLineEdit()
        row.addWidget(self._edit)
        self._edit.textChanged.connect(self.currentPathChanged)

    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(path)

    def addCurrentPathToHistory(self) -> None:
        """Keep the path for the next time; this host forgets."""

    currentPath = passedOn(str, "text", "_edit")
    settingKey = stored(str, "settingKey", "")
    filters = stored(int, "filters", 2)
    nameFilters = stored("QStringList", "nameFilters", [])


@widget
class ctkDirectoryButton(qt.QPushButton):
    directoryChanged = Signal(str)

    def setDirectory(self, path: str) -> None:
        """Take a folder; another one is kept as its absolute path."""
        if Path(path).resolve() != Path(self.directory).resolve():
            self._directory = str(Path(path).resolve())
            self.directoryChanged.emit(self._directory)

    directory = Property(str, lambda self: vars(self).get("_directory", "."), setDirectory)


@widget
class ctkColorPickerButton(qt.QPushButton):
    colorChanged = Signal(qt.QColor)

    def setColor(self, color: Any) -> None:
        if color != self.color:
            self._color = color if isinstance(color, qt.QColor) else qt.QColor(color)
            self.colorChanged.emit(self._color)

    color = Property(qt.QColor, lambda self: vars(self).get("_color", qt.QColor("black")), setColor)
    displayColorName = stored(bool, "displayColorName", True)


@widget
class ctkComboBox(qt.QComboBox):
    defaultText = stored(str, "defaultText", "")
    forceDefault = stored(bool, "forceDefault", False)


@widget
class ctkCheckableComboBox(qt.QComboBox):
    """A list of which several entries can be checked."""

    checkedIndexesChanged = Signal()

    def setCheckState(self, index: Any, state: Any) -> None:
        self.setItemData(index.row(), state, Qt.CheckStateRole)
        self.checkedIndexesChanged.emit()

    def checkState(self, index: Any) -> Any:
        return self.itemData(index.row(), Qt.CheckStateRole) or Qt.Unchecked

    def checkedIndexes(self) -> list[Any]:
        rows = [self.model().index(row, 0) for row in range(self.count)]
        return [row for row in rows if self.checkState(row) == Qt.Checked]


@widget
class ctkMessageBox(qt.QMessageBox):
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)


@widget
class ctkCollapsibleGroupBox(qt.QGroupBox):
    collapsed = stored(bool, "collapsed", False)


def _plain(name: str, base: type) -> None:
    widget(type(name, (base,), {"__module__": __name__}))


_plain("ctkCheckBox", qt.QCheckBox)
_plain("ctkCheckablePushButton", qt.QPushButton)
_plain("ctkMenuButton", qt.QPushButton)
_plain("ctkPushButton", qt.QPushButton)
_plain("ctkExpandableWidget", qt.QFrame)
_plain("ctkFittedTextBrowser", qt.QTextBrowser)
