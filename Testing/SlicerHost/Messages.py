"""Message boxes without a screen: what they say is kept, what is answered comes from the test."""

import logging
from typing import Any

import slicer.util

import SlicerHost


def install() -> None:
    slicer.util._messageDisplay = _messageDisplay
    slicer.util.messageBox = _messageBox


def _messageDisplay(level: int, text: str, testingReturnValue: Any, *_: Any, **__: Any) -> Any:
    """Stand for all of infoDisplay, warningDisplay, errorDisplay and confirm...Display."""
    logging.log(level, text)
    return _answer(text, testingReturnValue)


def _messageBox(text: str, parent: Any = None, **_: Any) -> Any:
    import qt

    return _answer(text, qt.QMessageBox.Ok)


def _answer(text: str, otherwise: Any) -> Any:
    """Return the next answer: True and False say yes (or ok, retry) and no (or cancel, close)."""
    SlicerHost.messages.append(text)
    answer = SlicerHost.answers.pop(0) if SlicerHost.answers else otherwise
    return _Agreed() if answer is True and otherwise is not None else answer


class _Agreed:
    """Equal to whichever button means yes, as slicer.util compares."""

    def __eq__(self, other: object) -> bool:
        import qt

        box = qt.QMessageBox
        return other in (True, box.Ok, box.Yes, box.Retry)

    def __hash__(self) -> int:
        return hash(True)
