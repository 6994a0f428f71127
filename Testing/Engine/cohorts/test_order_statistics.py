"""Tightest to widest of four: laws whose mixture is the law of the four drawings."""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from diffoseg.cohorts.case import Case
from diffoseg.cohorts.folder import read_cohort, write_case, write_cohort, write_index
from diffoseg.cohorts.order_statistics import OF_FOUR, OrderStatisticsCohort, order_statistics
from diffoseg.errors import InputError
from diffoseg.experts.panel import ExpertPanel
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume

READERS = ("Session 1", "Session 2", "Session 3", "Session 4")
GEOMETRY = Geometry((4, 1, 1))


def a_case(*drawings, name="case", patient="P", lesions=None):
    """Return a case of four voxels in a row, drawn as texts such as "##.."."""
    masks = [np.array([[[sign != "." for sign in drawing]]]) for drawing in drawings]
    numbers = None
    if lesions:
        rows = (np.array([[[int(n) for n in row]]], np.uint8) for row in lesions)
        numbers = dict(zip(READERS, rows, strict=True))
    return Case(
        patient,
        name,
        Volume(np.zeros((1, 1, 4), np.float32), GEOMETRY, "CT", name),
        dict(zip(READERS, masks, strict=True)),
        tags={"scan": f"1.2.{patient}"},
        lesions=numbers,
    )


def as_text(mask):
    return "".join("#" if marked else "." for marked in mask.ravel())


def ranked(*drawings, **options):
    return [as_text(m) for m in order_statistics(a_case(*drawings, **options)).values()]


def test_drawings_are_ranked_by_volume():
    assert ranked("##..", "#...", "####", ".##.")[::3] == ["#...", "####"]
    assert tuple(order_statistics(a_case("#...", "##..", "###.", "####"))) == OF_FOUR.names


def test_who_did_not_draw_counts_as_empty():
    assert ranked("....", "##..", "....", "....") == ["....", "....", "....", "##.."]


def test_the_mixture_is_exactly_the_law_of_the_four_drawings():
    texts = ["".join(signs) for signs in product(".#", repeat=2)]
    for drawings in product([f"{text}.." for text in texts], repeat=4):
        assert Counter(ranked(*drawings)) == Counter(drawings), drawings


def test_volumes_never_fall_from_the_tightest_to_the_widest():
    for drawings in product(("....", "#...", ".##.", "####"), repeat=4):
        volumes = [text.count("#") for text in ranked(*drawings)]
        assert volumes == sorted(volumes)


def test_ties_are_broken_by_chance_evenly_and_the_same_way_every_time():
    drawings = ("#...", ".#..", "..#.", "...#")
    found = Counter()
    for number in range(800):
        first = ranked(*drawings, name=f"case-{number}")
        assert ranked(*drawings, name=f"case-{number}") == first
        found[first[0]] += 1
    assert set(found) == set(drawings)
    assert all(abs(count - 200) < 60 for count in found.values())
    seeds = {as_text(order_statistics(a_case(*drawings), s)["Widest of four"]) for s in range(60)}
    assert len(seeds) == 4


def test_each_lesion_is_ranked_by_itself():
    found = ranked(
        "#.##", "##.#", "....", "##..", lesions=("1022", "1102", "0000", "1100"), name="two"
    )
    assert found[0] == "...."
    assert found[3] == "####"  # the widest of the left one and the widest of the right one
    left, right = zip(*((text[:2], text[2:]) for text in found), strict=True)
    assert Counter(left) == Counter(["#.", "##", "..", "##"])
    assert Counter(right) == Counter(["##", ".#", "..", ".."])


def test_it_takes_four_readers():
    case = a_case("#...", "##..", "###.", "####")
    three = replace(case, masks={name: case.masks[name] for name in READERS[:3]})
    with pytest.raises(InputError, match="drawn by 3 readers"):
        order_statistics(three)


def test_they_say_of_themselves_that_they_are_no_persons():
    assert [e.name for e in OF_FOUR] == [
        "Tightest of four", "Tighter of four", "Wider of four", "Widest of four",
    ]  # fmt: skip
    assert all(e.description.startswith("A law, not a person") for e in OF_FOUR)


CASES = (
    a_case("#...", "##..", "....", "####", name="a", patient="P"),
    a_case("#.##", "##.#", "....", "##..", name="b", patient="Q",
           lesions=("1022", "1102", "0000", "1100")),
)  # fmt: skip


@pytest.fixture
def a_cohort(tmp_path):
    panel = ExpertPanel.of(*READERS)
    entries = [write_case(tmp_path, case, panel) for case in CASES]
    write_index(tmp_path, entries, panel, persistent_experts=False)
    return tmp_path


def test_a_cohort_says_that_its_experts_are_not_persistent_and_its_lesions_come_back(a_cohort):
    found = read_cohort(a_cohort)
    assert not found.persistent_experts
    assert not found[:1].persistent_experts
    assert found[0].lesions is None
    for name in READERS:
        np.testing.assert_array_equal(found[1].lesions[name], CASES[1].lesions[name])


def test_a_cohort_written_as_ever_is_of_persons(tmp_path):
    plain = [replace(case, lesions=None) for case in CASES]
    assert write_cohort(tmp_path, plain).persistent_experts
    assert '"version": 1' in (tmp_path / "cohort.json").read_text()
    assert "persistent" not in (tmp_path / "cohort.json").read_text()
    cohort = read_cohort(tmp_path)
    assert cohort.persistent_experts
    with pytest.raises(InputError, match="the same persons throughout"):
        OrderStatisticsCohort(cohort, readers_too=False)


def test_the_readers_of_each_scan_follow_under_names_of_their_own(a_cohort):
    found = OrderStatisticsCohort(read_cohort(a_cohort), readers_too=True)
    assert found.experts is OF_FOUR
    for case, truth in zip(found, CASES, strict=True):
        names = tuple(case.masks)
        assert names[:4] == OF_FOUR.names
        assert names[4:] == tuple(f"{reader} of scan 1.2.{case.patient}" for reader in READERS)
        for name, reader in zip(names[4:], READERS, strict=True):
            np.testing.assert_array_equal(case.masks[name], truth.masks[reader])
    alone = OrderStatisticsCohort(read_cohort(a_cohort), readers_too=False)[1:]
    assert [tuple(case.masks) for case in alone] == [OF_FOUR.names]


def test_lesions_of_another_case_are_refused(a_cohort):
    lesions = a_cohort / "b" / "lesions.nrrd"
    lesions.write_bytes((a_cohort / "b" / "image.nrrd").read_bytes())
    with pytest.raises(InputError, match="does not fit"):
        read_cohort(a_cohort)[1]
