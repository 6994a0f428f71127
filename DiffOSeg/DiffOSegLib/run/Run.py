"""One run: the volume goes out, results come in, and it ends with one sentence whatever happens."""

import errno
import logging
import shutil
import tempfile
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import slicer
from slicer.i18n import tr as _

from diffoseg.errors import DiffOSegError, InputError
from diffoseg.experts.panel import display_name
from diffoseg.worker.job import IMAGE, DeviceChoice, SegmentationJob, carried_voxels

from ..scene import SceneInputs
from ..scene.RunRequest import RunRequest
from . import LocalExperts
from .WorkerClient import CANCELLED, Message
from .WorkerProcess import temporaryFolder
from .WorkerShare import WorkerShare

_STEP_SECONDS = 0.01  # steps are begun for so long in one tick; one step takes less than 50 ms
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_WINDOWS_DISK_FULL = 112


@dataclass(frozen=True)
class RunEvent:
    """What a run tells whoever asked for it.

    Attributes:
        kind: "preparing", "progress", "outline", "result" and "note" while it goes on; it ends
            with exactly one of "done", "cancelled" and "error".
        sentence: plain words; in "progress" what is drawn now.
        fraction: of the work that is done, 0..1; None where it is not known.
        secondsLeft: None where it is not known.
        expert: whose outline, result or progress it is; "" otherwise.
        details: of an error, for those who look into it: a traceback, the worker's last lines.
    """

    kind: str
    sentence: str = ""
    fraction: float | None = None
    secondsLeft: float | None = None
    expert: str = ""
    details: str = ""

    @property
    def isLast(self) -> bool:
        """Whether the run has ended with it."""
        return self.kind in ("done", "cancelled", "error")


class ResultSink(Protocol):
    """Takes results into the scene, in steps of less than 50 ms each."""

    def begin(self, request: RunRequest, started: Message) -> None:
        """Learn what was asked, the region and the experts, before any result."""

    def addOutline(self, outline: Message, folder: Path) -> Iterator[None]:
        """Take in one expert's outline before there are samples, a step at each next()."""

    def addExpert(self, result: Message, folder: Path) -> Iterator[None]:
        """Take in one expert's files, a step at each next()."""

    def finish(self, done: Message, folder: Path) -> Iterator[None]:
        """Take in what belongs to all experts, a step at each next()."""

    def abandon(self) -> None:
        """Stop; what has been taken in stays. The nodes may be gone."""


Listener = Callable[[RunEvent], None]


