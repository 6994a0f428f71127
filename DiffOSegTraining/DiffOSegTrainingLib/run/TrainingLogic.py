"""What the panel and scripts call: cases, one training at a time, and experts as the result."""

import time
import uuid
from collections.abc import Iterator

from slicer.i18n import tr as _

from diffoseg.errors import DependencyError, InputError, WeightsError
from diffoseg.model.cards import read_card
from diffoseg.model.expert_library import ExpertLibrary
from DiffOSegLib.run import Dependencies, LocalExperts
from DiffOSegLib.run.Farewell import endWithSlicer
from DiffOSegLib.run.Logic import tickWhile
from DiffOSegLib.run.WorkerClient import Message, WorkerClient
from DiffOSegLib.run.WorkerShare import WorkerShare, applicationWorker

from ..cases.CaseTable import CaseTable
from ..cases.FileWork import FilesEvent
from .Autosave import AutosavedTraining, autosaved, taken
from .TrainingRequests import TrainingRequest, requestsFor
from .TrainingRun import Listener, Training, TrainingEvent

TICK_MS = 30  # between two ticks of whoever shows a panel, while the logic is busy

_STEP_SECONDS = 0.01  # files are removed for so long in one tick


class DiffOSegTrainingLogic(CaseTable):
    """One training at a time, in a process of its own; without qt, so that scripts can use it.

    Nothing here blocks but :meth:`wait`. Whoever shows a panel calls :meth:`tick` every
    ``TICK_MS`` while it is ``busy``, and twice a second otherwise, to notice what people draw.

    Attributes:
        description: what the worker said of the computer when it was last asked; None before.
        descriptionError: the sentence it answered instead; "" where it did not.
        describedFor: device and model that it was last asked about; None before.
    """

    def __init__(self, worker: WorkerClient | None = None) -> None:
        super().__init__()
        self.description: Message | None = None
        self.descriptionError = ""
        self.describedFor: tuple[str, str] | None = None
        self._worker = WorkerShare(
            worker or applicationWorker(), lambda: self.activeTraining is not None
        )
        self._training: Training | None = None
        self._removals: list[Iterator[None]] = []
        self._describing = ""
        self._ticking = False
        endWithSlicer(self)

    # Trainings

    @property
    def activeTraining(self) -> Training | None:
        """The training that is under way; None where there is none."""
        return self._training if self._training is not None and not self._training.over else None

    @property
    def busy(self) -> bool:
        """Whether ticks are needed every ``TICK_MS``."""
        return (
            self.activeTraining is not None
            or self._worker.busy
            or bool(self._removals)
            or self.filesBusy
            or self.checking
        )

    def whyNot(self, expertName: str = "") -> str:
        """Return why :meth:`start` would refuse, in a sentence; "" where it would not."""
        try:
            self._requests(expertName)
        except (InputError, WeightsError) as error:
            return str(error)
        return ""

    def start(self, expertName: str = "", onEvent: Listener = lambda event: None) -> Training:
        """Begin a training and return at once; ticks take it further.

        Args:
            expertName: whose cases to learn; "" is everyone's, one after the other.
            onEvent: told how it goes. It ends with one of "done", "cancelled" and "error",
                whatever happens; an error of the listener is logged and does no harm.

        Raises:
            InputError: another training is under way, there are no cases, or something is wrong
                with them; see :meth:`whyNot`.
            WeightsError: the base model is missing or damaged.
        """
        requests = self._requests(expertName)
        return self._begin(Training.of(requests, onEvent, self._worker))

    def cancel(self) -> None:
        """Stop the training that is under way within 2 s; what was learnt can be resumed."""
        if self.activeTraining is not None:
            self.activeTraining.cancel()
            self._lookWhetherOver()

    def resumable(self) -> tuple[AutosavedTraining, ...]:
        """Return the trainings that were stopped, also by the end of Slicer; the newest first."""
        return autosaved()

    def resume(self, saved: AutosavedTraining, onEvent: Listener = lambda event: None) -> Training:
        """Go on with a training that was stopped; as :meth:`start`.

        Raises InputError where it cannot go on, or another Slicer has taken it up.
        """
        self._requireIdle()
        if saved.problem:
            raise InputError(saved.problem)
        folder = taken(saved)
        return self._begin(Training.again(folder, saved.expertName, onEvent, self._worker))

    def discard(self, saved: AutosavedTraining) -> None:
        """Remove what a training has kept; raises InputError where a Slicer works on it."""
        self._removals.append(taken(saved).remove())

    def library(self) -> ExpertLibrary:
        """Return the experts that were taught on this computer."""
        return LocalExperts.library()

    def tick(self) -> None:
        """Do a small piece of what is to be done; returns within 50 ms and never raises."""
        if self._ticking:  # a listener let the application process its events
            return
        self._ticking = True
        try:
            for message in self._worker.poll():
                self._route(message)
            if self.activeTraining is not None:
                self.activeTraining.step()
            self._lookWhetherOver()
            self._removeFiles()
            if self._files is not None:
                self._files.step()
            self._look()
        finally:
            self._ticking = False

    def wait(self, training: Training, timeoutSeconds: float | None = None) -> TrainingEvent | None:
        """Wait for the end of a training, for scripts; the application stays alive meanwhile.

        Returns:
            the event it ended with; None where that took longer than ``timeoutSeconds``.
        """
        tickWhile(lambda: not training.over, self.tick, timeoutSeconds)
        return training.outcome

    def waitForFiles(self, timeoutSeconds: float | None = None) -> FilesEvent | None:
        """Wait until files are loaded or written, for scripts; returns how that ended."""
        tickWhile(lambda: self.filesBusy, self.tick, timeoutSeconds)
        return self._files.outcome if self._files is not None else None

    # The computer

    def describe(self, device: str = "auto", model: str = "") -> None:
        """Ask the worker what it would run on and how fast; ``description`` gets the answer.

        Starts the worker. Nothing happens while an answer is still to come.
        """
        if self._describing:
            return
        self.descriptionError, self.describedFor = "", (device, model)
        self._describing = uuid.uuid4().hex
        try:
            path = str(read_card(model or None).path)
        except WeightsError:
            path = model
        asked = {"do": "describe", "id": self._describing, "device": device, "model": path}
        self._worker.send(asked)

    @property
    def workerRunning(self) -> bool:
        """Whether the process that computes is there, so that asking it starts nothing."""
        return self._worker.running

    @property
    def describing(self) -> bool:
        """Whether the answer to :meth:`describe` is still to come."""
        return bool(self._describing)

    def expectedSeconds(self) -> float | None:
        """Return how long the training of all experts would take; None where nobody knows yet."""
        if self.description is None or self._describing:
            return None
        each = self.description.get("seconds_per_expert")
        return None if each is None else float(each) * len(self.expertNames())

    def shutdown(self) -> None:
        """End the training, which can be resumed, and the worker; may be called more than once."""
        if self.activeTraining is not None:
            self.activeTraining.abandon()
        self._worker.stop()
        self._lookWhetherOver()
        for removal in self._removals:
            for _step in removal:
                pass
        self._removals.clear()
        self._describing = ""

    def _begin(self, training: Training) -> Training:
        self._lookWhetherOver()  # a listener may begin the next one as it hears of an end
        self._training = training
        return training

    def _requests(self, expertName: str) -> list[TrainingRequest]:
        self._requireIdle()
        parameters = self.getParameterNode()
        return requestsFor(expertName, parameters, self.rows(), self.checks(), self.library())

    def _requireIdle(self) -> None:
        if self.activeTraining is not None:
            raise InputError(_("A training is under way. Wait for its end or cancel it first."))
        if self._worker.isTaken:
            raise InputError(
                _(
                    "A run of the module DiffOSeg or of its effect is under way. Wait for its end"
                    " or cancel it first."
                )
            )

    def _route(self, message: Message) -> None:
        kind, jobID = message["event"], message["id"]
        if kind == "error" and message["code"] == DependencyError.exit_code:
            Dependencies.noteBroken(message["sentence"])
            self._worker.retire()
        elif kind in ("description", "started"):
            Dependencies.noteBroken(None)
        if jobID == self._describing:
            self._describing = ""
            if kind == "description":
                self.description = message
            else:
                self.descriptionError = str(message.get("sentence", ""))
        elif self._training is not None and jobID == self._training.jobID:
            self._training.receive(message)

    def _lookWhetherOver(self) -> None:
        """Remove what a training leaves; let go of one that has ended."""
        if self._training is not None:
            self._removals += [folder.remove() for folder in self._training.leftovers]
            self._training.leftovers.clear()
            if self._training.over:
                self._training = None

    def _removeFiles(self) -> None:
        begun = time.perf_counter()
        while self._removals and time.perf_counter() - begun < _STEP_SECONDS:
            if next(self._removals[0], self) is self:
                self._removals.pop(0)


_shared: DiffOSegTrainingLogic | None = None


def sharedTrainingLogic() -> DiffOSegTrainingLogic:
    """Return the application's one logic of this module."""
    global _shared
    if _shared is None:
        _shared = DiffOSegTrainingLogic()
    return _shared
