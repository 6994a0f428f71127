"""Which model draws, and the notice that it carries."""

from pathlib import PurePath
from typing import Any

from slicer.i18n import tr as _

from diffoseg.errors import WeightsError
from diffoseg.model.cards import ModelCard, available_cards, read_card

from ..run import LocalExperts
from ..run.Parameters import DiffOSegParameterNode
from ..scene.SceneInputs import modalityOf
from .ExpertsTableWidget import NOBODY
from .Sentences import asHtml, noModel


class ModelWidget:
    """The panel's list of models; the first, the default one, is "" in the parameter node."""

    def __init__(self, ui: Any):
        """Fill the list with every model that this computer has."""
        self._ui = ui
        self._parameters: DiffOSegParameterNode | None = None
        self._filling = False
        self._cards: dict[str, ModelCard] = {}
        for index, card in enumerate(available_cards()):
            self._add("" if index == 0 else card.name, card)
        ui.modelComboBox.connect("currentIndexChanged(int)", self._onModel)

    @property
    def card(self) -> ModelCard | None:
        """The chosen model's description, with whom it was taught; None without any model."""
        card = self._cards.get(self._parameters.model if self._parameters else "")
        return card and LocalExperts.withTaught(card)

    def setParameters(self, parameters: DiffOSegParameterNode | None) -> tuple[str, ...]:
        """Show and change this parameter node; return sentences on what it asks for in vain."""
        self._parameters = parameters
        sentences = (*self._useModel(), *self.dropUnknown())
        self.update()
        return sentences

    def dropUnknown(self) -> tuple[str, ...]:
        """Untick experts who are not, or no longer, there; return a sentence where there are any.

        Where nobody is left, nobody is ticked: everybody is not who was asked for.
        """
        parameters, card = self._parameters, self.card
        if parameters is None or card is None:
            return ()
        unknown = [name for name in parameters.experts if name not in (*card.answers, *NOBODY)]
        if not unknown:
            return ()
        known = [name for name in parameters.experts if name in card.answers]
        parameters.experts = known or list(NOBODY)
        return (LocalExperts.notThere(unknown),)

    def foreseen(self) -> tuple[str, ...]:
        """Return in which ways the chosen volume is unlike what the model was trained for.

        Only what is known without looking at the voxels; the run says the rest.
        """
        parameters, card = self._parameters, self.card
        if parameters is None or parameters.inputVolume is None or card is None:
            return ()
        found, trained = modalityOf(parameters.inputVolume), card.metadata.modality
        if not found or found == trained:
            return ()
        return (
            _(
                "This is {found}, and the model was trained on {trained}: do not rely on the"
                " outlines."
            ).format(found=found, trained=trained),
        )

    def update(self) -> None:
        """Show what the parameter node holds."""
        if self._parameters is None:
            return
        combo, card = self._ui.modelComboBox, self.card
        self._filling = True
        combo.currentIndex = combo.findData(self._parameters.model)
        self._filling = False
        combo.toolTip = asHtml(card.title if card else noModel())
        self._ui.noticeLabel.text = card.notice if card else noModel()
        self._ui.noticeLabel.visible = bool(self._ui.noticeLabel.text)

    def _useModel(self) -> tuple[str, ...]:
        """Put the default model in place of one that is not there, and say so."""
        parameters = self._parameters
        if parameters is None or parameters.model in self._cards or self._found(parameters.model):
            return ()
        asked, parameters.model = parameters.model, ""
        return (
            _(
                "The scene asks for the model {name}, which is not on this computer. The default"
                " model is chosen instead."
            ).format(name=PurePath(asked).name),
        )

    def _found(self, pathOrName: str) -> bool:
        try:
            self._add(pathOrName, read_card(pathOrName))
        except WeightsError:
            return False
        return True

    def _add(self, key: str, card: ModelCard) -> None:
        self._filling = True
        self._cards[key] = card
        self._ui.modelComboBox.addItem(card.title, key)
        self._filling = False

    def _onModel(self, index: int) -> None:
        if self._parameters and not self._filling and index >= 0:
            self._parameters.model = self._ui.modelComboBox.itemData(index)
