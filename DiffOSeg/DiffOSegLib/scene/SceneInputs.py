"""From the scene to the engine: a volume's grid and voxels, and a region around what was marked.

Slicer speaks RAS, the engine LPS; both in millimetres. Everything here is in the volume's own
space, without the transforms that the volume lies under, because that is where its voxels are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _
from slicer.util import arrayFromVolume, arrayFromVTKMatrix

from diffoseg.errors import InputError
from diffoseg.space.geometry import Box, Geometry
from diffoseg.worker.job import npy_header

from .Matrices import between, cornersOf, moved
from .ResultMaps import MAP
from .SegmentVoxels import LABELMAP, cropOf

ROI_EDGE_MM = 64.0

_SURFACE = "Closed surface"
_SLAB_BYTES = 4 << 20
_FLAT = 1e-9  # determinant of a transform that cannot be undone
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def checkVolume(volumeNode: slicer.vtkMRMLVolumeNode | None) -> None:
    """Raise InputError, which says why, where a volume cannot be segmented as it stands."""
    if volumeNode is None or volumeNode.GetScene() is None:
        raise InputError(_("No volume is chosen. Choose the scan to segment."))
    name = volumeNode.GetName()
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(
            _("{name} is a label map. Choose the scan that it was drawn on.").format(name=name)
        )
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode") or volumeNode.IsA("vtkMRMLTensorVolumeNode"):
        raise InputError(
            _("{name} holds colours, vectors or tensors. Choose a scalar volume.").format(name=name)
        )
    image = volumeNode.GetImageData()
    if image is None or min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        raise InputError(_("{name} holds no voxels. Load it again.").format(name=name))
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(
            _("{name} holds {count} values in each voxel. Choose a volume with one.").format(
                name=name, count=image.GetNumberOfScalarComponents()
            )
        )
    if volumeNode.GetAttribute(MAP):
        raise InputError(
            _("{name} is a map that DiffOSeg has made. Choose the scan.").format(name=name)
        )
    _requireLinear(volumeNode)
    geometryOf(volumeNode)


def geometryOf(volumeNode: slicer.vtkMRMLVolumeNode) -> Geometry:
    """Return a volume's own grid, LPS; raises InputError where its axes are sheared."""
    directions = np.zeros((3, 3))
    volumeNode.GetIJKToRASDirections(directions)
    toLps = _RAS_TO_LPS[:3, :3]
    return Geometry(
        volumeNode.GetImageData().GetDimensions(),
        volumeNode.GetSpacing(),
        tuple(toLps @ volumeNode.GetOrigin()),
        tuple((toLps @ directions).ravel()),
    )


def modalityOf(volumeNode: slicer.vtkMRMLVolumeNode) -> str:
    """Return "CT", "MR" or another of DICOM's words for a volume; "" where the scene has none."""
    key = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy else 0
    modality = (hierarchy.GetItemAttribute(item, key) if item else "") or volumeNode.GetAttribute(
        key
    )
    if modality:
        return str(modality).strip().upper()
    units = volumeNode.GetVoxelValueUnits()
    return "CT" if units is not None and units.GetCodeValue() == "[hnsf'U]" else ""


def roiRegion(
    roiNode: slicer.vtkMRMLMarkupsROINode | None, volumeNode: slicer.vtkMRMLVolumeNode
) -> Box:
    """Return the box around an ROI, LPS mm, in the volume's own space.

    An ROI that is turned against the patient's axes gives the box around its corners. Raises
    InputError where it is missing, empty, outside the volume, or bent by a non-linear transform.
    """
    if roiNode is None or roiNode.GetScene() is None:
        raise InputError(_("No region is chosen. Place a box around the finding."))
    _requireLinear(roiNode)
    size = np.array(roiNode.GetSize())
    if roiNode.GetNumberOfControlPoints() < 1 or not np.all(size > 0):
        raise InputError(_("The box is empty. Drag its faces apart, around the finding."))
    toWorld = arrayFromVTKMatrix(roiNode.GetObjectToWorldMatrix())
    corners = moved(cornersOf(-size / 2, size / 2), toWorld)
    outside = _(
        "The box {name} lies outside {volume}. Drag it onto the scan, or clear the choice for a new"
        " box at the crosshair."
    ).format(name=roiNode.GetName(), volume=volumeNode.GetName())
    return _boxAround(moved(corners, _fromWorldTo(volumeNode)), volumeNode, 0.0, outside)


