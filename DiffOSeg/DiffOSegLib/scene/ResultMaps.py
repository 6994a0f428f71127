"""Maps of the region as volumes of the scene: one expert's probability, the experts' disagreement.

A map holds the region's voxels only and is placed by its own geometry. It appears in no view until
it is asked for; where it is near 0 it is transparent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from numpy.lib import format as npy
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from diffoseg.errors import DiffOSegError

Shape = tuple[int, int, int]

MAP = "DiffOSeg.Map"
"""Attribute of a volume node that says which kind of map it is."""

_TRANSPARENT_BELOW = 0.02  # of the largest value
_PIECE_BYTES = 4 << 20


@dataclass(frozen=True)
class MapKind:
    """What a map shows: its largest value and its colours.

    Attributes:
        key: the value of the attribute MAP.
        largest: value shown in the brightest colour; the darkest is 0.
        anchors: colours at equal steps from 0, hexadecimal.
    """

    key: str
    largest: float
    anchors: str


# matplotlib's plasma and inferno (CC0): perceptually even, and apart from each other.
PROBABILITY = MapKind(
    "probability",
    1.0,
    "0d0887 310597 4c02a1 6600a7 7e03a8 9511a1 aa2395 bc3587 cc4778 "
    "da5a6a e66c5c f0804e f89540 fdac33 fdc527 f8df25 f0f921",
)
DISAGREEMENT = MapKind(
    "disagreement",
    0.5,
    "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 "
    "d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4",
)


def pieces(path: Path, shape: Shape) -> Iterator[tuple[slice, np.ndarray]]:
    """Read a .npy file of float32 (K, J, I) in pieces of whole planes, about 4 MB each.

    Raises DiffOSegError where the file is missing, cut short or of another shape.
    """
    try:
        with path.open("rb") as file:
            npy.read_magic(file)
            found, isFortran, dtype = npy.read_array_header_1_0(file)
            if (found, isFortran, dtype) != (tuple(shape), False, np.float32):
                raise ValueError(f"{found} {dtype} instead of {shape}")
            plane = shape[1] * shape[2]
            planes = max(1, _PIECE_BYTES // (4 * plane))
            for k in range(0, shape[0], planes):
                rows = slice(k, min(k + planes, shape[0]))
                count = (rows.stop - k) * plane
                yield rows, np.fromfile(file, np.float32, count).reshape(-1, *shape[1:])
    except (OSError, ValueError) as error:
        raise DiffOSegError(
            _("A file with the result is damaged. Free some disk space and run it again.")
        ) from error


def cropGrid(volumeNode: slicer.vtkMRMLVolumeNode, start: tuple[int, int, int]) -> vtk.vtkMatrix4x4:
    """Return IJK to RAS of a crop of the volume that begins at voxel ``start`` (i, j, k)."""
    whole, crop = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(whole)
    crop.DeepCopy(whole)
    for row, value in enumerate(whole.MultiplyPoint([*(float(v) for v in start), 1.0])[:3]):
        crop.SetElement(row, 3, value)
    return crop


class MapVolume:
    """A map that is filled piece by piece and comes into the scene when it is complete."""

    def __init__(self, shape: Shape):
        """Make room for (K, J, I) voxels."""
        self._image = vtk.vtkImageData()
        self._image.SetDimensions(*shape[::-1])
        self._image.AllocateScalars(vtk.VTK_FLOAT, 1)
        self.voxels: np.ndarray = vtk_to_numpy(self._image.GetPointData().GetScalars()).reshape(
            shape
        )

    def addTo(
        self, scene: slicer.vtkMRMLScene, name: str, kind: MapKind, ijkToRas: vtk.vtkMatrix4x4
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """Add the volume node, shown in no view, and return it."""
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.SetIJKToRASMatrix(ijkToRas)
        node.SetAttribute(MAP, kind.key)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0.0, kind.largest)
        display.SetThreshold(_TRANSPARENT_BELOW * kind.largest, kind.largest)
        display.ApplyThresholdOn()
        display.SetInterpolate(False)  # a voxel's value is what is read off
        display.SetAndObserveColorNodeID(_colorNode(scene, kind).GetID())
        node.SetAndObserveImageData(self._image)  # last: an automatic window would cost a pass
        return node


def _colorNode(scene: slicer.vtkMRMLScene, kind: MapKind) -> slicer.vtkMRMLColorTableNode:
    """Return the scene's colour table for a kind of map, made where it is not there yet."""
    name = f"DiffOSeg {kind.key}"
    found = scene.GetFirstNode(name, "vtkMRMLColorTableNode")
    if found is not None:
        return found
    anchors = np.frombuffer(bytes.fromhex(kind.anchors), np.uint8).reshape(-1, 3) / 255
    places = np.linspace(0, 1, 256)
    steps = np.linspace(0, 1, len(anchors))
    node = slicer.vtkMRMLColorTableNode()
    node.SetName(name)
    node.SetTypeToUser()
    node.SetNumberOfColors(len(places))
    for index, color in enumerate(
        zip(*(np.interp(places, steps, c) for c in anchors.T), strict=True)
    ):
        node.SetColor(index, f"{kind.largest * places[index]:.3f}", *(float(c) for c in color), 1.0)
    return scene.AddNode(node)
