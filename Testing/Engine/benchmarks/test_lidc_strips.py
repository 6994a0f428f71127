"""What real readers' strips and volumes become, on some that are made up."""

import csv
import io
import sys
import zipfile

import lidc_volumes
import numpy as np
import pytest
from lidc_readers import most_typical
from lidc_strips import SPACING_MM, WIDTH, nodules, on_model_grid, slices_of_strips
from lidc_volumes import strips_as_cases, volumes_as_cases
from PIL import Image

from diffoseg.cohorts.folder import read_cohort
from diffoseg.cohorts.order_statistics import OF_FOUR

EDGE, SLICES, MM = 112, 3, 0.7
# Pixels that readers 0 to 3 mark in each slice, as the half-width of a square about the middle.
HALF_WIDTHS = (6, 3, 0, 9)


def squares() -> np.ndarray:
    """The bits of four readers: squares of several sizes, the third reader marks nothing."""
    bits = np.zeros((SLICES, EDGE, EDGE), np.uint8)
    for reader, half in enumerate(HALF_WIDTHS):
        bits[:, EDGE // 2 - half : EDGE // 2 + half, EDGE // 2 - half : EDGE // 2 + half] |= (
            half > 0
        ) << reader
    return bits


def as_png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array.reshape(-1, EDGE)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def strips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strips")
    with zipfile.ZipFile(folder / "strips.zip", "w") as file:
        for name in ("a", "b"):
            file.writestr(f"{name}.image.png", as_png(np.full((SLICES, EDGE, EDGE), 100, np.uint8)))
            file.writestr(f"{name}.masks.png", as_png(squares()))
    with zipfile.ZipFile(folder / "volumes.zip", "w") as file:
        ends = np.concatenate([np.zeros((3, EDGE, EDGE), np.uint8), squares()])
        stored = io.BytesIO()
        np.savez(
            stored, hu=np.full(ends.shape, -700, np.int16), masks=ends, spacing_mm=[2.5, MM, MM]
        )
        for name in ("a", "b"):
            file.writestr(f"{name}.npz", stored.getvalue())
    about = [("a", "P1", 3, 2.5), ("b", "P2", 0, -2.5)]  # one was listed from its top
    with (folder / "nodules.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        heads = "nodule patient fold slice_spacing_mm size pixel_spacing_mm series_uid readers"
        rows.writerow([*heads.split(), "mean_margin", "mean_texture", "session_1", "session_3"])
        rows.writerows([*facts, EDGE, MM, "1.2", 3, 2.0, 5.0, "2", "4"] for facts in about)
    with (folder / "slices.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("nodule", "slice", "hu_at_0", "hu_per_step", "hu_exact"))
        rows.writerows((name, k, -1000.0, 5.0, 1) for name, *_ in about for k in range(SLICES))
    return folder


def test_a_nodule_has_its_grey_scale_and_its_drawings_from_the_tightest_to_the_widest(strips):
    (nodule,) = nodules(strips, {3})

    assert nodule.patient == "P1"
    assert np.all(nodule.hu == -500)
    assert [int(d.sum()) for d in nodule.drawings] == [0, *(SLICES * 4 * h**2 for h in (3, 6, 9))]


def test_what_is_learnt_from_are_marked_slices_the_ends_beyond_them_and_bare_surroundings(strips):
    found = slices_of_strips(strips, {3}, seed=0, surroundings=1.0)

    marked = found.masks.any((1, 2, 3))
    assert marked.sum() == SLICES
    assert (~marked).sum() == 2 + 1  # two slices below the nodule, and a part beside it
    assert set(found.patients) == {"P1"}
    assert found.images[marked].mean() == pytest.approx(2 * (1000 - 500) / 1400 - 1, abs=1e-5)
    areas = found.masks[marked].sum((2, 3))[0]
    np.testing.assert_array_equal(areas, 2 * [0, 36, 144, 324])


def test_a_drawing_is_there_by_its_law_and_by_the_person_who_drew_much_in_the_scan(
    strips, monkeypatch
):
    alone = slices_of_strips(strips, {3}, seed=0)
    assert alone.experts == OF_FOUR.names
    assert alone.drawn_by[0].tolist() == [0, 1, 2, 3] * 2

    monkeypatch.setattr("lidc_strips.PERSONAL", 1)
    found = slices_of_strips(strips, {3}, seed=0)
    persons = ("session 2 of 1.2", "session 4 of 1.2")
    assert found.experts == (*OF_FOUR.names, *persons)
    # The smallest drawing is of nobody, then that of reader 1, of reader 0, and of reader 3.
    assert found.drawn_by[0].tolist() == [0, 1, 2, 3, 0, 4, 2, 5]


def test_pixels_are_brought_to_the_models_about_the_same_middle():
    coarse = np.zeros((EDGE, EDGE))
    coarse[EDGE // 2 - 8 : EDGE // 2 + 8, EDGE // 2 - 8 : EDGE // 2 + 8] = 1

    fine = on_model_grid(coarse, 2 * SPACING_MM) > 0.5

    assert fine.shape == (WIDTH, WIDTH)
    assert fine.sum() == pytest.approx(32**2, rel=0.01)
    np.testing.assert_array_equal(fine, fine[::-1, ::-1])


def test_the_most_typical_sample_overlaps_the_others_most_and_is_never_empty():
    drawn = np.zeros((4, 8, 8), bool)
    drawn[0, :2, :2] = True
    drawn[1, :3, :3] = True
    drawn[2, :4, :4] = True

    np.testing.assert_array_equal(most_typical(drawn), drawn[1])
    assert not most_typical(drawn[3:]).any()


@pytest.mark.parametrize("cases", [volumes_as_cases, strips_as_cases])
def test_held_out_nodules_become_cases_of_four_readers_who_are_nobody_elsewhere(strips, cases):
    (case,) = cases(strips, margin_mm=5.0)

    assert (case.patient, case.name) == ("P2", "b")
    assert case.volume.geometry.spacing == (MM, MM, 2.5)
    drawn = sorted(int(mask.sum()) for mask in case.masks.values())
    assert drawn == [0, *(SLICES * 4 * half**2 for half in (3, 6, 9))]
    lower, upper = np.array(case.region.lower), np.array(case.region.upper)
    np.testing.assert_allclose((upper - lower)[:2], 2 * 9 * MM + 2 * 5.0)
    assert case.tags["margin"] == "poor"
    assert case.tags["texture"] == "solid"
    assert case.tags["grey scale"] == "exact"


def test_a_cohort_is_not_written_into_the_repository(strips, monkeypatch, capsys):
    inside = lidc_volumes.REPOSITORY / "runs" / "lidc"
    monkeypatch.setattr(sys, "argv", ["lidc_volumes.py", str(strips), str(inside)])
    with pytest.raises(SystemExit):
        lidc_volumes.main()
    assert "no pixel" in capsys.readouterr().err
    assert not inside.exists()


def test_the_cohort_that_is_written_can_be_read(strips, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lidc_volumes.py", str(strips), str(tmp_path), "--all"])
    assert lidc_volumes.main() == 0
    cohort = read_cohort(tmp_path)
    assert not cohort.persistent_experts
    assert [case.name for case in cohort] == ["b"]
