"""A cohort on disk: what is written comes back, and an index from outside leads nowhere else."""

import json

import numpy as np
import pytest

from diffoseg.cohorts.case import Case
from diffoseg.cohorts.folder import read_cohort, write_cohort
from diffoseg.errors import InputError
from diffoseg.experts.panel import Expert, ExpertPanel
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.volume import Volume

PANEL = ExpertPanel([Expert("Ärztin 1", "draws wide"), Expert("Expert 2")])
GEOMETRY = Geometry((6, 5, 4), (0.7, 0.8, 2.5), (-10, 20, 30), (0, 1, 0, -1, 0, 0, 0, 0, 1))


def case(name, seed, *, region=None, half=False):
    random = np.random.default_rng(seed)
    array = random.integers(-1000, 500, (4, 5, 6)).astype(np.float32) + (0.5 if half else 0)
    masks = {expert: random.random((4, 5, 6)) > 0.5 for expert in PANEL.names}
    tags = {"nodule": "part-solid", "größe": "klein"}
    return Case(f"P{seed}", name, Volume(array, GEOMETRY, "CT"), masks, region, tags)


@pytest.fixture
def root(tmp_path):
    cases = (
        case(name, seed, region=region, half=half)
        for name, seed, region, half in (
            ("case_1", 1, None, False),
            ("case-2", 2, Box((-12.25, 10, 28), (0, 20, 35)), True),
        )
    )
    write_cohort(tmp_path / "Köln 1", cases, PANEL)
    return tmp_path / "Köln 1"


def edited(root, change):
    facts = json.loads((root / "cohort.json").read_text(encoding="utf-8"))
    change(facts)
    (root / "cohort.json").write_text(json.dumps(facts), encoding="utf-8")


def test_cases_come_back_as_they_were_written(root):
    cohort = read_cohort(root)
    assert len(cohort) == 2
    assert [(e.name, e.description) for e in cohort.experts] == [
        ("Ärztin 1", "draws wide"),
        ("Expert 2", ""),
    ]
    for read, truth in zip(
        cohort,
        (case("case_1", 1), case("case-2", 2, region=cohort[1].region, half=True)),
        strict=True,
    ):
        assert (read.name, read.patient, dict(read.tags)) == (
            truth.name,
            truth.patient,
            dict(truth.tags),
        )
        np.testing.assert_array_equal(read.volume.array, truth.volume.array)
        assert read.volume.array.dtype == np.float32
        assert read.volume.geometry == GEOMETRY
        assert read.volume.modality == "CT"
        assert list(read.masks) == list(PANEL.names)
        for name in PANEL.names:
            np.testing.assert_array_equal(read.masks[name], truth.masks[name])
    assert cohort[0].region is None
    assert cohort[1].region == Box((-12.25, 10, 28), (0, 20, 35))
    assert cohort[-1].name == "case-2"
    assert [c.name for c in cohort[1:]] == ["case-2"]


def test_the_index_is_read_without_any_case(root):
    (root / "case_1" / "image.nrrd").unlink()
    cohort = read_cohort(root)
    assert [entry.patient for entry in cohort.entries] == ["P1", "P2"]
    with pytest.raises(InputError, match=r"no file image\.nrrd"):
        cohort[0]
    assert cohort[1].name == "case-2"


def test_experts_are_those_of_the_first_case_where_none_are_named(tmp_path):
    assert write_cohort(tmp_path, [case("a", 1)]).experts.names == PANEL.names
    with pytest.raises(InputError, match="at least one case"):
        write_cohort(tmp_path, [])


@pytest.mark.parametrize("name", ["..", "../x", "/etc", "a/b", "a\\b", "C:x", "", ".hidden", "x."])
def test_a_name_that_leads_out_of_the_folder_is_refused(root, name):
    edited(root, lambda facts: facts["cases"][0].update(name=name))
    with pytest.raises(InputError, match="cannot be a case's name"):
        read_cohort(root)
    with pytest.raises(InputError, match="cannot be a case's name"):
        write_cohort(root, [case(name, 1)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda facts: facts.update(version=3), "Update DiffOSeg"),
        (lambda facts: facts.update(format="x"), "does not describe"),
        (lambda facts: facts.pop("cases"), "incomplete"),
        (lambda facts: facts.update(cases=[3]), "incomplete"),
        (lambda facts: facts["cases"][0].update(name=3), "incomplete"),
        (lambda facts: facts["cases"][0].update(tags=[]), "incomplete"),
        (lambda facts: facts["cases"][0].update(region={"lower": [1], "upper": [2]}), "incomplete"),
        (lambda facts: facts["cases"][0].update(name="CASE-2"), "share a name"),
        (lambda facts: facts["experts"].append({"name": "x", "description": ""}), None),
    ],
)
def test_a_wrong_index_is_refused(root, change, words):
    edited(root, change)
    if words is None:
        with pytest.raises(InputError, match="Case case_1 lacks the masks of x"):
            read_cohort(root)[0]
    else:
        with pytest.raises(InputError, match=words):
            read_cohort(root)


def test_no_index_and_a_damaged_one_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no cohort\.json"):
        read_cohort(tmp_path)
    (tmp_path / "cohort.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match="damaged"):
        read_cohort(tmp_path)


def test_a_case_that_stops_half_way_leaves_no_index(tmp_path):
    incomplete = case("b", 2)
    incomplete.masks.pop("Expert 2")
    with pytest.raises(InputError, match="needs one mask of each of"):
        write_cohort(tmp_path, [case("a", 1), incomplete], PANEL)
    assert not (tmp_path / "cohort.json").exists()


def rewritten(root, masks, geometry):
    colors = dict.fromkeys(masks, (1.0, 0.0, 0.0))
    write_seg_nrrd(root / "case_1" / "experts.seg.nrrd", masks, geometry, colors=colors)


def test_masks_that_slicer_saved_on_a_part_of_the_grid_are_put_in_their_place(root):
    whole = read_cohort(root)[0].masks
    part = {name: mask[1:3, 2:5, 1:4] for name, mask in whole.items()}
    rewritten(root, part, GEOMETRY.crop((1, 2, 1), (3, 3, 2)))
    for name, mask in read_cohort(root)[0].masks.items():
        truth = np.zeros_like(mask)
        truth[1:3, 2:5, 1:4] = part[name]
        np.testing.assert_array_equal(mask, truth)


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((6, 5, 4), GEOMETRY.spacing, GEOMETRY.origin),
        Geometry((6, 5, 4), (0.7, 0.8, 3.0), GEOMETRY.origin, GEOMETRY.direction),
        Geometry((6, 5, 4), GEOMETRY.spacing, (-10, 20, 31), GEOMETRY.direction),
        GEOMETRY.crop((-1, 0, 0), (6, 5, 4)),
        GEOMETRY.crop((1, 0, 0), (6, 5, 4)),
    ],
)
def test_masks_on_another_grid_than_the_scan_are_refused(root, geometry):
    rewritten(root, dict(read_cohort(root)[0].masks), geometry)
    with pytest.raises(InputError, match="case_1 are not on its scan's voxels"):
        read_cohort(root)[0]
