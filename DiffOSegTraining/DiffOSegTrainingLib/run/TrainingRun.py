"""One training: the cases go out, an expert comes back, and it ends with one sentence."""

import logging
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from diffoseg.errors import InputError
from diffoseg.model.cards import ExpertCard
from diffoseg.model.metadata import ModelMetadata
from diffoseg.training.run_files import CHECKPOINT
from diffoseg.worker.training_job import RESULT, TrainingCase, TrainingJob
from DiffOSegLib.run import LocalExperts
from DiffOSegLib.run.WorkerClient import CANCELLED, Message
from DiffOSegLib.run.WorkerShare import WorkerShare

from ..cases.Faults import inWords
from ..cases.SceneCases import describedCase, sceneCase, writeCase
from .Autosave import TrainingFolder
from .TrainingRequests import AskedCase, TrainingRequest

_STEP_SECONDS = 0.01  # steps are begun for so long in one tick


@dataclass(frozen=True)
class TrainingEvent:
    """What a training tells whoever asked for it.

    Attributes:
        kind: "preparing", "started", "progress", "point" and "note" while it goes on; it ends with
            exactly one of "done", "cancelled" and "error".
        expertName: who is taught.
        sentence: plain words.
        fraction: of the work that is done, 0..1; None where it is not known.
        secondsLeft: for this expert; None where it is not known.
        point: of the curves: "step", "loss", "dice", "consensus", "best", "best_name"; numbers that
            cannot be measured are None.
        card: of the expert that is now in the library.
        verdict: on that expert: "use", "like consensus" or "unproven".
        started: the worker's facts: "device", "line", "cases", "slices", "seconds".
        details: of an error, for those who look into it.
    """

    kind: str
    expertName: str = ""
    sentence: str = ""
    fraction: float | None = None
    secondsLeft: float | None = None
    point: dict[str, Any] | None = None
    card: ExpertCard | None = None
    verdict: str = ""
    started: dict[str, Any] | None = None
    details: str = ""

    @property
    def isLast(self) -> bool:
        """Whether the training has ended with it."""
        return self.kind in ("done", "cancelled", "error")


Listener = Callable[[TrainingEvent], None]


@dataclass
class _Stage:
    """One expert's part of a training: what is asked until it is on disk, and then its folder."""

    expertName: str
    request: TrainingRequest | None = None
    folder: TrainingFolder | None = None


