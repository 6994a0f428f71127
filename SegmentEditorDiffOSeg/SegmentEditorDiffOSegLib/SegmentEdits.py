"""Edits of the selected segment, through Slicer's own way, so that masking and overwriting hold."""

from typing import Any

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from diffoseg.output.segment_tags import (
    ALGORITHM_NAME,
    ALGORITHM_TYPE,
    SEMIAUTOMATIC,
    algorithm_name,
)
from DiffOSegLib.scene import SegmentTags

from .Answer import Answer
from .Operations import Edit
from .Placement import PlacedAnswer


def carryOut(scriptedEffect: Any, placedAnswer: PlacedAnswer, edits: list[Edit]) -> None:
    """Change the selected segment; the caller has saved the state for Undo.

    Args:
        scriptedEffect: Slicer's side of the effect, whose masking settings are respected.
        placedAnswer: says where the edits' voxels are.
        edits: one after the other.
    """
    modes = slicer.qSlicerSegmentEditorAbstractEffect
    for edit in edits:
        labelmap, voxels = placedAnswer.emptyLabelmap()
        voxels[:] = edit.voxels
        if not edit.adds:
            _keepWithinMaskSegment(scriptedEffect, labelmap, voxels)
        labelmap.Modified()
        mode = modes.ModificationModeAdd if edit.adds else modes.ModificationModeRemove
        scriptedEffect.modifySelectedSegmentByLabelmap(labelmap, mode)


def tagAsAssisted(segment: slicer.vtkSegment, answer: Answer) -> None:
    """Say in a DICOM export that the model had a hand in this segment, and what it was asked."""
    tags = {ALGORITHM_TYPE: SEMIAUTOMATIC, ALGORITHM_NAME: algorithm_name(answer.expert)}
    SegmentTags.addTags(segment, tags)
    SegmentTags.tagAsAsked(segment, answer.preset, answer.presence)


def _keepWithinMaskSegment(
    scriptedEffect: Any, labelmap: slicer.vtkOrientedImageData, voxels: np.ndarray
) -> None:
    """Where editing is allowed inside one other segment only, remove nothing outside that one.

    Slicer's eraser would, and would give those voxels to the other segment.
    """
    node = scriptedEffect.parameterSetNode()
    inside = slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment
    if node.GetMaskMode() != inside:
        return
    scan, interval = None, None
    if node.GetSourceVolumeIntensityMask():
        scan = scriptedEffect.sourceVolumeImageData()
        interval = node.GetSourceVolumeIntensityMaskRange()
    protected = slicer.vtkOrientedImageData()
    node.GetSegmentationNode().GenerateEditMask(
        protected, inside, labelmap, "", node.GetMaskSegmentID() or "", scan, interval
    )
    mask = vtk_to_numpy(protected.GetPointData().GetScalars()).reshape(voxels.shape)
    voxels[mask != 0] = 0
