"""How the model is asked: with how much care, and given which chance that something is marked."""

from typing import Any

import slicer
from slicer.i18n import tr as _

from diffoseg.model.cards import ModelCard
from diffoseg.model.presets import PRESETS, sampler_of

from ..run.Parameters import DiffOSegParameterNode
from ..scene import Presence

_PREDICTED, _CERTAIN = 0.0, 1.0  # of the parameter node's presence


class QualityWidget:
    """Two lists of what is usual; a number under Sampling makes one more entry, in its own words.

    Choosing a usual entry takes the number back.
    """

    def __init__(self, ui: Any):
        """Fill the lists."""
        self._ui = ui
        self._parameters: DiffOSegParameterNode | None = None
        self._filling = False
        names = (_("Preview"), _("Standard"), _("Careful"))
        for preset, name in zip(PRESETS, names, strict=True):
            ui.qualityComboBox.addItem(name, preset)
        ui.presenceComboBox.addItem(_("As predicted"), _PREDICTED)
        ui.presenceComboBox.addItem(_("Given that something is marked"), _CERTAIN)
        self._presenceTip = ui.presenceComboBox.toolTip
        ui.qualityComboBox.connect("currentIndexChanged(int)", self._onQuality)
        ui.presenceComboBox.connect("currentIndexChanged(int)", self._onPresence)

    def setParameters(self, parameters: DiffOSegParameterNode | None) -> None:
        """Change this parameter node from now on; None lets go of it."""
        self._parameters = parameters

    def update(self, card: ModelCard | None) -> None:
        """Show what the parameter node holds, and what the model makes of it."""
        if self._parameters is None:
            return
        self._filling = True
        self._showQuality(card)
        self._showPresence(card)
        self._filling = False

    def _showQuality(self, card: ModelCard | None) -> None:
        assert self._parameters is not None
        combo, preset, steps = (
            self._ui.qualityComboBox,
            self._parameters.preset,
            self._parameters.steps,
        )
        own = sampler_of(preset, card.metadata)[1] if card else 0
        self._ui.stepsSpinBox.setSpecialValueText(_("{n}, as Quality says").format(n=own))
        words = _("{n} steps, set under Sampling").format(n=steps)
        _showEntry(combo, PRESETS.index(preset), len(PRESETS), words if steps else "")

    def _showPresence(self, card: ModelCard | None) -> None:
        assert self._parameters is not None
        ui = self._ui
        possible = card is not None and Presence.canBeGiven(card)
        chosen = self._parameters.presence if possible else _PREDICTED
        isUsual = chosen in (_PREDICTED, _CERTAIN)
        words = _("{n} % probable, set under Sampling").format(n=round(100 * chosen))
        _showEntry(ui.presenceComboBox, int(chosen == _CERTAIN), 2, "" if isUsual else words)
        tip = _("This model predicts by itself whether anything is marked, and cannot be told.")
        for widget in (ui.presenceComboBox, ui.presenceSpinBox):
            widget.enabled = possible
            widget.toolTip = self._presenceTip if possible else tip

    def _onQuality(self, index: int) -> None:
        if self._parameters and not self._filling and index < len(PRESETS):
            with slicer.util.NodeModify(self._parameters.parameterNode):
                self._parameters.preset, self._parameters.steps = PRESETS[index], 0

    def _onPresence(self, index: int) -> None:
        if self._parameters and not self._filling and index < 2:
            self._parameters.presence = (_PREDICTED, _CERTAIN)[index]


def _showEntry(combo: Any, usual: int, count: int, words: str) -> None:
    """Show one of the ``count`` usual entries, or with ``words`` one more that reads so."""
    while combo.count > count:
        combo.removeItem(count)
    if words:
        combo.addItem(words)
    combo.currentIndex = count if words else usual
