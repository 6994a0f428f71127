"""Slicer's own segment editor without its panel, and who a segment says has drawn it."""

import slicer

AUTOMATIC, SEMIAUTOMATIC = "AUTOMATIC", "SEMIAUTOMATIC"


def drawnBy(node):
    from DiffOSegLib.scene.SegmentTags import tagOf

    segmentation = node.GetSegmentation()
    return {
        segmentID: tagOf(segmentation.GetSegment(segmentID), "DICOM.SegmentAlgorithmType")
        for segmentID in segmentation.GetSegmentIDs()
    }


UNTOUCHED = {"consensus": AUTOMATIC, "dr-m-ller": AUTOMATIC, "expert": AUTOMATIC}


EDITED = UNTOUCHED | {"dr-m-ller": SEMIAUTOMATIC}


class Editor:
    """Slicer's own segment editor, without its panel."""

    def __init__(self, segmentationNode, volumeNode, segmentID="dr-m-ller"):
        editorNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        editorNode.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        self.history = slicer.vtkSegmentationHistory()
        self.history.SetSegmentation(segmentationNode.GetSegmentation())
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.logic.SetSegmentEditorNode(editorNode)
        self.logic.SetSegmentationNode(segmentationNode)
        self.logic.SetSourceVolumeNode(volumeNode)
        self.logic.SetSegmentationHistory(self.history)
        self.logic.SetCurrentSegmentID(segmentID)
        self.segmentationNode, self.segmentID = segmentationNode, segmentID

    def paint(self, k, j, i, value=1):
        self.logic.SaveStateForUndo()
        self.logic.ResetModifierLabelmapToDefault()
        modifier = self.logic.GetModifierLabelmap()
        modifier.SetScalarComponentFromDouble(i, j, k, 0, 1)
        modifier.Modified()
        mode = self.logic.ModificationModeAdd if value else self.logic.ModificationModeRemove
        self.logic.ModifySegmentByLabelmap(
            self.segmentationNode, self.segmentID, modifier, mode, False, True
        )
