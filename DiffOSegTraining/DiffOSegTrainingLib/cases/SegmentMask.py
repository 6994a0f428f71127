"""A segment's voxels on a volume's own grid, wherever and however the segment was drawn.

Segmentations have grids of their own, finer, coarser or turned, and lie under transforms of their
own. Each voxel of the volume takes what is drawn at its centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from diffoseg.errors import InputError
from diffoseg.space.geometry import Geometry, Triple
from DiffOSegLib.scene.Matrices import between, cornersOf, ijkToRas, moved
from DiffOSegLib.scene.SegmentVoxels import LABELMAP, cropOf

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_LATTICE = 0.01  # of a voxel, between two centres that count as one
_FLAT = 1e-9  # determinant of a transform that cannot be undone
_PLANES_AT_ONCE = 1 << 20  # voxels whose places are computed together


@dataclass(frozen=True)
class SegmentMask:
    """The box around a segment on a volume's grid.

    Attributes:
        voxels: (K, J, I) bool; of size 0 where the segment is empty or outside the volume.
        start: (i, j, k) of the first voxel in the volume.
        drawn: whether anything is drawn at all, be it outside the volume.
        ownGrid: the grid of the drawing's own box, in the volume's space, LPS; None where nothing
            is drawn or where it is sheared against the volume.
    """

    voxels: np.ndarray
    start: Triple
    drawn: bool
    ownGrid: Geometry | None

    @property
    def size(self) -> Triple:
        """Voxels along (i, j, k)."""
        k, j, i = self.voxels.shape
        return i, j, k

    @classmethod
    def joined(cls, masks: "Sequence[SegmentMask]") -> "SegmentMask":
        """Return what any of the masks, all of one volume, marks; at least one is given."""
        marked = [mask for mask in masks if mask.voxels.size]
        if len(marked) < 2:
            return (marked or masks)[0]
        lower = np.min([mask.start for mask in marked], axis=0)
        size = np.max([np.add(mask.start, mask.size) for mask in marked], axis=0) - lower
        i, j, k = map(int, lower)
        voxels = np.logical_or.reduce([mask.within(lower, size) for mask in marked])
        return cls(voxels, (i, j, k), True, marked[0].ownGrid)

    def within(self, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """Return the mask on a box of the volume's voxels, (K, J, I) bool."""
        result = np.zeros(tuple(size[::-1]), bool)
        lower = np.maximum(start, self.start)
        upper = np.minimum(np.add(start, size), np.add(self.start, self.size))
        if np.all(lower < upper):
            result[_box(lower - start, upper - start)] = self.voxels[
                _box(lower - self.start, upper - self.start)
            ]
        return result


def segmentMask(
    volumeNode: slicer.vtkMRMLVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentID: str,
) -> SegmentMask:
    """Return a segment on a volume's grid.

    Raises:
        InputError: a transform between the two bends, or flattens.
    """
    found = _drawn(segmentationNode, segmentID)
    if found is None:
        return SegmentMask(np.zeros((0, 0, 0), bool), (0, 0, 0), False, None)
    mask, toRas = found
    toVolume = between(segmentationNode, volumeNode)
    if toVolume is None:
        raise InputError(
            _(
                "Between {segmentation} and {volume} lies a transform that bends. Harden it in the"
                " Data module, or take them out of it."
            ).format(segmentation=segmentationNode.GetName(), volume=volumeNode.GetName())
        )
    own = toVolume @ toRas
    if abs(np.linalg.det(own)) < _FLAT:
        raise InputError(
            _("The transform of {segmentation} flattens it. Take it out of the transform.").format(
                segmentation=segmentationNode.GetName()
            )
        )
    toIndex = np.linalg.solve(ijkToRas(volumeNode), own)
    size = volumeNode.GetImageData().GetDimensions()
    voxels, start = _onGrid(mask, toIndex, size)
    return SegmentMask(voxels, start, True, _gridOf(mask, own))


