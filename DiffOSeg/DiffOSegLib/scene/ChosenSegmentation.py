"""A segmentation that a reader chose to take the answers: whether it can, and what to beware of."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from diffoseg.errors import InputError

from .Matrices import between, ijkToRas
from .SegmentVoxels import referenceGrid

_SAME_LATTICE = 1e-3  # of a voxel
_SAME_PLACE = 1e-6  # mm, and parts of 1


def requireRoom(
    segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLVolumeNode
) -> None:
    """Raise InputError where segments added here would not be the model's voxels."""
    name = segmentationNode.GetName()
    segmentation = segmentationNode.GetSegmentation()
    if not segmentation.GetNumberOfSegments():
        return
    if not segmentation.IsSourceRepresentationImageData():
        raise InputError(
            _("{name} holds surfaces, not voxels. Choose another segmentation, or none.").format(
                name=name
            )
        )
    toVolume = between(segmentationNode, volumeNode)
    if toVolume is None or not np.allclose(toVolume, np.eye(4), rtol=0, atol=_SAME_PLACE):
        raise InputError(
            _(
                "{name} lies under another transform than the volume. Choose another segmentation,"
                " or none."
            ).format(name=name)
        )


def gridWarning(
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    volumeNode: slicer.vtkMRMLVolumeNode,
) -> list[str]:
    """Return a sentence where a segmentation with segments is not on the volume's voxels."""
    if segmentationNode is None or not segmentationNode.GetSegmentation().GetNumberOfSegments():
        return []
    own = referenceGrid(segmentationNode.GetSegmentation())
    if own is None:
        return []
    toIndex = np.linalg.solve(ijkToRas(volumeNode), own)
    shift = toIndex[:3, 3]
    if np.allclose(toIndex[:3, :3], np.eye(3), rtol=0, atol=_SAME_LATTICE) and np.allclose(
        shift, np.round(shift), rtol=0, atol=_SAME_LATTICE
    ):
        return []
    return [
        _(
            "The segmentation {name} has other voxels than the volume. Slicer will change the new"
            " segments a little when they are edited or saved."
        ).format(name=segmentationNode.GetName())
    ]


def freeSegmentName(segmentation: slicer.vtkSegmentation, name: str) -> str:
    """Return a name that no segment has: "Expert 1", else "Expert 1 (2)" and so on."""
    taken = {
        segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())
    }
    free, number = name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free