class Training:
    """Takes experts through the worker, one after the other; made by the Logic.

    Attributes:
        jobID: names the present expert's job to the worker.
        outcome: the event that it ended with; None while it goes on.
        leftovers: folders that are of no more use and are to be removed.
    """

    def __init__(self, stages: Sequence[_Stage], onEvent: Listener, worker: WorkerShare) -> None:
        self.jobID = uuid.uuid4().hex
        self.outcome: TrainingEvent | None = None
        self.leftovers: list[TrainingFolder] = []
        self._stages = list(stages)
        self._index = 0
        self._onEvent = onEvent
        self._worker = worker
        self._messages: deque[Message] = deque()
        self._asked = False
        self._work: Iterator[None] | None = self._prepare() if stages[0].request else None

    @classmethod
    def of(
        cls, requests: Sequence[TrainingRequest], onEvent: Listener, worker: WorkerShare
    ) -> "Training":
        """Return a training that has yet to hand over its cases."""
        return cls([_Stage(one.expert.name, one) for one in requests], onEvent, worker)

    @classmethod
    def again(
        cls, folder: TrainingFolder, expertName: str, onEvent: Listener, worker: WorkerShare
    ) -> "Training":
        """Return one that goes on with what lies in a folder."""
        return cls([_Stage(expertName, folder=folder)], onEvent, worker)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.outcome is not None

    @property
    def expertName(self) -> str:
        """Who is taught now."""
        return self._stage.expertName

    @property
    def _stage(self) -> _Stage:
        return self._stages[self._index]

    def step(self) -> None:
        """Go on for about 10 ms."""
        begun = time.perf_counter()
        while not self.over and time.perf_counter() - begun < _STEP_SECONDS:
            try:
                if not self._stepOnce():
                    return
            except Exception as error:  # whatever the scene or a message does, it ends in words
                self._fail(error)

    def receive(self, message: Message) -> None:
        """Keep a message of the worker until what came before has been taken in."""
        if not self.over:
            self._messages.append(message)

    def cancel(self) -> None:
        """Stop it, at once or when the worker has answered; what is on disk can be resumed."""
        if self._asked and not self.over:
            self._worker.cancel(self.jobID)
        else:
            self.abandon()

    def abandon(self) -> None:
        """End it now, whatever the worker does."""
        if not self.over:
            self._worker.cancel(self.jobID)
            neverBegan = _("The training was cancelled before it began.")
            self._end("cancelled", neverBegan if self._work is not None else _stopped())

    def _stepOnce(self) -> bool:
        """Do the next thing; return False where there is nothing to do now."""
        if self._work is not None:
            self._advance(self._work)
        elif not self._asked:
            self._ask()
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
        if self.over and isinstance(work, Generator):  # ended by someone whom this step called
            work.close()

    def _prepare(self) -> Iterator[None]:
        """Write all experts' cases, so that the scene is of no more concern when it begins."""
        asking = [(stage, stage.request) for stage in self._stages if stage.request is not None]
        total = sum(len(request.cases) for _stage, request in asking)
        done = 0
        for stage, request in asking:
            stage.folder = TrainingFolder.new()
            metadata, path = request.card.metadata, stage.folder.path
            described = []
            for index, asked in enumerate(request.cases):
                self._tell("preparing", _handingOver(done + 1, total), fraction=done / total)
                yield
                described.append((yield from _written(asked, index, metadata, path)))
                done += 1
            TrainingJob(
                expert=request.expert,
                corrects=request.corrects,
                cases=tuple(described),
                model=str(request.card.path),
                device=request.device,
                seed=request.seed,
            ).write(path)

    def _ask(self) -> None:
        if not self._worker.running:
            self._tell("preparing", _("Starting the process that computes."))
        if self.over:  # the listener has cancelled it
            return
        assert self._stage.folder is not None
        self._asked = True
        path = str(self._stage.folder.path)
        self._worker.send({"do": "train", "id": self.jobID, "folder": path})

    def _take(self, message: Message) -> None:
        kind = message["event"]
        if kind == "started":
            self._tell("started", message["line"], started=message)
        elif kind == "progress":
            share = message["done"] / message["total"] if message["total"] else 0.0
            fraction = (self._index + share) / len(self._stages)
            left = message["seconds_left"]
            self._tell("progress", message["what"], fraction=fraction, secondsLeft=left)
        elif kind == "point":
            names = ("step", "loss", "dice", "consensus", "best", "best_name")
            self._tell("point", point={name: message[name] for name in names})
        elif kind == "note":
            self._tell("note", message["sentence"])
        elif kind == "done" and message["stopped"]:
            self._end("cancelled", _stopped())
        elif kind == "done":
            self._adopt(message)
        elif kind == "error" and message["code"] == CANCELLED:
            self._end("cancelled", _stopped())
        elif kind == "error":
            self._endInError(message["sentence"], str(message.get("details", "")))

    def _adopt(self, done: Message) -> None:
        """Take the expert into the library, and go on to the next one or end."""
        stage = self._stage
        assert stage.folder is not None
        card = LocalExperts.library().add(stage.folder.path / RESULT)
        self.leftovers.append(stage.folder)
        stage.folder = None
        LocalExperts.changed()
        told = {"card": card, "verdict": done["verdict"]}
        if self._index + 1 == len(self._stages):
            self._end("done", done["sentence"], **told)
            return
        self._tell("note", done["sentence"], **told)
        self._index += 1
        self.jobID, self._asked = uuid.uuid4().hex, False

    def _fail(self, error: Exception) -> None:
        """End because of an error on Slicer's side; the worker is told to stop."""
        if self.over:
            logging.exception("DiffOSeg Training: after the end of a training")
            return
        self._worker.cancel(self.jobID)
        self._endInError(inWords(error, _("your home folder")), traceback.format_exc())

    def _endInError(self, sentence: str, details: str) -> None:
        if self._hasLearnt():
            sentence += " " + _("What was learnt is kept: press Resume to go on.")
        self._end("error", sentence, details=details)

    def _hasLearnt(self) -> bool:
        folder = self._stage.folder
        try:
            return folder is not None and (folder.path / CHECKPOINT).is_file()
        except OSError:  # the disk has gone, which is no reason to end without a word
            return False

    def _end(self, kind: str, sentence: str, **facts: Any) -> None:
        event = TrainingEvent(kind, self.expertName, sentence, **facts)
        self.outcome = event
        self._messages.clear()
        work, self._work = self._work, None
        if isinstance(work, Generator) and not getattr(work, "gi_running", False):
            work.close()
        for stage in self._stages:
            self._letGo(stage, isHandedOver=work is None)
        self._call(event)

    def _letGo(self, stage: _Stage, isHandedOver: bool) -> None:
        """Leave a folder to be resumed, unless the training never began."""
        if stage.folder is None:
            return
        if isHandedOver:
            with suppress(OSError):  # as above
                stage.folder.release()
        else:
            self.leftovers.append(stage.folder)
        stage.folder = None

    def _tell(self, kind: str, sentence: str = "", **facts: Any) -> None:
        self._call(TrainingEvent(kind, self.expertName, sentence, **facts))

    def _call(self, event: TrainingEvent) -> None:
        try:
            self._onEvent(event)
        except Exception:
            logging.exception("DiffOSeg Training: a listener of a training failed")


def _written(
    asked: AskedCase, index: int, metadata: ModelMetadata, folder: Path
) -> Generator[None, None, TrainingCase]:
    """Write one case; return what the job says of it."""
    number = str(asked.number)
    try:
        case = sceneCase(asked.row, asked.more)
        described = describedCase(case, number, asked.patient, metadata)
    except InputError as error:
        raise InputError(
            _("Case {number}: {problem}").format(number=number, problem=error)
        ) from error
    yield
    yield from writeCase(case, described, index, folder)
    return described


def _handingOver(number: int, total: int) -> str:
    return _("Handing over case {number} of {total}.").format(number=number, total=total)


def _stopped() -> str:
    return _("The training was stopped. What was learnt is kept: press Resume to go on.")
