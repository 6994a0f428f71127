"""Data lists: MONAI reads them too, cases come back as drawn, and every fault is one sentence."""

import json
import os
import re

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from a_cohort import ANYTHING, GRIDS, STRAIGHT, a_mask, an_image, places_in, refusal, with_other
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffoseg.cohorts.datalist import DataEntry, read_datalist, write_datalist
from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.errors import InputError
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.volume import Volume, image_of

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


@pytest.mark.parametrize("segment", [2, "2"])
def test_a_label_of_a_map_is_chosen_by_its_number(folder, segment):
    both = np.where(TWO, 2, np.where(ONE, 1, 0)).astype(np.uint8)
    sitk.WriteImage(image_of(both, STRAIGHT), str(folder / "labels.nii.gz"))
    entry = {"image": "ct.nrrd", "label": "labels.nii.gz"}
    (case,) = read_datalist(a_list(folder, entry | {"segment": segment})).cohort("Ann")
    np.testing.assert_array_equal(case.masks["Ann"], TWO)
    (case,) = read_datalist(a_list(folder, entry | {"experts": {"1": "A", "2": "B"}})).cohort()
    np.testing.assert_array_equal(case.masks["A"], ONE & ~TWO)
    for wrong in (3, "Lesion"):
        with pytest.raises(InputError, match=rf"no label {wrong}\. It holds the values 0, 1, 2"):
            read_datalist(a_list(folder, entry | {"segment": wrong})).cohort("Ann")[0]


def test_monai_reads_the_same_list(folder):
    from monai.data import load_decathlon_datalist

    nobody = {"name": None, "patient": None, "segment": None, "expert": None, "region": None}
    path = a_list(folder, BOTH | {"experts": {"One": "Ann", "Two": "Bob"}}, MASK | nobody)

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
        (BOTH | {"segment": [1]}, "is no text"),
        (BOTH | {"image": "a" * 5000}, "there is no file a{200}\\."),
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
        (MASK | {"segment": "One"}, r"has no label One\. It holds the values 0, 7"),
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


def test_several_segments_of_one_expert_on_one_image_are_one_mask(folder):
    far = a_mask(np.s_[2:4, 2:9, 2:9])
    a_segmentation(folder / "more.seg.nrrd", Far=far)
    path = a_list(
        folder,
        BOTH | {"experts": {"One": "Ann", "Two": "Bob"}},
        BOTH | {"label": "more.seg.nrrd", "expert": "Ann"},
        BOTH | {"label": "mask.nii.gz", "expert": "Ann", "region": [0, 9, 0, 9, 0, 9]},
    )
    cohort = read_datalist(path).cohort("Ann")

    assert len(cohort) == 2
    np.testing.assert_array_equal(cohort[0].masks["Ann"], ONE | far)
    np.testing.assert_array_equal(cohort[1].masks["Ann"], ONE)
    assert cohort[0].patient == cohort[1].patient


def test_a_mask_that_reaches_out_of_the_volume_is_cut_and_that_is_said(folder):
    grid = STRAIGHT.crop((-10, 0, 0), (40, 56, 24))
    out = np.zeros(grid.size[::-1], bool)
    out[10:14, 20:28, 5:15] = True
    a_segmentation(folder / "out.seg.nrrd", grid, Out=out)
    far = STRAIGHT.crop((-50, 0, 0), (40, 56, 24))
    a_segmentation(folder / "far.seg.nrrd", far, Out=out)
    path = a_list(
        folder,
        BOTH | {"label": "out.seg.nrrd"},
        MASK | {"label": "far.seg.nrrd"},
        expert="Ann",
    )
    cohort = read_datalist(path).cohort("Ann")

    np.testing.assert_array_equal(cohort[0].masks["Ann"], a_mask(np.s_[10:14, 20:28, 0:5]))
    assert "Part of the segment lies outside" in cohort[0].volume.notes[-1]
    with pytest.raises(InputError, match="lies outside the volume"):
        cohort[1]


@pytest.mark.parametrize(
    "name",
    ["a b", "Größe 你好", "quo'te\"d", "tab\there", "new\nline", "%s {x} $HOME", "-rf", "ct."],
)
def test_files_may_have_any_name(folder, name):
    a_scan(folder / name / f"{name}.nrrd", seed=3)
    a_segmentation(folder / name / f"{name}.seg.nrrd", One=ONE)
    entry = DataEntry(
        folder / name / f"{name}.nrrd", folder / name / f"{name}.seg.nrrd", {"One": "Dr. Ö/\\'\""}
    )
    write_datalist(folder / f"{name}.json", [entry])

    found = read_datalist(folder / f"{name}.json")

    (case,) = found.cohort("Dr. Ö/\\'\"")
    np.testing.assert_array_equal(case.masks["Dr. Ö/\\'\""], ONE)
    assert case.name.isprintable()
    assert not set(case.name) & set('/\\:*?"<>|')


@pytest.mark.parametrize(
    "name", ["Lesion ", " L", "tab\there", "new\nline", "x:=y", "\u200b", "É" * 300]
)
@pytest.mark.parametrize("how", ["segment", "experts"])
def test_segments_may_have_any_name(folder, name, how):
    image = image_of(ONE.astype(np.uint8), STRAIGHT)
    image.SetMetaData("Segment0_ID", "Segment_1")
    image.SetMetaData("Segment0_Name", name)
    sitk.WriteImage(image, str(folder / "odd.seg.nrrd"))
    said = {"segment": name, "expert": "Ann"} if how == "segment" else {"experts": {name: "Ann"}}
    path = a_list(folder, BOTH | {"label": "odd.seg.nrrd"} | said)
    write_datalist(path, read_datalist(path).entries)

    np.testing.assert_array_equal(read_datalist(path).cohort("Ann")[0].masks["Ann"], ONE)


