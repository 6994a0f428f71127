"""The same cases for training on another computer: a data list and the commands to type there."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ..cases.TrainingParameters import TrainingParameterNode
from ..run.TrainingLogic import DiffOSegTrainingLogic
from .FilesWidget import FilesWidget
from .Sentences import onAnotherComputer

_LIST = "cases.json"
_ITERATIONS = 20_000  # of a training from nothing; a day or so on a graphics card


class ServerWidget:
    """The section for those who have many cases or want a model of their own."""

    def __init__(
        self, ui: Any, logic: DiffOSegTrainingLogic, act: Callable[[Callable[[], Any]], None]
    ):
        """Connect the button; ``act`` does something and says in words why it could not be done."""
        self._ui, self._logic, self._act = ui, logic, act
        self._list = _LIST
        self._files = FilesWidget(ui.exportWidget, ui.exportLabel, ui.cancelExportButton, logic)
        ui.serverLabel.text = onAnotherComputer()
        ui.exportCasesButton.connect("clicked(bool)", self._onExport)
        self._commands = ""

    def update(self, parameters: TrainingParameterNode | None) -> None:
        """Show the commands for what the panel holds now."""
        if parameters is None:
            return
        self._ui.exportCasesButton.enabled = bool(self._logic.rows())
        commands = "\n".join(commandsFor(self._list, parameters))
        if commands != self._commands:  # a selection in the text stays as long as it can
            self._commands = commands
            self._ui.commandsText.setPlainText(commands)

    def _onExport(self, *_args: object) -> None:
        path = qt.QFileDialog.getSaveFileName(
            self._ui.commandsText.window(),
            _("Export the cases as a data list"),
            _LIST,
            _("Data list (*.json)"),
        )
        if path:
            goal = Path(path if path.endswith(".json") else f"{path}.json")
            self._list = goal.name
            self._act(lambda: self._logic.exportList(goal, self._files.show))


def commandsFor(listName: str, parameters: TrainingParameterNode) -> list[str]:
    """Return what is typed where the data list lies: experts for this model, or a new model."""
    cases = shlex.quote(listName)
    chosen = {"--weights": parameters.model, "--corrects": parameters.corrects}
    choices = "".join(f" {name} {shlex.quote(text)}" for name, text in chosen.items() if text)
    expert = f"diffoseg train expert {cases} --out experts{choices} --seed {int(parameters.seed)}"
    long = f"--iterations {_ITERATIONS}"
    return [
        _("# the experts of the list:"),
        expert,
        _("# a new model, from nothing:"),
        f"diffoseg train fast {cases} --out fast {long}",
        _("# a new model in the two stages of the paper:"),
        f"diffoseg train stage1 {cases} --out stage1 {long}",
        f"diffoseg train stage2 {cases} --out stage2 {long} --from stage1/model.safetensors",
    ]
