"""The worker as the Logic sees it: messages out, messages in, whatever happens to the process."""

import json
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from .WorkerProcess import WorkerProcess, workerCommand, workerEnvironment

Message = dict[str, Any]

CANCELLED = 4  # exit code of a run that was stopped, as in diffoseg.errors

_SECONDS_TO_CANCEL = 2.0  # a worker that has not stopped a job by then hangs
_SECONDS_TO_START = 120.0  # until "ready", which comes before torch is loaded; slow disks, scanners
_SECONDS_TO_END = 0.5
_SECONDS_OF_SILENCE = 2.0  # one that has closed its output and does not end by then never will
_MEMORY_KILLS = (-9, 128 + 9)
# Slicer's launcher, which PythonSlicer is, ends with 1 and says this where Python was killed.
_LAUNCHER_KILL = (1, "exit abnormally")
_LAST_WORDS = {"description", "done", "error"}  # after these a job is over


class WorkerClient:
    """Keeps a worker while there is something to do; never blocks, starts no thread.

    A job is what a message with an "id" asked for. Each gets one last message: "description",
    "done" or "error"; where the worker can no longer give it, it is made up here.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the first message starts the process.

        Args:
            command: the command line of the worker; None: the engine's.
            clock: seconds, for the deadlines.
        """
        self._command = command
        self._clock = clock
        self._process: WorkerProcess | None = None
        self._dying: list[WorkerProcess] = []
        self._ready = False
        self._startedAt = 0.0
        self._silentSince: float | None = None
        self._open: dict[str, Message] = {}
        self._heard: set[str] = set()
        self._deadlines: dict[str, float] = {}
        self._resent = False
        self._lost = False
        self._made: deque[Message] = deque()

    @property
    def running(self) -> bool:
        """Whether there is a worker process."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The worker's process number; None where there is none."""
        return None if self._process is None else self._process.pid

    @property
    def lost(self) -> bool:
        """Whether the last worker ended in the middle of a job and none has been started since."""
        return self._lost and self._process is None

    @property
    def busy(self) -> bool:
        """Whether poll() is needed: a job is open, or a killed process is not gone yet."""
        return bool(self._open or self._dying or self._made)

    @property
    def openJobs(self) -> tuple[str, ...]:
        """The ids of jobs that have not had their last message."""
        return tuple(self._open)

    @property
    def openRuns(self) -> tuple[str, ...]:
        """The ids of those among them that are runs."""
        return tuple(jobID for jobID, job in self._open.items() if job["do"] == "run")

    def send(self, message: Mapping[str, Any]) -> None:
        """Ask for a job; starts the worker where there is none. Never raises: poll() tells."""
        job = dict(message)
        self._open[job["id"]] = job
        if self._process is None:
            self._resent = False
            self._start()
        if self._process is not None:
            self._process.write(_encoded(job))

    def cancel(self, jobID: str) -> None:
        """Ask the worker to stop a job; a worker that does not within 2 s is killed."""
        if jobID in self._open and jobID not in self._deadlines and self._process is not None:
            self._process.write(_encoded({"do": "cancel", "id": jobID}))
            self._deadlines[jobID] = self._clock() + _SECONDS_TO_CANCEL

    def retire(self) -> None:
        """Ask an idle worker to end; the next job gets a new one."""
        if self._process is not None and not self._open:
            self._process.write(_encoded({"do": "end"}))

    def poll(self) -> list[Message]:
        """Return the messages that have come in; never waits."""
        self._buryTheDead()
        messages: list[Message] = []
        if self._process is not None:
            # Asked before reading: what a process wrote before its end is then surely read.
            exitCode = self._process.exitCode()
            messages += self._received(self._process, self._process.readLines())
            if exitCode is None:
                self._enforceDeadlines(self._process)
            else:
                messages += self._lastWords(self._process)
                self._ended(self._process, exitCode)
        messages += self._made
        self._made.clear()
        return messages

    def kill(self, sentence: str, code: int = 1) -> None:
        """Kill the worker and all that it started; open jobs end with this sentence."""
        if self._process is None:
            return
        details = self._process.details()
        self._process.killTree()
        self._dying.append(self._process)
        self._process = None
        self._endJobs(sentence, code, details)

    def stop(self) -> None:
        """End the worker: politely where it is idle, and within a second in any case."""
        process, self._process = self._process, None
        if process is not None:
            if not self._open:
                process.write(_encoded({"do": "end"}))
                process.closeInput()
                process.wait(_SECONDS_TO_END)
            process.killTree()
            self._dying.append(process)
        for jobID in tuple(self._open):
            self._forgetJob(jobID)
        self._made.clear()
        for dying in self._dying:
            dying.wait(_SECONDS_TO_END)
            dying.dispose()
        self._dying.clear()

    def _start(self) -> None:
        self._ready = self._lost = False
        self._startedAt = self._clock()
        self._silentSince = None
        try:
            self._process = WorkerProcess(self._command or workerCommand(), workerEnvironment())
        except OSError as error:
            sentence = _(
                "The Python interpreter that computes could not be started."
                " Reinstall Slicer, or look whether a virus scanner blocks PythonSlicer."
            )
            self._endJobs(sentence, 1, str(error))  # not 6: it says nothing of the packages

    def _received(self, process: WorkerProcess, lines: Sequence[bytes]) -> list[Message]:
        """Return the messages among what the worker has written; the rest goes to the log."""
        messages, rubbish = [], []
        for line in lines:
            message = _decoded(line)
            if message is not None and message["event"] == "ready":
                self._ready = True
            elif message is not None and "id" in message:
                if message["event"] == "error" and not message.get("sentence"):
                    message["sentence"] = _withoutWords()
                self._noteJob(message)
                messages.append(message)
            else:
                rubbish.append(line)
        if rubbish:
            process.log(rubbish)
        return messages

    def _lastWords(self, process: WorkerProcess) -> list[Message]:
        """Return what a process that has ended left in the pipe."""
        process.killTree()  # a child of its could write for ever
        messages: list[Message] = []
        while lines := process.readLines():
            messages += self._received(process, lines)
        return messages

    def _noteJob(self, message: Message) -> None:
        jobID = message["id"]
        if jobID in self._open:
            self._heard.add(jobID)
        self._resent = False
        if message["event"] in _LAST_WORDS:
            self._forgetJob(jobID)

    def _forgetJob(self, jobID: str) -> None:
        self._open.pop(jobID, None)
        self._heard.discard(jobID)
        self._deadlines.pop(jobID, None)

    def _ended(self, process: WorkerProcess, exitCode: int) -> None:
        """Tell the open jobs that the worker has ended; without any it was idle: nothing to say."""
        self._process = None
        details = f"{process.details()}\nThe worker ended with exit code {exitCode}.".lstrip()
        process.dispose()
        if exitCode == 0 and not self._heard and self._open and not self._resent:
            self._endJobs(_stopped(), CANCELLED, details, tuple(self._deadlines))
            self._resend()  # it ended for idleness just as it was asked
            return
        if _wasKilled(exitCode, details):
            sentence = _(
                "The process that computes ran out of memory or was stopped from outside. Choose a"
                " smaller region or close other programs, then run again: a new one is started."
            )
            self._endJobs(sentence, 3, details)
        else:
            self._endJobs(_endedUnexpectedly(_reason(exitCode)), 1, details)

    def _resend(self) -> None:
        if not self._open:
            return
        self._start()
        self._resent = True
        if self._process is not None:
            for job in self._open.values():
                self._process.write(_encoded(job))

    def _endJobs(
        self, sentence: str, code: int, details: str, jobIDs: tuple[str, ...] | None = None
    ) -> None:
        """Give these jobs, by default all that are open, their last message."""
        self._lost = bool(self._open)
        for jobID in self.openJobs if jobIDs is None else jobIDs:
            self._made.append(
                {
                    "event": "error",
                    "id": jobID,
                    "code": CANCELLED if jobID in self._deadlines else code,
                    "sentence": sentence,
                    "details": details,
                }
            )
            self._forgetJob(jobID)

    def _enforceDeadlines(self, process: WorkerProcess) -> None:
        now = self._clock()
        if any(now > deadline for deadline in self._deadlines.values()):
            self.kill(_stopped())
        elif self._hasFallenSilent(process, now):
            process.log([b"It has closed its output and does not end."])
            self.kill(_endedUnexpectedly(_("without a word")))
        elif self._open and not self._ready and now > self._startedAt + _SECONDS_TO_START:
            process.log([b"It has not said that it is ready."])
            self.kill(
                _(
                    "The process that computes does not start. Restart Slicer and run again;"
                    " where that does not help, send the details."
                )
            )

    def _hasFallenSilent(self, process: WorkerProcess, now: float) -> bool:
        """Whether a process can say nothing more, and has had the time to end by itself."""
        if not process.silent:
            return False
        if self._silentSince is None:
            self._silentSince = now
        return now > self._silentSince + _SECONDS_OF_SILENCE

    def _buryTheDead(self) -> None:
        for process in tuple(self._dying):
            if process.exitCode() is not None:
                process.dispose()
                self._dying.remove(process)


def _encoded(message: Message) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def _decoded(line: bytes) -> Message | None:
    """Return a message, or None for a line that is none."""
    if not line.startswith(b"{"):
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("event"), str):
        return None
    return message if isinstance(message.get("id", ""), str) else None


def _stopped() -> str:
    return _("The run was stopped with the process that computed it.")


def _withoutWords() -> str:
    return _(
        "The process that computes failed and did not say why. Run again; where that does not help,"
        " send the details."
    )


def _endedUnexpectedly(reason: str) -> str:
    return _(
        "The process that computes ended unexpectedly ({reason}). Run again: a new one is started."
    ).format(reason=reason)


def _wasKilled(exitCode: int, details: str) -> bool:
    code, words = _LAUNCHER_KILL
    return exitCode in _MEMORY_KILLS or (exitCode == code and words in details)


def _reason(exitCode: int) -> str:
    if exitCode >= 0:
        return _("exit code {code}").format(code=exitCode)
    try:
        return signal.Signals(-exitCode).name
    except ValueError:
        return _("signal {number}").format(number=-exitCode)
