"""Scans and regions from files: real ones that libraries ship, and bad ones in one sentence."""

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.data import get_testdata_file

from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.errors import InputError
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.reading import read_region, read_volume
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.volume import Volume, image_of

DICOM = Path(pydicom.__file__).parent / "data" / "test_files"
NIFTI = Path(nibabel.__file__).parent / "tests" / "data"
GEOMETRY = Geometry((6, 5, 4), (0.7, 0.8, 2.5), (-10, 20, 30), (0, 1, 0, -1, 0, 0, 0, 0, 1))
VOXELS = np.arange(120, dtype=np.float32).reshape(4, 5, 6) - 50


def written(path, array=VOXELS, geometry=GEOMETRY):
    sitk.WriteImage(image_of(array, geometry), str(path))
    return path


def series(folder, *, patient="P", slices=4, number=1, array=None):
    array = np.arange(slices * 30.0).reshape(slices, 5, 6) if array is None else array
    geometry = Geometry(array.shape[::-1], (0.7, 0.8, 2.5))
    return write_dicom_series(
        Volume(array, geometry), folder, patient_id=patient, series_number=number
    )


def edited(path, **tags):
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


@pytest.mark.parametrize(
    "name", ["scan.nrrd", "scan.nhdr", "scan.nii", "scan.nii.gz", "scan.mha", "Größe 大 1.mhd"]
)
def test_image_files_keep_voxels_and_places(tmp_path, name):
    folder = tmp_path / "with space Müller"
    folder.mkdir()
    volume = read_volume(written(folder / name))
    np.testing.assert_array_equal(volume.array, VOXELS)
    assert volume.array.dtype == np.float32
    corners = np.array([(0, 0, 0), (5, 4, 3)])
    np.testing.assert_allclose(
        volume.geometry.index_to_point(corners), GEOMETRY.index_to_point(corners), atol=1e-5
    )


def test_a_real_ct_slice_is_a_volume_of_one_slice_in_hounsfield_units():
    path = Path(get_testdata_file("CT_small.dcm", download=False))
    volume, truth = read_volume(path), pydicom.dcmread(path)
    hounsfield = truth.pixel_array * float(truth.RescaleSlope) + float(truth.RescaleIntercept)
    np.testing.assert_array_equal(volume.array[0], hounsfield)
    assert volume.modality == "CT"
    assert volume.geometry.size == (128, 128, 1)
    assert volume.geometry.spacing == (0.661468, 0.661468, 5.0)
    assert volume.geometry.origin == (-158.135803, -179.035797, -75.699997)


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"])
def test_compressed_slices_are_read_as_the_plain_one(name):
    plain = read_volume(DICOM / "MR_small.dcm")
    assert plain.modality == "MR"
    np.testing.assert_array_equal(read_volume(DICOM / name).array, plain.array)


def test_a_real_ct_series_is_stacked_from_feet_to_head_without_its_scouts():
    volume = read_volume(DICOM / "dicomdirtests" / "98892001")
    alone = read_volume(DICOM / "dicomdirtests" / "98892001" / "CT5N")
    np.testing.assert_array_equal(volume.array, alone.array)
    assert volume.notes == ("2 scouts or other images left out.",)
    assert alone.notes == ()
    assert volume.geometry.size == (16, 16, 5)
    assert volume.geometry.spacing == (0.488281, 0.488281, 2.5)
    assert volume.geometry.origin == (-72.199997, -143.0, -1.2375)
    lowest = pydicom.dcmread(DICOM / "dicomdirtests" / "98892001" / "CT5N" / "3353")
    stored = np.frombuffer(lowest.PixelData, "<i2").reshape(16, 16)
    np.testing.assert_array_equal(
        volume.array[0], stored * float(lowest.RescaleSlope) + float(lowest.RescaleIntercept)
    )


