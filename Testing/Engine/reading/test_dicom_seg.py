"""DICOM Segmentations as regions and labels; written by highdicom, and one by pydicom alone."""

import json

import highdicom
import numpy as np
import pydicom
import pytest
from a_dicom_series import a_segmentation_by_hand, a_series, change
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from diffoseg.cohorts.datalist import read_datalist
from diffoseg.errors import InputError
from diffoseg.reading import read_region, read_volume
from diffoseg.reading.dicom_seg import read_dicom_seg

ALGORITHM = highdicom.AlgorithmIdentificationSequence(
    "a", codes.cid7162.ArtificialIntelligence, "1"
)


def described(number, label):
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="AUTOMATIC",
        algorithm_identification=ALGORITHM,
    )


def a_segmentation(path, slices, pixels, labels, kind="BINARY", **more):
    """Write what is marked on slices, (K, J, I) or (K, J, I, segments), by highdicom."""
    segmentation = Segmentation(
        source_images=[pydicom.dcmread(each) for each in slices],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[described(k + 1, label) for k, label in enumerate(labels)],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **more,
    )
    segmentation.save_as(path)
    return path


@pytest.fixture
def scan(tmp_path):
    folder = tmp_path / "ct"
    paths = a_series(folder, size=(7, 6))
    return folder, paths


def two_lesions():
    """Two segments on slices 1 to 2 and 5 alone: the frames between are left out of the file."""
    masks = np.zeros((8, 7, 6, 2), np.uint8)
    masks[1:3, 2:4, 1:5, 0] = 1
    masks[2, 3:6, 3, 1] = 1
    masks[5, 0, 0, 1] = 1
    return masks


def on_scan(mask, grid, volume):
    """Return a mask's voxels as points in the patient, for any grid."""
    return {tuple(np.round(grid.index_to_point(index[::-1]), 3)) for index in np.argwhere(mask)}


def points(mask, volume):
    return on_scan(mask, volume.geometry, volume)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("backwards", [False, True])
def test_segments_lie_where_their_frames_say(tmp_path, scan, kind, backwards):
    folder, paths = scan
    masks = two_lesions()
    masks[..., 1] &= ~masks[..., 0] & 1  # a label map cannot overlap
    pixels = masks.astype(float) if kind == "FRACTIONAL" else masks
    order = slice(None, None, -1 if backwards else 1)
    path = a_segmentation(
        tmp_path / "s.dcm", paths[order], pixels[order], ["Lesion", "Édge 2"], kind
    )
    found, grid = read_dicom_seg(path)
    volume = read_volume(folder)
    assert list(found) == ["Lesion", "Édge 2"]
    assert found.notes == ()
    for segment, label in enumerate(found):
        assert found[label].dtype == bool
        assert points(masks[..., segment], volume) == on_scan(found[label], grid, volume)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"])
def test_fractions_are_cut_at_one_half_and_that_is_said(tmp_path, scan, syntax):
    folder, paths = scan
    pixels = np.zeros((8, 7, 6))
    pixels[2, 1], pixels[3, 1] = 0.49, 0.51
    path = a_segmentation(
        tmp_path / "s.dcm",
        paths,
        pixels,
        ["Lesion"],
        "FRACTIONAL",
        max_fractional_value=200,
        transfer_syntax_uid=syntax,
    )
    found, grid = read_dicom_seg(path)
    assert found.notes == ("s.dcm holds fractions; what exceeds one half is marked.",)
    volume = read_volume(folder)
    with pytest.raises(InputError, match=r"s\.dcm holds fractions"):
        read_region(path, volume)  # where nobody would hear the note
    assert on_scan(found["Lesion"], grid, volume) == points(pixels > 0.5, volume)


@pytest.mark.parametrize("name", ["s.dcm", "segmentation"])
def test_a_region_is_the_box_around_all_segments(tmp_path, scan, name):
    folder, paths = scan
    path = a_segmentation(tmp_path / name, paths, two_lesions(), ["a", "b"])
    box = read_region(path, read_volume(folder))
    # i from 0 to 4, j from 0 to 5, k from 1 to 5; centres at -10 + 0.7 i, 20 + 0.8 j, 30 + 2.5 k.
    np.testing.assert_allclose(box.lower, (-10 - 0.35, 20 - 0.4, 30 + 1.25), atol=1e-5)
    np.testing.assert_allclose(
        box.upper, (-10 + 4.5 * 0.7, 20 + 5.5 * 0.8, 30 + 5.5 * 2.5), atol=1e-5
    )


