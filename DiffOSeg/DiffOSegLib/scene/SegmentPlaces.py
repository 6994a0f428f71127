"""Where segments lie in the patient: what the comparison views jump to and zoom in on."""

from dataclasses import dataclass

import numpy as np
import slicer

from diffoseg.experts.panel import CONSENSUS

from .Matrices import cornersOf
from .SegmentTags import EXPERT, tagOf
from .SegmentVoxels import cropOf, labelsOf

Point = tuple[float, float, float]

_ANISOTROPIC = 1.5  # coarsest over finest spacing from which slices lie across the coarsest axis
_PLANES = ("Sagittal", "Coronal", "Axial")  # by the axis of RAS that they lie across


@dataclass(frozen=True)
class Section:
    """A segment's largest cross-section, in world coordinates.

    Attributes:
        center: mean of the section's voxels, RAS mm.
        normal: what the section lies across, RAS, a unit vector.
    """

    center: Point
    normal: Point

    @property
    def plane(self) -> str:
        """Slicer's name of the standard plane that is nearest."""
        return _PLANES[int(np.argmax(np.abs(self.normal)))]


def consensusFirst(segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Return the IDs of all segments in their order, the consensus before the experts."""
    segmentation = segmentationNode.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return sorted(ids, key=lambda segmentID: not isConsensus(segmentation.GetSegment(segmentID)))


def isConsensus(segment: slicer.vtkSegment) -> bool:
    """Return whether a segment is a consensus, by its tag or else by its name."""
    return (tagOf(segment, EXPERT) or segment.GetName() or "").casefold() == CONSENSUS


def isEmpty(segment: slicer.vtkSegment) -> bool:
    """Return whether a segment has no voxel."""
    labels = labelsOf(segment)
    if labels is None:
        return True
    value = segment.GetLabelValue()
    return not any(np.equal(plane, value).any() for plane in labels)  # stops at the first voxel


def largestSection(segmentationNode: slicer.vtkMRMLSegmentationNode) -> Section | None:
    """Return the largest section of the consensus, or of the first segment that is not empty.

    None where all are empty. Sections are taken along the slices the scan is read in.
    """
    for segmentID in consensusFirst(segmentationNode):
        found = cropOf(segmentationNode.GetSegmentation().GetSegment(segmentID))
        if found is not None:
            return _section(segmentationNode, *found)
    return None


def spanOf(segmentationNode: slicer.vtkMRMLSegmentationNode) -> float:
    """Return the longest edge, mm, of the box along RAS around all segments; 0 if all are empty."""
    corners: list[Point] = []
    for segmentID in consensusFirst(segmentationNode):
        found = cropOf(segmentationNode.GetSegmentation().GetSegment(segmentID))
        if found is not None:
            mask, toRas = found
            box = cornersOf([-0.5] * 3, np.subtract(mask.shape[::-1], 0.5))
            corners += [_toWorld(segmentationNode, toRas, index) for index in box]
    return float(np.ptp(np.array(corners), axis=0).max()) if corners else 0.0


def _section(
    segmentationNode: slicer.vtkMRMLSegmentationNode, mask: np.ndarray, toRas: np.ndarray
) -> Section:
    axis = _sliceAxis(toRas)
    planes = np.moveaxis(mask, 2 - axis, 0)  # the array is (K, J, I)
    largest = int(planes.sum(axis=(1, 2)).argmax())
    center = np.insert(np.argwhere(planes[largest]).mean(axis=0)[::-1], axis, largest)
    beside = center + np.eye(3)[axis]
    here, there = (_toWorld(segmentationNode, toRas, index) for index in (center, beside))
    across = np.subtract(there, here)
    return Section(here, _point(across / np.linalg.norm(across)))


def _sliceAxis(toRas: np.ndarray) -> int:
    """Return the index axis (0 is i) across which the scan is read, as the model has it."""
    spacing = np.linalg.norm(toRas[:3, :3], axis=0)
    if spacing.max() > _ANISOTROPIC * spacing.min():
        return int(spacing.argmax())
    return int(np.argmax(np.abs(toRas[2, :3]) / spacing))


def _toWorld(
    segmentationNode: slicer.vtkMRMLSegmentationNode, toRas: np.ndarray, index: np.ndarray
) -> Point:
    world = [0.0, 0.0, 0.0]
    segmentationNode.TransformPointToWorld([float(v) for v in (toRas @ [*index, 1.0])[:3]], world)
    return _point(world)


def _point(values: "np.ndarray | list[float]") -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z
