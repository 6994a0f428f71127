"""What the panel, the effect and scripts call: freeze what is asked, run it, tell how it goes."""

import time
import uuid
from collections.abc import Callable

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic
from slicer.util import VTKObservationMixin

from diffoseg.drawing.workload import tile_evaluations
from diffoseg.errors import DependencyError, InputError, WeightsError
from diffoseg.model.cards import ModelCard, read_card
from diffoseg.space.geometry import Box

from ..scene import Presence, SceneInputs
from ..scene.RunRequest import RunRequest
from . import Dependencies, LocalExperts
from .Farewell import endWithSlicer
from .Parameters import DiffOSegParameterNode
from .Run import Listener, ResultSink, Run, RunEvent
from .WorkerClient import Message, WorkerClient
from .WorkerShare import WorkerShare, applicationWorker

TICK_MS = 30  # between two ticks of whoever shows a panel

_WAIT_SECONDS = 0.005  # between two looks of a script that waits
_STEP_SECONDS = 0.01  # files are removed for so long in one tick


class DiffOSegLogic(ScriptedLoadableModuleLogic, VTKObservationMixin):
    """One run at a time, in a process of its own; without qt, so that scripts can use it.

    Nothing here blocks but :meth:`wait`. Whoever shows a panel calls :meth:`tick` every
    ``TICK_MS`` while it is ``busy``.

    Attributes:
        description: what the worker said of the computer when it was last asked; None before.
        descriptionError: the sentence it answered instead; "" where it did not.
        describedFor: device and model that it was last asked about; None before.
    """

    def __init__(self, worker: WorkerClient | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        self.moduleName = "DiffOSeg"
        self.description: Message | None = None
        self.descriptionError = ""
        self.describedFor: tuple[str, str] | None = None
        self._worker = WorkerShare(
            worker or applicationWorker(), lambda: self.activeRun is not None
        )
        self._run: Run | None = None
        self._leaving: dict[str, Run] = {}
        self._describing = ""
        self._ticking = False
        endWithSlicer(self)

    def getParameterNode(self) -> DiffOSegParameterNode:
        """Return the scene's parameter node of this module, which is made where there is none."""
        return DiffOSegParameterNode(super().getParameterNode())

    # Runs

    @property
    def activeRun(self) -> Run | None:
        """The run that is under way; None where there is none."""
        return self._run if self._run is not None and not self._run.over else None

    @property
    def busy(self) -> bool:
        """Whether ticks are needed: also after a run's end, until its worker has let go of it."""
        return self.activeRun is not None or self._worker.busy or bool(self._leaving)

    def requestFrom(self, parameterNode: DiffOSegParameterNode) -> RunRequest:
        """Return what the panel's settings ask for, frozen.

        Raises:
            InputError: there is no volume or region, or the model does not know an expert.
            WeightsError: the model is missing or damaged.
        """
        SceneInputs.checkVolume(parameterNode.inputVolume)
        return self.requestIn(_region(parameterNode), parameterNode)

    def requestIn(self, region: Box | None, parameterNode: DiffOSegParameterNode) -> RunRequest:
        """Return the same as :meth:`requestFrom`, for another region than the panel's."""
        SceneInputs.checkVolume(parameterNode.inputVolume)
        card = LocalExperts.cardFor(parameterNode.model)
        return RunRequest(
            volumeNodeID=parameterNode.inputVolume.GetID(),
            region=region,
            model=parameterNode.model,
            experts=_experts(tuple(parameterNode.experts), card),
            samples=int(parameterNode.samples),
            steps=int(parameterNode.steps) or None,
            seed=int(parameterNode.seed),
            device=parameterNode.device,
            preset=parameterNode.preset,
            presence=Presence.givenTo(card, parameterNode.presence),
        )

    def start(self, request: RunRequest, sink: ResultSink, onEvent: Listener) -> Run:
        """Begin a run and return at once; ticks take it further.

        Args:
            request: what is asked; see :meth:`requestFrom`.
            sink: takes the results into the scene.
            onEvent: told how it goes. It ends with one of "done", "cancelled" and "error",
                whatever happens; an error of the listener is logged and does not disturb the run.

        Raises:
            InputError: another run, or a training, is under way.
        """
        if self.activeRun is not None:
            raise InputError(_("A run is under way. Wait for its end or cancel it first."))
        if self._worker.isTaken:
            raise InputError(
                _(
                    "An expert is being taught. Wait for its end, or cancel it in DiffOSeg"
                    " Training, where it can be resumed; then run again."
                )
            )
        self._lookWhetherOver()  # a listener may begin the next run as it hears of an end
        self._run = Run(request, sink, onEvent, self._worker)
        self._observeScene()
        return self._run

    def cancel(self) -> None:
        """Stop the run that is under way; what is finished stays. It ends within 2 s."""
        if self.activeRun is not None:
            self.activeRun.cancel()
            self._lookWhetherOver()

    def tick(self) -> None:
        """Do a small piece of what is to be done; returns within 50 ms and never raises."""
        if self._ticking:  # a listener let the application process its events
            return
        self._ticking = True
        try:
            for message in self._worker.poll():
                self._route(message)
            if self.activeRun is not None:
                self.activeRun.step()
            self._lookWhetherOver()
        finally:
            self._ticking = False

    def wait(self, run: Run, timeoutSeconds: float | None = None) -> RunEvent | None:
        """Wait for the end of a run, for scripts; the application stays alive meanwhile.

        Returns:
            the event it ended with; None where that took longer than ``timeoutSeconds``.
        """
        tickWhile(lambda: not run.over, self.tick, timeoutSeconds)
        while run.over and run.id in self._leaving and run.id not in self._worker.openJobs:
            self._removeFiles()
        return run.outcome

    # The computer

    def describe(self, device: str = "auto", model: str = "") -> None:
        """Ask the worker what it would run on and how fast; ``description`` gets the answer.

        Starts the worker. Nothing happens while an answer is still to come.

        Args:
            device: "auto", "cpu", "cuda" or "mps".
            model: name or path of the weights whose speed is asked for; "" is the default model.
        """
        if self._describing:
            return
        self.descriptionError, self.describedFor = "", (device, model)
        self._describing = uuid.uuid4().hex
        asked = {"do": "describe", "id": self._describing, "device": device}
        self._worker.send(asked | {"model": _fileOf(model)})

    @property
    def workerRunning(self) -> bool:
        """Whether the process that computes is there, so that asking it starts nothing."""
        return self._worker.running

    @property
    def describing(self) -> bool:
        """Whether the answer to :meth:`describe` is still to come."""
        return bool(self._describing)

    def estimateSeconds(self, request: RunRequest) -> float | None:
        """Return how long a run would take; None where its model's speed is not known yet.

        Of a whole volume only the search is counted: what it will find is not known before.
        """
        volumeNode = slicer.mrmlScene.GetNodeByID(request.volumeNodeID)
        if self.description is None or volumeNode is None or self._describing:
            return None
        if self.describedFor is None or self.describedFor[1] != request.model:
            return None
        secondsPerTile = self.description.get("seconds_per_tile")
        if secondsPerTile is None:
            return None
        tiles = tile_evaluations(
            SceneInputs.geometryOf(volumeNode),
            request.region,
            read_card(request.model or None).metadata,
            len(request.experts),
            request.samples,
            request.steps,
            request.preset,
        )
        return float(tiles * secondsPerTile)

    def shutdown(self, reason: str = "") -> None:
        """End the run, by default because Slicer is closing, and the worker; harmless if repeated.

        Args:
            reason: the sentence that the run ends with.
        """
        self._abandon(reason or _("The run was cancelled because Slicer is closing."))
        self._worker.stop()
        self._lookWhetherOver()
        for run in self._leaving.values():
            run.removeFolder()
        self._leaving.clear()
        self._describing = ""

    def _route(self, message: Message) -> None:
        self._heedPackages(message)
        jobID = message["id"]
        if jobID == self._describing:
            self._describing = ""
            if message["event"] == "description":
                self.description = message
            else:
                self.descriptionError = str(message.get("sentence", ""))
        elif self._run is not None and jobID == self._run.id and not self._run.over:
            self._run.receive(message)

    def _heedPackages(self, message: Message) -> None:
        """Remember whether the worker's packages load; one that cannot load them is sent away."""
        kind = message["event"]
        if kind == "error" and message["code"] == DependencyError.exit_code:
            Dependencies.noteBroken(message["sentence"])
            self._worker.retire()
        elif kind in ("description", "started"):
            Dependencies.noteBroken(None)

    def _abandon(self, sentence: str) -> None:
        if self.activeRun is not None:
            self.activeRun.abandon(sentence)
        self._lookWhetherOver()

    def _lookWhetherOver(self) -> None:
        """Let go of the scene and of a run that has ended; its files go after its job."""
        if self._run is not None and self._run.over:
            self.removeObservers()
            self._leaving[self._run.id] = self._run
            self._run = None
        self._removeFiles()

    def _removeFiles(self) -> None:
        """Remove files of ended runs that the worker has let go of, for about 10 ms."""
        begun = time.perf_counter()
        for jobID in set(self._leaving) - set(self._worker.openJobs):
            while self._leaving[jobID].removeOneFile():
                if time.perf_counter() - begun > _STEP_SECONDS:
                    return
            del self._leaving[jobID]

    # The scene

    def _observeScene(self) -> None:
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)
        self.addObserver(scene, scene.StartCloseEvent, self._onStartClose)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _scene: object, _event: str, node: object) -> None:
        run = self.activeRun
        if run is not None and getattr(node, "GetID", str)() == run.request.volumeNodeID:
            self._abandon(_("The run was cancelled because its volume was deleted."))

    def _onStartClose(self, _scene: object, _event: str) -> None:
        self._abandon(_("The run was cancelled because the scene was closed."))


