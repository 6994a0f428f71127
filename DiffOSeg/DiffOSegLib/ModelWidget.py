"""Which model draws, and the notice that it carries."""

from pathlib import PurePath
from typing import Any

from slicer.i18n import tr as _

from diffoseg.catalog import ModelCard, available_cards, read_card
from diffoseg.errors import WeightsError

from .Parameters import DiffOSegParameterNode
from .SceneInputs import modalityOf
from .Sentences import noModel


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
        """The chosen model's description; None where there is no model at all."""
        name = self._parameters.model if self._parameters else ""
        return self._cards.get(name)

    def setParameters(self, parameters: DiffOSegParameterNode | None) -> tuple[str, ...]:
        """Show and change this parameter node; return sentences on what it asks for in vain."""
        self._parameters = parameters
        sentences = self._sentences(parameters) if parameters else ()
        self.update()
        return sentences

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
        combo.toolTip = card.title if card else noModel()
        self._ui.noticeLabel.text = card.notice if card else combo.toolTip
        self._ui.noticeLabel.visible = bool(self._ui.noticeLabel.text)

    def _sentences(self, parameters: DiffOSegParameterNode) -> tuple[str, ...]:
        """Put a usable model and usable experts in place of unknown ones, and say so."""
        sentences = []
        asked = parameters.model
        if asked not in self._cards and not self._found(asked):
            parameters.model = ""
            sentences.append(
                _(
                    "The scene asks for the model {name}, which is not on this computer. The"
                    " default model is chosen instead."
                ).format(name=PurePath(asked).name)
            )
        card = self.card
        unknown = [name for name in parameters.experts if card and name not in (*card.answers, "")]
        if card and unknown:
            parameters.experts = [name for name in parameters.experts if name in card.answers]
            sentences.append(
                _("The scene asks for experts whom this model does not know: {names}.").format(
                    names=", ".join(unknown)
                )
            )
        return tuple(sentences)

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
