"""Readers who drew each case once: the numbers against definitions, the run, its pages."""

import csv
import gc
import json
import weakref
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from a_comparison import WHOLE, a_comparison, a_volume
from a_fast_model import a_fast_model

from diffoseg.cohorts.case import Case
from diffoseg.cohorts.folder import write_case, write_index
from diffoseg.cohorts.order_statistics import OF_FOUR
from diffoseg.comparison.measures import crop_to_region
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.errors import CancelledError, InputError
from diffoseg.evaluation.cohort import (
    CASES,
    HTML,
    MARKDOWN,
    SCORES,
    SLICES,
    evaluate_cohort,
    write_page,
)
from diffoseg.evaluation.readers import CaseScores, scored
from diffoseg.evaluation.readers_page import estimate, of_case, of_slices, sections_of
from diffoseg.experts.panel import CONSENSUS, ExpertPanel
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.volume import Volume

READERS = ExpertPanel.of("Reader 1", "Reader 2", "Reader 3")


def iou(first: np.ndarray, second: np.ndarray) -> float:
    union = (first | second).sum()
    return 1.0 if union == 0 else float((first & second).sum() / union)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.fixture(scope="module")
def judged() -> tuple[Case, object, CaseScores]:
    """Three readers: two who drew like the experts A and B, and one who drew nothing."""
    comparison = a_comparison(("A", "B"), samples=3)
    masks = {}
    for name, like in (("A", "A"), ("B", "B"), ("C", None)):
        mask = np.zeros(WHOLE.size[::-1], bool)
        if like:
            crop_to_region(mask, comparison)[:] = comparison.results[like].mask
        masks[name] = mask
    case = Case("P", "case", a_volume(), masks)
    return case, comparison, scored(case, comparison, persistent=True)


