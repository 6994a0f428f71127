"""Readers who drew each case once: the numbers against definitions, the run, its pages."""

import csv
import gc
import json
import weakref
from dataclasses import astuple, replace
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
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
from diffoseg.evaluation.intervals import interval, patient_weights
from diffoseg.evaluation.metrics import generalized_energy_distance
from diffoseg.evaluation.over_patients import calibration, estimate, of_case, of_slices
from diffoseg.evaluation.page import as_text
from diffoseg.evaluation.reader_volumes import crps
from diffoseg.evaluation.readers import CaseScores, _level_sets, scored
from diffoseg.evaluation.readers_page import sections_of
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
        assert ("Dice" in row) == (len(marking) == 2)
        if len(marking) == 2:
            expected = np.mean([dice(outline, reader) for reader in marking])
            assert row["Dice"] == pytest.approx(expected)
            assert row["Dice of two readers"] == pytest.approx(dice(*marking))


def test_the_rivals_are_judged_as_the_model_is(judged):
    for row in judged[2].slices[::3]:
        readers, _, outline = shown(judged, row)
        near = np.mean([iou(reader, outline) for reader in readers])
        among = np.mean([1 - iou(a, b) for a, b in combinations(readers, 2)])
        assert row["GED_U of one outline"] == pytest.approx(2 * (1 - near) - among)
        assert row["HM-IoU of one outline"] == pytest.approx(near)
        left_out = []
        for one, reader in enumerate(readers):
            others = [other for number, other in enumerate(readers) if number != one]
            cross = np.mean([1 - iou(reader, other) for other in others])
            left_out.append(2 * cross - (1 - iou(*others)))
        assert row["GED_U of one reader"] == pytest.approx(np.mean(left_out))
        assert {"GED_U of level sets", "Dice_soft of level sets"} <= row.keys()


def test_level_sets_are_nested_and_as_likely_as_the_map_says():
    comparison = a_comparison(("A", "B"), samples=400)
    consensus = comparison.results[CONSENSUS]
    sets = _level_sets(consensus, "case")
    sizes = sets.sum((1, 2, 3))
    order = np.argsort(sizes)
    assert all((low <= high).all() for low, high in pairwise(sets[order]))
    assert np.abs(sets.mean(0) - consensus.probability).max() < 0.1
    assert not np.array_equal(sizes, _level_sets(consensus, "another case").sum((1, 2, 3)))


def test_an_expert_is_compared_with_the_reader_of_that_name(judged):
    persons = judged[2].persons
    assert persons["A"]["of A"] == persons["B"]["of B"] == 1
    assert persons["A"]["of consensus"] < 1
    assert persons["A"]["of B"] == persons["B"]["of A"] == persons["A"]["others"] < 1
    assert "C" not in persons  # whom the model does not know
    assert all(row["Dice of each expert"] == 1 for row in judged[2].slices)
    assert judged[2].numbers["presence true"] == pytest.approx(2 / 3)


def test_volumes_overlap_and_surfaces_are_those_of_simpleitk(judged):
    case, comparison, scores = judged
    numbers, outline = scores.numbers, comparison.results[CONSENSUS].mask
    a, b = (crop_to_region(case.masks[name], comparison) for name in "AB")
    voxel = np.prod(WHOLE.spacing) / 1000
    mean = (a.sum() + b.sum()) / 2 * voxel
    assert numbers["volume difference, ml"] == pytest.approx(outline.sum() * voxel - mean)
    assert numbers["log volume ratio"] == pytest.approx(np.log(outline.sum() * voxel / mean))
    ratio = np.log(a.sum() / b.sum())
    assert numbers["log volume ratio of one reader"] == pytest.approx(0)
    assert numbers["log volume ratio of one reader squared"] == pytest.approx(ratio**2)
    overlaps = [judged_by_simpleitk(outline, reader) for reader in (a, b)]
    assert numbers["3-D Dice"] == pytest.approx(np.mean([o[0] for o in overlaps]))
    assert numbers["surface, mm"] == pytest.approx(np.mean([o[1] for o in overlaps]), rel=1e-4)
    between = judged_by_simpleitk(a, b)
    assert numbers["3-D Dice of two readers"] == pytest.approx(between[0])
    assert numbers["surface of two readers, mm"] == pytest.approx(between[1], rel=1e-4)


def judged_by_simpleitk(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return Dice and the mean distance of both surfaces' voxels from each other, mm."""
    images = [sitk.GetImageFromArray(np.pad(m, 1).astype(np.uint8)) for m in (first, second)]
    for image in images:
        image.SetSpacing(WHOLE.spacing)
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*images)
    edges = [image - sitk.BinaryErode(image, [1, 1, 1], sitk.sitkCross) for image in images]
    distances = []
    for own, other in (edges, edges[::-1]):
        to_other = sitk.SignedMaurerDistanceMap(other, squaredDistance=False, useImageSpacing=True)
        inside = sitk.GetArrayFromImage(own) > 0
        distances.append(sitk.GetArrayFromImage(to_other).clip(0)[inside])
    return measure.GetDiceCoefficient(), float(np.concatenate(distances).mean())


