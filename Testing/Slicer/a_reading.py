"""A phantom scan in the scene, and what its simulated experts drew, as hand-made segments."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.experts.panel import CONSENSUS

_DRAWS = 16  # of each expert, for the probabilities
_FLIP = np.diag([-1.0, -1.0, 1.0])  # LPS to RAS


@dataclass
class Reading:
    """A volume, a segmentation of it, and a map of where the experts differ."""

    volume: "slicer.vtkMRMLScalarVolumeNode"
    segmentation: "slicer.vtkMRMLSegmentationNode"
    disagreement: "slicer.vtkMRMLScalarVolumeNode"
    masks: dict[str, np.ndarray]


def aPhantomReading(
    size: tuple[int, int, int] = (12, 96, 96), index: int = 0, kind: str = CROSSING, seed: int = 0
) -> Reading:
    """Return a phantom with the consensus and four experts; ``size`` is (K, J, I)."""
    cohort, case, spread = _phantom(size, index, kind, seed)
    masks = dict(case.masks)
    share = np.mean(list(masks.values()), axis=0)
    masks = {"Consensus": share >= 0.5} | masks
    volume = aVolume("Phantom CT", case.volume.array, case.volume.geometry)
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(1500, -500)
    colors = {
        name: cohort.panel.color_of(CONSENSUS if name == "Consensus" else name) for name in masks
    }
    return Reading(
        volume,
        aSegmentationOf(volume, masks, colors),
        _disagreement(spread, case.volume.geometry),
        masks,
    )


@cache
def _phantom(size, index, kind, seed):
    """Return a cohort, one case of it, and by how much the experts' probabilities differ."""
    cohort = PhantomCohort(size=size, kind=kind, seed=seed)
    probabilities = [drawn.mean(axis=0) for drawn in cohort.case_truth(index, _DRAWS).values()]
    return cohort, cohort[index], np.std(probabilities, axis=0)


def aSegmentationOf(volume, masks, colors=None, name="Phantom CT DiffOSeg"):
    """Return a segmentation node with one segment per mask, named and identified alike."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.CreateDefaultDisplayNodes()
    for number, (segment, mask) in enumerate(masks.items()):
        color = (colors or {}).get(segment, (0.2 + 0.1 * (number % 8), 0.6, 0.3))
        node.GetSegmentation().AddEmptySegment(segment, segment, color)
        if mask.any():
            slicer.util.updateSegmentBinaryLabelmapFromArray(
                mask.astype(np.uint8), node, segment, volume
            )
    return node


def aVolume(name, array, geometry):
    """Return a volume node with these voxels on an engine's grid."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array))
    matrix = np.eye(4)
    matrix[:3, :3] = _FLIP @ geometry.matrix * geometry.spacing
    matrix[:3, 3] = _FLIP @ geometry.origin
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.CreateDefaultDisplayNodes()
    return node


def _disagreement(spread, geometry):
    """Return the map as the module itself puts it into the scene, so that it has its colours."""
    from DiffOSegLib.scene import ResultMaps

    grid = aVolume("grid", spread.astype(np.float32), geometry)
    voxels = ResultMaps.MapVolume(spread.shape)
    voxels.voxels[:] = spread
    place = ResultMaps.cropGrid(grid, (0, 0, 0))
    node = voxels.addTo(slicer.mrmlScene, "Disagreement", ResultMaps.DISAGREEMENT, place)
    slicer.mrmlScene.RemoveNode(grid)
    return node


def pixelsOf(name: str, size: tuple[int, int] = (240, 240)) -> np.ndarray:
    """Return what a slice view shows, (rows, columns, 3), top row first."""
    view = slicer.app.layoutManager().sliceWidget(name).sliceView()
    view.setSize(size)
    image = view.pixels()
    columns, rows, _ = image.GetDimensions()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
    return values[::-1].astype(int)


def near(pixels: np.ndarray, color: tuple[float, float, float], within: int = 30) -> int:
    """Return how many pixels have about this colour, given in 0..1."""
    return int((np.abs(pixels - 255 * np.array(color)).max(axis=-1) < within).sum())
