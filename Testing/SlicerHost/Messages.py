"""Message boxes without a screen: what they say is kept, what is answered comes from the test."""

import logging
from typing import Any

import qt
import slicer.util

import SlicerHost


def install() -> None:
    slicer.util._messageDisplay = _messageDisplay
    slicer.util.messageBox = _messageBox
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(qt.QFileDialog, name, staticmethod(_path))


def _messageDisplay(level: int, text: str, testingReturnValue: Any, *_: Any, **__: Any) -> Any:
    """Stand for all of infoDisplay, warningDisplay, errorDisplay and confirm...Display."""
    logging.log(level, text)
    if testingReturnValue is None:  # nothing to choose
        SlicerHost.messages.append(text)
        return None
    return answer(text, testingReturnValue)


def _path(_parent: Any = None, title: str = "", *_: Any) -> str:
    """Stand for the dialogs that ask for a file or a folder: the next answer is its path.

    "", as after Cancel, where there is none; a plain string, which PythonQt returns, not PySide6.
    """
    given = answer(title, "")
    return str(given) if given else ""


def _messageBox(text: str, parent: Any = None, **_: Any) -> Any:
    return answer(text, qt.QMessageBox.Ok)


def answer(text: str, otherwise: Any) -> Any:
    """Return the next answer: True and False say yes (or ok, retry) and no (or cancel, close)."""
    SlicerHost.messages.append(text)
    if not SlicerHost.answers:
        return otherwise
    given = SlicerHost.answers.pop(0)
    return _Agreed() if given is True else given


class _Agreed:
    """Equal to whichever button means yes, as slicer.util compares."""

    def __eq__(self, other: object) -> bool:
        box = qt.QMessageBox
        return other in (True, box.Ok, box.Yes, box.Retry)

    def __hash__(self) -> int:
        return hash(True)