def test_spaces_about_an_expert_s_name_are_nobody_else(folder):
    path = a_list(
        folder, BOTH | {"experts": {"One": "Ann ", "Two": " Bob"}}, MASK | {"expert": "Ann"}
    )
    assert read_datalist(path).experts == ("Ann", "Bob")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file names that are not text")
def test_a_file_name_that_is_not_text_survives_the_list(folder):
    raw = os.fsdecode(b"k\xf6ln.nrrd")
    a_scan(folder / "k.nrrd")
    (folder / "k.nrrd").rename(folder / raw)
    write_datalist(
        folder / "list.json", [DataEntry(folder / raw, folder / "one.seg.nrrd", {"One": "Ann"})]
    )

    (entry,) = read_datalist(folder / "list.json").entries

    assert entry.image == folder / raw
    assert entry.name.isprintable()


@pytest.mark.parametrize("damaged", ["ct.nrrd", "one.seg.nrrd", "mask.nii.gz"])
def test_a_file_cut_short_names_its_case(folder, damaged):
    data = (folder / damaged).read_bytes()
    (folder / damaged).write_bytes(data[: len(data) // 2])
    label = damaged if damaged != "ct.nrrd" else "one.seg.nrrd"
    path = a_list(folder, BOTH | {"label": label}, expert="Ann")

    with pytest.raises(InputError, match=r"^Case .*: .*(damaged|shorter|cut short|not an image)"):
        read_datalist(path).cohort("Ann")[0]


def test_two_segments_of_one_name_are_not_guessed_between(folder):
    image = sitk.ReadImage(str(folder / "both.seg.nrrd"))
    image.SetMetaData("Segment1_Name", "One")
    sitk.WriteImage(image, str(folder / "both.seg.nrrd"))
    path = a_list(folder, BOTH | {"segment": "One"}, expert="Ann")
    with pytest.raises(InputError, match="two segments called One"):
        read_datalist(path).cohort("Ann")[0]


def test_huge_lists_are_refused_before_they_are_taken_in(folder):
    many = [
        MASK | {"name": str(number), "region": [0, 1, 0, 1, 0, number + 1]}
        for number in range(20_001)
    ]
    with pytest.raises(InputError, match="more than 20000 cases"):
        read_datalist(a_list(folder, *many))
    (folder / "large.json").write_bytes(b" " * (2**24 + 1))
    with pytest.raises(InputError, match="too large"):
        read_datalist(folder / "large.json")


def test_a_thousand_cases_are_listed_quickly_with_names_of_their_own(folder):
    many = [MASK | {"region": [0, 1, 0, 1, 0, number + 1]} for number in range(1000)]

    found = read_datalist(a_list(folder, *many, expert="Ann"))

    names = [entry.name for entry in found.entries]
    assert len(set(names)) == 1000
    assert len({entry.patient for entry in found.entries}) == 1


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SAL"])
def test_a_nifti_mask_with_its_axes_in_another_order_is_on_the_scan_s_voxels(folder, grid, axes):
    geometry = GRIDS[grid]
    drawn = np.random.default_rng(0).random(geometry.size[::-1]) > 0.5
    a_scan(folder / "grid.nrrd", geometry=geometry)
    mask = sitk.DICOMOrient(image_of(drawn.astype(np.uint8), geometry), axes)
    sitk.WriteImage(mask, str(folder / "grid.nii.gz"))
    path = a_list(folder, {"image": "grid.nrrd", "label": "grid.nii.gz"})

    (case,) = read_datalist(path).cohort("Ann")

    np.testing.assert_array_equal(case.masks["Ann"], drawn)


def test_a_scan_may_be_a_folder_of_dicom_slices(folder):
    write_dicom_series(Volume(np.rint(an_image()), STRAIGHT, "CT"), folder / "series")
    path = a_list(folder, {"image": "series", "label": "mask.nii.gz"})

    (case,) = read_datalist(path).cohort("Ann")

    assert case.volume.modality == "CT"
    np.testing.assert_array_equal(case.masks["Ann"], ONE)


def test_one_image_is_not_of_two_patients(folder):
    path = a_list(folder, MASK | {"patient": "7"}, MASK | {"patient": "8", "region": [0, 9] * 3})
    with pytest.raises(InputError, match=r"ntry 2 .* the image of entry 1 .* to another patient"):
        read_datalist(path)


SOUND = {
    "expert": "Ann",
    "training": [
        BOTH | {"segment": "Two", "region": [1, 30, 2, 30, 3, 30], "patient": "7", "name": "x"},
        BOTH | {"experts": {"One": "Bob", "Two": "Cy"}},
    ],
    "validation": [MASK],
}


@given(st.sampled_from(list(places_in(SOUND))), ANYTHING)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_list_holds_it_is_read_or_refused_in_words(folder, place, other):
    (folder / "list.json").write_text(json.dumps(with_other(SOUND, place, other)))

    def read():
        found = read_datalist(folder / "list.json")
        assert all(entry.name and entry.patient for entry in found.entries)
        assert len(found.cohort("Ann")) <= len(found.entries)
        found.cohort()

    assert re.fullmatch(r"|\S.*[.\]]", refusal(read))