class Run:
    """Takes a request through the worker, a small step at a time; made by the Logic.

    Attributes:
        id: names the job to the worker.
        request: what was asked.
        outcome: the event that it ended with; None while it goes on.
    """

    def __init__(
        self, request: RunRequest, sink: ResultSink, onEvent: Listener, worker: WorkerShare
    ) -> None:
        self.id = uuid.uuid4().hex
        self.request = request
        self.outcome: RunEvent | None = None
        self._sink = sink
        self._onEvent = onEvent
        self._worker = worker
        self._messages: deque[Message] = deque()
        self._folder: Path | None = None
        self._asked = False
        self._finished = False
        self._work: Iterator[None] | None = self._prepare()
        self._afterwards: Callable[[], None] = lambda: None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.outcome is not None

    def step(self) -> None:
        """Go on for about 10 ms."""
        begun = time.perf_counter()
        while not self.over and time.perf_counter() - begun < _STEP_SECONDS:
            try:
                if not self._stepOnce():
                    return
            except Exception as error:  # whatever a sink or a message does, the run ends in words
                self._fail(error)

    def receive(self, message: Message) -> None:
        """Keep a message of the worker until what came before has been taken in."""
        if not self.over:
            self._messages.append(message)

    def cancel(self) -> None:
        """Stop it; it ends with what is finished, at once or when the worker has answered."""
        if self.over:
            return
        if self._asked:
            self._worker.cancel(self.id)
        else:
            self._end(RunEvent("cancelled", _("The run was cancelled before it began.")))

    def abandon(self, sentence: str) -> None:
        """End it now, whatever the worker does, because its volume or scene goes away."""
        if not self.over:
            self._worker.cancel(self.id)
            self._end(RunEvent("cancelled", sentence))

    def removeFolder(self) -> None:
        """Remove its files; to be called once it is over and the worker no longer writes."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def removeOneFile(self) -> bool:
        """Do a part of ``removeFolder``, as large files take long; return whether more is left."""
        try:
            for file in self._folder.iterdir() if self._folder is not None else ():
                file.unlink()
                return True
        except OSError:
            pass  # somebody still holds it: the rest goes all the same
        self.removeFolder()
        return False

    def _stepOnce(self) -> bool:
        """Do the next thing; return False where there is nothing to do now."""
        if self._work is not None:
            self._advance(self._work)
        elif not self._asked:
            return self._ask()
        elif self._messages:
            self._take(self._messages.popleft())
        else:
            return False
        return True

    def _advance(self, work: Iterator[None]) -> None:
        try:
            next(work)
        except StopIteration:
            if not self.over:
                self._work = None
                self._afterwards()
        if self.over:  # ended by someone whom this very step called
            self._guarded(lambda: _close(work))
            if not self._asked:
                self.removeFolder()

    def _prepare(self) -> Iterator[None]:
        """Write the job, the voxels slab by slab."""
        self._tell(RunEvent("preparing", _("Handing over the volume.")))
        request = self.request
        volumeNode = slicer.mrmlScene.GetNodeByID(request.volumeNodeID)
        if volumeNode is None:
            raise InputError(_("The volume is no longer in the scene. Choose another one."))
        SceneInputs.checkVolume(volumeNode)
        card = LocalExperts.cardFor(request.model)
        taught = LocalExperts.filesFor(card, request.experts)
        geometry = SceneInputs.geometryOf(volumeNode)
        start, size = carried_voxels(geometry, request.region, card.metadata)
        self._folder = Path(tempfile.mkdtemp(prefix="diffoseg-", dir=temporaryFolder()))
        job = SegmentationJob(
            geometry=geometry,
            start=start,
            size=size,
            region=request.region,
            experts=request.experts,
            samples=request.samples,
            steps=request.steps,
            seed=request.seed,
            model=str(card.path),
            device=cast(DeviceChoice, request.device),
            modality=SceneInputs.modalityOf(volumeNode),
            name="volume",
            preset=request.preset,
            presence=request.presence,
            expert_files=self._copied(taught),
        )
        job.write(self._folder)
        yield
        yield from SceneInputs.writeImage(volumeNode, start, size, self._folder / IMAGE)

    def _copied(self, files: Iterable[Path]) -> tuple[str, ...]:
        """Copy small files to the job's own, so that they may be deleted while it runs."""
        assert self._folder is not None
        return tuple(str(shutil.copyfile(file, self._folder / file.name)) for file in files)

    def _ask(self) -> bool:
        """Ask the worker, once it has let go of a run that was abandoned."""
        if self._worker.openRuns:
            return False
        if self._worker.lost:
            sentence = _("The process that computes had ended; it is started again.")
            self._tell(RunEvent("note", sentence))
        elif not self._worker.running:
            self._tell(RunEvent("preparing", _("Starting the process that computes.")))
        if not self.over:
            self._asked = True
            self._worker.send({"do": "run", "id": self.id, "folder": str(self._folder)})
        return True

    def _take(self, message: Message) -> None:
        assert self._folder is not None
        kind = message["event"]
        if kind == "started":
            self._sink.begin(self.request, message)
            for warning in message["warnings"]:
                self._tell(RunEvent("note", warning))
        elif kind == "progress":
            self._tell(_progress(message))
        elif kind == "note":
            self._tell(RunEvent("note", message["sentence"]))
        elif kind == "outline":
            self._work = iter(self._sink.addOutline(message, self._folder))
            self._afterwards = lambda: self._tell(_result(message))
        elif kind == "result":
            self._work = iter(self._sink.addExpert(message, self._folder))
            self._afterwards = lambda: self._tell(_result(message))
        elif kind == "done":
            self._work = iter(self._sink.finish(message, self._folder))
            self._afterwards = lambda: self._finish(message)
        elif kind == "error":
            self._endByWorker(message)

    def _finish(self, done: Message) -> None:
        self._finished = True
        self._end(RunEvent("cancelled" if done["stopped"] else "done", done["sentence"]))

    def _endByWorker(self, message: Message) -> None:
        if message["code"] == CANCELLED:
            self._end(RunEvent("cancelled", message["sentence"]))
        else:
            details = str(message.get("details", ""))
            self._end(RunEvent("error", message["sentence"], details=details))

    def _fail(self, error: Exception) -> None:
        """End because of an error on Slicer's side; the worker is told to stop."""
        if self.over:
            logging.exception("DiffOSeg: after the end of a run")
            return
        self._worker.cancel(self.id)
        self._end(RunEvent("error", _inWords(error), details=traceback.format_exc()))

    def _end(self, event: RunEvent) -> None:
        self.outcome = event
        self._messages.clear()
        work, self._work = self._work, None
        if not self._finished:
            self._guarded(lambda: _close(work))
            self._guarded(self._sink.abandon)
        self._tell(event)

    def _tell(self, event: RunEvent) -> None:
        self._guarded(lambda: self._onEvent(event))

    @staticmethod
    def _guarded(call: Callable[[], None]) -> None:
        """Call what others wrote; an error in it is logged and the run goes on."""
        try:
            call()
        except Exception:
            logging.exception("DiffOSeg: a listener of a run failed")


def _close(work: Iterator[None] | None) -> None:
    """Let a generator clean up; one that is in the middle of a step is closed after it."""
    if isinstance(work, Generator) and not getattr(work, "gi_running", False):
        work.close()


def _progress(message: Message) -> RunEvent:
    fraction = message["done"] / message["total"] if message["total"] else None
    what = message["what"]
    return RunEvent("progress", what, fraction, message["seconds_left"], expert=what)


def _result(message: Message) -> RunEvent:
    expert = message["expert"]
    sentence = _("{expert} is in the scene.").format(expert=display_name(expert))
    return RunEvent(message["event"], sentence, expert=expert)


def _inWords(error: Exception) -> str:
    """Return one plain sentence or two on an error, without paths, which may name a patient."""
    if isinstance(error, DiffOSegError):
        return str(error)
    if isinstance(error, OSError):
        windows = getattr(error, "winerror", None)
        if error.errno in _DISK_FULL or windows == _WINDOWS_DISK_FULL:
            return _(
                "The disk with Slicer's temporary files is full. Free some space, or choose another"
                " folder in Slicer's application settings, then run again."
            )
        return _(
            "A temporary file could not be written or read ({reason}). Look at the folder for"
            " temporary files in Slicer's application settings, then run again."
        ).format(reason=error.strerror or type(error).__name__)
    if isinstance(error, MemoryError):
        return _("Slicer has too little free memory. Choose a smaller region and run again.")
    return _(
        "The run ended because of an error in DiffOSeg ({kind}). What was finished is kept; send"
        " the details to its authors."
    ).format(kind=type(error).__name__)
