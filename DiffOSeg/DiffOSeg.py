"""Slicer's entry to DiffOSeg; everything behind it is in DiffOSegLib and, without Slicer, diffoseg.

Slicer imports this file when it starts, and so may a Slicer that is too old for the rest: it parses
on Python 3.9 and imports nothing of ours before it is shown.
"""

import qt
import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleWidget,
)

try:
    from slicer.i18n import tr as _
except ImportError:  # Slicer before 5.4

    def _(text):
        return text


class DiffOSeg(ScriptedLoadableModule):
    """What Slicer lists about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("DiffOSeg")
        self.parent.categories = [_("Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The DiffOSeg contributors"]
        self.parent.helpText = _(
            "<p>Outlines a lesion as each of several experts would draw it, and as they agree, each"
            " with the spread of the model's own drawings.</p>"
            "<ol><li>Load a scan and put the crosshair on the finding.</li>"
            "<li>Press <b>Apply</b>: a box of 64 mm is placed there, and everything in it is drawn."
            " Drag the box to change it.</li>"
            "<li>Compare: outlines over one slice, a grid of linked views, the map of disagreement,"
            " the table.</li></ol>"
            "<p>Keys while the module is shown: <b>0</b> the consensus alone, <b>1</b> to <b>9</b>"
            " an expert alone, the same key again all of them, <b>U</b> the disagreement.</p>"
            "<p>Each drawing is predicted by a model in the style of an expert; no expert has seen"
            " the scan. The model that comes with it was trained on synthetic phantoms: for"
            " demonstration and testing, not for clinical use. Nothing leaves this computer.</p>"
        )
        self.parent.acknowledgementText = _(
            "The method is that of Zhang, Luo, Chen and Li: DiffOSeg: Omni Medical Image"
            " Segmentation via Multi-Expert Collaboration Diffusion Model, MICCAI 2025"
            ' (<a href="https://arxiv.org/abs/2507.13087">arXiv:2507.13087</a>). Please cite it'
            " where you use this extension."
        )


class DiffOSegWidget(ScriptedLoadableModuleWidget):
    """The frame around DiffOSegLib's panel, or around the sentence that says what is missing.

    Attributes:
        logic: the application's one DiffOSegLogic; None in a Slicer that is too old.
        panel: DiffOSegLib's PanelWidget; None likewise.
    """

    def __init__(self, parent=None):
        self.logic = None
        self.panel = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        """Build the panel, or say which Slicer is needed."""
        ScriptedLoadableModuleWidget.setup(self)
        obstacle = whySlicerIsTooOld()
        if obstacle:
            label = qt.QLabel(obstacle)
            label.objectName = "slicerTooOldLabel"
            label.wordWrap = True
            self.layout.addWidget(label)
            self.layout.addStretch(1)
            return
        from DiffOSegLib.Logic import sharedLogic
        from DiffOSegLib.PanelWidget import PanelWidget

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/DiffOSeg.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = sharedLogic()
        self.panel = PanelWidget(uiWidget, self.logic)

    def enter(self):
        """Be there when the module comes into view."""
        if self.panel:
            self.panel.enter()

    def exit(self):
        """Step back for another module."""
        if self.panel:
            self.panel.exit()

    def cleanup(self):
        """Let go of everything, before a reload or the application's end."""
        if self.panel:
            self.panel.cleanup()
        self.panel = None


def whySlicerIsTooOld():
    """Return which Slicer is needed, as a sentence; None where this one will do."""
    try:
        from DiffOSegLib import Dependencies
    except (ImportError, SyntaxError):
        return _("DiffOSeg needs Slicer 5.12.1 or newer.")
    return Dependencies.state().slicerTooOld