def test_a_real_nifti_lies_where_nibabel_says():
    volume, truth = read_volume(NIFTI / "anatomical.nii"), nibabel.load(NIFTI / "anatomical.nii")
    np.testing.assert_array_equal(volume.array.T, np.asarray(truth.dataobj, np.float32))
    index = np.array([(0, 0, 0), (32, 40, 24), (3, 20, 11)])
    ras = nibabel.affines.apply_affine(truth.affine, index)
    np.testing.assert_allclose(volume.geometry.index_to_point(index), ras * (-1, -1, 1))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (DICOM / "dicomdirtests/98892001/CT2N", "only scout images"),
        (DICOM / "dicomdirtests/98892001/CT2N/6293", "6293 is a scout image"),
        (DICOM / "dicomdirtests/77654033/CT2", r"lacks slices: two are 202.5 mm apart .* 1.25 mm"),
        (DICOM / "dicomdirtests/77654033/CR1/6154", "does not say where its slices lie"),
        (DICOM / "dicomdirtests/98892003/MR700", "different orientation"),
        (DICOM / "MR_truncated.dcm", "MR_truncated.dcm is damaged"),
        (DICOM / "SC_rgb_rle.dcm", "colour or multi-frame"),
        (DICOM / "rtdose.dcm", "colour or multi-frame"),
        (DICOM / "rtplan.dcm", "holds no image"),
        (DICOM / "README.txt", "README.txt is not a scan"),
        (
            DICOM / "dicomdirtests/TINY_ALPHA",
            r"50 files that may be slices .*: IM000000 .ends before its pixels",
        ),
        (NIFTI / "functional.nii", "4D"),
        (NIFTI / "nowhere.nii", "no file or folder nowhere.nii"),
    ],
)
def test_real_files_that_are_no_scan_are_refused(path, words, capfd):
    with pytest.raises(InputError, match=words) as refusal:
        read_volume(path)
    assert "\n" not in str(refusal.value)
    assert str(path.parent) not in str(refusal.value)
    assert capfd.readouterr().err == ""


def test_several_series_are_listed_and_one_can_be_chosen(tmp_path):
    series(tmp_path / "a", patient="Anna", number=2)
    series(tmp_path / "b", patient="Anna", number=7, slices=3)
    with pytest.raises(InputError) as refusal:
        read_volume(tmp_path)
    assert str(refusal.value) == (
        "The folder holds 2 series: 2 (CT, 4 slices of 6 x 5); 7 (CT, 3 slices of 6 x 5)."
        " Choose one with --series."
    )
    assert read_volume(tmp_path, series=7).geometry.size == (6, 5, 3)
    uid = pydicom.dcmread(tmp_path / "a" / "slice_0001.dcm").SeriesInstanceUID
    assert read_volume(tmp_path, series=str(uid)).geometry.size == (6, 5, 4)
    with pytest.raises(InputError, match=r"no series 3, but 2 other: 2 \(CT"):
        read_volume(tmp_path, series=3)


def test_series_of_one_number_are_told_apart_by_their_identifier(tmp_path):
    series(tmp_path / "a", patient="Anna")
    series(tmp_path / "b", patient="Bert")
    uid = pydicom.dcmread(tmp_path / "b" / "slice_0001.dcm").SeriesInstanceUID
    with pytest.raises(InputError, match=uid) as refusal:
        read_volume(tmp_path, series=1)
    assert "Bert" not in str(refusal.value)


def test_a_missing_slice_is_noticed_and_named_with_its_gap(tmp_path):
    series(tmp_path, slices=6)[2].unlink()
    with pytest.raises(InputError, match=r"two are 5 mm apart and most 2\.5 mm"):
        read_volume(tmp_path)


def test_a_tilted_gantry_is_noticed(tmp_path):
    for index, path in enumerate(series(tmp_path)):
        edited(path, ImagePositionPatient=[0, 0.5 * index, 2.5 * index])
    with pytest.raises(InputError, match="tilted gantry"):
        read_volume(tmp_path)


def test_two_time_points_at_one_place_are_noticed(tmp_path):
    paths = series(tmp_path)
    edited(paths[1], ImagePositionPatient=[0, 0, 0])
    with pytest.raises(InputError, match="several images at one place"):
        read_volume(tmp_path)


def test_each_slice_is_rescaled_by_its_own_slope(tmp_path):
    paths = series(tmp_path)
    plain = read_volume(tmp_path).array
    edited(paths[2], RescaleSlope="2", RescaleIntercept="-100")
    changed = read_volume(tmp_path).array
    np.testing.assert_array_equal(changed[2], 2 * plain[2] - 100)
    np.testing.assert_array_equal(changed[3], plain[3])


def test_other_files_and_pictures_beside_the_slices_do_no_harm(tmp_path):
    series(tmp_path / "slices")
    (tmp_path / "notes.txt").write_text("no scan")
    (tmp_path / "plan.dcm").write_bytes((DICOM / "rtplan.dcm").read_bytes())
    (tmp_path / "screen.dcm").write_bytes((DICOM / "SC_rgb_rle.dcm").read_bytes())
    volume = read_volume(tmp_path)
    assert volume.geometry.size == (6, 5, 4)
    assert volume.geometry.spacing == (0.7, 0.8, 2.5)
    assert volume.notes == ("1 scout or other image left out.",)


