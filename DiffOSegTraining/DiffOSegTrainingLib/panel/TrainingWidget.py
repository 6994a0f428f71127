"""Start, Cancel, the progress of a training, its curves and its result."""

import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from diffoseg.errors import DiffOSegError
from DiffOSegLib.panel.RunWidget import isDoubleClick
from DiffOSegLib.panel.Sentences import asHtml
from DiffOSegLib.run import Dependencies

from ..cases.TrainingParameters import TrainingParameterNode
from ..run.TrainingLogic import DiffOSegTrainingLogic
from ..run.TrainingRun import TrainingEvent
from .CurvePlot import CurvePlot
from .ResumeWidget import ResumeWidget
from .Sentences import nowListed, progress, result, runsOn, startToolTip, whatHinders

_BAR = 1000  # steps of the progress bar
_LOOKS = {  # of the result, letters on ground, in every theme; mixed ones look unproven
    "use": ("#10300f", "#dcefdc"),
    "like consensus": ("#3a2a00", "#fdf0d0"),
    "unproven": ("#10203a", "#e4e8f2"),
}


class TrainingWidget:
    """Starts and stops trainings by one button and says how they go.

    Whether one can start is asked anew at each ``update``.
    """

    def __init__(
        self, ui: Any, logic: DiffOSegTrainingLogic, plot: CurvePlot, wake: Callable[[], None]
    ):
        """Connect the buttons; ``wake`` has the logic's ticks come fast again."""
        self._ui, self._logic, self._plot, self._wake = ui, logic, plot, wake
        self._parameters: TrainingParameterNode | None = None
        self._dependencies = Dependencies.state()
        self._notes: tuple[str, ...] = ()
        self._answered: object = None  # what the panel asked for when its result came
        self._startedAt = 0.0  # when the last training was started, by the monotonic clock
        self._results: list[str] = []
        self._verdicts: set[str] = set()
        self._resume = ResumeWidget(ui, logic, self._begin, self._act, self.onEvent)
        self._stopObservingInstalls = Dependencies.observeInstalling(self.update)
        ui.startButton.connect("clicked(bool)", self._onStart)
        ui.curvesButton.connect("toggled(bool)", self._onCurves)
        ui.detailsButton.connect("toggled(bool)", self._onDetails)
        ui.progressBar.setMaximum(_BAR)
        self.say("")
        self._clearResults()
        self._showDetails("")

    @property
    def running(self) -> bool:
        """Whether a training goes on."""
        return self._logic.activeTraining is not None

    def setParameters(self, parameters: TrainingParameterNode | None) -> None:
        """Follow this parameter node from now on; None lets go of it."""
        self._parameters = parameters
        self.setNotes(parameters.corrections if parameters else ())
        self.update()

    def update(self) -> None:
        """Show whether a training can start, on what and for how long."""
        if self._parameters is None:
            return
        ui, running = self._ui, self.running
        obstacle = "" if running else Dependencies.whyWait() or self._logic.whyNot()
        ui.startButton.text = _("Cancel") if running else self._startText()
        ui.startButton.enabled = not obstacle
        ui.startButton.toolTip = asHtml(obstacle or startToolTip(running))
        ui.progressBar.visible = running
        ui.curvesButton.enabled = not self._plot.empty
        ui.curvesButton.checked = self._plot.shown
        ui.deviceLabel.text = self._line(obstacle)
        ui.deviceLabel.visible = not running and self._asked() != self._answered
        self._resume.update(running)
        self._describeAnew()

    def stop(self) -> None:
        """Hear of installations no more."""
        self._stopObservingInstalls()

    def say(self, sentence: str) -> None:
        """Show one sentence below the Start button; "" clears it."""
        self._ui.statusLabel.text = sentence
        self._ui.statusLabel.visible = bool(sentence)

    def setNotes(self, sentences: tuple[str, ...]) -> None:
        """Show what should be kept in mind, a line each."""
        self._notes = tuple(dict.fromkeys(sentences))
        text = "\n".join(f"\u26a0 {sentence}" for sentence in self._notes)
        self._ui.warningsLabel.text = text
        self._ui.warningsLabel.visible = bool(text)

    def enter(self) -> None:
        """See what is installed by now; asks the worker only where one is there already."""
        self._dependencies = Dependencies.state()
        if self._logic.workerRunning:
            self.describe()

    def describe(self) -> None:
        """Ask in the background what this computer computes on, where that can be known."""
        self._dependencies = Dependencies.state()
        parameters = self._parameters
        if parameters and self._dependencies.ready and not self.running:
            self._logic.describe(parameters.device, parameters.model)
            self._wake()

    def _describeAnew(self) -> None:
        """Ask again where another device or another model was chosen since."""
        parameters, asked = self._parameters, self._logic.describedFor
        if parameters and asked not in (None, (parameters.device, parameters.model)):
            self.describe()

    # --- the button ------------------------------------------------------------------------------

    def _startText(self) -> str:
        names = self._logic.expertNames()
        if len(names) > 1:
            return _("Start: {n} experts, one after the other").format(n=len(names))
        return _("Start")

    def _onStart(self, *_args: object) -> None:
        if self.running and isDoubleClick(self._startedAt):
            return  # the second half of a double click does not mean Cancel
        if self.running:
            self.say(_("Stopping."))
            self._act(self._logic.cancel)
        else:
            self._begin(lambda: self._logic.start(onEvent=self.onEvent))

    def _begin(self, begin: Callable[[], Any]) -> None:
        """Install what is missing and start a training."""

        def installAndBegin() -> None:
            Dependencies.install(ask=Dependencies.confirm, report=self._reportInstall)
            self._dependencies = Dependencies.state()
            self.setNotes(())
            self._clearResults()
            self._showDetails("")
            self._ui.progressBar.setRange(0, 0)  # to and fro until there is progress to show
            begin()
            self._startedAt = time.monotonic()

        self._act(installAndBegin)

    def _act(self, do: Callable[[], Any]) -> None:
        """Do something, or say why it could not be done."""
        try:
            do()
        except DiffOSegError as error:  # also that the user declined an installation
            self.say(str(error))
        self._wake()
        self.update()

    def _reportInstall(self, sentence: str) -> None:
        self.say(sentence)
        slicer.app.processEvents()

    # --- the training ----------------------------------------------------------------------------

    def onEvent(self, event: TrainingEvent) -> None:
        """Show what a training tells."""
        if event.kind == "point":
            self._showPoint(event)
        elif event.kind == "started":
            self._plot.begin(event.expertName)
            self.say(event.sentence)
        elif event.kind == "progress":
            self._showProgress(event)
        elif event.kind == "note" and event.card is None:
            self.setNotes((*self._notes, event.sentence))
        elif event.card is not None:
            self._addResult(event)
        if event.isLast:
            self._end(event)
        elif event.kind == "preparing":
            self.say(event.sentence)

    def _showPoint(self, event: TrainingEvent) -> None:
        assert event.point is not None
        isFirst = self._plot.empty
        self._plot.add(event.point)
        if isFirst:
            self._plot.show()
            self.update()

    def _showProgress(self, event: TrainingEvent) -> None:
        if event.fraction is not None:
            self._ui.progressBar.setRange(0, _BAR)
            self._ui.progressBar.value = round(_BAR * event.fraction)
        self.say(progress(event))

    def _clearResults(self) -> None:
        self._answered = None
        self._results.clear()
        self._verdicts.clear()
        self._ui.resultLabel.visible = False

    def _addResult(self, event: TrainingEvent) -> None:
        """Show a finished expert's result, below those of the experts before it."""
        self._results.append(result(event.expertName, event.verdict, event.sentence))
        self._verdicts.add(event.verdict)
        label = self._ui.resultLabel
        label.text = "\n".join(self._results)
        verdict = event.verdict if len(self._verdicts) == 1 else "unproven"
        _paint(label, *_LOOKS.get(verdict, _LOOKS["unproven"]))
        label.visible = True

    def _asked(self) -> object:
        """Return what Start would teach: as long as it was just taught, it needs no more words."""
        return self._logic.rows(), self._logic.expertNames()

    def _end(self, event: TrainingEvent) -> None:
        self.say(nowListed(len(self._results)) if event.card else event.sentence)
        self._answered = self._asked() if event.card else None
        self._showDetails(event.details)
        self._dependencies = Dependencies.state()  # the worker may have found them broken
        self.update()
        if event.kind == "done" and self._logic.description is None:
            self.describe()  # which had failed, and the worker is well now

    def _onCurves(self, wanted: bool) -> None:
        if wanted and not self._plot.shown:
            self._plot.show()
        elif not wanted:
            self._plot.hide()

    def _onDetails(self, shown: bool) -> None:
        self._ui.detailsText.visible = shown

    def _showDetails(self, details: str) -> None:
        self._ui.detailsText.setPlainText(details)
        self._ui.detailsButton.visible = bool(details)
        self._ui.detailsButton.checked = False
        self._ui.detailsText.visible = False

    # --- what it runs on -------------------------------------------------------------------------

    def _line(self, obstacle: str) -> str:
        """Return why nothing can start, or else on what and for how long."""
        hinders = whatHinders(self._dependencies)
        if obstacle or hinders:
            return obstacle or hinders
        if self._logic.descriptionError:
            return self._logic.descriptionError
        if not (self._logic.description or self._logic.describing):
            return _("After the first Start it says here what it runs on, and for how long.")
        if not self._logic.description:
            return _("Finding out what this computer can compute on.")
        return runsOn(self._logic.description, self._logic.expectedSeconds())


def _paint(label: "qt.QLabel", letters: str, ground: str) -> None:
    palette = label.palette
    palette.setColor(qt.QPalette.WindowText, qt.QColor(letters))
    palette.setColor(qt.QPalette.Window, qt.QColor(ground))
    label.setPalette(palette)
    label.autoFillBackground = True
