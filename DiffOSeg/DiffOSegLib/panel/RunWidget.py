"""Apply, Cancel, the progress of a run, and what it will run on."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from diffoseg.errors import CancelledError, DiffOSegError
from diffoseg.model.cards import ModelCard

from ..run import Dependencies
from ..run.Logic import TICK_MS, DiffOSegLogic
from ..run.Parameters import DiffOSegParameterNode
from ..run.Run import Run, RunEvent
from ..scene.RunRequest import RunRequest
from ..scene.SceneResults import OutputOptions, SceneResults
from .Sentences import asHtml, duration, progress

_SETTLE_MS = 150  # after the last change, before the time that a run would take is worked out
_BAR = 1000  # steps of the progress bar


def isDoubleClick(startedAt: float) -> bool:
    """Whether a click now is the second half of a double click; by the monotonic clock, seconds."""
    # By its name: the attribute may be Qt's static function instead of the property.
    return time.monotonic() - startedAt < slicer.app.property("doubleClickInterval") / 1000


class RunWidget:
    """Starts and stops runs by one button and says how they go.

    Whether a run can start is asked anew at each ``update``; nothing is kept but the run itself.
    """

    def __init__(
        self,
        ui: Any,
        logic: DiffOSegLogic,
        obstacle: Callable[[], str | None],
        likely: Callable[[], RunRequest],
        prepare: Callable[[], ModelCard],
        onResults: Callable[[SceneResults], None],
    ):
        """Connect the buttons.

        Args:
            ui: the panel's widgets.
            logic: the application's one.
            obstacle: says why no run can start now; None if one can.
            likely: what Apply would ask for now, to tell how long it would take.
            prepare: makes what a run needs that the user did not choose; returns the model.
            onResults: called after each result that has come into the scene.
        """
        self._ui, self._logic = ui, logic
        self._obstacle, self._likely = obstacle, likely
        self._prepare, self._onResults = prepare, onResults
        self._parameters: DiffOSegParameterNode | None = None
        self._run: Run | None = None
        self._results: SceneResults | None = None
        self._notes: tuple[str, ...] = ()
        self._foreseen: tuple[str, ...] = ()
        self._waitsFor = ""
        self._startedAt = 0.0  # when the last run was started, by the monotonic clock
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._onTick)
        self._settle = qt.QTimer()
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.connect("timeout()", self._showDevice)
        self._dependencies = Dependencies.state()
        self._stopObservingInstalls = Dependencies.observeInstalling(self.update)
        ui.applyButton.connect("clicked(bool)", self._onApply)
        ui.detailsButton.connect("toggled(bool)", self._onDetails)
        ui.progressBar.setMaximum(_BAR)
        self.say("")
        self._showDetails("")

    @property
    def running(self) -> bool:
        """Whether a run that this panel started goes on."""
        return self._run is not None and not self._run.over

    def setParameters(self, parameters: DiffOSegParameterNode | None) -> None:
        """Take requests from this parameter node from now on; None lets go of it."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """Show whether a run can start, on what and for how long."""
        button, obstacle = self._ui.applyButton, None if self.running else self._whyNot()
        self._waitsFor = obstacle or ""
        button.text = _("Cancel") if self.running else _("Apply")
        button.enabled = obstacle is None
        use = (
            _("Stop. What is finished stays.") if self.running else _("Draw as each ticked expert.")
        )
        button.toolTip = asHtml(obstacle or use)
        self._ui.progressBar.visible = self.running
        self._describeAnew()
        if obstacle:
            self._showDevice()
        else:
            self._settle.start()

    def say(self, sentence: str) -> None:
        """Show one sentence below the Apply button; "" clears it."""
        self._ui.statusLabel.text = sentence
        self._ui.statusLabel.visible = bool(sentence)

    def setNotes(self, sentences: Sequence[str]) -> None:
        """Show what should be kept in mind about the scene or the run, a line each."""
        self._notes = tuple(sentences)
        self._showNotes()

    def addNote(self, sentence: str) -> None:
        """Show one sentence more of the kind that :meth:`setNotes` shows."""
        self.setNotes((*self._notes, sentence))

    def setForeseen(self, sentences: Sequence[str]) -> None:
        """Show what is known to be amiss before a run, above the notes."""
        self._foreseen = tuple(sentences)
        self._showNotes()

    def enter(self) -> None:
        """Say what is known of this computer; asks the worker only where one is there already."""
        self._dependencies = Dependencies.state()
        self._showDevice()
        if self._logic.workerRunning:
            self.describe()

    def describe(self) -> None:
        """Ask in the background what this computer computes on, where that can be known."""
        self._dependencies = Dependencies.state()
        self._showDevice()
        parameters = self._parameters
        if parameters and self._dependencies.ready and not self.running:
            self._logic.describe(parameters.device, parameters.model)
            self._timer.start()

    def _describeAnew(self) -> None:
        """Ask again where another device or another model was chosen since."""
        parameters, asked = self._parameters, self._logic.describedFor
        if parameters and asked not in (None, (parameters.device, parameters.model)):
            self.describe()

    def stop(self) -> None:
        """Stop the timers, for good."""
        self._stopObservingInstalls()
        for timer, slot in ((self._timer, self._onTick), (self._settle, self._showDevice)):
            timer.stop()
            timer.disconnect("timeout()", slot)

    # --- the button ------------------------------------------------------------------------------

    def _onApply(self, *_args: object) -> None:
        if self.running and isDoubleClick(self._startedAt):
            return  # the second half of a double click does not mean Cancel
        if self.running:
            self.say(_("Stopping."))  # before: a run that has not begun ends at once, in words
            self._logic.cancel()
            return
        try:
            self._start()
        except DiffOSegError as error:  # also that the user declined an installation
            self.say(str(error))
        self.update()

    def _start(self) -> None:
        card, request = self._prepared()
        if Dependencies.install(ask=Dependencies.confirm, report=self._reportInstall):
            card, request = self._prepared()  # the scene may be another one by now
        assert self._parameters is not None
        self._dependencies = Dependencies.state()
        self._results = SceneResults(self._parameters.inputVolume, self._outputOptions(), card)
        self._showDevice()
        self.setNotes(())
        self._showDetails("")
        self._ui.progressBar.setRange(0, 0)  # moves to and fro until there is progress to show
        self._run = self._logic.start(request, self._results, self._onEvent)
        self._startedAt = time.monotonic()
        self._timer.start()

    def _prepared(self) -> tuple[ModelCard, RunRequest]:
        """Return the model and what it is asked for now; raises DiffOSegError."""
        if self._parameters is None:
            raise CancelledError(_("The scene was closed meanwhile; nothing was started."))
        card = self._prepare()
        return card, self._logic.requestFrom(self._parameters)

    def _whyNot(self) -> str | None:
        return Dependencies.whyWait() or self._obstacle()

    def _outputOptions(self) -> OutputOptions:
        assert self._parameters is not None
        return OutputOptions(
            segmentationNode=self._parameters.outputSegmentation,
            probabilityMaps=self._parameters.probabilityMaps,
            disagreementMap=self._parameters.disagreementMap,
            table=self._parameters.table,
        )

    def _reportInstall(self, sentence: str) -> None:
        self.say(sentence)
        slicer.app.processEvents()

    # --- the run ---------------------------------------------------------------------------------

    def _onTick(self) -> None:
        self._logic.tick()
        if not self._logic.busy:
            self._timer.stop()
            self._dependencies = Dependencies.state()  # the worker may have found them broken
            self.update()

    def _onEvent(self, event: RunEvent) -> None:
        if event.kind == "note":
            self.addNote(event.sentence)
        elif event.kind == "progress":
            self._showProgress(event)
        elif event.kind in ("outline", "result") and self._results:
            self._onResults(self._results)
        elif event.isLast:
            self._end(event)
        else:
            self.say(event.sentence)

    def _showProgress(self, event: RunEvent) -> None:
        bar = self._ui.progressBar
        if event.fraction is not None:
            bar.setRange(0, _BAR)
            bar.value = round(_BAR * event.fraction)
        self.say(progress(event))

    def _end(self, event: RunEvent) -> None:
        results, self._results = self._results, None
        self._run = None
        if results:
            self._onResults(results)
            self.setNotes((*self._notes, *results.warnings))
        self.say(event.sentence)
        self._showDetails(event.details)
        self.update()
        if event.kind == "done" and self._logic.description is None:
            self.describe()  # which had failed, and the worker is well now

    def _showNotes(self) -> None:
        said = dict.fromkeys((*self._foreseen, *self._notes))  # each sentence once
        self._ui.warningsLabel.text = "\n".join(f"\u26a0 {sentence}" for sentence in said)
        self._ui.warningsLabel.visible = bool(said)

    def _onDetails(self, shown: bool) -> None:
        self._ui.detailsText.visible = shown

    def _showDetails(self, details: str) -> None:
        self._ui.detailsText.setPlainText(details)
        self._ui.detailsButton.visible = bool(details)
        self._ui.detailsButton.checked = False
        self._ui.detailsText.visible = False

    # --- what it runs on -------------------------------------------------------------------------

    def _showDevice(self) -> None:
        if self._parameters is not None and not self.running:
            self._ui.deviceLabel.text = self._runsOn()

    def _runsOn(self) -> str:
        state = self._dependencies
        if self._waitsFor:
            return self._waitsFor
        if state.slicerTooOld or state.broken:
            return state.slicerTooOld or state.broken or ""
        if state.missing:
            names = ", ".join(f"{p.name} ({p.size})" for p in state.missing)
            return _("Not installed yet: {names}. Apply asks before it installs anything.").format(
                names=names
            )
        description = self._logic.description
        if self._logic.descriptionError:
            return self._logic.descriptionError
        if not (description or self._logic.describing):
            return _("After the first Apply it says here what it runs on, and for how long.")
        if not description:
            return _("Finding out what this computer can compute on.")
        line = _("Runs on {device}").format(device=description["line"])
        seconds = self._estimate()
        if seconds is not None:
            line += _(": {time}").format(time=duration(seconds))
        because = description.get("because")
        return line + (_(", because {reason}.").format(reason=because) if because else ".")

    def _estimate(self) -> float | None:
        try:
            return self._logic.estimateSeconds(self._likely())
        except DiffOSegError:
            return None
