"""Where nodes and voxels are, as numpy arrays (4, 4) that are applied to columns; RAS, mm."""

from collections.abc import Sequence

import numpy as np
import slicer
import vtk


def ijkToRas(volumeNode: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """Return from a volume's indices to its own space, its parent transform left off."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def imageToRas(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """Return from an oriented image's indices to the space of the node that holds it."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def between(
    source: slicer.vtkMRMLTransformableNode, target: slicer.vtkMRMLTransformableNode | None
) -> np.ndarray | None:
    """Return from a node's own space to another node's; None where a transform between bends.

    Args:
        source: whose parent transform is applied.
        target: whose parent transform is taken off; None is the world.
    """
    matrix = vtk.vtkMatrix4x4()
    above = source.GetParentTransformNode()
    below = target.GetParentTransformNode() if target is not None else None
    isLinear = above is below or slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        above, below, matrix
    )
    return slicer.util.arrayFromVTKMatrix(matrix) if isLinear else None


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return points (n, 3) under an affine matrix (4, 4)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def cornersOf(
    lower: Sequence[float] | np.ndarray, upper: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return the corners (8, 3) of the box between two opposite ones."""
    return np.stack(np.meshgrid(*zip(lower, upper, strict=True), indexing="ij"), -1).reshape(-1, 3)
