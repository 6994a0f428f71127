"""Which segments of the scene were drawn on which volume: what fills the table of cases."""

from collections.abc import Iterator

import numpy as np
import slicer
from slicer.util import getNodesByClass

from diffoseg.errors import InputError
from diffoseg.output.segment_tags import ALGORITHM_TYPE, AUTOMATIC
from DiffOSegLib.scene.Matrices import between, ijkToRas
from DiffOSegLib.scene.SceneInputs import checkVolume
from DiffOSegLib.scene.SegmentTags import EXPERT, tagOf
from DiffOSegLib.scene.SegmentVoxels import referenceGrid

_SAME_LATTICE = 1e-3  # of a voxel


def scenePairs() -> Iterator[
    tuple["slicer.vtkMRMLScalarVolumeNode", "slicer.vtkMRMLSegmentationNode", str]
]:
    """Yield volume, segmentation and segment for all that people have drawn on a scan.

    Hidden segments are left out, and so is what the model drew.
    """
    for segmentationNode in getNodesByClass("vtkMRMLSegmentationNode"):
        volumeNode = volumeOf(segmentationNode)
        if volumeNode is not None:
            for segmentID in drawnSegments(segmentationNode):
                yield volumeNode, segmentationNode, segmentID


def drawnSegments(segmentationNode: "slicer.vtkMRMLSegmentationNode") -> list[str]:
    """Return the IDs of the visible segments that the model did not draw."""
    segmentation = segmentationNode.GetSegmentation()
    display = segmentationNode.GetDisplayNode()
    return [
        segmentID
        for segmentID in segmentation.GetSegmentIDs()
        if (display is None or display.GetSegmentVisibility(segmentID))
        and not _isTheModels(segmentation.GetSegment(segmentID))
    ]


def volumeOf(
    segmentationNode: "slicer.vtkMRMLSegmentationNode",
) -> "slicer.vtkMRMLScalarVolumeNode | None":
    """Return the scan that a segmentation was drawn on; None where the scene does not tell.

    That is its reference volume, or else the only scan with the same voxels.
    """
    role = segmentationNode.GetReferenceImageGeometryReferenceRole()
    reference = segmentationNode.GetNodeReference(role)
    if reference is not None and _isScan(reference):
        return reference
    grid = referenceGrid(segmentationNode.GetSegmentation())
    if grid is None:
        return None
    scans = getNodesByClass("vtkMRMLScalarVolumeNode")
    same = [node for node in scans if _isScan(node) and _sharesVoxels(node, segmentationNode, grid)]
    return same[0] if len(same) == 1 else None


def _isScan(node: "slicer.vtkMRMLNode") -> bool:
    try:
        checkVolume(node)
    except InputError:
        return False
    return True


def _isTheModels(segment: "slicer.vtkSegment") -> bool:
    return bool(tagOf(segment, EXPERT)) and tagOf(segment, ALGORITHM_TYPE) == AUTOMATIC


def _sharesVoxels(
    volumeNode: "slicer.vtkMRMLScalarVolumeNode",
    segmentationNode: "slicer.vtkMRMLSegmentationNode",
    grid: np.ndarray,
) -> bool:
    """Whether a reference grid, (4, 4) to RAS, begins at the volume's first voxel."""
    toVolume = between(segmentationNode, volumeNode)
    if toVolume is None:
        return False
    toIndex = np.linalg.solve(ijkToRas(volumeNode), toVolume @ grid)
    return bool(np.allclose(toIndex, np.eye(4), rtol=0, atol=_SAME_LATTICE))
