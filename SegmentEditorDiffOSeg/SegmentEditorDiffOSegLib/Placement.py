"""An answer brought to the grid that the segmentation is edited on.

The segmentation's reference geometry may differ from the volume's grid, and the two may stand under
different linear transforms. Preview and Apply both work on the outcome of :func:`placed`, so that
what is shown is what is applied.
"""

from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import vtkMatrixFromArray
from vtk.util import numpy_support

from diffoseg.errors import InputError
from DiffOSegLib.scene.Matrices import between, cornersOf, imageToRas, moved

from .Answer import Answer

_SAME_GRID = 1e-3  # of a voxel: grids that agree to this are taken as one, and values as they are

Extent = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class PlacedAnswer:
    """The probabilities on the part of the reference grid that holds the answered region.

    Attributes:
        geometry: oriented image without voxels: origin, spacing and directions of the whole
            reference grid, extent of the part.
        probability: (K, J, I) float32 on that extent, -1 where the model has not answered.
        voxelVolumeMl: of one voxel in the world, where a transform may have made it larger.
    """

    geometry: slicer.vtkOrientedImageData
    probability: np.ndarray
    voxelVolumeMl: float

    def emptyLabelmap(self) -> tuple[slicer.vtkOrientedImageData, np.ndarray]:
        """Return a labelmap of zeros on the extent, and its voxels, (K, J, I) uint8, to write."""
        image = slicer.vtkOrientedImageData()
        image.SetExtent(self.geometry.GetExtent())
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.SetImageToWorldMatrix(vtkMatrixFromArray(imageToRas(self.geometry)))
        voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        voxels[:] = 0
        return image, voxels.reshape(self.probability.shape)


def placed(
    answer: Answer,
    volumeNode: slicer.vtkMRMLVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    reference: slicer.vtkOrientedImageData,
) -> PlacedAnswer:
    """Return the answer on the reference grid of a segmentation.

    Linear between the answer's voxel centres, unchanged in the half voxel beyond the outermost.
    Where grids agree, flipped and permuted ones included, the values are copied exactly.

    Args:
        answer: as the run gave it.
        volumeNode: that the run was on.
        segmentationNode: that is edited.
        reference: its reference geometry.

    Raises InputError where a transform between them is not linear, or where the region lies
    outside the segmentation's grid.
    """
    referenceToAnswer = (
        np.linalg.inv(answer.ijkToRas)
        @ _between(segmentationNode, volumeNode)
        @ imageToRas(reference)
    )
    extent = _extentOf(answer.probability.shape, referenceToAnswer, reference.GetExtent())
    values = _resliced(answer.probability, _snapped(referenceToAnswer, extent), extent)
    geometry = slicer.vtkOrientedImageData()
    geometry.SetExtent(extent)
    geometry.SetImageToWorldMatrix(vtkMatrixFromArray(imageToRas(reference)))
    toWorld = _between(segmentationNode, None) @ imageToRas(reference)
    voxel = np.linalg.det(toWorld[:3, :3])
    return PlacedAnswer(geometry, values, float(abs(voxel)) / 1000)


def _between(
    segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLVolumeNode | None
) -> np.ndarray:
    """Return (4, 4), from the segmentation's own space to the volume's; None is the world."""
    matrix = between(segmentationNode, volumeNode)
    if matrix is None:
        raise InputError(
            _(
                "A transform that bends lies between the volume and the segmentation. Harden it in"
                " the Data module, or take them out of it, then press Run again."
            )
        )
    return matrix


def _extentOf(shape: tuple[int, ...], referenceToAnswer: np.ndarray, whole: Extent) -> Extent:
    """Return the part of the reference grid that holds an answer of (K, J, I) voxels."""
    corners = cornersOf([-0.5] * 3, [n - 0.5 for n in reversed(shape)])
    index = moved(corners, np.linalg.inv(referenceToAnswer))
    low = np.maximum(np.ceil(index.min(0) - _SAME_GRID).astype(int), whole[::2])
    high = np.minimum(np.floor(index.max(0) + _SAME_GRID).astype(int), whole[1::2])
    if np.any(low > high):
        raise InputError(
            _(
                "The region lies outside the segmentation's grid. Choose a region inside it,"
                " or set the segmentation's geometry to the volume's."
            )
        )
    i0, j0, k0, i1, j1, k1 = (int(n) for n in (*low, *high))
    return i0, i1, j0, j1, k0, k1


def _snapped(matrix: np.ndarray, extent: Extent) -> np.ndarray:
    """Return the matrix in whole numbers where, over the extent, that makes no difference."""
    whole = np.round(matrix)
    corners = cornersOf(extent[::2], extent[1::2])
    off = np.abs(moved(corners, matrix) - moved(corners, whole)).max()
    return whole if off < _SAME_GRID else matrix


def _resliced(values: np.ndarray, outputToInput: np.ndarray, extent: Extent) -> np.ndarray:
    """Return the values (K, J, I), linear, at the extent's indices; -1 outside."""
    values = np.ascontiguousarray(values, np.float32)
    source = vtk.vtkImageData()
    source.SetDimensions(values.shape[::-1])
    source.GetPointData().SetScalars(numpy_support.numpy_to_vtk(values.ravel()))
    transform = vtk.vtkTransform()
    transform.SetMatrix(outputToInput.ravel())
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(source)
    reslice.SetResliceTransform(transform)
    reslice.SetInterpolationModeToLinear()
    reslice.SetBackgroundLevel(-1)
    reslice.SetOutputDimensionality(3)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputExtent(*extent)
    reslice.Update()
    result = reslice.GetOutput()
    voxels = numpy_support.vtk_to_numpy(result.GetPointData().GetScalars())
    return voxels.reshape(result.GetDimensions()[::-1]).copy()
