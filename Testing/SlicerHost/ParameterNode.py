"""A stand-in for slicer.parameterNodeWrapper, written anew: typed fields kept in a MRML node."""

import enum
import json
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

import slicer
import vtk

from . import ParameterWidgets
from .ParameterWidgets import PROPERTY
from .ScriptedModule import addModule


class Validator:
    """A condition on a field; raises ValueError."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class WithinRange(Validator):
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], is {value}")


class Minimum(Validator):
    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


class Maximum(Validator):
    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


class Choice(Validator):
    def __init__(self, choices: list[Any]) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value!r}")


class Default:
    def __init__(self, value: Any) -> None:
        self.value = value


class Decimals:
    def __init__(self, value: int) -> None:
        self.value = value


class SingleStep:
    def __init__(self, value: float) -> None:
        self.value = value


class Field:
    """One annotated line of a parameter node's class."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        base, *annotations = typing.get_args(typing.Annotated[hint, 0])[:-1]
        self.name, self.annotations = name, annotations
        self.type = _withoutNone(base)
        self.validators = [a for a in annotations if isinstance(a, Validator)]
        given = [a.value for a in annotations if isinstance(a, Default)]
        self.default = (given or [default])[0]
        if self.default is None and not self.isNode:
            self.default = _emptyOf(self.type, self.validators)

    @property
    def isNode(self) -> bool:
        return isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)

    def isIn(self, node: Any) -> bool:
        return self.isNode or node.HasParameter(self.name)

    def read(self, node: Any) -> Any:
        if self.isNode:
            return node.GetNodeReference(self.name)
        if not self.isIn(node):
            self.write(node, self.default)
        return self._decoded(node.GetParameter(self.name))

    def write(self, node: Any, value: Any) -> None:
        self._check(value)
        if self.isNode:
            node.SetNodeReferenceID(self.name, value.GetID() if value else None)
        else:
            node.SetParameter(self.name, self._encoded(value))

    def _check(self, value: Any) -> None:
        expected = typing.get_origin(self.type) or self.type
        allowed = (int, float) if expected is float else expected
        optional = value is None and self.isNode
        if not optional and not isinstance(value, allowed):
            raise TypeError(f"'{self.name}' must be {self.type}, is {value!r}")
        for validator in self.validators:
            validator.validate(value)

    def _encoded(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            return value.name
        if isinstance(value, pathlib.Path):
            return str(value)
        return value if isinstance(value, str) else json.dumps(value)

    def _decoded(self, text: str) -> Any:
        if isinstance(self.type, type) and issubclass(self.type, enum.Enum):
            return self.type[text]
        if self.type is str or self.type is pathlib.Path:
            return self.type(text)
        value = json.loads(text)
        return float(value) if self.type is float else value


def _withoutNone(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(t for t in typing.get_args(hint) if t is not type(None))
    return hint


def _emptyOf(kind: Any, validators: list[Validator]) -> Any:
    for validator in validators:
        if isinstance(validator, Choice):
            return validator.choices[0]
        if isinstance(validator, (WithinRange, Minimum)):
            return validator.minimum
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    return (typing.get_origin(kind) or kind)()


def parameterNodeWrapper(cls: type | None = None) -> Any:
    """Turn an annotated class into one that keeps its fields in a vtkMRMLScriptedModuleNode."""
    return _wrap(cls) if cls is not None else _wrap


def _wrap(cls: type) -> type:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {name: Field(name, hint, getattr(cls, name, None)) for name, hint in hints.items()}
    for name, field in fields.items():
        setattr(cls, name, _property(field))
    cls.allParameters = fields
    own = {n: v for n, v in vars(_Wrapper).items() if not n.startswith("__") or n == "__init__"}
    for name, method in own.items():
        setattr(cls, name, method)
    return cls


def _property(field: Field) -> property:
    return property(
        lambda self: self.getValue(field.name),
        lambda self, value: self.setValue(field.name, value),
    )


_closings = [0]  # how often the scene was closed


class _Wrapper:
    """The methods every wrapped class gets."""

    allParameters: dict[str, Field]

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, tuple[int, list[Any]]] = {}
        self._lastTag, self._updating, self._bornAfter = 0, False, _closings[0]
        for field in self.allParameters.values():
            if not field.isIn(parameterNode):
                field.write(parameterNode, field.default)

    def connectGui(self, gui: Any) -> int:
        """Tie widgets with the property SlicerParameterName to their fields, both ways."""
        found = gui.findChildren("QWidget") if hasattr(gui, "isWidgetType") else vars(gui).values()
        named = {w.property(PROPERTY): w for w in found if w.property(PROPERTY)}
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        links = []
        for name, widget in mapping.items():
            link = ParameterWidgets.connector(widget, self._field(name))
            link.write(self.getValue(name))
            link.listen(self._writer(name, link))
            links.append((name, link))
        observer = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, self._refresh)
        self._lastTag += 1
        self._guis[self._lastTag] = (observer, links)
        return self._lastTag

    def disconnectGui(self, tag: int | None) -> None:
        if tag in self._guis:
            observer, links = self._guis.pop(tag)
            self.parameterNode.RemoveObserver(observer)
            for _, link in links:
                link.stop()

    def _writer(self, name: str, link: Any) -> Callable[[], None]:
        def write() -> None:
            if not self._updating:
                with slicer.util.NodeModify(self.parameterNode):
                    self.setValue(name, link.read())

        return write

    def _refresh(self, *_: Any) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for _, links in list(self._guis.values()):
                for name, link in links:
                    link.write(self.getValue(name))
        finally:
            self._updating = False

    def _field(self, name: str) -> Field:
        if self._bornAfter != _closings[0]:
            raise RuntimeError(
                f"'{name}' was used after the scene was closed: on StartCloseEvent disconnect the"
                " panel and let go of the parameter node, then get it anew."
            )
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def getValue(self, name: str) -> Any:
        return self._field(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self._field(name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(self._field(name).default)

    def isCached(self, name: str) -> bool:
        self._field(name)
        return False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> None:
        self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _onSceneStartClose(*_: Any) -> None:
    _closings[0] += 1


def install() -> None:
    scene = slicer.mrmlScene
    scene.AddObserver(scene.StartCloseEvent, _onSceneStartClose, -10.0)  # after the modules
    classes = (WithinRange, Minimum, Maximum, Choice, Default, Decimals, SingleStep, Validator)
    addModule(
        "slicer.parameterNodeWrapper",
        parameterNodeWrapper=parameterNodeWrapper,
        SlicerParameterNamePropertyName=PROPERTY,
        **{cls.__name__: cls for cls in classes},
    )
