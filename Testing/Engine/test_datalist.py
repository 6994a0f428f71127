"""Data lists: MONAI reads them too, cases come back as drawn, and every fault is one sentence."""

import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from a_cohort import STRAIGHT, a_mask, an_image

from diffoseg.cohorts.datalist import DataEntry, read_datalist, write_datalist
from diffoseg.errors import InputError
from diffoseg.geometry import Box, Geometry
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.volume import image_of

ONE, TWO = a_mask(np.s_[10:14, 20:28, 30:36]), a_mask(np.s_[11:13, 22:26, 31:35])


def a_scan(path, seed=0, geometry=STRAIGHT):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image_of(an_image(seed, geometry.size), geometry), str(path))
    return path.name


def a_segmentation(path, geometry=STRAIGHT, **masks):
    write_seg_nrrd(path, masks, geometry, colors=dict.fromkeys(masks, (1.0, 0.0, 0.0)))
    return path.name


def a_list(folder, *entries, **others):
    path = folder / "list.json"
    path.write_text(json.dumps({"training": entries, **others}), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    a_scan(tmp_path / "ct.nrrd")
    a_scan(tmp_path / "Köln 7" / "ct.nii.gz", seed=1)
    a_segmentation(tmp_path / "both.seg.nrrd", One=ONE, Two=TWO)
    a_segmentation(tmp_path / "one.seg.nrrd", One=ONE)
    sitk.WriteImage(image_of(ONE.astype(np.uint8) * 7, STRAIGHT), str(tmp_path / "mask.nii.gz"))
    return tmp_path


BOTH = {"image": "ct.nrrd", "label": "both.seg.nrrd"}
MASK = {"image": "Köln 7/ct.nii.gz", "label": "mask.nii.gz"}


def test_one_expert_s_cases_come_back_as_they_were_drawn(folder):
    path = a_list(
        folder,
        BOTH | {"segment": "Two", "patient": 7, "region": [1, 30, 2, 30, 3, 30]},
        MASK | {"name": "left/lung"},
        expert="Ärztin 1",
    )

    cohort = read_datalist(path).cohort("Ärztin 1")

    first, second = cohort
    np.testing.assert_array_equal(first.volume.array, an_image())
    assert first.volume.geometry == STRAIGHT
    np.testing.assert_array_equal(first.masks["Ärztin 1"], TWO)
    np.testing.assert_array_equal(second.masks["Ärztin 1"], ONE)
    assert (first.patient, first.name) == ("7", f"{folder.name}-ct")
    assert second.patient == "Köln 7-ct"
    assert first.region == Box((1, 2, 3), (30, 30, 30))
    assert second.name == "left-lung"


def test_several_experts_segments_of_one_image_are_one_case_with_everyone_s_masks(folder):
    path = a_list(
        folder, BOTH | {"experts": {"One": "Ann", "Two": "Bob"}}, MASK | {"expert": "Ann"}
    )
    found = read_datalist(path)

    assert found.experts == ("Ann", "Bob")
    both, alone = found.cohort()
    assert list(both.masks) == ["Ann", "Bob"]
    np.testing.assert_array_equal(both.masks["Bob"], TWO)
    assert list(alone.masks) == ["Ann"]
    assert [len(found.cohort(name)) for name in found.experts] == [2, 1]


def test_monai_reads_the_same_list(folder):
    from monai.data import load_decathlon_datalist

    path = a_list(folder, BOTH | {"experts": {"One": "Ann", "Two": "Bob"}}, MASK)

    rows = load_decathlon_datalist(str(path), is_segmentation=True, data_list_key="training")

    entries = read_datalist(path).entries
    assert [row["image"] for row in rows] == [str(entry.image) for entry in entries]
    assert [row["label"] for row in rows] == [str(entry.label) for entry in entries]


def test_a_written_list_is_read_as_the_same_entries(folder):
    entries = [
        DataEntry(folder / "ct.nrrd", folder / "both.seg.nrrd", {"One": "Änn", "Two": 'B/"ob'}),
        DataEntry(
            folder / "Köln 7" / "ct.nii.gz",
            folder / "mask.nii.gz",
            {"": "Änn"},
            Box((1.5, 2, 3), (4, 5, 6)),
            "7",
            "left",
        ),
    ]
    write_datalist(folder / "Köln 7" / "list.json", entries)

    first, second = read_datalist(folder / "Köln 7" / "list.json").entries

    assert first.image.samefile(entries[0].image)
    assert first.drawn == entries[0].drawn
    assert (second.region, second.patient, second.name) == (entries[1].region, "7", "left")
    assert second.drawn == {"": "Änn"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (3, "is no case"),
        ({"image": "ct.nrrd"}, 'needs "label"'),
        (BOTH | {"image": ["ct.nrrd"]}, 'needs "image"'),
        (BOTH | {"image": "gone.nrrd"}, r"there is no file gone\.nrrd"),
        (BOTH | {"image": "a\0b"}, 'needs "image"'),
        (BOTH | {"expert": "consensus"}, "cannot be an expert's name"),
        (BOTH | {"expert": 3}, "cannot be an expert's name"),
        (BOTH | {"experts": {}}, 'needs "experts" as'),
        (BOTH | {"experts": {"One": None}}, "cannot be an expert's name"),
        (BOTH | {"experts": {"One": "A"}, "segment": "One"}, "beside it"),
        (BOTH | {"segment": 1}, "no short text"),
        (BOTH | {"patient": [1]}, "no short text"),
        (BOTH | {"name": "a\nb"}, "no short text"),
        (BOTH | {"region": [1, 2, 3]}, 'needs "region" as'),
        (BOTH | {"region": [1, 0, 1, 2, 1, 2]}, "region is empty"),
        (BOTH | {"region": [1, "2", 1, 2, 1, 2]}, 'needs "region" as'),
        (BOTH | {"region": [1, 10**400, 1, 2, 1, 2]}, 'needs "region" as'),
    ],
)
def test_a_wrong_entry_is_refused_by_its_number(folder, entry, words):
    path = a_list(folder, MASK, entry)
    with pytest.raises(InputError, match=f'(?s)ntry 2 under "training" in list.json.*{words}'):
        read_datalist(path)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (BOTH, r"holds several segments: One, Two"),
        (BOTH | {"segment": "Three"}, "has no segment Three. It has: One, Two"),
        (MASK | {"segment": "One"}, "holds no named segments"),
        (MASK | {"label": "one.seg.nrrd", "image": "list.json"}, "is not a scan"),
    ],
)
def test_a_case_that_cannot_be_read_is_named(folder, entry, words):
    path = a_list(folder, entry | {"name": "the case"}, expert="Ann")
    with pytest.raises(InputError, match=f"^Case the case: .*{words}"):
        read_datalist(path).cohort("Ann")[0]


