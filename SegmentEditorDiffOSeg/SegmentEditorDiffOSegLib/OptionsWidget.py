"""The effect's options: the widgets and what they show; what they do is the effect's."""

from collections.abc import Sequence
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from .OfferedExperts import OfferedExpert
from .Operations import Operation

REGION_SEGMENT, REGION_ROI = "segment", "roi"


class OptionsWidget:
    """One attribute for each widget; rows are added to the effect's own form by :meth:`addTo`."""

    def __init__(self) -> None:
        self.modelCombo = qt.QComboBox()
        self.modelCombo.toolTip = _("The trained model that draws.")
        self.expertCombo = qt.QComboBox()
        self.expertCombo.toolTip = _(
            "Whose style to draw in: the consensus of the experts, or one of them."
        )
        self.samplesSpinBox = _samplesSpinBox()
        self.regionCombo = qt.QComboBox()
        self.regionCombo.addItem(_("Around the segment"), REGION_SEGMENT)
        self.regionCombo.addItem(_("In a box (ROI)"), REGION_ROI)
        self.regionCombo.toolTip = _("Where to look. Outside this region nothing is changed.")
        self.marginSpinBox = _marginSpinBox()
        self.roiSelector = _roiSelector()
        self.runButton = qt.QPushButton()
        self.progressBar = qt.QProgressBar()
        self.progressBar.setRange(0, 100)
        self.statusLabel = qt.QLabel()
        self.statusLabel.wordWrap = True
        self.statusLabel.textFormat = qt.Qt.PlainText  # names stay what they are
        self.thresholdSlider = _thresholdSlider()
        self.operationCombo = _operationCombo()
        self.discardButton = qt.QPushButton(_("Discard"))
        self.discardButton.toolTip = _("Remove the preview; the segment stays as it is.")
        self.applyButton = qt.QPushButton(_("Apply"))
        self.applyButton.toolTip = _(
            "Carry the preview into the selected segment, within the region and where masking"
            " allows it. Undo takes it back in one step."
        )
        self._rows: dict[str, tuple[Any, Any]] = {}
        self._experts: tuple[OfferedExpert, ...] = ()

    def addTo(self, scriptedEffect: Any) -> None:
        """Add the rows to the effect's form and name the widgets, so that tests find them."""
        rows = {
            "model": (_("Model:"), self.modelCombo),
            "expert": (_("Draw like:"), self.expertCombo),
            "samples": (_("Samples:"), self.samplesSpinBox),
            "region": (_("Region:"), self.regionCombo),
            "margin": (_("Margin:"), self.marginSpinBox),
            "roi": (_("Box:"), self.roiSelector),
        }
        for name, (text, widget) in rows.items():
            self._rows[name] = scriptedEffect.addLabeledOptionsWidget(text, widget), widget
        for widget in (self.runButton, self.progressBar, self.statusLabel):
            scriptedEffect.addOptionsWidget(widget)
        scriptedEffect.addLabeledOptionsWidget(_("Threshold:"), self.thresholdSlider)
        scriptedEffect.addLabeledOptionsWidget(_("Apply as:"), self.operationCombo)
        scriptedEffect.addOptionsWidget(_sideBySide(self.discardButton, self.applyButton))
        for name, widget in vars(self).items():
            if not name.startswith("_"):
                widget.objectName = f"DiffOSeg{name[0].upper()}{name[1:]}"

    def setLimits(self, mostSamples: int, largestMarginMm: float) -> None:
        """Allow so many samples, and so wide a margin, at the most."""
        self.samplesSpinBox.setRange(1, mostSamples)
        self.marginSpinBox.setRange(0.0, largestMarginMm)

    def showRow(self, name: str, shown: bool) -> None:
        """Show or hide a row with its label."""
        for widget in self._rows[name]:
            widget.visible = shown

    def setModels(self, titles: Sequence[tuple[str, str]]) -> None:
        """Offer models, (name, title) each; the row is of no use where there is but one."""
        blocked = self.modelCombo.blockSignals(True)
        self.modelCombo.clear()
        for name, title in titles:
            self.modelCombo.addItem(title, name)
        self.modelCombo.blockSignals(blocked)
        self.showRow("model", len(titles) > 1)

    def setExperts(self, experts: Sequence[OfferedExpert]) -> None:
        """Offer answers; a list that is there already is kept."""
        from DiffOSegLib.panel.ExpertsTableWidget import swatch
        from DiffOSegLib.panel.Sentences import asHtml

        combo = self.expertCombo
        if self._experts == tuple(experts):
            return
        self._experts = tuple(experts)
        blocked = combo.blockSignals(True)
        combo.clear()
        for expert in experts:
            combo.addItem(swatch(expert.color), expert.shown, expert.name)
            combo.setItemData(combo.count - 1, asHtml(expert.toolTip), qt.Qt.ToolTipRole)
        combo.blockSignals(blocked)

    def showState(self, *, ready: bool, running: bool, answered: bool) -> None:
        """Enable what can be used now; Run becomes Cancel while a run goes on."""
        self.runButton.text = _("Cancel") if running else _("Run")
        self.runButton.toolTip = (
            _("Stop; drawings that are finished are still shown.")
            if running
            else _(
                "Let the model draw, and preview it. Quality, presence, seed and device are those"
                " of the DiffOSeg module. The segment is not changed."
            )
        )
        self.runButton.enabled = ready
        self.progressBar.visible = running
        for widget in (
            self.modelCombo,
            self.expertCombo,
            self.samplesSpinBox,
            self.regionCombo,
            self.marginSpinBox,
            self.roiSelector,
        ):
            widget.enabled = ready and not running
        for widget in (self.discardButton, self.applyButton):
            widget.enabled = answered and not running


