"""What a person at a terminal sees while a command works."""

import sys
import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

_QUIET_SECONDS = 2.0  # anything quicker than this shows nothing
_LINE_SECONDS = 15.0  # between two lines where a bar cannot be drawn, such as in a log file


class Progress:
    """Shows how far a command is and what it is doing, once it has taken two seconds.

    Call it with ``(done, total, what)``: steps done, steps in all, and a few words such as
    "Expert 2". A terminal gets a bar with the time left, anything else a short line now and then.
    Use it in a ``with`` statement, so that the bar is gone when the answer is printed.
    """

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._started = self._last_line = time.monotonic()
        self._bar: tqdm | None = None
        self._first: tuple[float, int] | None = None  # when which step was the first one shown
        self._last = (0, 0)  # steps done, and in all

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show that ``done`` of ``total`` steps are done and that ``what`` comes now."""
        if self._stream.isatty():
            self._draw(done, total, what)
        else:
            self._print(done, total, what)

    def _draw(self, done: int, total: int, what: str) -> None:
        if self._bar is None or done < self._bar.n:
            if self._bar is not None:
                self._bar.close()
            self._bar = tqdm(
                total=total,
                initial=done,
                file=self._stream,
                leave=False,
                delay=_QUIET_SECONDS,
                unit="step",
            )
        self._bar.total = total  # less, where some of the work turns out not to be needed
        self._bar.set_description(what, refresh=False)
        self._bar.update(done - self._bar.n)

    def _print(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        last_done, last_total = self._last
        if self._first is None or done < last_done or total > last_total:
            self._first = now, done  # a count that begins anew has a pace of its own
        self._last = done, total
        wait = _QUIET_SECONDS if self._last_line == self._started else _LINE_SECONDS
        if now - self._last_line < wait or not total:
            return
        self._last_line = now
        print(
            f"{what}: {done} of {total}{self._left(now, done, total)}",
            file=self._stream,
            flush=True,
        )

    def _left(self, now: float, done: int, total: int) -> str:
        """Return the time left by the pace since the first step shown; a run may be resumed."""
        started, first = self._first or (now, done)
        if done == first:
            return ""
        seconds = (now - started) / (done - first) * (total - done)
        amount = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        return f", about {amount} left"
