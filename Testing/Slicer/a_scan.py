"""Volumes for tests of the scene: small ones with noise, on any grid."""

import itertools

import numpy as np
import slicer
import vtk

_X, _Z = np.radians((20, 30))
TURN = np.array(  # 30 degrees about z, then 20 about x
    [[1, 0, 0], [0, np.cos(_X), -np.sin(_X)], [0, np.sin(_X), np.cos(_X)]]
) @ [[np.cos(_Z), -np.sin(_Z), 0], [np.sin(_Z), np.cos(_Z), 0], [0, 0, 1]]


def directions() -> dict[str, np.ndarray]:
    """Return every flip and permutation of the axes, by a name, and an oblique grid."""
    found = {
        f"axes {''.join(map(str, order))} signs {''.join('+-'[s < 0] for s in signs)}": (
            np.eye(3)[:, list(order)] * signs
        )
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    }
    return found | {"oblique": TURN}


def aScan(
    size: tuple[int, int, int] = (40, 36, 12),
    spacing: tuple[float, float, float] = (0.8, 0.9, 2.5),
    origin: tuple[float, float, float] = (-12.5, 30.25, 7.125),
    direction: np.ndarray | None = None,
    name: str = "CT",
    dtype: type = np.int16,
) -> "slicer.vtkMRMLScalarVolumeNode":
    """Return a volume node with noise; ``origin`` and ``direction`` in RAS, ``size`` (i, j, k)."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    voxels = np.random.default_rng(0).integers(0, 120, size[::-1]).astype(dtype)
    slicer.util.updateVolumeFromArray(node, voxels)
    node.SetSpacing(*spacing)
    node.SetOrigin(*origin)
    node.SetIJKToRASDirections(np.diag([-1.0, -1.0, 1.0]) if direction is None else direction)
    return node


def aLinearTransform(linear: np.ndarray | None = None) -> "slicer.vtkMRMLLinearTransformNode":
    """Return a transform node that turns and shifts, or does what ``linear`` (3, 3) says."""
    matrix = np.eye(4)
    matrix[:3, :3] = TURN if linear is None else linear
    matrix[:3, 3] = (17.0, -23.0, 5.0)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def aBendingTransform() -> "slicer.vtkMRMLTransformNode":
    """Return a transform node with a thin-plate spline."""
    spline = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in itertools.product((0.0, 50.0), repeat=3):
        source.InsertNextPoint(corner)
        target.InsertNextPoint(corner[0] + corner[1] ** 2 / 100, *corner[1:])
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bend")
    node.SetAndObserveTransformToParent(spline)
    return node


def aSegmentation(
    volumeNode: "slicer.vtkMRMLScalarVolumeNode", mask: np.ndarray, name: str = "mine"
) -> "slicer.vtkMRMLSegmentationNode":
    """Return a segmentation with one segment of that name and ID, drawn on the volume."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    node.GetSegmentation().AddEmptySegment(name, name, (0.2, 0.7, 0.3))
    if mask.any():
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), node, name, volumeNode
        )
    return node
