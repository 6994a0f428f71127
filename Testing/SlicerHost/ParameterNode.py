"""A stand-in for slicer.parameterNodeWrapper, written anew: typed fields kept in a MRML node."""

import typing
from collections.abc import Callable
from typing import Any

import slicer
import vtk

from . import ParameterWidgets
from .ParameterFields import ANNOTATIONS, Default, Field
from .ParameterWidgets import PROPERTY
from .ScriptedModule import addModule


def parameterNodeWrapper(cls: type | None = None) -> Any:
    """Turn an annotated class into one that keeps its fields in a vtkMRMLScriptedModuleNode."""
    return _wrap(cls) if cls is not None else _wrap


def _wrap(cls: type) -> type:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {}
    for name, hint in hints.items():
        fields[name] = Field(name, hint, *([getattr(cls, name)] if hasattr(cls, name) else []))
        setattr(cls, name, _property(name))
    methods = {n: m for n, m in vars(_Wrapper).items() if n == "__init__" or n[:2] != "__"}
    for name in {"allParameters", *methods} - {"__init__"}:
        if name in vars(cls):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    for name, value in {"allParameters": fields, **methods}.items():
        setattr(cls, name, value)
    return cls


def _property(name: str) -> property:
    return property(
        lambda self: self.getValue(name),
        lambda self, value: self.setValue(name, value),
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
                field.write(parameterNode, field.default.value)

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
        return self._field(name).default

    def dataType(self, name: str) -> Any:
        return self._field(name).type

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
    addModule(
        "slicer.parameterNodeWrapper",
        parameterNodeWrapper=parameterNodeWrapper,
        SlicerParameterNamePropertyName=PROPERTY,
        **{cls.__name__: cls for cls in ANNOTATIONS},
    )
