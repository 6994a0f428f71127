"""Training slices: what is kept, how patients are split, and batches that a counter names."""

from dataclasses import replace

import numpy as np
import pytest

from diffoseg.cohorts.case import Case
from diffoseg.errors import InputError
from diffoseg.space.geometry import Geometry
from diffoseg.space.intensity import IntensityMapping
from diffoseg.space.volume import Volume
from diffoseg.training.slices import SliceSet, draw_batch, slices_of

SPACING = 0.7


def a_case(patient: str, marked: range, experts: tuple[str, ...] = ("A", "B")) -> Case:
    random = np.random.default_rng(len(patient))
    array = random.uniform(-900, 0, (9, 24, 24)).astype(np.float32)
    masks = {}
    for number, name in enumerate(experts):
        mask = np.zeros(array.shape, bool)
        for position in marked:
            mask[position, 8 : 12 + number, 8:12] = True
        masks[name] = mask
    geometry = Geometry(
        (24, 24, 9), (SPACING, SPACING, 2.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1)
    )
    return Case(patient, f"case-{patient}", Volume(array, geometry, "CT"), masks)


def slices(*cases: Case, edge: int = 24) -> SliceSet:
    mapping = IntensityMapping("window", -1000.0, 0.0)
    return slices_of(cases, spacing_mm=SPACING, intensity=mapping, edge=edge)


def a_set(patients: int = 10) -> SliceSet:
    return slices(*[a_case(f"p{number}", range(3, 6)) for number in range(patients)])


def test_every_marked_slice_and_the_empty_ones_next_to_them_are_kept():
    found = slices(a_case("p", range(3, 6)))

    assert found.positions.tolist() == [2, 3, 4, 5, 6]
    assert found.masks.any((1, 2, 3)).tolist() == [False, True, True, True, False]


def test_slices_on_the_grid_of_the_volume_are_its_own_voxels():
    case = a_case("p", range(3, 6))

    found = slices(case)

    expected = case.volume.array[4] / 500 + 1
    np.testing.assert_allclose(found.images[2, 0], expected, atol=1e-5)
    np.testing.assert_array_equal(found.masks[2, 1], case.masks["B"][4])


def test_no_patient_is_in_training_and_validation():
    training, held_out = a_set().split(0.3, seed=4)

    assert not set(training.patients) & set(held_out.patients)
    assert len(set(held_out.patients)) == 3
    assert len(training) + len(held_out) == len(a_set())


def test_a_cohort_of_one_patient_cannot_be_split():
    with pytest.raises(InputError, match="two patients"):
        slices(a_case("p", range(3, 6))).split(0.1, seed=0)


def test_a_case_with_fewer_experts_is_refused_by_name():
    with pytest.raises(InputError, match="case-q"):
        slices(a_case("p", range(3)), a_case("q", range(3), experts=("A",)))


def test_other_experts_of_other_cases_are_known_by_their_place_among_all():
    found = slices(a_case("p", range(3)), a_case("q", range(3), experts=("C", "A")))

    assert found.experts == ("A", "B", "C")
    named = [[found.experts[place] for place in row] for row in found.drawn_by]
    assert named == [["A", "B"] if patient == "p" else ["C", "A"] for patient in found.patients]


def test_where_a_column_has_to_be_an_expert_cases_by_other_experts_are_refused():
    assert a_set().of_the_same_experts().experts == ("A", "B")
    with pytest.raises(InputError, match="3 experts"):
        slices(
            a_case("p", range(3)), a_case("q", range(3), experts=("A", "C"))
        ).of_the_same_experts()


def test_the_same_iteration_always_draws_the_same_batch_and_the_next_another():
    found = a_set()

    first, again, other = (
        draw_batch(found, iteration, size=4, edge=16, seed=2) for iteration in (5, 5, 6)
    )

    np.testing.assert_array_equal(first.images, again.images)
    assert first.random.integers(2**31) == again.random.integers(2**31)
    assert not np.array_equal(first.images, other.images)


def test_a_batch_turns_and_shifts_image_and_masks_together():
    found = a_set()
    copied = replace(found, images=found.masks[:, :1].astype(np.float32))

    batch = draw_batch(copied, 0, size=32, edge=16, seed=0)

    np.testing.assert_array_equal(batch.images[:, 0], batch.masks[:, 0])
    assert len({mask.tobytes() for mask in batch.masks[:, 0]}) > 8


def test_without_a_region_it_is_looked_where_anyone_marked_and_not_in_the_middle():
    case = a_case("p", range(3, 6))
    far = {name: np.zeros_like(mask) for name, mask in case.masks.items()}
    far["A"][3:5, 0:3, 0:4] = True
    far["B"][6, 20:23, 21:24] = True

    found = slices(replace(case, masks=far), edge=16)

    marked = found.masks.any((2, 3))
    assert sorted(found.positions[marked[:, 0]]) == [3, 4]
    assert sorted(found.positions[marked[:, 1]]) == [6]
    assert found.images.shape[2:] == (16, 16)


def test_the_first_experts_drawings_can_be_taken_alone():
    found = slices(
        a_case("p", range(3), experts=("A", "B", "C")),
        a_case("q", range(3), experts=("A", "B", "D")),
    )
    first = found.drawn_by_first(2)
    assert first.experts == ("A", "B")
    np.testing.assert_array_equal(first.masks, found.masks[:, :2])
    assert np.unique(first.drawn_by).tolist() == [0, 1]


def test_who_drew_other_slices_only_is_forgotten_and_the_first_ones_never():
    found = slices(
        a_case("p", range(3), experts=("A", "B", "C")),
        a_case("q", range(3), experts=("A", "B", "D")),
    )
    rows = [row for row, patient in enumerate(found.patients) if patient == "q"]
    part = found.take(rows).without_strangers(2)
    assert part.experts == ("A", "B", "D")
    assert {tuple(row) for row in part.drawn_by.tolist()} == {(0, 1, 2)}
    assert found.take(rows).without_strangers(3).experts == ("A", "B", "C", "D")
