"""Work on many things of one kind, several at a time, in processes of their own."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from ..errors import OutOfMemoryError

T = TypeVar("T")
R = TypeVar("R")


def done_in_processes(
    work: Callable[[T], R],
    items: Sequence[T],
    processes: int,
    progress: Callable[[int, int, str], None] | None,
    what: str,
) -> Iterator[R]:
    """Yield what becomes of each item, in the items' order.

    Args:
        work: done for each item; it, the items and what it returns travel between processes.
        items: what to work on.
        processes: how many at a time; 1 works in this process.
        progress: called with (done, total, ``what``) after each.
        what: a few words.

    Raises:
        OutOfMemoryError: the system ended a process.
    """
    say = progress or (lambda done, total, what: None)
    count = min(processes, len(items))
    if count <= 1:
        for number, item in enumerate(items, 1):
            yield work(item)
            say(number, len(items), what)
        return
    context = multiprocessing.get_context("spawn")  # what runs in this process is not copied
    pool = ProcessPoolExecutor(count, context, initializer=_follow_the_parent)
    try:
        futures = [pool.submit(work, item) for item in items]
        for number, future in enumerate(as_completed(futures), 1):
            future.result()  # what goes wrong is raised at once
            say(number, len(items), what)
        yield from (future.result() for future in futures)
    except BrokenProcessPool:
        raise OutOfMemoryError(
            "The system ended a process, most likely for want of memory. Use --processes 1."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_the_parent() -> None:
    """Leave Ctrl-C to the parent, and end where the parent was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
