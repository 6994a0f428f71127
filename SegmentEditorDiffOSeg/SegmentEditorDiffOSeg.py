"""Hidden module that gives the Segment Editor the effect "DiffOSeg"."""

import logging
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest


class SegmentEditorDiffOSeg(ScriptedLoadableModule):
    """Registers the effect once Slicer has started; has no panel of its own."""

    def __init__(self, parent: Any):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Segment Editor DiffOSeg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations"]
        self.parent.contributors = ["The DiffOSeg contributors"]
        self.parent.hidden = True
        self.parent.helpText = _("Adds the effect DiffOSeg to the Segment Editor.")
        self.parent.acknowledgementText = _(
            "The method is that of Zhang, Luo, Chen and Li, DiffOSeg, MICCAI 2025"
            ' (<a href="https://arxiv.org/abs/2507.13087">arXiv:2507.13087</a>).'
        )
        slicer.app.connect("startupCompleted()", self.registerEditorEffect)

    def registerEditorEffect(self) -> None:
        """Hand the effect to the Segment Editor, which ignores a second one of the same name."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        # Slicer takes the class from the package where that is imported, and else runs the file
        # under the package's name, where it could not import its neighbours.
        try:
            import SegmentEditorDiffOSegLib
        except ImportError as error:  # the Python of an old Slicer, or half an installation
            logging.warning("The effect DiffOSeg needs Slicer 5.12.1 or newer (%s).", error)
            return

        path = Path(SegmentEditorDiffOSegLib.__file__).with_name("SegmentEditorEffect.py")
        instance = effects.qSlicerSegmentEditorScriptedEffect(None)
        instance.setPythonSource(path.as_posix())
        instance.self().register()


class SegmentEditorDiffOSegTest(ScriptedLoadableModuleTest):
    """The effect without the model: what it draws is made up here."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Run all tests, for Slicer's button "Reload and Test"."""
        self.setUp()
        self.test_applyAndUndo()

    def test_applyAndUndo(self) -> None:
        """A previewed answer goes into the segment by Apply and out of it by Undo."""
        import numpy as np

        from DiffOSegLib.scene.Matrices import ijkToRas
        from SegmentEditorDiffOSegLib.Answer import Answer

        volumeNode = slicer.util.addVolumeFromArray(np.zeros((20, 20, 20), np.int16))
        segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentationNode.CreateDefaultDisplayNodes()
        segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        segmentation = segmentationNode.GetSegmentation()
        segmentID = segmentation.AddEmptySegment("tumor", "Tumor", (1.0, 0.0, 0.0))

        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        editor.setMRMLSegmentEditorNode(
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        )
        editor.setSegmentationNode(segmentationNode)
        editor.setSourceVolumeNode(volumeNode)
        editor.setCurrentSegmentID(segmentID)
        editor.setActiveEffectByName("DiffOSeg")
        effect = editor.activeEffect().self()

        placement = ijkToRas(volumeNode)
        placement[:3, 3] += 5
        probability = np.full((4, 5, 6), 0.7, np.float32)
        answer = Answer("consensus", (1.0, 0.8, 0.0), 1, probability, 0.5, placement)
        effect.proposal.offer(answer)

        def count() -> int:
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(
                segmentationNode, segmentID, volumeNode
            )
            return int(voxels.sum())

        assert count() == 0
        effect.options.applyButton.click()
        assert count() == 4 * 5 * 6
        editor.undo()
        assert count() == 0
        editor.redo()
        assert count() == 4 * 5 * 6
        editor.setActiveEffectByName("")
        editor.delete()
        self.delayDisplay("Passed")
