"""Slicer's entry to DiffOSeg Training; what is behind it is in DiffOSegTrainingLib.

Slicer imports this file when it starts, and so may a Slicer that is too old for the rest: it parses
on Python 3.9 and imports nothing of ours before it is shown.
"""

import qt
import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

try:
    from slicer.i18n import tr as _
    from slicer.i18n import translate
except ImportError:  # Slicer before 5.4

    def _(text):
        return text

    def translate(_context, text):
        """Return the text as it is."""
        return text


class DiffOSegTraining(ScriptedLoadableModule):
    """What Slicer lists about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("DiffOSeg Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["DiffOSeg"]
        self.parent.contributors = ["The DiffOSeg contributors"]
        self.parent.helpText = _(
            "<p>Teaches DiffOSeg how one of your own experts draws, from a few of that expert's own"
            " cases, in about a minute.</p>"
            "<ol><li>Load scans and the segmentations that the expert drew on them.</li>"
            "<li>Name the expert and press <b>Add all pairs</b>, or drag segmentations into the"
            " table. Each row says at once whether it can be used.</li>"
            "<li>Press <b>Start</b>. The result says plainly whether the new expert is better than"
            " the consensus on cases that were held out.</li></ol>"
            "<p>The new expert is then in the list of the module DiffOSeg. Nothing else changes:"
            " the consensus and all other experts draw exactly as before.</p>"
            "<p>For research, not for clinical use. Nothing leaves this computer."
            " A file of an expert describes how a person draws: treat it as personal data.</p>"
        )
        self.parent.acknowledgementText = _(
            "The method is that of Zhang, Luo, Chen and Li: DiffOSeg: Omni Medical Image"
            " Segmentation via Multi-Expert Collaboration Diffusion Model, MICCAI 2025"
            ' (<a href="https://arxiv.org/abs/2507.13087">arXiv:2507.13087</a>). Please cite it'
            " where you use this extension."
        )


class DiffOSegTrainingWidget(ScriptedLoadableModuleWidget):
    """The frame around DiffOSegTrainingLib's panel, or around the sentence on what is missing.

    Attributes:
        logic: the application's one DiffOSegTrainingLogic; None in a Slicer that is too old.
        panel: DiffOSegTrainingLib's PanelWidget; None likewise.
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
        from DiffOSegTrainingLib.panel.PanelWidget import PanelWidget
        from DiffOSegTrainingLib.run.TrainingLogic import sharedTrainingLogic

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/DiffOSegTraining.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = sharedTrainingLogic()
        self.panel = PanelWidget(uiWidget, self.logic)

    def enter(self):
        """Be there when the module comes into view."""
        if self.panel:
            self.panel.enter()

    def exit(self):
        """Step back for another module; a training goes on."""
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
        from DiffOSegLib.run import Dependencies
    except (ImportError, SyntaxError):
        return _("DiffOSeg Training needs the module DiffOSeg and Slicer 5.12.1 or newer.")
    return Dependencies.state().slicerTooOld


class DiffOSegTrainingTest(ScriptedLoadableModuleTest):
    """What can be tried in any Slicer, with or without PyTorch; leaves an empty scene."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run all of them."""
        for test in (
            self.test_thePairsOfTheSceneBecomeRows,
            self.test_startSaysWhatItWaitsFor,
            self.test_anExpertIsTaughtFromTwoCases,
        ):
            self.setUp()
            test()
        self.setUp()

    def test_thePairsOfTheSceneBecomeRows(self):
        """Add all pairs finds a segment that was drawn on a volume."""
        addAnnotatedPhantom()
        panel = openedPanel()
        panel.ui.addPairsButton.click()
        assert len(panel.logic.rows()) == 1
        assert panel.ui.casesTable.rowCount == 1
        self.delayDisplay("Pairs become rows.")

    def test_startSaysWhatItWaitsFor(self):
        """Start waits for the expert's name, and says so."""
        addAnnotatedPhantom()
        panel = openedPanel()
        panel.ui.addPairsButton.click()
        assert not panel.ui.startButton.enabled
        assert panel.ui.deviceLabel.text
        self.delayDisplay("Start says what it waits for.")

    def test_anExpertIsTaughtFromTwoCases(self):
        """A training with the default model, where its packages are installed."""
        import os
        import tempfile

        from DiffOSegLib.run import Dependencies

        if not Dependencies.state().ready:
            self.delayDisplay("PyTorch is not installed: no training was tried.")
            return
        for radius in (7, 9):
            addAnnotatedPhantom(radius)
        panel = openedPanel()
        panel.ui.addPairsButton.click()
        panel.parameters.expertName = "Self-test"
        own = os.environ.get("DIFFOSEG_EXPERTS")
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DIFFOSEG_EXPERTS"] = folder + "/experts"
            try:
                while None in panel.logic.checks():
                    panel.logic.tick()
                outcome = panel.logic.wait(panel.logic.start(), timeoutSeconds=900)
            finally:
                del os.environ["DIFFOSEG_EXPERTS"]
                if own is not None:
                    os.environ["DIFFOSEG_EXPERTS"] = own
        assert outcome.kind == "done", outcome
        assert outcome.card.name == "Self-test"
        self.delayDisplay("An expert is taught.")


def addAnnotatedPhantom(radius=8):
    """Add a small CT-like volume with a ball of tissue, mm, and a segment drawn round it."""
    import numpy as np

    k, j, i = np.mgrid[0:12, 0:80, 0:80]
    ball = ((k - 6) * 2.0) ** 2 + ((j - 40) * 0.7) ** 2 + ((i - 40) * 0.7) ** 2 < radius**2
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Phantom")
    slicer.util.updateVolumeFromArray(volume, np.where(ball, 30, -850).astype(np.int16))
    volume.SetSpacing(0.7, 0.7, 2.0)
    volume.CreateDefaultDisplayNodes()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawing")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentID = node.GetSegmentation().AddEmptySegment("", "Nodule", (0.8, 0.3, 0.2))
    slicer.util.updateSegmentBinaryLabelmapFromArray(ball.astype(np.uint8), node, segmentID, volume)
    return volume, node


def openedPanel():
    """Return the module's panel, which follows the scene from the first time it is asked for."""
    slicer.modules.diffosegtraining.widgetRepresentation()
    return slicer.modules.DiffOSegTrainingWidget.panel
