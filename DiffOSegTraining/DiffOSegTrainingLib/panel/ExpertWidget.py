"""Who is taught, to which model, and from where to start."""

from pathlib import PurePath
from typing import Any

from slicer.i18n import tr as _

from diffoseg.errors import WeightsError
from diffoseg.model.cards import ModelCard, available_cards, read_card
from DiffOSegLib.panel.Sentences import noModel

from ..cases.TrainingParameters import TrainingParameterNode
from .Sentences import notOnThisComputer


class ExpertWidget:
    """The Expert section: the parameter node holds all of it, name and note are tied to it."""

    def __init__(self, ui: Any):
        """List the models on this computer; the first, the default one, is "" in the node."""
        self._ui = ui
        self._parameters: TrainingParameterNode | None = None
        self._filling = True
        self._cards: dict[str, ModelCard] = {}
        for index, card in enumerate(available_cards()):
            self._add("" if index == 0 else card.name, card)
        self._filling = False
        self._listed: tuple[str, ...] | None = None
        ui.modelComboBox.connect("currentIndexChanged(int)", self._onModel)
        ui.startComboBox.connect("currentIndexChanged(int)", self._onStart)

    @property
    def card(self) -> ModelCard | None:
        """The chosen model's description; None where it is not on this computer."""
        return self._cards.get(self._parameters.model) if self._parameters else None

    def _find(self, model: str) -> None:
        """Add a model of a file elsewhere, which a script or a scene may have chosen."""
        if model in self._cards:
            return
        try:
            self._add(model, read_card(model or None))
        except WeightsError:
            return  # the notice and the Start button say so

    def _add(self, key: str, card: ModelCard) -> None:
        self._cards[key] = card
        self._ui.modelComboBox.addItem(card.title, key)

    def setParameters(self, parameters: TrainingParameterNode | None) -> None:
        """Show and change this parameter node; None lets go of it."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """Show what the parameter node holds."""
        parameters, ui = self._parameters, self._ui
        if parameters is None:
            return
        self._filling = True
        self._find(parameters.model)
        card = self.card
        ui.modelComboBox.currentIndex = ui.modelComboBox.findData(parameters.model)
        self._listExperts(card)
        ui.startComboBox.currentIndex = ui.startComboBox.findData(parameters.corrects)
        self._filling = False
        ui.noticeLabel.text = card.notice if card else self._whatIsMissing(parameters.model)
        ui.noticeLabel.visible = bool(ui.noticeLabel.text)

    def _whatIsMissing(self, model: str) -> str:
        return notOnThisComputer(PurePath(model).name) if self._cards else noModel()

    def _listExperts(self, card: ModelCard | None) -> None:
        names = card.panel.names if card else ()
        if names == self._listed:
            return
        self._listed = names
        combo = self._ui.startComboBox
        combo.clear()
        combo.addItem(_("The average expert"), "")
        for name in names:
            combo.addItem(_("{name}, to correct it").format(name=name), name)

    def _onModel(self, index: int) -> None:
        if self._parameters and not self._filling and index >= 0:
            self._parameters.model = self._ui.modelComboBox.itemData(index)

    def _onStart(self, index: int) -> None:
        if self._parameters and not self._filling and index >= 0:
            self._parameters.corrects = self._ui.startComboBox.itemData(index)