def segmentRegion(
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    segmentID: str,
    volumeNode: slicer.vtkMRMLVolumeNode,
    marginMm: float,
) -> Box:
    """Return the box around a segment and a margin, LPS mm, in the volume's own space.

    Raises InputError where the segment is missing, empty or outside the volume.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentID) if segmentationNode else None
    if segment is None:
        raise InputError(_("No segment is chosen. Choose the segment around which to look."))
    corners = _segmentCorners(segment)
    if corners is None:
        raise InputError(
            _("The segment {name} is empty. Draw it, or choose another.").format(
                name=segment.GetName()
            )
        )
    toVolume = _fromWorldTo(volumeNode) @ _toWorldFrom(segmentationNode)
    outside = _(
        "The segment {name} lies outside {volume}. Choose one that was drawn on it."
    ).format(name=segment.GetName(), volume=volumeNode.GetName())
    return _boxAround(moved(corners, toVolume), volumeNode, marginMm, outside)


def defaultBox(volumeNode: slicer.vtkMRMLVolumeNode) -> Box:
    """Return a 64 mm cube at the crosshair, or else in the volume's middle, LPS in its own space.

    It is moved, and where need be made smaller, so as to lie within the volume. A crosshair that is
    outside the volume or was never set does not count.
    """
    around = geometryOf(volumeNode).bounding_box()
    lower, upper = np.array(around.lower), np.array(around.upper)
    center = _crosshair(volumeNode)
    if center is None or np.any(center < lower) or np.any(center > upper):
        center = (lower + upper) / 2
    size = np.minimum(ROI_EDGE_MM, upper - lower)
    center = np.clip(center, lower + size / 2, upper - size / 2)
    return Box(tuple(center - size / 2), tuple(center + size / 2))


def defaultRoi(volumeNode: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLMarkupsROINode:
    """Add the default box as an ROI under the volume's transform, and show it."""
    box = defaultBox(volumeNode)
    lower, upper = np.array(box.lower), np.array(box.upper)
    name = slicer.mrmlScene.GenerateUniqueName(
        _("{volume} region").format(volume=volumeNode.GetName())
    )
    roiNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    # Slicer's own format takes in the name, and a "%s" in that ends the whole application.
    roiNode.SetControlPointLabelFormat("%d")
    roiNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    roiNode.SetCenter(*(float(v) for v in _RAS_TO_LPS[:3, :3] @ (lower + upper) / 2))
    roiNode.SetSize(*(float(v) for v in upper - lower))
    roiNode.CreateDefaultDisplayNodes()
    display = roiNode.GetDisplayNode()
    display.SetFillVisibility(False)  # the finding inside is what the reader looks at
    display.SetPropertiesLabelVisibility(False)  # its name would stand right on it
    display.SetVisibility(True)
    return roiNode


