"""A DICOM series arrives as Slicer's import would bring it: same places, HU, hierarchy."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import slicer
import vtk

import SlicerHost
from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume

TILTED = (0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8)
FEET_FIRST = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


@pytest.fixture(params=[(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), TILTED, FEET_FIRST])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    voxels = np.random.default_rng(3).integers(-1000, 1500, (7, 16, 20)).astype(np.float32)
    geometry = Geometry((20, 16, 7), (0.75, 0.5, 2.5), (-10.0, 5.0, 30.0), request.param)
    write_dicom_series(Volume(voxels, geometry, "CT"), tmp_path / "series")
    return tmp_path / "series"


def read(folder: Path) -> sitk.Image:
    """Return the series as SimpleITK reads it."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def test_voxels_lie_where_simpleitk_has_them(scene: Any, folder: Path) -> None:
    node, image = SlicerHost.loadDicomSeries(folder), read(folder)
    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    array = slicer.util.arrayFromVolume(node)
    assert array.size == np.prod(image.GetSize())
    for index in ((0, 0, 0), (19, 0, 0), (3, 14, 2), (19, 15, 6)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        i, j, k = (round(v) for v in matrix.MultiplyPoint((-x, -y, z, 1))[:3])
        assert array[k, j, i] == image[index]


def test_the_volume_is_right_handed(scene: Any, folder: Path) -> None:
    matrix = vtk.vtkMatrix4x4()
    SlicerHost.loadDicomSeries(folder).GetIJKToRASMatrix(matrix)
    assert slicer.vtkMRMLVolumeNode.IsIJKCoordinateSystemRightHanded(matrix)


def test_a_series_brings_its_name_units_and_window(scene: Any, folder: Path) -> None:
    node = SlicerHost.loadDicomSeries(folder)
    assert node.GetName() == "1: Phantom"
    assert node.GetVoxelValueUnits().GetCodeValue() == "[hnsf'U]"
    assert node.GetVoxelValueQuantity().GetCodeMeaning() == "Attenuation Coefficient"
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (1500, -600)


def test_the_instances_are_listed_in_the_order_of_the_slices(scene: Any, folder: Path) -> None:
    node = SlicerHost.loadDicomSeries(folder)
    headers = [pydicom.dcmread(path) for path in folder.iterdir()]
    places = {h.SOPInstanceUID: [float(v) for v in h.ImagePositionPatient] for h in headers}
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    for k, uid in enumerate(node.GetAttribute("DICOM.instanceUIDs").split()):
        x, y, z, _ = matrix.MultiplyPoint((0, 0, k, 1))
        assert (-x, -y, z) == pytest.approx(places[uid], abs=1e-3)


def test_a_series_lies_under_its_study_and_patient(scene: Any, folder: Path) -> None:
    node = SlicerHost.loadDicomSeries(folder)
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    assert hierarchy.GetItemAttribute(item, "DICOM.Modality") == "CT"
    study = hierarchy.GetItemParent(item)
    assert hierarchy.GetItemLevel(study) == "Study"
    assert hierarchy.GetItemName(hierarchy.GetItemParent(study)) == "PHANTOM^ (PHANTOM)"


def test_the_series_is_shown(scene: Any, folder: Path) -> None:
    node = SlicerHost.loadDicomSeries(folder)
    red = slicer.app.layoutManager().sliceWidget("Red")
    assert red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()


def test_a_folder_without_images_is_refused(scene: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(FileNotFoundError, match="no DICOM images"):
        SlicerHost.loadDicomSeries(tmp_path)