def test_the_crps_is_the_area_between_distribution_functions():
    drawn, true = np.array([1.0, 2.0, 4.0]), np.array([3.0, 0.5])
    step = np.linspace(0, 5, 50_001)
    below = (drawn[:, None] <= step).mean(0)
    areas = [np.trapezoid((below - (y <= step)) ** 2, step) for y in true]
    # The area takes pairs of a value with itself; without them they are n / (n - 1) as far apart.
    spread = np.abs(drawn[:, None] - drawn).mean() / 2
    assert crps(drawn, true) == pytest.approx(np.mean(areas) + spread - spread * 3 / 2, abs=1e-3)


def test_presence_of_slices_counts_those_that_nobody_marked(judged):
    case, comparison, scores = judged
    sums = np.array(scores.presence)
    readers = np.stack([crop_to_region(m, comparison) for m in case.masks.values()])
    assert sums[:, 0].sum() == readers.shape[1] > len(scores.slices)
    assert sums[:, 2].sum() == pytest.approx(readers.any((2, 3)).mean(0).sum())


def test_a_case_that_nobody_marked_counts_for_presence_alone():
    comparison = a_comparison(("A", "B"), samples=3)
    empty = {name: np.zeros(WHOLE.size[::-1], bool) for name in "ABC"}
    scores = scored(Case("P", "case", a_volume(), empty), comparison, persistent=True)
    assert not scores.slices
    assert scores.numbers["presence true"] == 0
    assert "volume difference, ml" not in scores.numbers
    assert scores.persons["A"] == {"stated": comparison.results["A"].presence, "marked": 0.0}
    assert "One outline" in as_text(sections_of([scores, scores], 3))


def test_one_reader_alone_is_measured_on_neither_side():
    comparison = a_comparison(("A", "B"), samples=3)
    masks = {name: np.zeros(WHOLE.size[::-1], bool) for name in "ABC"}
    crop_to_region(masks["A"], comparison)[:] = comparison.results["A"].mask
    numbers = scored(Case("P", "case", a_volume(), masks), comparison, persistent=True).numbers
    assert not {"3-D Dice", "surface, mm", "log volume ratio of one reader"} & numbers.keys()
    assert "log volume ratio" in numbers


def test_readers_who_are_nobody_elsewhere_are_compared_as_ranks():
    comparison = a_comparison(OF_FOUR.names, samples=3)
    masks = {}
    for row, name in enumerate(("w", "x", "y", "z")):
        mask = np.zeros(WHOLE.size[::-1], bool)
        crop_to_region(mask, comparison)[:] = comparison.results[OF_FOUR.names[row]].mask
        masks[name] = mask
    case = Case("P", "case", a_volume(), masks)
    scores = scored(case, comparison, persistent=False)
    assert "laws in their order" in scores.numbers
    order = np.argsort([masks[name].sum() for name in masks])
    for rank, reader in enumerate(order):
        truth = crop_to_region(list(masks.values())[reader], comparison)
        law = comparison.results[OF_FOUR.names[rank]].mask
        name = OF_FOUR.names[rank]
        assert scores.persons[name][f"of {name}"] == pytest.approx(dice(law, truth))
    assert set(scores.persons) == set(OF_FOUR.names)


def test_scores_come_back_from_json(judged):
    scores = judged[2]
    assert CaseScores.from_values(json.loads(json.dumps(scores.values()))) == scores


def test_an_estimate_is_the_mean_over_what_there_is_and_its_interval_over_patients():
    cases = [
        CaseScores(
            f"c{n}",
            f"p{n % 5}",
            {},
            {"x": float(n), **({"z": 1.0} if n < 10 else {})},
            ({"y": 1.0}, {"y": 3.0}),
            [[2.0, 1.0, 1.5]],
            [],
            {},
        )
        for n in range(20)
    ]
    found = estimate(cases, of_case("x"))
    assert found is not None
    assert found.value == np.mean(range(20))
    assert found.low < found.value < found.high
    assert estimate(cases, of_slices("y")).value == 2
    assert estimate(cases, of_case("x", beside=["z"])).value == np.mean(range(10))
    assert estimate(cases[:1], of_case("x")) is None
    assert calibration(cases, lambda case: case.calibration).value == pytest.approx(0.25)