def writeImage(
    volumeNode: slicer.vtkMRMLVolumeNode, start: Sequence[int], size: Sequence[int], path: Path
) -> Iterator[None]:
    """Write a box of voxels as a .npy file, (K, J, I) and of the volume's type, bit by bit.

    Each step writes at most 4 MB. Removing the volume meanwhile does no harm.

    Args:
        volumeNode: where the voxels are.
        start: (i, j, k) of the first voxel.
        size: voxels along (i, j, k).
        path: of the file, which is complete when the iterator ends.
    """
    k, j, i = (slice(a, a + n) for a, n in zip(start[::-1], size[::-1], strict=True))
    voxels = arrayFromVolume(volumeNode)[k, j, i]
    if voxels.shape != tuple(size[::-1]):
        raise InputError(_("The volume has changed since the run was prepared. Start it again."))
    with path.open("wb") as file:
        file.write(npy_header(voxels.dtype, voxels.shape))
        for slab in _slabs(voxels):
            file.write(np.ascontiguousarray(slab).data)
            yield


def _slabs(voxels: np.ndarray) -> Iterator[np.ndarray]:
    """Cut (K, J, I) into pieces of at most 4 MB that follow each other in C order."""
    row = voxels.itemsize * voxels.shape[2]
    planes = _SLAB_BYTES // (row * voxels.shape[1])
    if planes:
        for k in range(0, len(voxels), planes):
            yield voxels[k : k + planes]
        return
    rows = max(1, _SLAB_BYTES // row)
    for plane in voxels:
        for j in range(0, len(plane), rows):
            yield plane[j : j + rows]


def _requireLinear(node: slicer.vtkMRMLTransformableNode) -> None:
    transform = node.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        raise InputError(
            _(
                "{name} lies under a transform that bends it. Harden the transform in the Data"
                " module, or take the node out of it."
            ).format(name=node.GetName())
        )


def _segmentCorners(segment: slicer.vtkSegment) -> np.ndarray | None:
    """Return the corners (8, 3), RAS, of the box around a segment, along its own axes."""
    if segment.GetRepresentation(LABELMAP) is not None:
        crop = cropOf(segment)
        if crop is None:
            return None
        mask, toRas = crop
        return moved(cornersOf([-0.5] * 3, np.subtract(mask.shape[::-1], 0.5)), toRas)
    surface = segment.GetRepresentation(_SURFACE)
    if surface is None or not surface.GetNumberOfPoints():
        return None
    bounds = surface.GetBounds()
    return cornersOf(bounds[::2], bounds[1::2])


def _crosshair(volumeNode: slicer.vtkMRMLVolumeNode) -> np.ndarray | None:
    """Return where the crosshair is, LPS in the volume's own space; None where it never was set."""
    crosshair = slicer.mrmlScene.GetSingletonNode("default", "vtkMRMLCrosshairNode")
    place = np.array(crosshair.GetCrosshairRAS()) if crosshair else np.zeros(3)
    if not place.any():
        return None
    own = _fromWorldTo(volumeNode) @ [*place, 1.0]
    return (_RAS_TO_LPS @ own)[:3]


def _toWorldFrom(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """Return the 4x4 matrix, RAS, from a node's own space to the world."""
    _requireLinear(node)
    toWorld = between(node, None)
    assert toWorld is not None
    return toWorld


def _fromWorldTo(volumeNode: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """Return the 4x4 matrix, RAS, from the world to a volume's own space."""
    toWorld = _toWorldFrom(volumeNode)
    if abs(np.linalg.det(toWorld)) < _FLAT:
        raise InputError(_("The volume's transform flattens it. Take the volume out of it."))
    return np.linalg.inv(toWorld)


def _boxAround(
    points: np.ndarray, volumeNode: slicer.vtkMRMLVolumeNode, marginMm: float, outside: str
) -> Box:
    """Return the box, LPS, around RAS points (n, 3) and a margin.

    Raises InputError with the sentence ``outside`` where no voxel is in it: the engine's own one
    names coordinates, which are neither Slicer's nor those of a volume under a transform.
    """
    lps = moved(points, _RAS_TO_LPS)
    box = Box(tuple(lps.min(0) - marginMm), tuple(lps.max(0) + marginMm))
    geometry = geometryOf(volumeNode)
    try:
        geometry.require_overlap(box)
    except InputError as error:
        raise InputError(outside) from error
    return box
