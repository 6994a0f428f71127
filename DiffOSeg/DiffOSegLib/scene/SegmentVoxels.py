"""A segment's voxels as arrays, (K, J, I), and the grid that its segmentation is edited on."""

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from .Matrices import imageToRas

LABELMAP = "Binary labelmap"  # Slicer's name of the representation that holds voxels


def labelsOf(segment: slicer.vtkSegment) -> np.ndarray | None:
    """Return the labelmap that a segment may share with others; None without one, or any voxel."""
    image = segment.GetRepresentation(LABELMAP)
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or not scalars.GetNumberOfTuples():
        return None
    labels: np.ndarray = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
    return labels


def cropOf(segment: slicer.vtkSegment) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a segment's voxels in the box around them, bool, and that crop's IJK to RAS, (4, 4).

    None where there is no voxel, or no labelmap.
    """
    labels = labelsOf(segment)
    if labels is None:
        return None
    mask = np.equal(labels, segment.GetLabelValue())
    box = boxAround(mask)
    if box is None:
        return None
    image = segment.GetRepresentation(LABELMAP)
    toRas = imageToRas(image)
    first = [s.start + a for s, a in zip(box[::-1], image.GetExtent()[::2], strict=True)]
    toRas[:3, 3] = (toRas @ [*first, 1.0])[:3]
    return mask[box], toRas


def boxAround(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Return the smallest box around a mask's voxels, None where there is none."""
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(planes):
        return None
    flat = np.asarray(mask[planes[0] : planes[-1] + 1].any(axis=0))
    spans = planes, np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    k, j, i = (slice(int(span[0]), int(span[-1]) + 1) for span in spans)
    return k, j, i


def referenceGrid(segmentation: slicer.vtkSegmentation) -> np.ndarray | None:
    """Return the matrix (4, 4) from the reference grid's indices to RAS mm, None without one."""
    converter = slicer.vtkSegmentationConverter
    text = segmentation.GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    image = slicer.vtkOrientedImageData()
    return imageToRas(image) if converter.DeserializeImageGeometry(text, image, False) else None