def shown(judged, row) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Readers, samples and outline of a slice."""
    case, comparison, _ = judged
    k, consensus = int(row["slice"]), comparison.results[CONSENSUS]
    readers = np.stack([crop_to_region(m, comparison)[k] for m in case.masks.values()])
    return readers, consensus.samples[:, k], consensus.mask[k]


def test_slices_are_those_that_some_reader_marked(judged):
    case, comparison, scores = judged
    marked = crop_to_region(case.masks["A"] | case.masks["B"], comparison).any((1, 2))
    assert [int(row["slice"]) for row in scores.slices] == np.flatnonzero(marked).tolist()
    assert all(row["readers marking"] <= 2 for row in scores.slices)


def test_distances_are_means_over_pairs(judged):
    for row in judged[2].slices[::3]:
        readers, samples, _ = shown(judged, row)
        cross = np.mean([[1 - iou(r, s) for s in samples] for r in readers])
        among = np.mean([1 - iou(a, b) for a, b in combinations(readers, 2)])
        within = np.mean([1 - iou(a, b) for a, b in combinations(samples, 2)])
        assert row["GED_U"] == pytest.approx(2 * cross - among - within)
        assert row["GED_V of 100"] == pytest.approx(row["GED_U"] + among / 3 + within / 100)
        assert row["GED_V"] == pytest.approx(2 * cross - among * 2 / 3 - within * 2 / 3)


def test_matching_is_the_best_of_all_permutations(judged):
    for row in judged[2].slices[::3]:
        readers, samples, _ = shown(judged, row)
        best = max(
            np.mean([iou(r, samples[s]) for r, s in zip(readers, order, strict=True)])
            for order in permutations(range(3))
        )
        assert row["HM-IoU"] == pytest.approx(best)


def test_an_outline_is_compared_with_those_who_marked_and_these_with_each_other(judged):
    for row in judged[2].slices:
        readers, _, outline = shown(judged, row)
        marking = [reader for reader in readers if reader.any()]
        assert ("Dice with a reader" in row) == (len(marking) == 2)
        if len(marking) == 2:
            expected = np.mean([dice(outline, reader) for reader in marking])
            assert row["Dice with a reader"] == pytest.approx(expected)
            assert row["Dice of two readers"] == pytest.approx(dice(*marking))


def test_an_expert_is_compared_with_the_reader_of_that_name(judged):
    numbers = judged[2].numbers
    assert numbers["3-D Dice of A"] == numbers["3-D Dice of B"] == 1
    assert numbers["3-D Dice of the consensus with A"] < 1
    assert "3-D Dice of C" not in numbers
    assert numbers["presence true"] == pytest.approx(2 / 3)


def test_readers_who_are_nobody_elsewhere_are_compared_as_ranks():
    comparison = a_comparison(OF_FOUR.names, samples=3)
    masks = {}
    for row, name in enumerate(("w", "x", "y", "z")):
        mask = np.zeros(WHOLE.size[::-1], bool)
        crop_to_region(mask, comparison)[:] = comparison.results[OF_FOUR.names[row]].mask
        masks[name] = mask
    case = Case("P", "case", a_volume(), masks)
    numbers = scored(case, comparison, persistent=False).numbers
    order = np.argsort([masks[name].sum() for name in masks])
    for rank, reader in enumerate(order):
        truth = crop_to_region(list(masks.values())[reader], comparison)
        law = comparison.results[OF_FOUR.names[rank]].mask
        assert numbers[f"3-D Dice of {OF_FOUR.names[rank]}"] == pytest.approx(dice(law, truth))
    assert "3-D Dice of w" not in numbers


def test_scores_come_back_from_json(judged):
    scores = judged[2]
    assert CaseScores.from_values(json.loads(json.dumps(scores.values()))) == scores


def test_an_estimate_is_the_mean_over_what_there_is_and_its_interval_over_patients():
    cases = [
        CaseScores(f"c{n}", f"p{n % 5}", {}, {"x": float(n)}, ({"y": 1.0}, {"y": 3.0}), [[0.0] * 3])
        for n in range(20)
    ]
    found = estimate(cases, of_case("x"))
    assert found is not None
    assert found.value == np.mean(range(20))
    assert found.low < found.value < found.high
    assert estimate(cases, of_slices("y")).value == 2
    assert estimate(cases[:1], of_case("x")) is None


def a_case(number: int) -> Case:
    geometry = Geometry((24, 22, 4), (1.4, 1.4, 3.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    random = np.random.default_rng(number)
    array = random.normal(-500, 100, (4, 22, 24)).astype(np.float32)
    masks = {}
    for row, name in enumerate(READERS.names):
        mask = np.zeros(array.shape, bool)
        if row < 2 or number % 2:
            mask[1:3, 6 : 14 + row, 6 : 14 + number] = True
        masks[name] = mask
    box = Box((2.0, 2.0, 0.0), (30.0, 28.0, 9.0))
    volume = Volume(array, geometry, "CT", f"c{number}")
    return Case(f"p{number}", f"c{number}", volume, masks, box, {"kind": "odd" * (number % 2)})


@pytest.fixture
def cohort(tmp_path):
    root = tmp_path / "cohort"
    entries = [write_case(root, a_case(number), READERS) for number in range(3)]
    return write_index(root, entries, READERS, persistent_experts=False)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(a_fast_model(), "cpu")


def test_a_page_and_its_numbers_are_written(cohort, segmenter, tmp_path):
    out = tmp_path / "out"
    cases = evaluate_cohort(segmenter, cohort, samples=3, folder=out)
    write_page(out, "A title", ["A lead"], cases)
    text = (out / MARKDOWN).read_text()
    page = (out / HTML).read_text()
    for words in ("A title", "A lead", "GED_U", "Bland-Altman", "By size"):
        assert words in text
        assert words in page
    with (out / CASES).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["c0", "c1", "c2"]
    assert float(rows[0]["presence true"]) == pytest.approx(2 / 3, abs=1e-5)
    with (out / SLICES).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == sum(len(case.slices) for case in cases) == 6


def test_an_evaluation_that_was_stopped_goes_on(cohort, segmenter, tmp_path, monkeypatch):
    whole = evaluate_cohort(segmenter, cohort, samples=2)
    out = tmp_path / "out"

    def stop(done: int, total: int, what: str) -> None:
        if done == 2:
            raise CancelledError("Enough.")

    with pytest.raises(CancelledError):
        evaluate_cohort(segmenter, cohort, samples=2, folder=out, progress=stop)
    with (out / SCORES).open("a") as file:
        file.write('{"case": "c2", "cut o')  # killed while it wrote
    asked = []
    draw = Segmenter.segment
    monkeypatch.setattr(
        Segmenter,
        "segment",
        lambda self, v, *a, **k: asked.append(v.name) or draw(self, v, *a, **k),
    )
    assert evaluate_cohort(segmenter, cohort, samples=2, folder=out) == whole
    assert asked == ["c2"]
    assert evaluate_cohort(segmenter, cohort, samples=2, folder=out) == whole
    assert asked == ["c2"]


def test_a_folder_of_another_evaluation_is_refused(cohort, segmenter, tmp_path):
    evaluate_cohort(segmenter, cohort[:1], samples=2, folder=tmp_path / "out")
    with pytest.raises(InputError, match="another model or other settings"):
        evaluate_cohort(segmenter, cohort[:1], samples=3, folder=tmp_path / "out")


def test_one_sample_is_too_few(cohort, segmenter):
    with pytest.raises(InputError, match="two samples"):
        evaluate_cohort(segmenter, cohort, samples=1)


def test_nothing_of_a_case_is_kept_but_numbers(cohort, segmenter, monkeypatch):
    alive = []
    draw = Segmenter.segment

    def segment(self, volume, *arguments, **options):
        gc.collect()
        assert not any(reference() is not None for reference in alive)
        comparison = draw(self, volume, *arguments, **options)
        alive.extend(map(weakref.ref, (volume, comparison)))
        return comparison

    monkeypatch.setattr(Segmenter, "segment", segment)
    assert len(evaluate_cohort(segmenter, cohort, samples=2)) == 3
    assert len(alive) == 6


def test_strata_are_by_size_and_by_tags_that_part_the_cases():
    scores = [
        CaseScores(
            f"c{n}",
            f"p{n}",
            {"margin": "poor" if n % 2 else "sharp", "id": str(n)},
            {"readers' mean, ml": 0.1 * n, "outline, ml": 0.1, "presence stated": 0.5,
             "presence true": 0.5, "3-D Dice with a reader": 0.8},
            ({"readers marking": 4.0, "GED_U": 0.1, "presence": 0.5},),
            [[1.0, 0.5, 0.5]],
        )
        for n in range(12)
    ]  # fmt: skip
    titles = [section.title for section in sections_of(scores)]
    assert titles[-2:] == ["By size", "By margin"]
    poor = sections_of([replace(s, tags={}) for s in scores])
    assert poor[-1].title == "By size"