def nan_at_one_voxel():
    array = VOXELS.copy()
    array[1, 2, 3] = np.nan
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (nan_at_one_voxel(), "NaN or infinite"),
        (np.where(VOXELS > 60, np.inf, VOXELS), "NaN or infinite"),
        (VOXELS.astype(np.float64) * 1e300, "NaN or infinite"),
        (np.full((4, 5, 6), 7.0, np.float32), "have the value 7"),
        (np.stack([VOXELS] * 3, -1).astype(np.uint8), "3 values per voxel"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_voxels_that_are_no_scan_are_refused(tmp_path, array, words):
    with pytest.raises(InputError, match=words):
        read_volume(written(tmp_path / "scan.nrrd", array))


def test_a_flat_image_and_one_of_two_times_are_refused_but_one_time_is_not(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS[0]), str(tmp_path / "flat.nrrd"))
    with pytest.raises(InputError, match=r"2D \(6 x 5\)"):
        read_volume(tmp_path / "flat.nrrd")
    times = nibabel.Nifti1Image(np.stack([VOXELS.T] * 2, -1), np.eye(4))
    nibabel.save(times, tmp_path / "times.nii")
    with pytest.raises(InputError, match=r"4D \(6 x 5 x 4 x 2\)"):
        read_volume(tmp_path / "times.nii")
    nibabel.save(nibabel.Nifti1Image(VOXELS.T[..., None], np.eye(4)), tmp_path / "time.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "time.nii").array, VOXELS)


def test_a_nifti_of_one_slice_is_a_volume(tmp_path):
    nibabel.save(nibabel.Nifti1Image(VOXELS[:1].T, np.diag([1, 1, 5, 1])), tmp_path / "one.nii")
    assert read_volume(tmp_path / "one.nii").geometry.size == (6, 5, 1)


def test_a_sheared_nifti_is_refused(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.3
    image = nibabel.Nifti1Image(VOXELS.T, None)
    image.set_sform(affine, 1)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "sheared.nii")
    with pytest.raises(InputError, match="not perpendicular"):
        read_volume(tmp_path / "sheared.nii")


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.nii", "scan.nii.gz", "scan.mha"])
def test_damaged_files_are_refused_in_silence(tmp_path, name, capfd):
    whole = written(tmp_path / name).read_bytes()
    for damaged in (b"", b"not an image", whole[: len(whole) // 2], whole[:100]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(InputError, match=f"{name} "):
            read_volume(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_a_small_file_that_claims_a_huge_volume_is_refused(tmp_path):
    header = b"NRRD0004\ntype: float\ndimension: 3\nsizes: 60000 60000 60000\n"
    data = header + b"endian: little\nencoding: gzip\n\n" + gzip.compress(b"0" * 100)
    (tmp_path / "bomb.nrrd").write_bytes(data)
    with pytest.raises(InputError, match="shorter than its 60000 x 60000 x 60000 voxels"):
        read_volume(tmp_path / "bomb.nrrd")


@pytest.mark.parametrize(
    "elsewhere", ["/etc/passwd", "../secret.raw", "C:\\secret.raw", "\\\\h\\s"]
)
def test_a_header_that_takes_its_voxels_from_elsewhere_is_refused(tmp_path, elsewhere):
    nrrd = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
    (tmp_path / "forged.nhdr").write_text(f"{nrrd}data file: {elsewhere}\n")
    meta = "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n"
    (tmp_path / "forged.mhd").write_text(f"{meta}ElementDataFile = {elsewhere}\n")
    for name in ("forged.nhdr", "forged.mhd"):
        with pytest.raises(InputError, match="from another folder"):
            read_volume(tmp_path / name)


@pytest.mark.parametrize("spacing", [(1e-4, 1, 1), (1, 1, 5000)])
def test_voxels_of_no_scanners_size_are_refused(tmp_path, spacing):
    path = written(tmp_path / "scan.nrrd", geometry=Geometry((6, 5, 4), spacing))
    with pytest.raises(InputError, match="Correct the spacing"):
        read_volume(path)


@pytest.fixture
def volume():
    return Volume(VOXELS, GEOMETRY)


def test_a_region_of_six_numbers_is_that_box(volume):
    assert read_region("-12,0,15,25,28,35", volume) == Box((-12, 15, 28), (0, 25, 35))


@pytest.mark.parametrize("name", ["mask.nrrd", "mask ä.nii.gz", "mask.seg.nrrd"])
def test_a_mask_gives_the_box_around_its_voxels(tmp_path, volume, name):
    mask = np.zeros(VOXELS.shape, np.uint8)
    mask[1:3, 2, 1:4] = 2
    if "seg" in name:
        masks = {"a": mask > 0, "b": np.zeros(mask.shape, bool)}
        write_seg_nrrd(tmp_path / name, masks, GEOMETRY, colors=dict.fromkeys(masks, (1, 0, 0)))
    else:
        written(tmp_path / name, mask)
    box = read_region(tmp_path / name, volume)
    # i runs to -y, j to +x: x from j 1.5..2.5, y from i 0.5..3.5, z from k 0.5..2.5.
    np.testing.assert_allclose(
        box.lower, (-10 + 1.5 * 0.8, 20 - 3.5 * 0.7, 30 + 0.5 * 2.5), atol=1e-5
    )
    np.testing.assert_allclose(
        box.upper, (-10 + 2.5 * 0.8, 20 - 0.5 * 0.7, 30 + 2.5 * 2.5), atol=1e-5
    )


def test_one_label_or_segment_of_a_file_is_a_region(tmp_path, volume):
    one, two = np.zeros((2, *VOXELS.shape), bool)
    one[0, 0, 0], two[1:3, 2, 1:4] = True, True
    labels = written(tmp_path / "labels.nii.gz", (one + 2 * two).astype(np.uint8))
    masks = {"Organ": one, "Lesion: left": two}
    named = tmp_path / "named.seg.nrrd"
    write_seg_nrrd(named, masks, GEOMETRY, colors=dict.fromkeys(masks, (1, 0, 0)))
    alone = read_region(written(tmp_path / "two.nii.gz", two.astype(np.uint8)), volume)
    for chosen in (f"{labels}:2", f"{named}:Lesion: left"):
        np.testing.assert_allclose(read_region(chosen, volume).lower, alone.lower)
    np.testing.assert_allclose(read_region(f"{named}:Organ", volume).lower[2], 30 - 1.25)
    with pytest.raises(InputError):
        read_region(f"{labels}:", volume)
    with pytest.raises(InputError, match=r"no label 3\. It holds the values 0, 1, 2"):
        read_region(f"{labels}:3", volume)
    with pytest.raises(InputError, match=r"no segment Liver\. It has: Organ, Lesion: left"):
        read_region(f"{named}:Liver", volume)
    with pytest.raises(InputError, match="Choose one by its number"):
        read_region(labels, volume)


def roi(path, **changes):
    turn = np.sqrt(0.5)
    markup = {
        "type": "ROI",
        "coordinateSystem": "LPS",
        "center": [-9.0, 18.0, 33.0],
        "orientation": [turn, -turn, 0, turn, turn, 0, 0, 0, 1],
        "size": [4.0, 2.0, 6.0],
        **changes,
    }
    path.write_text(json.dumps({"@schema": "markups", "markups": [markup]}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("system", "sign"), [("LPS", 1), ("RAS", -1)])
def test_a_turned_roi_gives_the_box_around_it(tmp_path, volume, system, sign):
    path = roi(
        tmp_path / "R ü.mrk.json", coordinateSystem=system, center=[sign * -9, sign * 18, 33]
    )
    box = read_region(path, volume)
    half = (4 + 2) / 2 * np.sqrt(0.5)
    np.testing.assert_allclose(box.lower, (-9 - half, 18 - half, 30))
    np.testing.assert_allclose(box.upper, (-9 + half, 18 + half, 36))


def test_regions_that_are_none_are_refused(tmp_path, volume):
    empty = written(tmp_path / "empty.nrrd", np.zeros((4, 5, 6), np.uint8))
    (tmp_path / "text.json").write_text("[1, 2")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "points.mrk.json").write_text('{"markups": [{"type": "Fiducial"}]}')
    for region, words in (
        (empty, "mask empty.nrrd is empty"),
        (tmp_path / "missing.nrrd", "no file missing.nrrd"),
        (tmp_path / "missing.json", "no file missing.json"),
        (tmp_path / "text.json", "text.json is not an ROI file"),
        (tmp_path / "list.json", "list.json is not an ROI file"),
        (tmp_path / "points.mrk.json", "holds 0 ROIs"),
        (roi(tmp_path / "unplaced.json", center=None), "unplaced.json is incomplete"),
        (roi(tmp_path / "ijk.json", coordinateSystem="IJK"), "ijk.json is incomplete"),
        (roi(tmp_path / "flat.json", size=[0, 0, 0]), "empty"),
        (roi(tmp_path / "far.json", center=[500, 0, 0]), "outside the volume"),
        ("100,110,0,10,0,10", "outside the volume"),
        ("somewhere", "not six numbers"),
    ):
        with pytest.raises(InputError, match=words):
            read_region(region, volume)
