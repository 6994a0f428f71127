"""Fields of a parameter node: what their annotations say, and how a MRML node keeps them."""

import enum
import pathlib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from typing import Any

import slicer


class Validator:
    """A condition on a field."""

    def validate(self, value: Any) -> None:
        """Raise ValueError where the value does not meet it."""
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
    """The value a field begins with, where it is not given with an equals sign."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator is not None else self._value


class Decimals:
    def __init__(self, value: int) -> None:
        self.value = value


class SingleStep:
    def __init__(self, value: float) -> None:
        self.value = value


class ObservedList(MutableSequence):
    """What reading a list gives: changes are kept, but it is no `list` and cannot be added."""

    def __init__(self, items: Iterable[Any], save: Callable[[list[Any]], None]) -> None:
        self._items, self._save = list(items), save

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._items[index] = value
        self._save(self._items)

    def __delitem__(self, index: Any) -> None:
        del self._items[index]
        self._save(self._items)

    def insert(self, index: int, value: Any) -> None:
        self._items.insert(index, value)
        self._save(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == (other._items if isinstance(other, ObservedList) else other)

    def __repr__(self) -> str:
        return f"ObservedList({self._items})"

    def __add__(self, other: Any) -> Any:
        raise NotImplementedError("An ObservedList cannot be added; += can.")

    __radd__ = __mul__ = __rmul__ = __add__
    __hash__ = None  # type: ignore[assignment]


class Field:
    """One annotated line of a parameter node's class."""

    def __init__(self, name: str, hint: Any, *given: Any) -> None:
        base, *annotations = typing.get_args(typing.Annotated[hint, 0])[:-1]
        self.name, self.annotations = name, annotations
        self.type = _withoutNone(base)
        self.validators = [a for a in annotations if isinstance(a, Validator)]
        self.element = self._makeElement()
        defaults = [a for a in annotations if isinstance(a, Default)]
        self.default = Default(*given) if given else (defaults or [self._ownDefault()])[0]

    def _makeElement(self) -> "Field | None":
        """Return the field of a list's elements; refuse types this stand-in does not keep."""
        if typing.get_origin(self.type) is list:
            return Field(self.name, typing.get_args(self.type)[0])
        plain = (int, float, str, bool, pathlib.Path)
        if self.type not in plain and not self.isNode and not self.isEnum:
            raise TypeError(f"'{self.name}': this host keeps no {self.type}; Slicer might")
        return None

    def _ownDefault(self) -> Default:
        if self.isNode:
            return Default(None)
        if self.element is not None:
            return Default(generator=list)
        return Default(next(iter(self.type)) if self.isEnum else self.type())

    @property
    def isNode(self) -> bool:
        return isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)

    @property
    def isEnum(self) -> bool:
        return isinstance(self.type, type) and issubclass(self.type, enum.Enum)

    def isIn(self, node: Any, name: str | None = None) -> bool:
        name = name or self.name
        return node.HasParameter(name if self.element is None else f"{name}.len")

    def read(self, node: Any, name: str | None = None) -> Any:
        name = name or self.name
        if not self.isIn(node, name):  # the scene was closed: parameters are gone
            self.write(node, self.default.value, name)
        if self.isNode:
            return node.GetNodeReference(name)
        if self.element is not None:
            count = int(node.GetParameter(f"{name}.len"))
            items = [self.element.read(node, f"{name}.{i}") for i in range(count)]
            return ObservedList(items, lambda changed: self.write(node, changed, name))
        return self._decoded(node.GetParameter(name))

    def write(self, node: Any, value: Any, name: str | None = None) -> None:
        name = name or self.name
        self.check(value)
        with slicer.util.NodeModify(node):
            if self.isNode:
                node.SetParameter(name, "")
                node.SetNodeReferenceID(name, value.GetID() if value is not None else None)
            elif self.element is not None:
                self._writeList(node, list(value), name)
            else:
                node.SetParameter(name, value.name if self.isEnum else str(value))

    def _writeList(self, node: Any, values: list[Any], name: str) -> None:
        assert self.element is not None
        known = int(node.GetParameter(f"{name}.len") or 0)
        for index, value in enumerate(values):
            self.element.write(node, value, f"{name}.{index}")
        node.SetParameter(f"{name}.len", str(len(values)))
        for index in range(len(values), known):
            node.UnsetParameter(f"{name}.{index}")

    def check(self, value: Any) -> None:
        """Raise TypeError or ValueError where a value does not fit the annotation."""
        if self.element is not None:
            for item in value:
                self.element.check(item)
        elif value is None and not self.isNode:
            raise ValueError(f"'{self.name}' must not be None")
        elif value is not None:
            allowed = (int, float) if self.type is float else self.type
            if not isinstance(value, allowed):
                raise TypeError(f"'{self.name}' must be {self.type}, is {value!r}")
        for validator in self.validators:
            validator.validate(value)

    def _decoded(self, text: str) -> Any:
        if self.isEnum:
            return self.type[text]
        return text == "True" if self.type is bool else self.type(text)


def _withoutNone(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(t for t in typing.get_args(hint) if t is not type(None))
    return hint


ANNOTATIONS = (WithinRange, Minimum, Maximum, Choice, Default, Decimals, SingleStep, Validator)