def _drawn(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentID: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the box around a segment, (K, J, I) bool, and its matrix to RAS; None where empty."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentID)
    if segment.GetRepresentation(LABELMAP) is not None:
        return cropOf(segment)
    image = slicer.vtkOrientedImageData()  # of a surface or of contours, without touching the node
    logic = slicer.modules.segmentations.logic()
    if not logic.GetSegmentBinaryLabelmapRepresentation(segmentationNode, segmentID, image, False):
        _requireNothing(segment)
        return None
    alone = slicer.vtkSegment()
    alone.AddRepresentation(LABELMAP, image)
    return cropOf(alone)


def _requireNothing(segment: "slicer.vtkSegment") -> None:
    """Raise InputError where a segment holds what Slicer cannot turn into voxels."""
    held: list[str] = []
    segment.GetContainedRepresentationNames(held)
    if held:
        raise InputError(
            _(
                "{name} holds a {kind} that Slicer cannot turn into voxels here. Create a binary"
                " labelmap of it in the Segmentations module."
            ).format(name=segment.GetName(), kind=held[0].lower())
        )


def _onGrid(
    mask: np.ndarray, toIndex: np.ndarray, size: Sequence[int]
) -> tuple[np.ndarray, Triple]:
    """Return a drawing on the volume's voxels, and the first of these.

    Args:
        mask: (K, J, I), the drawing on its own grid.
        toIndex: (4, 4) from its indices to the volume's.
        size: (i, j, k) of the volume.
    """
    corners = moved(cornersOf([-0.5] * 3, np.subtract(mask.shape[::-1], 0.5)), toIndex)
    lower = np.clip(np.ceil(corners.min(0) - _SAME_LATTICE), 0, size).astype(int)
    upper = np.clip(np.floor(corners.max(0) + _SAME_LATTICE) + 1, lower, size).astype(int)
    start = (int(lower[0]), int(lower[1]), int(lower[2]))
    centres = cornersOf([0.0] * 3, np.subtract(mask.shape[::-1], 1.0))
    shifts = moved(centres, toIndex) - centres
    shift = np.round(shifts[0]).astype(int)
    if np.allclose(shifts, shift, rtol=0, atol=_SAME_LATTICE):
        first = lower - shift
        last = np.minimum(upper - shift, mask.shape[::-1])
        return np.ascontiguousarray(mask[_box(np.minimum(first, last), last)]), start
    return _looked_up(mask, np.linalg.inv(toIndex), lower, upper), start


def _looked_up(
    mask: np.ndarray, fromIndex: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Return what is drawn at the centres of the volume's voxels from ``lower`` to ``upper``."""
    width, height, depth = (int(n) for n in upper - lower)
    result = np.zeros((depth, height, width), bool)
    if not result.size:
        return result
    i, j = (np.arange(a, b) for a, b in zip(lower[:2], upper[:2], strict=True))
    planes = max(1, _PLANES_AT_ONCE // (width * height))
    for first in range(0, depth, planes):
        k = np.arange(lower[2] + first, min(lower[2] + first + planes, upper[2]))
        inside = np.ones((len(k), height, width), bool)
        places = []
        for axis in range(3):
            row = fromIndex[axis]
            place = (row[2] * k + row[3])[:, None, None] + (row[1] * j)[:, None] + row[0] * i
            index = np.floor(place + 0.5 + 1e-6).astype(np.int32)
            inside &= (index >= 0) & (index < mask.shape[2 - axis])
            places.append(index)
        held = tuple(index[inside] for index in reversed(places))
        result[first : first + len(k)][inside] = mask[held]
    return result


def _gridOf(mask: np.ndarray, toRas: np.ndarray) -> Geometry | None:
    """Return a drawing's own grid, LPS; None where its axes are not perpendicular."""
    toLps = _RAS_TO_LPS @ toRas
    spacing = np.linalg.norm(toLps[:3, :3], axis=0)
    try:
        return Geometry(
            mask.shape[::-1],
            tuple(spacing),
            tuple(toLps[:3, 3]),
            tuple((toLps[:3, :3] / spacing).ravel()),
        )
    except InputError:
        return None


def _box(lower: np.ndarray, upper: np.ndarray) -> tuple[slice, slice, slice]:
    """Return the slices, for (K, J, I), from one index (i, j, k) up to another."""
    i, j, k = (slice(int(a), int(b)) for a, b in zip(lower, upper, strict=True))
    return k, j, i