def test_a_mask_on_other_voxels_is_refused_and_one_on_a_part_of_them_is_put_in_its_place(folder):
    other = Geometry(STRAIGHT.size, (0.7, 0.7, 2.5))
    a_segmentation(folder / "other.seg.nrrd", other, One=ONE)
    a_segmentation(
        folder / "part.seg.nrrd",
        STRAIGHT.crop((25, 15, 8), (15, 20, 10)),
        One=ONE[8:18, 15:35, 25:40],
    )
    path = a_list(
        folder,
        BOTH | {"label": "part.seg.nrrd"},
        MASK | {"label": "other.seg.nrrd"},
        expert="Ann",
    )
    cohort = read_datalist(path).cohort("Ann")

    np.testing.assert_array_equal(cohort[0].masks["Ann"], ONE)
    with pytest.raises(InputError, match=r"^Case Köln 7-ct: The segment was drawn on other voxels"):
        cohort[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is no data list"),
        (b'{"training": 3}', "no list of cases"),
        (b'{"training": []}', "lists no case"),
        (b'{"expert": ["x"], "training": []}', "cannot be an expert's name"),
    ],
)
def test_what_is_no_data_list_is_refused(tmp_path, content, words):
    (tmp_path / "list.json").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_datalist(tmp_path / "list.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_datalist(tmp_path / "gone.json")


def test_who_drew_is_asked_for_where_nobody_is_named(folder):
    found = read_datalist(a_list(folder, MASK))

    assert found.experts == ()
    assert list(found.cohort("Ann")[0].masks) == ["Ann"]
    with pytest.raises(InputError, match="does not say who drew case ct"):
        found.cohort()
    with pytest.raises(InputError, match="Bob drew no case"):
        read_datalist(a_list(folder, MASK | {"expert": "Ann"})).cohort("Bob")


def test_the_same_drawing_twice_is_refused(folder):
    path = a_list(folder, MASK, MASK | {"image": "Köln 7/../Köln 7/ct.nii.gz", "name": "again"})
    with pytest.raises(InputError, match=r'ntry 2 .* repeats entry 1 under "training"'):
        read_datalist(path)