def test_a_segmentation_written_by_hand_is_read(tmp_path, scan):
    folder, _ = scan
    mask = np.zeros((8, 7, 6), bool)
    mask[2, 1:4, 2], mask[6, 5, 5] = True, True
    found, grid = read_dicom_seg(a_segmentation_by_hand(tmp_path / "hand.dcm", mask, [6, 2]))
    volume = read_volume(folder)
    assert list(found) == ["Hand"]
    assert grid.size == (6, 7, 5)
    assert on_scan(found["Hand"], grid, volume) == points(mask, volume)


def test_labels_of_a_data_list_are_taken_by_segment(tmp_path, scan):
    _, paths = scan
    masks = two_lesions()
    a_segmentation(tmp_path / "s.dcm", paths, masks, ["Lesion", "Edge"])
    entries = [
        {"image": "ct", "label": "s.dcm", "segment": "Edge", "expert": "Ann"},
        {"image": "ct", "label": "s.dcm", "segment": "Lesion", "expert": "Bea"},
    ]
    (tmp_path / "cases.json").write_text(json.dumps({"training": entries}))
    case = read_datalist(tmp_path / "cases.json").cohort()[0]
    np.testing.assert_array_equal(case.masks["Ann"], masks[..., 1] > 0)
    np.testing.assert_array_equal(case.masks["Bea"], masks[..., 0] > 0)
    entries[0]["segment"] = "Node"
    (tmp_path / "cases.json").write_text(json.dumps({"training": entries}))
    with pytest.raises(InputError, match=r"s\.dcm has no segment Node. It has: Lesion, Edge"):
        _ = read_datalist(tmp_path / "cases.json").cohort()[0]


def test_contours_are_refused_with_the_way_out(tmp_path, scan):
    folder, _ = scan
    path = get_testdata_file("rtstruct.dcm", download=False)
    words = r"rtstruct\.dcm holds contours \(RTSTRUCT\), which are not read\. Import it in"
    with pytest.raises(InputError, match=words):
        read_region(path, read_volume(folder))
    entry = {"image": "ct", "label": str(path), "expert": "Ann"}
    (tmp_path / "cases.json").write_text(json.dumps({"training": [entry]}))
    with pytest.raises(InputError, match=words):
        _ = read_datalist(tmp_path / "cases.json").cohort()[0]


def test_what_is_no_segmentation_is_refused(tmp_path, scan):
    folder, paths = scan
    volume = read_volume(folder)
    with pytest.raises(InputError, match=r"slice_0001\.dcm is no segmentation"):
        read_region(paths[0], volume)
    with pytest.raises(InputError, match=r"There is no file gone\.dcm"):
        read_region(tmp_path / "gone.dcm", volume)
    path = a_segmentation(tmp_path / "s.dcm", paths, two_lesions(), ["a", "b"])
    with pytest.raises(InputError, match=r"s\.dcm is a segmentation, not a scan"):
        read_volume(path)
    (tmp_path / "ct" / "s.dcm").write_bytes(path.read_bytes())
    assert read_volume(folder).notes == ("1 scout or other image left out.",)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"s\.dcm is damaged"):
        read_region(path, volume)


@pytest.mark.parametrize(
    "change_frames",
    [
        lambda frames: delattr(frames[0].PlanePositionSequence[0], "ImagePositionPatient"),
        lambda frames: delattr(frames[0], "SegmentIdentificationSequence"),
        lambda frames: frames.pop(),
    ],
)
def test_frames_of_no_clear_place_or_owner_are_refused(tmp_path, scan, change_frames):
    folder, paths = scan
    path = a_segmentation(tmp_path / "s.dcm", paths, two_lesions(), ["a", "b"])
    dataset = pydicom.dcmread(path)
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    change_frames(frames)
    change(path, PerFrameFunctionalGroupsSequence=frames)
    with pytest.raises(InputError, match="does not say clearly where its frames lie"):
        read_region(path, read_volume(folder))


def test_two_segments_of_one_label_are_refused(tmp_path, scan):
    folder, paths = scan
    path = a_segmentation(tmp_path / "s.dcm", paths, two_lesions(), ["Lesion", "Lesion"])
    with pytest.raises(InputError, match="two segments called Lesion"):
        read_region(path, read_volume(folder))
