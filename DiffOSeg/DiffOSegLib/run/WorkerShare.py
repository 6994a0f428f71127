"""One worker for the whole application: each Logic has a share in it."""

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from .WorkerClient import Message, WorkerClient

_shares: "WeakKeyDictionary[WorkerClient, WeakSet[WorkerShare]]" = WeakKeyDictionary()
_application: WorkerClient | None = None


def applicationWorker() -> WorkerClient:
    """Return the application's one worker, which its first job starts."""
    global _application
    if _application is None:
        _application = WorkerClient()
    return _application


class WorkerShare:
    """Sends jobs to a worker that others use, too, and hears of its own jobs alone."""

    def __init__(self, worker: WorkerClient, isWorking: Callable[[], bool]) -> None:
        """Take a share; nothing is started.

        Args:
            worker: whose jobs are shared.
            isWorking: whether a run or a training of this share is under way, which would keep
                those of the others waiting.
        """
        self.isWorking = isWorking
        self._worker = worker
        self._mine: set[str] = set()
        self._inbox: list[Message] = []
        _shares.setdefault(worker, WeakSet()).add(self)

    @property
    def isTaken(self) -> bool:
        """Whether a run or a training of another share is under way."""
        return any(share.isWorking() for share in self._others)

    @property
    def running(self) -> bool:
        """Whether there is a worker process."""
        return self._worker.running

    @property
    def pid(self) -> int | None:
        """The worker's process number; None where there is none."""
        return self._worker.pid

    @property
    def lost(self) -> bool:
        """Whether the last worker ended in the middle of a job and none has been started since."""
        return self._worker.lost

    @property
    def busy(self) -> bool:
        """Whether poll() is needed."""
        return bool(self._inbox or self._mine) or self._worker.busy

    @property
    def openJobs(self) -> tuple[str, ...]:
        """The ids of this share's jobs that have not had their last message."""
        return tuple(jobID for jobID in self._worker.openJobs if jobID in self._mine)

    @property
    def openRuns(self) -> tuple[str, ...]:
        """The ids of those among them that are runs."""
        return tuple(jobID for jobID in self._worker.openRuns if jobID in self._mine)

    def send(self, message: Mapping[str, Any]) -> None:
        """Ask for a job; starts the worker where there is none. Never raises: poll() tells."""
        self._mine.add(message["id"])
        self._worker.send(message)

    def cancel(self, jobID: str) -> None:
        """Ask the worker to stop a job; a worker that does not within 2 s is killed."""
        self._worker.cancel(jobID)

    def kill(self, sentence: str) -> None:
        """Kill the worker and all that it started; everybody's open jobs end with this sentence."""
        self._worker.kill(sentence)

    def retire(self) -> None:
        """Ask an idle worker to end; the next job gets a new one."""
        self._worker.retire()

    def poll(self) -> list[Message]:
        """Return the messages that have come in for this share; the others' are kept for them."""
        for message in self._worker.poll():
            for share in _shares[self._worker]:
                if message["id"] in share._mine:
                    share._inbox.append(message)
        messages, self._inbox = self._inbox, []
        self._mine.intersection_update(self._worker.openJobs)
        return messages

    def stop(self) -> None:
        """Stop this share's jobs, and end the worker unless it works for another share."""
        self._inbox.clear()
        if any(share.isWorking() or share.openJobs for share in self._others):
            for jobID in self.openJobs:
                self._worker.cancel(jobID)
        else:
            self._worker.stop()
        self._mine.clear()

    @property
    def _others(self) -> "list[WorkerShare]":
        return [share for share in _shares[self._worker] if share is not self]
