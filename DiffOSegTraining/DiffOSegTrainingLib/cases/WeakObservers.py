"""Observers of VTK objects that keep nobody alive."""

import weakref
from collections.abc import Callable
from typing import Any


def observeWeakly(subject: Any, event: Any, method: Callable[..., None]) -> Callable[[], Any]:
    """Call a method on an event as long as its object lives; return what ends that before.

    An object's own ``AddObserver`` would keep the method's object as long as the subject, which of
    the scene is until Slicer ends.
    """
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        living = reference()
        if living is not None:
            living(*arguments)

    tag = subject.AddObserver(event, call)
    end = weakref.finalize(method.__self__, subject.RemoveObserver, tag)  # type: ignore[attr-defined]
    end.atexit = False
    return end