def test_patients_are_resampled_with_all_of_their_slices():
    random = np.random.default_rng(0)
    values = {f"p{n}": random.normal(size=1 + n % 4).tolist() for n in range(9)}
    cases = [
        CaseScores("c", patient, {}, {}, tuple({"y": v} for v in of), [], [], {})
        for patient, of in values.items()
    ]
    slices = [(patient, v) for patient, of in values.items() for v in of]
    weights = patient_weights([patient for patient, _ in slices])
    known = np.array([v for _, v in slices])
    expected = interval(known.mean(), weights @ known / weights.sum(1), len(values))
    found = estimate(cases, of_slices("y"))
    assert astuple(found) == pytest.approx(astuple(expected))


def test_limits_of_agreement_are_bland_and_altmans():
    differences = [0.1, -0.2, 0.4, 0.3]
    cases = [
        CaseScores(
            f"c{n}", f"p{n}", {},
            {"presence stated": 0.5, "presence true": 0.5, "readers marking": 3.0,
             **{f"{name}{whose}": d * scale for name in ("volume difference, ml",
                "log volume ratio") for whose, scale in (("", 1), (" of the majority", 2))}},
            (), [], [[1.0, 0.5, 0.5]], {},
        )
        for n, d in enumerate(differences)
    ]  # fmt: skip
    (volumes,) = (s for s in sections_of(cases, 3) if s.title == "Volumes")
    rows = dict(volumes.rows)
    spread = 1.96 * np.std(differences, ddof=1)
    expected = f"{0.15 - spread:.3f} to {0.15 + spread:.3f}"
    assert rows["less the readers' mean, ml: 95 % limits of agreement"][1] == expected
    expected = f"{np.exp(0.15 - spread):.3f} to {np.exp(0.15 + spread):.3f}"
    assert rows["as a multiple of the readers' mean: 95 % limits of agreement"][1] == expected
    assert rows["less the readers' mean, ml: bias"][1].startswith("0.150 [")


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
    write_page(out, "A title", ["A lead"], cases, sections_of(cases, 3))
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


def test_another_case_of_the_same_name_is_scored_anew(cohort, segmenter, tmp_path):
    out = tmp_path / "out"
    before = evaluate_cohort(segmenter, cohort, samples=2, folder=out)
    root = tmp_path / "cohort"
    changed = replace(a_case(1), name="c0", patient="p0")
    entries = [write_case(root, changed, READERS), *cohort.entries[1:]]
    again = write_index(root, entries, READERS, persistent_experts=False)
    after = evaluate_cohort(segmenter, again, samples=2, folder=out)
    assert after[1:] == before[1:]
    assert after[0] != before[0]


def test_the_effort_asked_for_is_made(cohort, segmenter, monkeypatch):
    asked = []
    draw = Segmenter.segment
    monkeypatch.setattr(
        Segmenter,
        "segment",
        lambda self, *a, **options: asked.append(options) or draw(self, *a, **options),
    )
    evaluate_cohort(segmenter, cohort[:1], samples=2, seed=5, steps=1)
    assert asked == [{"samples": 2, "seed": 5, "steps": 1, "preset": "standard", "renewal": 0.0}]


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


def test_persons_who_drew_once_each_are_no_independent_draws(judged):
    """Of two who never overlap a perfect mixture scores -1/2: nobody is drawn by one hand twice."""
    one, other = np.eye(2, dtype=bool)[:, None]
    samples = np.stack([one, other] * 200)
    found = generalized_energy_distance(np.stack([one, other]), samples)
    assert found == pytest.approx((0 - 1) / 2, abs=0.01)  # (within - between) / persons
    of_persons, of_anybody = (
        sections_of([judged[2]], 3, persistent=persistent)[0] for persistent in (True, False)
    )
    assert "below 0" in of_persons.note
    assert "below 0" not in of_anybody.note
    assert len(of_persons.rows) == len(of_anybody.rows) - 2


def test_strata_are_by_size_and_by_tags_that_part_the_cases():
    scores = [
        CaseScores(
            f"c{n}",
            f"p{n}",
            {"margin": "poor" if n % 2 else "sharp", "id": str(n)},
            {"readers' mean, ml": 0.1 * n, "outline, ml": 0.1, "presence stated": 0.5,
             "presence true": 0.5, "readers marking": 4.0, "3-D Dice": 0.8},
            ({"readers marking": 4.0, "GED_U": 0.1, "presence": 0.5},),
            [[1.0, 0.5, 0.5]],
            [[1.0, 0.5, 0.5]],
            {},
        )
        for n in range(12)
    ]  # fmt: skip
    titles = [section.title for section in sections_of(scores, 3)]
    assert titles[-2:] == ["By size", "By margin"]
    poor = sections_of([replace(s, tags={}) for s in scores], 3)
    assert poor[-1].title == "By size"