def tickWhile(
    going: Callable[[], bool], tick: Callable[[], None], timeoutSeconds: float | None = None
) -> None:
    """Tick until something is over or the time is up; the application stays alive meanwhile."""
    deadline = None if timeoutSeconds is None else time.monotonic() + timeoutSeconds
    while going() and (deadline is None or time.monotonic() < deadline):
        tick()
        if hasattr(getattr(slicer, "app", None), "processEvents"):
            slicer.app.processEvents()
        time.sleep(_WAIT_SECONDS)


_shared: DiffOSegLogic | None = None


def sharedLogic() -> DiffOSegLogic:
    """Return the application's one logic, which the module and the effect both use."""
    global _shared
    if _shared is None:
        _shared = DiffOSegLogic()
    return _shared


def _fileOf(model: str) -> str:
    """Return a model's file, which the worker knows it by; its name where there is none."""
    try:
        return str(read_card(model or None).path)
    except WeightsError:
        return model


def _region(parameterNode: DiffOSegParameterNode) -> Box | None:
    """Return the region that the panel shows; None for the whole volume."""
    volumeNode = parameterNode.inputVolume
    if parameterNode.regionKind == "whole":
        return None
    if parameterNode.regionKind == "segment":
        return SceneInputs.segmentRegion(
            parameterNode.regionSegmentation,
            parameterNode.regionSegmentID,
            volumeNode,
            float(parameterNode.regionMarginMm),
        )
    return SceneInputs.roiRegion(parameterNode.regionRoi, volumeNode)


def _experts(chosen: tuple[str, ...], card: ModelCard) -> tuple[str, ...]:
    """Return who is asked, in the model's order; nobody chosen means everyone."""
    unknown = [name for name in chosen if name not in card.answers]
    if unknown:
        raise InputError(LocalExperts.notThere(unknown))
    return tuple(name for name in card.answers if name in chosen) if chosen else card.answers
