"""The module `qt`: PySide6 with the habits of Slicer's PythonQt.

Properties are read without parentheses (`label.text`), signals are connected by their signature
(`button.connect("clicked(bool)", f)`), a C++ object takes no new attributes, and what PythonQt
would pass over in silence (a signal that does not exist) is an error here.
"""

import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

LIBRARIES = (QtCore, QtGui, QtWidgets, QtUiTools)
METHODS = {"sizeHint", "minimumSizeHint"}  # virtual as well as property: shiboken would recurse


class QtProperty:
    """`obj.text` is the value, `obj.text = v` sets it, `obj.text()` is a TypeError."""

    def __init__(self, name: str, getter: Callable, setter: Callable | None, plain: Any) -> None:
        self.name, self.getter, self.setter, self.plain = name, getter, setter, plain

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.getter(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        if self.setter is None:
            raise AttributeError(f"property '{self.name}' is read-only")
        self.setter(instance, value)

    def __call__(self, *arguments: Any) -> Any:
        """Call the static method that shares the property's name (QTimer.singleShot)."""
        return self.plain(*arguments)


def install() -> types.ModuleType:
    """Dress PySide6 up and put it into sys.modules as `qt`; once per process."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    qt = types.ModuleType("qt")
    for library in LIBRARIES:  # dir, not vars: PySide makes its classes when they are asked for
        names = [name for name in dir(library) if not name.startswith("_")]
        vars(qt).update({name: getattr(library, name) for name in names})
    classes = {
        value
        for value in vars(qt).values()
        if isinstance(value, type) and issubclass(value, QtCore.QObject)
    }
    for cls in sorted(classes, key=lambda cls: (len(cls.__mro__), cls.__name__)):
        _makeProperties(cls)
    _makeConnections()
    _makeAttributes(classes)
    _makeMethods()
    _takeNumbersAsEnums()
    sys.modules["qt"] = qt
    return qt


def _takeNumbersAsEnums() -> None:
    """Let a color's name() take its format as a number, as PythonQt does of every enum."""
    plain = QtGui.QColor.name

    def name(color: Any, form: Any = QtGui.QColor.NameFormat.HexRgb) -> str:
        return plain(color, QtGui.QColor.NameFormat(form))

    QtGui.QColor.name = name


def _makeProperties(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        described = meta.property(index)
        name = described.name()
        if name in METHODS or isinstance(vars(cls).get(name), QtProperty):
            continue
        capital = name[0].upper() + name[1:]
        getters = [getattr(cls, n, None) for n in (name, "is" + capital, "has" + capital)]
        getter = next((g for g in getters if callable(g)), None)
        if getter is None or issubclass(cls, QtCore.QCoreApplication):  # whose getters are static
            getter = _propertyReader(name)
        setter = getattr(cls, "set" + capital, None)
        if setter is None and described.isWritable():
            setter = _propertyWriter(name)
        setattr(cls, name, QtProperty(name, getter, setter, getattr(cls, name, None)))


def _propertyReader(name: str) -> Callable:
    return lambda instance: instance.property(name)


def _propertyWriter(name: str) -> Callable:
    return lambda instance, value: instance.setProperty(name, value)


# Connections -------------------------------------------------------------------------------------

_wrappers: dict[int, dict[tuple, Callable]] = {}  # by the sender's address in C++


def connect(sender: Any, signal: Any, *target: Any) -> bool:
    """Connect "name(types)" to a function, or to a receiver and "slot(types)"."""
    if not isinstance(signal, str):
        return _qtConnect(sender, signal, *target)
    bound, count = _find(sender, signal)
    receiver, *slot = target
    function = getattr(receiver, slot[0].partition("(")[0]) if slot else receiver
    if not callable(function):
        raise ValueError(f"{signal} cannot be connected to {function!r}")
    bound.connect(_wrapper(sender, signal, count, function))
    return True


def disconnect(sender: Any, signal: Any = None, *target: Any) -> bool:
    """Undo a connection that was made by `connect` with the same words."""
    if not isinstance(signal, str):
        return _qtDisconnect(sender, *(() if signal is None else (signal, *target)))
    bound, _ = _find(sender, signal)
    known = _wrappers.get(_address(sender), {})
    receiver, *slot = target
    function = getattr(receiver, slot[0].partition("(")[0]) if slot else receiver
    wrapper = known.pop((_normalized(signal), function), None)
    return wrapper is not None and bool(bound.disconnect(wrapper))


def _find(sender: Any, signature: str) -> tuple[Any, int]:
    """Return the signal of that exact signature and how many arguments it carries."""
    meta, wanted = sender.metaObject(), _normalized(signature)
    signals = [
        meta.method(i)
        for i in range(meta.methodCount())
        if meta.method(i).methodType() == QtCore.QMetaMethod.MethodType.Signal
    ]
    known = [bytes(signal.methodSignature()).decode() for signal in signals]
    name, _, types_ = wanted.partition("(")
    types_ = types_.rstrip(")")
    if wanted not in known and _asPySide(wanted) not in known:
        like = [s for s in known if s.partition("(")[0] == name]
        hint = f" It has {', '.join(like)}." if like else ""
        raise ValueError(f"{meta.className()} has no signal {wanted}.{hint}")
    bound, overloads = getattr(sender, name), [s for s in known if s.startswith(name + "(")]
    if len(overloads) > 1:
        exact = wanted if wanted in known else _asPySide(wanted)
        bound = _overload(bound, exact.partition("(")[2].rstrip(")")) or bound
    return bound, len(types_.split(",")) if types_ else 0


def _overload(bound: Any, types_: str) -> Any:
    try:
        return bound[types_] if types_ else None  # clicked() is clicked(bool) without its argument
    except (KeyError, IndexError, TypeError):
        return None


def _asPySide(signature: str) -> str:
    """Return how PySide names a signal whose argument is a pointer to a class of VTK or Slicer."""
    name, _, types_ = signature.partition("(")
    parts = types_.rstrip(")").split(",")
    known = ["PyObject" if "vtk" in p or p.startswith("qMRML") else p for p in parts]
    return f"{name}({','.join(known)})"


def _normalized(signature: str) -> str:
    return bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()


def _wrapper(sender: Any, signal: str, count: int, function: Callable) -> Callable:
    """Return a slot that drops the arguments the function has no room for, as PythonQt does."""
    address = _address(sender)
    if address not in _wrappers:
        _wrappers[address] = {}
        sender.destroyed.connect(lambda *_: _wrappers.pop(address, None))
    room = min(count, _room(function, count))

    def call(*arguments: Any) -> None:
        function(*arguments[:room])

    _wrappers[address][_normalized(signal), function] = call
    return call


def _room(function: Callable, otherwise: int) -> int:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return otherwise
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return otherwise
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _address(sender: Any) -> int:
    return shiboken6.getCppPointer(sender)[0]


def _makeConnections() -> None:
    """Shiboken answers obj.connect itself, so that the look-up has to be intercepted."""
    lookUp = QtCore.QObject.__getattribute__
    own = {"connect": connect, "disconnect": disconnect}

    def getAttribute(instance: Any, name: str) -> Any:
        return types.MethodType(own[name], instance) if name in own else lookUp(instance, name)

    QtCore.QObject.__getattribute__ = getAttribute


_qtConnect, _qtDisconnect = QtCore.QObject.connect, QtCore.QObject.disconnect


# Attributes --------------------------------------------------------------------------------------


def _isBare(cls: type) -> bool:
    """Tell C++ objects (and our stand-ins for them) from classes that a module defines."""
    return cls.__module__.partition(".")[0] in ("PySide6", "SlicerHost")


def _setAttribute(instance: Any, name: str, value: Any) -> None:
    cls = type(instance)
    value = _converted(instance, name, value)
    known = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    if isinstance(known, QtCore.Property):
        if known.fset is None:
            raise AttributeError(f"property '{name}' is read-only")
        known.fset(instance, value)
    elif hasattr(type(known), "__set__"):
        type(known).__set__(known, instance, value)
    elif not _isBare(cls) or (name.startswith("_") and cls.__module__.startswith("SlicerHost")):
        vars(instance)[name] = value
    elif known is not None:
        raise AttributeError(f"'{name}' can not be overwritten on {cls.__name__} object")
    elif name.encode() in _dynamicNames(instance):
        instance.setProperty(name, value)
    else:
        raise AttributeError(
            f"'{name}' does not exist on {cls.__name__} and creating new attributes on C++ objects"
            " is not allowed"
        )


def _converted(instance: Any, name: str, value: Any) -> Any:
    """Return a value as PythonQt hands it to a Qt property: numbers by its rules, None as text."""
    meta = instance.metaObject()
    index = meta.indexOfProperty(name)
    kind = meta.property(index).typeName() if index >= 0 else ""
    if kind == "QString" and value is None:
        return "None"
    if kind == "int" and isinstance(value, np.float64):
        raise AttributeError(f"'{name}' is an int: PythonQt makes none of a numpy.float64")
    if kind == "int" and isinstance(value, (float, np.number, np.bool_)):
        return int(value)
    return value.item() if isinstance(value, np.generic) else value


def _getAttribute(instance: Any, name: str) -> Any:
    """Answer what the class does not have: dynamic properties, then children by objectName."""
    if not name.startswith("_"):
        if name.encode() in _dynamicNames(instance):
            return instance.property(name)
        for child in instance.children():
            if child.objectName == name:
                return child
    raise AttributeError(f"{type(instance).__name__} has no attribute named '{name}'")


def _dynamicNames(instance: Any) -> list[bytes]:
    return [bytes(name) for name in instance.dynamicPropertyNames()]


def _makeAttributes(classes: set[type]) -> None:
    for cls in classes:  # each one: shiboken does not inherit it
        cls.__setattr__ = _setAttribute
    QtCore.QObject.__getattr__ = _getAttribute
    QtCore.QObject.name = QtProperty(
        "name", lambda o: o.objectName, lambda o, value: o.setObjectName(value), None
    )


def _makeMethods() -> None:
    base, findChildren = QtCore.QObject, QtCore.QObject.findChildren

    def findByClassName(instance: Any, kind: Any = base, name: str = "") -> list:
        if isinstance(kind, str):
            found = [child for child in findChildren(instance, base) if child.inherits(kind)]
            return [child for child in found if not name or child.objectName == name]
        return findChildren(instance, kind, name) if name else findChildren(instance, kind)

    base.findChildren = findByClassName
    base.className = lambda instance: instance.metaObject().className()
    base.delete = lambda instance: shiboken6.delete(instance)
    for cls in (QtWidgets.QDialog, QtWidgets.QMenu, QtCore.QEventLoop, QtCore.QCoreApplication):
        if not hasattr(cls, "exec_"):
            cls.exec_ = cls.exec
