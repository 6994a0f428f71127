"""Who waits for a drawing: told how far it is, asked whether it is still wanted."""

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import CancelledError

Progress = Callable[[int, int, str], None]


@dataclass
class Watch:
    """Counts tiles for the one who waits, and knows when that one has had enough.

    Attributes:
        progress: told (tiles done, tiles in all, what is happening) after each network call.
        cancel: asked before each network call.
        note: told, in a sentence, what happened on the way.
        stopped: whether ``cancel`` said so.
    """

    progress: Progress | None = None
    cancel: Callable[[], bool] | None = None
    note: Callable[[str], None] | None = None
    stopped: bool = False
    done: int = 0
    total: int = 0

    def begin(self, total: int) -> None:
        """Start counting towards ``total`` tiles."""
        self.done, self.total = 0, total

    def enough(self) -> bool:
        """Ask, unless it has said so already, whether the one who waits has had enough."""
        self.stopped = self.stopped or (self.cancel is not None and self.cancel())
        return self.stopped

    def look(self) -> None:
        """Raise CancelledError where the one who waits has had enough."""
        if self.enough():
            raise CancelledError("Stopped as asked; nothing was written.")

    def step(self, tiles: int, what: str) -> None:
        """Count what a network call answered."""
        self.done += tiles
        if self.progress is not None:
            self.progress(self.done, self.total, what)

    def say(self, sentence: str) -> None:
        """Pass a sentence on."""
        if self.note is not None:
            self.note(sentence)
