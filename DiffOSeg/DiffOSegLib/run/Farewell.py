"""Who has something to end when Slicer ends; nobody is kept alive for that."""

import atexit
import weakref
from typing import Protocol

import slicer


class Ending(Protocol):
    """Has something to end."""

    def shutdown(self) -> None:
        """End it; may be called more than once."""


_living: "weakref.WeakSet[Ending]" = weakref.WeakSet()
_listening = False


def endWithSlicer(one: Ending) -> None:
    """Have it shut down when Slicer quits or Python ends, unless it is gone before."""
    global _listening
    _living.add(one)
    if not _listening:
        _listening = True
        atexit.register(_endAll)
        if hasattr(getattr(slicer, "app", None), "connect"):
            slicer.app.connect("aboutToQuit()", _endAll)


def _endAll() -> None:
    for one in tuple(_living):
        one.shutdown()
