"""How the reading or the writing of files goes: a line, and a button that stops it."""

from typing import Any

from ..cases.FileWork import FilesEvent
from ..run.TrainingLogic import DiffOSegTrainingLogic


class FilesWidget:
    """Shows one work after the other; at the end of each, what should be known of it."""

    def __init__(self, frame: Any, label: Any, button: Any, logic: DiffOSegTrainingLogic):
        """Take the frame round a label and a button; it is hidden until there is something."""
        self._frame, self._label, self._button = frame, label, button
        self._notes: list[str] = []
        frame.visible = False
        button.connect("clicked(bool)", lambda *_args: logic.cancelFiles())

    def show(self, event: FilesEvent) -> None:
        """Tell how it goes."""
        if event.kind == "note":
            self._notes.append(f"\u26a0 {event.sentence}")
            return
        lines = [event.sentence]
        if event.isLast:
            lines, self._notes = [*self._notes, event.sentence], []
        self._label.text = "\n".join(lines)
        self._frame.visible = True
        self._button.visible = not event.isLast
