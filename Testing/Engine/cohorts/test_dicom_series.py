"""A phantom as a DICOM CT series that other readers understand."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.uid import PYDICOM_ROOT_UID

from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.errors import InputError
from diffoseg.reading import read_volume
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume, geometry_of

COS, SIN = np.cos(0.3), np.sin(0.3)
GEOMETRY = Geometry(
    (10, 12, 5), (0.7, 0.8, 1.25), (-100.123456789, 50, 3), (COS, -SIN, 0, SIN, COS, 0, 0, 0, 1)
)
VOXELS = np.random.default_rng(0).integers(-1024, 3000, (5, 12, 10)).astype(np.float32)
CORNERS = np.array([(0, 0, 0), (9, 11, 4), (3, 7, 2)])


def test_our_own_reader_and_simpleitk_give_voxels_and_places_back(tmp_path):
    folder = tmp_path / "Müller 1"
    files = write_dicom_series(Volume(VOXELS, GEOMETRY), folder, series_description="Lünge")
    ours = read_volume(folder)
    theirs = sitk.ReadImage([str(path) for path in files], sitk.sitkFloat32)
    assert ours.modality == "CT"
    for array, geometry in (
        (ours.array, ours.geometry),
        (sitk.GetArrayFromImage(theirs), geometry_of(theirs)),
    ):
        np.testing.assert_array_equal(array, VOXELS)
        np.testing.assert_allclose(
            geometry.index_to_point(CORNERS), GEOMETRY.index_to_point(CORNERS), atol=1e-6
        )


@pytest.mark.parametrize(
    "direction",
    [(1, 0, 0, 0, 1, 0, 0, 0, -1), (0, 0, 1, 1, 0, 0, 0, 1, 0), (0, 0, 1, 1, 0, 0, 0, -1, 0)],
)
def test_every_voxel_stays_in_its_place_for_any_handedness_and_plane(tmp_path, direction):
    geometry = Geometry((10, 12, 5), (0.7, 0.8, 1.25), (1, 2, 3), direction)
    write_dicom_series(Volume(VOXELS, geometry), tmp_path)
    volume = read_volume(tmp_path)
    index = np.argwhere(np.ones(volume.geometry.size))
    there = np.rint(geometry.point_to_index(volume.geometry.index_to_point(index))).astype(int)
    np.testing.assert_array_equal(
        volume.array[tuple(index[:, ::-1].T)], VOXELS[tuple(there[:, ::-1].T)]
    )


def test_the_same_volume_gives_the_same_bytes_and_another_one_other_identifiers(tmp_path):
    first = write_dicom_series(Volume(VOXELS, GEOMETRY), tmp_path / "a")
    again = write_dicom_series(Volume(VOXELS, GEOMETRY), tmp_path / "b")
    other = write_dicom_series(Volume(VOXELS + 1, GEOMETRY), tmp_path / "c")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        one, two = (getattr(pydicom.dcmread(files[0]), name) for files in (first, other))
        assert one != two
        assert one.is_valid
        assert one.startswith(PYDICOM_ROOT_UID)
    slices = [pydicom.dcmread(path) for path in first]
    assert len({tags.SOPInstanceUID for tags in slices}) == len(slices)
    assert len({tags.SeriesInstanceUID for tags in slices}) == 1
    assert [tags.InstanceNumber for tags in slices] == [1, 2, 3, 4, 5]


def test_what_is_no_ct_and_a_folder_with_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="do not fit"):
        write_dicom_series(Volume(VOXELS * 100, GEOMETRY), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "other.dcm").touch()
    with pytest.raises(InputError, match="other files"):
        write_dicom_series(Volume(VOXELS, GEOMETRY), tmp_path)
    with pytest.raises(InputError, match="could not be written"):
        write_dicom_series(Volume(VOXELS, GEOMETRY), tmp_path / "other.dcm" / "below")


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs Debian's dicom3tools")
def test_dciodvfy_finds_no_error(tmp_path):
    path = write_dicom_series(Volume(VOXELS, GEOMETRY), tmp_path)[0]
    verdict = subprocess.run(["dciodvfy", path], capture_output=True, text=True).stderr
    assert "Error" not in verdict
    assert "CTImage" in verdict
