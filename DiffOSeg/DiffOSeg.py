"""Slicer's entry to DiffOSeg; everything behind it is in DiffOSegLib and, without Slicer, diffoseg.

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


class DiffOSeg(ScriptedLoadableModule):
    """What Slicer lists about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("DiffOSeg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
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
            "<p>Experts of your own are taught in the module <b>DiffOSeg Training</b>, from a few"
            " of their cases, and are then listed here.</p>"
            "<p>Each drawing is predicted by a model in the style of an expert; no expert has seen"
            " the scan. The model that comes with it has learnt from radiologists' drawings of lung"
            " nodules (LIDC-IDRI): for research, not for clinical use. Nothing leaves this"
            " computer.</p>"
        )
        self.parent.acknowledgementText = _(
            "The method is that of Zhang, Luo, Chen and Li: DiffOSeg: Omni Medical Image"
            " Segmentation via Multi-Expert Collaboration Diffusion Model, MICCAI 2025"
            ' (<a href="https://arxiv.org/abs/2507.13087">arXiv:2507.13087</a>). Please cite it'
            " where you use this extension, which is independent of its authors."
        )
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self):
        """Offer a phantom in the module Sample Data, once all modules are there."""
        if whySlicerIsTooOld():
            return
        from DiffOSegLib.scene import SamplePhantom

        SamplePhantom.register(self.resourcePath("Icons/DiffOSeg.png"))


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
        from DiffOSegLib.panel.PanelWidget import PanelWidget
        from DiffOSegLib.run.Logic import sharedLogic

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
        from DiffOSegLib.run import Dependencies
    except (ImportError, SyntaxError):
        return _("DiffOSeg needs Slicer 5.12.1 or newer.")
    return Dependencies.state().slicerTooOld


class DiffOSegTest(ScriptedLoadableModuleTest):
    """What can be tried in any Slicer, with or without PyTorch; leaves an empty scene."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run all of them."""
        for test in (
            self.test_theModuleOpensAndTakesTheVolume,
            self.test_choicesAreKeptInTheParameterNode,
            self.test_aRunBringsSegmentsMapsAndATable,
        ):
            self.setUp()
            test()
        self.setUp()

    def test_theModuleOpensAndTakesTheVolume(self):
        """The panel shows a volume that is loaded, and Apply is ready for it."""
        volume = addPhantom()
        panel = openedPanel()
        assert panel.parameters.inputVolume is volume
        assert panel.ui.noticeLabel.text
        assert panel.ui.expertsTable.rowCount > 1
        self.delayDisplay("The module opens.")

    def test_choicesAreKeptInTheParameterNode(self):
        """What is chosen by hand is in the scene, and what is in the scene is shown."""
        addPhantom()
        panel = openedPanel()
        panel.ui.samplesSpinBox.value = 3
        assert panel.parameters.samples == 3
        panel.parameters.regionKind = "whole"
        assert panel.ui.regionKindComboBox.currentText == _("Whole volume")
        panel.ui.noExpertsButton.click()
        assert not panel.ui.applyButton.enabled
        panel.ui.allExpertsButton.click()
        assert panel.ui.applyButton.enabled
        self.delayDisplay("Choices are kept.")

    def test_aRunBringsSegmentsMapsAndATable(self):
        """A short run with the default model, where its packages are installed."""
        from diffoseg.model.cards import read_card
        from DiffOSegLib.run import Dependencies
        from DiffOSegLib.scene import SceneInputs
        from DiffOSegLib.scene.SceneResults import OutputOptions, SceneResults

        if not Dependencies.state().ready:
            self.delayDisplay("PyTorch is not installed: no run was tried.")
            return
        volume = addPhantom()
        panel = openedPanel()
        parameters = panel.parameters
        parameters.regionRoi = SceneInputs.defaultRoi(volume)
        parameters.regionRoi.SetSize(20, 20, 4)
        parameters.samples, parameters.steps = 2, 2
        card = read_card()
        asked = list(card.answers[:3])
        parameters.experts = asked
        results = SceneResults(volume, OutputOptions(), card)
        request = panel.logic.requestFrom(parameters)
        run = panel.logic.start(request, results, lambda event: None)
        outcome = panel.logic.wait(run, timeoutSeconds=600)
        assert outcome.kind == "done", outcome
        segmentation = results.segmentationNode.GetSegmentation()
        assert segmentation.GetNumberOfSegments() == 3
        assert sorted(results.probabilityNodes) == sorted(asked)
        assert results.disagreementNode is not None
        assert results.tableNode.GetNumberOfRows() == 3
        self.delayDisplay("A run brings segments, maps and a table.")


def addPhantom():
    """Add a small CT-like volume, lung with a ball of tissue in it, and return its node."""
    import numpy as np

    k, j, i = np.mgrid[0:12, 0:80, 0:80]
    ball = ((k - 6) * 2.0) ** 2 + ((j - 40) * 0.7) ** 2 + ((i - 40) * 0.7) ** 2 < 8**2
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Phantom")
    slicer.util.updateVolumeFromArray(volume, np.where(ball, 30, -850).astype(np.int16))
    volume.SetSpacing(0.7, 0.7, 2.0)
    volume.CreateDefaultDisplayNodes()
    return volume


def openedPanel():
    """Return the module's panel, which follows the scene from the first time it is asked for."""
    slicer.modules.diffoseg.widgetRepresentation()
    return slicer.modules.DiffOSegWidget.panel