def choose(combo: Any, value: str) -> None:
    """Show the item that holds a value, without a signal; the first where none does."""
    blocked = combo.blockSignals(True)
    combo.currentIndex = max(0, combo.findData(value))
    combo.blockSignals(blocked)


def chosen(combo: Any) -> str:
    """Return the value of the item that is shown, "" where there is none."""
    return str(combo.itemData(combo.currentIndex) or "")


def setQuietly(widget: Any, value: float) -> None:
    """Show a value without a signal."""
    blocked = widget.blockSignals(True)
    widget.value = value
    widget.blockSignals(blocked)


def _samplesSpinBox() -> Any:
    spinBox = qt.QSpinBox()
    spinBox.toolTip = _(
        "How many drawings to make in this style. The probability of a voxel is told from them."
    )
    return spinBox


def _marginSpinBox() -> Any:
    spinBox = qt.QDoubleSpinBox()
    spinBox.setDecimals(1)
    spinBox.setSuffix(_(" mm"))
    spinBox.toolTip = _("How far around the segment the model looks and may draw.")
    return spinBox


def _roiSelector() -> Any:
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLMarkupsROINode"]
    selector.noneEnabled = True
    selector.addEnabled = False
    selector.removeEnabled = False
    selector.renameEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    selector.toolTip = _("The box in which the model looks and may draw.")
    return selector


def _thresholdSlider() -> Any:
    slider = ctk.ctkSliderWidget()
    slider.minimum = 0.01
    slider.maximum = 1.0
    slider.decimals = 2
    slider.singleStep = 0.01
    slider.toolTip = _(
        "Voxels that are more probable than this in the chosen style are drawn. Drag it: the"
        " preview follows, no new run is needed."
    )
    return slider


def _operationCombo() -> Any:
    texts = {
        Operation.REPLACE: (
            _("Replace"),
            _("Inside the region the segment becomes the result; what lies outside stays."),
        ),
        Operation.ADD: (
            _("Add"),
            _("The result is added to the segment; nothing is taken away."),
        ),
        Operation.SUBTRACT: (
            _("Subtract"),
            _("What the result holds is taken from the segment; what lies outside stays."),
        ),
        Operation.INTERSECT: (
            _("Intersect"),
            _(
                "Inside the region only what segment and result share is kept; what lies outside"
                " stays."
            ),
        ),
    }
    combo = qt.QComboBox()
    for operation, (text, toolTip) in texts.items():
        combo.addItem(text, operation.value)
        combo.setItemData(combo.count - 1, toolTip, qt.Qt.ToolTipRole)
    combo.toolTip = "\n".join(f"{text}: {toolTip}" for text, toolTip in texts.values())
    return combo


def _sideBySide(*widgets: Any) -> Any:
    row = qt.QWidget()
    layout = qt.QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row
