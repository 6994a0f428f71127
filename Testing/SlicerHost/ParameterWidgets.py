"""Which widgets a parameter node's field can be tied to, as Slicer has it; all others refused."""

import enum
import pathlib
from collections.abc import Callable
from typing import Any

import ctk
import qt
import slicer

PROPERTY = "SlicerParameterName"


class Connector:
    """Reads, writes and listens to one widget."""

    signal: str

    def __init__(self, widget: Any, field: Any) -> None:
        self.widget, self.field = widget, field
        self._callback: Callable | None = None
        self.prepare()

    def prepare(self) -> None:
        """Fit the widget to the field's limits."""

    def read(self) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> None:
        raise NotImplementedError

    def listen(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self.widget.connect(self.signal, callback)

    def stop(self) -> None:
        if self._callback is not None:
            self.widget.disconnect(self.signal, self._callback)


class Checked(Connector):
    signal = "toggled(bool)"

    def prepare(self) -> None:
        if hasattr(self.widget, "checkable"):
            self.widget.checkable = True

    def read(self) -> bool:
        return bool(self.widget.checked)

    def write(self, value: bool) -> None:
        self.widget.checked = value


class Number(Connector):
    signal = "valueChanged(double)"
    widest = float("inf")

    def prepare(self) -> None:
        low = [v.minimum for v in self.field.validators if hasattr(v, "minimum")]
        high = [v.maximum for v in self.field.validators if hasattr(v, "maximum")]
        sliders = (ctk.ctkSliderWidget, slicer.qMRMLSliderWidget, qt.QSlider)
        if type(self.widget) in sliders and not (low and high):
            raise RuntimeError(f"A slider must be bounded: annotate '{self.field.name}'")
        self._setDigits()
        self.widget.minimum = (low or [-self.widest])[0]
        self.widget.maximum = (high or [self.widest])[0]

    def _setDigits(self) -> None:
        if self.field.type is int and hasattr(self.widget, "decimals"):
            self.widget.decimals = 0
        for annotation in self.field.annotations:
            name = type(annotation).__name__
            if name in ("Decimals", "SingleStep"):
                setattr(self.widget, name[0].lower() + name[1:], annotation.value)

    def read(self) -> float:
        return self.field.type(self.widget.value)

    def write(self, value: float) -> None:
        self.widget.value = value


class WholeNumber(Number):
    signal = "valueChanged(int)"
    widest = 2**31 - 1


class Chosen(Connector):
    signal = "currentIndexChanged(int)"

    def prepare(self) -> None:
        choices = [v.choices for v in self.field.validators if hasattr(v, "choices")]
        if self.field.isEnum:
            choices = [list(self.field.type)]
        if not choices:
            raise RuntimeError(f"A combo box needs choices: annotate '{self.field.name}'")
        self.choices = choices[0]
        self.widget.clear()
        for choice in self.choices:
            self.widget.addItem(choice.name if isinstance(choice, enum.Enum) else str(choice))

    def read(self) -> Any:
        return self.choices[self.widget.currentIndex]

    def write(self, value: Any) -> None:
        self.widget.currentIndex = self.choices.index(value)


class Text(Connector):
    signal = "textChanged(QString)"

    def read(self) -> str:
        return self.widget.text

    def write(self, value: str) -> None:
        if self.widget.text != value:  # the cursor stays where it is
            self.widget.text = value


class Label(Text):
    def listen(self, callback: Callable[[], None]) -> None:
        """A label changes by nobody's hand."""


class PlainText(Text):
    signal = "textChanged()"

    def read(self) -> str:
        return self.widget.plainText

    def write(self, value: str) -> None:
        if self.widget.plainText != value:
            self.widget.plainText = value


class Path(Connector):
    signal = "currentPathChanged(QString)"

    def read(self) -> Any:
        return self.field.type(self.widget.currentPath)

    def write(self, value: Any) -> None:
        self.widget.currentPath = str(value)


class Node(Connector):
    signal = "currentNodeChanged(vtkMRMLNode*)"

    def prepare(self) -> None:
        self.widget.nodeTypes = [self.field.type.__name__]

    def read(self) -> Any:
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        self.widget.setCurrentNode(value)


def connector(widget: Any, field: Any) -> Connector:
    """Return what ties the widget to the field: as in Slicer, both types match exactly.

    Raises:
        RuntimeError: Slicer has no connector for them.
    """
    for widgets, types, kind in _KINDS:
        fits = field.isNode if types == "node" else _isOf(field, types)
        if type(widget) in widgets and fits:
            return kind(widget, field)
    raise RuntimeError(f"Cannot tie '{field.name}' ({field.type}) to a {type(widget).__name__}")


def _isOf(field: Any, types: tuple[type, ...]) -> bool:
    return field.type in types or (field.isEnum and enum.Enum in types)


_SLIDERS = (
    qt.QDoubleSpinBox,
    ctk.ctkSliderWidget,
    ctk.ctkDoubleSlider,
    ctk.ctkDoubleSpinBox,
    slicer.qMRMLSliderWidget,
    slicer.qMRMLSpinBox,
)
_COMBOS = (qt.QComboBox, ctk.ctkComboBox)
_KINDS: tuple[tuple[tuple[type, ...], Any, type[Connector]], ...] = (
    ((qt.QCheckBox, ctk.ctkCheckBox, qt.QPushButton, ctk.ctkCheckablePushButton), (bool,), Checked),
    ((qt.QSlider, qt.QSpinBox), (int,), WholeNumber),
    (_SLIDERS, (float, int), Number),
    (_COMBOS, (int, float, str, bool, enum.Enum), Chosen),
    ((qt.QLineEdit,), (str,), Text),
    ((qt.QLabel,), (str,), Label),
    ((qt.QTextEdit,), (str,), PlainText),
    ((ctk.ctkPathLineEdit,), (str, pathlib.Path), Path),
    ((slicer.qMRMLNodeComboBox,), "node", Node),
)
