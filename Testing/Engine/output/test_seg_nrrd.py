"""Slicer's layered segmentation file, written here and read there, and the other way round."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from diffoseg.errors import InputError
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.reading.seg_nrrd import read_seg_nrrd
from diffoseg.space.geometry import Geometry

DATA = Path(__file__).parents[2] / "Data"
GEOMETRY = Geometry((6, 5, 4), (0.7, 0.8, 2.5), (-10, 5, 3), (0, 1, 0, -1, 0, 0, 0, 0, 1))


def box(k, j, i):
    mask = np.zeros((4, 5, 6), bool)
    mask[slice(*k), slice(*j), slice(*i)] = True
    return mask


MASKS = {
    "Ärztin 1 (大)": box((1, 3), (2, 4), (1, 5)),
    "consensus": box((2, 4), (3, 4), (2, 3)),  # overlaps the first
    "a: b | c\\n": box((0, 0), (0, 0), (0, 0)),
}
COLORS = {name: (0.1 * index, 0.5, 1.0) for index, name in enumerate(MASKS)}
TAGS = {"consensus": {"DICOM.SegmentAlgorithmType": "AUTOMATIC", "note": "x|y"}}


def header_of(path):
    lines = path.read_bytes().split(b"\n\n")[0].decode("utf-8").splitlines()
    return dict(line.split(":=", 1) for line in lines if ":=" in line)


def test_overlapping_masks_names_and_grid_come_back(tmp_path):
    path = tmp_path / "Größe 1.seg.nrrd"
    write_seg_nrrd(path, MASKS, GEOMETRY, colors=COLORS, tags=TAGS)
    masks, geometry = read_seg_nrrd(path)
    assert list(masks) == list(MASKS)
    assert geometry == GEOMETRY
    for name, mask in MASKS.items():
        np.testing.assert_array_equal(masks[name], mask)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_single_mask_comes_back(tmp_path):
    mask = MASKS["consensus"]
    write_seg_nrrd(tmp_path / "a.seg.nrrd", {"x": mask}, GEOMETRY, colors={"x": (1, 0, 0)})
    np.testing.assert_array_equal(read_seg_nrrd(tmp_path / "a.seg.nrrd")[0]["x"], mask)


def test_the_header_says_what_slicer_looks_for(tmp_path):
    """The keys of vtkMRMLSegmentationStorageNode; slicer-core 5.12.4 read such a file rightly."""
    write_seg_nrrd(tmp_path / "a.seg.nrrd", MASKS, GEOMETRY, colors=COLORS, tags=TAGS)
    header = header_of(tmp_path / "a.seg.nrrd")
    assert header["Segment0_Name"] == "Ärztin 1 (大)"
    assert header["Segment0_Extent"] == "1 4 2 3 1 2"
    assert header["Segment2_Extent"] == "0 -1 0 -1 0 -1"
    assert header["Segment1_Color"] == "0.1 0.5 1"
    assert header["Segment1_Layer"] == "1"
    assert header["Segment1_LabelValue"] == "1"
    assert header["Segment1_Tags"] == "DICOM.SegmentAlgorithmType:AUTOMATIC|note:x/y|"
    assert header["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert len({header[f"Segment{n}_ID"] for n in range(3)}) == 3


def test_the_same_masks_give_the_same_bytes(tmp_path):
    for name in ("a.seg.nrrd", "b.seg.nrrd"):
        write_seg_nrrd(tmp_path / name, MASKS, GEOMETRY, colors=COLORS)
    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()


def test_a_file_saved_by_slicer_is_read_its_shared_layer_too():
    """Testing/Data/slicer.seg.nrrd: by slicer-core 5.12.4; "left" and "right" share a layer."""
    masks, geometry = read_seg_nrrd(DATA / "slicer.seg.nrrd")
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "left": 8,
        "right": 12,
        "both": 60,
    }
    assert not (masks["left"] & masks["right"]).any()
    assert (masks["left"] & masks["both"]).any()
    assert geometry.spacing == pytest.approx((0.7, 0.8, 2.5))


def test_files_without_segments_are_refused(tmp_path, capfd):
    path = tmp_path / "a.seg.nrrd"
    with pytest.raises(InputError, match=r"no file a\.seg\.nrrd"):
        read_seg_nrrd(path)
    write_seg_nrrd(path, MASKS, GEOMETRY, colors=COLORS)
    whole = path.read_bytes()
    for damage, words in (
        (whole[:900], "damaged, cut short"),
        (whole.replace(b"_ID:=", b"_XX:="), "holds no segments"),
        (whole.replace(b"Segment1_Layer:=1", b"Segment1_Layer:=9"), "segment 2 wrongly"),
        (whole.replace(b"Segment1_LabelValue:=1", b"Segment1_LabelValue:=z"), "segment 2 wrongly"),
    ):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=words):
            read_seg_nrrd(path)
    assert capfd.readouterr().err == ""


def test_where_nothing_can_be_written_one_sentence_says_so_and_nothing_is_left(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "a.seg.nrrd", tmp_path / "file" / "a.seg.nrrd"):
        with pytest.raises(InputError, match=r"a\.seg\.nrrd could not be written"):
            write_seg_nrrd(path, MASKS, GEOMETRY, colors=COLORS)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_masks_are_compressed(tmp_path):
    big = np.zeros((50, 100, 100), bool)
    geometry = Geometry((100, 100, 50))
    write_seg_nrrd(tmp_path / "a.seg.nrrd", {"x": big}, geometry, colors={"x": (1, 0, 0)})
    raw = (tmp_path / "a.seg.nrrd").read_bytes()
    assert len(raw) < 5000
    assert len(gzip.decompress(raw.split(b"\n\n", 1)[1])) == big.size
