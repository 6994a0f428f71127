"""Widgets that observe VTK objects only as long as they live."""

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6


def observe(subject: Any, event: Any, method: Callable) -> Callable[[], None]:
    """Call a widget's method on an event; return a function that ends it.

    The observer keeps the widget no longer alive than its owner does, and ends with it.
    """
    reference = weakref.WeakMethod(method)
    tag = 0

    def call(caller: Any, name: str, *data: Any) -> None:
        living = reference()
        if living is None or not shiboken6.isValid(living.__self__):
            caller.RemoveObserver(tag)
        else:
            living(caller, name, *data)

    tag = subject.AddObserver(event, call)
    return lambda: subject.RemoveObserver(tag)
