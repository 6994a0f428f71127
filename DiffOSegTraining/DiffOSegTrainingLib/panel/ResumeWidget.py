"""Trainings that were stopped or cut off, to go on with or to throw away."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from DiffOSegLib.panel.Sentences import asHtml

from ..run.Autosave import AutosavedTraining
from ..run.TrainingLogic import DiffOSegTrainingLogic
from ..run.TrainingRun import Listener
from .Sentences import discardQuestion, toResume


class ResumeWidget:
    """The lines above the Start button; hidden where there is nothing to resume."""

    def __init__(
        self,
        ui: Any,
        logic: DiffOSegTrainingLogic,
        begin: Callable[[Callable[[], Any]], None],
        act: Callable[[Callable[[], Any]], None],
        onEvent: Listener,
    ):
        """Connect the buttons.

        Args:
            ui: the panel's widgets.
            logic: the application's one.
            begin: starts a training as the Start button does.
            act: does something and says in words why it could not be done.
            onEvent: told how the training goes that is resumed.
        """
        self._ui, self._logic = ui, logic
        self._begin, self._act, self._onEvent = begin, act, onEvent
        self._autosaved: tuple[AutosavedTraining, ...] = ()
        ui.resumeComboBox.connect("currentIndexChanged(int)", self._showWhether)
        ui.resumeButton.connect("clicked(bool)", self._resume)
        ui.discardButton.connect("clicked(bool)", self._discard)

    def update(self, running: bool) -> None:
        """Show what can be resumed now."""
        self._autosaved = () if running else self._logic.resumable()
        self._ui.resumeWidget.visible = bool(self._autosaved)
        combo, texts = self._ui.resumeComboBox, [toResume(one) for one in self._autosaved]
        if [combo.itemText(n) for n in range(combo.count)] != texts:
            combo.clear()
            combo.addItems(texts)
        self._showWhether()

    def _showWhether(self, *_args: object) -> None:
        """Say why the chosen one cannot go on, where it cannot."""
        ui, index = self._ui, self._ui.resumeComboBox.currentIndex
        if not 0 <= index < len(self._autosaved):
            return
        problem = self._autosaved[index].problem
        ui.resumeButton.enabled = not problem
        ui.resumeLabel.text = problem or _("Not finished yet:")

    def _chosen(self) -> AutosavedTraining:
        return self._autosaved[self._ui.resumeComboBox.currentIndex]

    def _resume(self, *_args: object) -> None:
        chosen = self._chosen()
        self._begin(lambda: self._logic.resume(chosen, onEvent=self._onEvent))

    def _discard(self, *_args: object) -> None:
        chosen = self._chosen()
        question = asHtml(discardQuestion(chosen.expertName))
        if slicer.util.confirmOkCancelDisplay(question, _("DiffOSeg Training")):
            self._act(lambda: self._logic.discard(chosen))
            self.update(running=False)
