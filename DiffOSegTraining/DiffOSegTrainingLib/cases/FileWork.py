"""Reading and writing many files, one at a time between two ticks, told of as it goes on."""

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass

from slicer.i18n import tr as _

from diffoseg.errors import DiffOSegError

from .Faults import inWords


@dataclass(frozen=True)
class FilesEvent:
    """How it goes with the files.

    Attributes:
        kind: "progress" and "note" while it goes on; it ends with one of "done", "cancelled" and
            "error".
        sentence: plain words.
        done, total: files, or cases.
    """

    kind: str
    sentence: str = ""
    done: int = 0
    total: int = 0

    @property
    def isLast(self) -> bool:
        """Whether it has ended with this."""
        return self.kind in ("done", "cancelled", "error")


FilesListener = Callable[[FilesEvent], None]
Files = Generator[FilesEvent, None, str]
"""Yields how it goes, a file at each step, and returns a sentence for the end."""


class FileWork:
    """Takes files one by one; made by the table of cases.

    Attributes:
        outcome: the event that it ended with; None while it goes on.
    """

    def __init__(self, files: Files, onEvent: FilesListener) -> None:
        self.outcome: FilesEvent | None = None
        self._files = files
        self._onEvent = onEvent

    def step(self) -> None:
        """Take the next file; never raises."""
        if self.outcome is not None:
            return
        try:
            self._tell(next(self._files))
        except StopIteration as end:
            self._end(FilesEvent("done", end.value))
        except Exception as error:
            if not isinstance(error, DiffOSegError):
                logging.exception("DiffOSeg Training: files")
            self._end(FilesEvent("error", inWords(error, _("that folder"))))

    def cancel(self) -> None:
        """Stop; what has been read or written stays."""
        if self.outcome is None:
            # It runs where Slicer handles a click while it reads a file.
            if not getattr(self._files, "gi_running", False):
                self._files.close()
            self._end(FilesEvent("cancelled", _("Stopped; what was finished is kept.")))

    def _end(self, event: FilesEvent) -> None:
        if self.outcome is None:  # else the listener has cancelled it
            self.outcome = event
            self._tell(event)

    def _tell(self, event: FilesEvent) -> None:
        try:
            self._onEvent(event)
        except Exception:
            logging.exception("DiffOSeg Training: a listener of file work failed")
