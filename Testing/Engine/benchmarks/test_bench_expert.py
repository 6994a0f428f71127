"""The benchmark of new experts: its arithmetic, its rows, its tables and its picture."""

import json
from functools import cache

import a_fast_model as fast
import bench_expert
import bench_expert_picture
import bench_expert_scores as scores
import bench_expert_swap as swap
import bench_expert_tables as tables
import bench_expert_tasks as tasks
import numpy as np
import pytest
from bench_expert_cohort import Cohort, packed, unpacked
from bench_expert_fit import Taught, mean_expert, teach_rival
from bench_expert_outlines import above_half, best_outlines
from bench_expert_rows import Key, Rows
from bench_expert_summary import agreement, of_pairs, ratio, summary

from diffoseg.comparison.overlap import overlap
from diffoseg.evaluation.phantoms import ModelPredictor
from diffoseg.model.model import Model
from diffoseg.model.presets import LEVEL_SET

IDENTITY = {"format": 1, "weights": "0" * 64, "of": "1" * 64}
KEY = Key("code", 0, 3, 0)


def some_masks(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((*shape, 3, 8, 8)) < 0.3


# --- scores ---------------------------------------------------------------------------------------


def test_dice_of_bits_is_dice_of_masks():
    answers, drawings = some_masks(4), some_masks(4, 5, seed=1)
    answers[0] = drawings[0] = False

    found = scores.dice(packed(answers), packed(drawings))

    expected = [overlap(a[None], d).dice()[0] for a, d in zip(answers, drawings, strict=True)]
    assert found == pytest.approx(np.array(expected))
    assert (found[0] == 1).all()


def test_bits_are_masks_again():
    masks = some_masks(4, 2)
    assert np.array_equal(unpacked(packed(masks), masks.shape[-3:]), masks)


def test_drawings_among_themselves_are_compared_without_themselves():
    drawings = some_masks(2, 3)
    every = [overlap(of, of).dice()[np.triu_indices(3, 1)].mean() for of in drawings]

    assert scores.among_themselves(packed(drawings)) == pytest.approx(np.array(every))


def test_the_distance_of_maps_is_unbiased():
    random = np.random.default_rng(0)
    truth = random.random((1, 2, 4, 4))
    said = np.clip(truth + 0.1, 0, 1)
    drawn = 20

    def once(of: np.ndarray) -> float:
        counts = (random.random((drawn, *truth.shape)) < truth).sum(0)
        return scores.map_distance(of, counts, drawn)

    assert np.mean([once(truth) for _ in range(400)]) == pytest.approx(0, abs=0.02)
    distance = ((said - truth) ** 2).sum()
    assert np.mean([once(said) for _ in range(400)]) == pytest.approx(distance, abs=0.03)


def test_surfaces_a_voxel_apart_agree_within_a_millimetre_and_not_beyond():
    mask = np.zeros((3, 12, 12), bool)
    mask[1, 4:8, 4:8] = True
    moved = np.roll(mask, 1, axis=2)

    assert scores.surface_dice(mask, mask, (2.0, 0.7, 0.7)) == 1
    assert scores.surface_dice(mask, moved, (2.0, 0.7, 0.7)) == 1
    assert scores.surface_dice(mask, moved, (2.0, 1.5, 1.5)) < 1
    assert scores.surface_dice(mask, np.zeros_like(mask), (2.0, 1.0, 1.0)) == 0
    assert scores.surface_dice(~mask & mask, ~mask & mask, (2.0, 1.0, 1.0)) == 1


def test_the_best_outline_has_the_most_dice_of_all_level_sets():
    random = np.random.default_rng(0)
    level = random.random((400, 1, 1, 1, 1))
    drawings = np.sort(random.random((1, 3, 8, 8)).ravel())[::-1].reshape(1, 3, 8, 8) > level
    maps = drawings.mean(0)

    best = best_outlines(maps, drawings.any((1, 2, 3, 4)).mean(keepdims=True))

    bits = packed(drawings[:, 0])[None]
    sets = [maps >= value for value in np.unique(maps)]
    reached = max(scores.dice(packed(of), bits).mean() for of in sets)
    assert scores.dice(packed(best), bits).mean() == pytest.approx(reached, abs=0.02)
    assert scores.dice(packed(above_half(maps)), bits).mean() < reached + 1e-9


def test_nothing_is_outlined_where_nothing_is_likelier_right():
    maps = np.full((2, 1, 4, 4), 0.1)

    best = best_outlines(maps, np.array([0.1, 1.0]))

    assert not best[0].any()
    assert best[1].all()


# --- rows -----------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_after_its_last_whole_row(tmp_path):
    rows = Rows(tmp_path, IDENTITY)
    rows.add(KEY, {"best": 0.5})
    (path,) = tmp_path.iterdir()
    with path.open("a") as file:
        file.write('{"key": ["code", 1')

    assert list(rows.read()) == [KEY]
    rows.add(KEY._replace(expert=1), {"best": 0.6})

    assert [row["best"] for row in rows.read().values()] == [0.5, 0.6]


def test_a_file_killed_within_its_first_line_begins_anew(tmp_path):
    Rows(tmp_path, IDENTITY).add(KEY, {"best": 0.5})
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:10])

    Rows(tmp_path, IDENTITY).add(KEY, {"best": 0.7})

    assert [row["best"] for row in Rows(tmp_path, IDENTITY).read().values()] == [0.7]


def test_what_two_processes_measured_counts_once(tmp_path):
    for part in ("1-of-2", "2-of-2"):
        Rows(tmp_path, IDENTITY, part).add(KEY, {"best": 0.5})

    assert len(Rows(tmp_path, IDENTITY).read()) == 1


def test_rows_of_other_settings_are_left_alone(tmp_path):
    Rows(tmp_path, IDENTITY).add(KEY, {"best": 0.5})

    assert Rows(tmp_path, {**IDENTITY, "of": "2" * 64}).read() == {}


class Counting:
    def __init__(self) -> None:
        self.asked: list[Key] = []

    def measure(self, key: Key) -> dict:
        self.asked.append(key)
        return {"best": 0.5}


def test_only_what_is_missing_is_measured(tmp_path):
    keys = [KEY._replace(draw=draw) for draw in range(4)]
    rows, bench = Rows(tmp_path, IDENTITY), Counting()
    rows.add(keys[1], {"best": 0.1})

    bench_expert.measure(bench, rows, iter(keys), minutes=1)
    bench_expert.measure(bench, rows, iter(keys), minutes=1)

    assert bench.asked == [keys[0], keys[2], keys[3]]


def test_nothing_is_begun_after_the_time_is_up(tmp_path):
    bench = Counting()

    bench_expert.measure(bench, Rows(tmp_path, IDENTITY), iter([KEY]), minutes=0)

    assert bench.asked == []


def test_no_measurement_is_planned_twice_and_the_first_draw_covers_everyone():
    planned = list(tasks.tasks(experts=3, draws=2))

    assert len(set(planned)) == len(planned)
    later = [key.draw == 1 for key in planned]
    assert later == sorted(later)
    assert sum(key.method == "code" and key.k in tasks.KS for key in planned) == 3 * 2 * 6


# --- at toy sizes ---------------------------------------------------------------------------------


@cache
def a_cohort() -> Cohort:
    metadata = fast.a_fast_model().metadata
    return Cohort(metadata, count=2, tests=2, lessons=4, drawn=6)


def a_bench() -> tasks.Bench:
    def start(model: Model, cases: list, name: str) -> Taught:
        taught = model.with_experts([mean_expert(model, name)])
        return Taught(taught, model.known, 1.0, 0.1, taught.local[0])

    return tasks.Bench(fast.a_fast_model(), a_cohort(), start)


def test_answers_are_the_products_probability():
    bench = a_bench()
    phantom, model = bench.cohort.tests[0], bench.base
    product = ModelPredictor(model, 1, LEVEL_SET)
    row = len(phantom.images) // 2
    for expert, said in zip(("consensus", *model.experts), bench.everyone, strict=True):
        product.samples(phantom.images[row], expert, 1, 0)
        shown = product.probability(phantom.images[row], expert)
        assert said.maps[0, row] == pytest.approx(shown, abs=2e-3)


def test_the_start_of_every_fit_scores_as_its_own_measurement():
    bench = a_bench()

    mean, code = (bench.measure(Key(method, 0, k, 0)) for method, k in (("mean", 0), ("code", 2)))

    assert all(mean[name] == code[name] for name in ("best", "half", "map", "nsd", "volume"))
    assert len(code["code"]) == 4
    assert code["nearest"] in (0, 1)
    assert bench.measure(Key("timed", 0, 2, 0)) == {"seconds": 1.0, "loading": 0.1}


def test_bounds_are_one_experts_own():
    bounds = a_bench().measure(Key("bounds", 1, 0, 0))

    assert bounds["ceiling"]["map"] == 0 > bounds["consensus"]["map"]
    assert len(bounds["known"]) == 2
    assert 0 <= bounds["another"] <= 1


def test_cases_of_a_draw_are_the_first_of_more_and_the_first_is_marked():
    cohort = a_cohort()
    for expert, draw in ((0, 0), (1, 3)):
        chosen = cohort.chosen(expert, draw, 4)
        assert sorted(chosen) == [0, 1, 2, 3]
        assert cohort.chosen(expert, draw, 2) == chosen[:2]
        assert cohort.lesson(expert, chosen[0]).any()


def test_an_expert_draws_the_same_in_any_process_and_order():
    again = Cohort(a_cohort().metadata, count=1, tests=2, lessons=4, drawn=6)

    for cohort in (again, a_cohort()):
        assert np.array_equal(cohort.truth(0).drawings, a_cohort().truth(0).drawings)
    (one,), (other,) = again.cases(0, 0, 1), a_cohort().cases(0, 0, 1)
    assert np.array_equal(one.masks["Unseen 1"], other.masks["Unseen 1"])


@pytest.mark.parametrize(("rival", "changed"), [("biases", "bias"), ("all weights", "")])
def test_a_rival_changes_a_copy_of_the_network_and_only_what_it_says(rival, changed):
    bench = a_bench()
    before = {name: values.clone() for name, values in bench.base.fast.state_dict().items()}

    taught = teach_rival(bench.base, bench.cohort.cases(0, 0, 2), "Unseen 1", rival, limit=0.1)

    assert all(
        (values == before[name]).all() for name, values in bench.base.fast.named_parameters()
    )
    moved = [
        name
        for name, values in taught.model.fast.named_parameters()
        if name != "codes" and not (values == before[name]).all()
    ]
    assert moved
    assert all(name.endswith(changed) for name in moved)


def test_experts_are_swapped_by_the_codes_that_were_kept():
    bench = a_bench()
    rows = {key: bench.measure(key) for key in (Key("code", e, 3, 0) for e in range(2))}

    found = swap.swaps(bench.base, bench.cohort, rows)

    assert list(found) == ["3"]
    assert found["3"]["learnt"][0] == 0  # both have the mean's code


# --- what is said of them -------------------------------------------------------------------------


def a_score(value: float, **more) -> dict:
    measured = {"best": value, "half": value - 0.05, "map": 10 * value - 10, "nsd": value}
    return {**measured, "volume": [10.0, 200.0], **more}


def some_rows(experts: int = 4) -> dict[Key, dict]:
    """Consensus at .5 and exact map at .7 for everyone; two draws, k cases reach .6 and .65."""
    rows: dict[Key, dict] = {}
    for e in range(experts):
        rows[Key("bounds", e, 0, 0)] = {
            "ceiling": {**a_score(0.7), "map": 0.0},
            "reread": 0.6,
            "another": 0.4,
            "consensus": a_score(0.5),
            "known": [a_score(0.3), a_score(0.55)],
        }
        rows[Key("mean", e, 0, 0)] = a_score(0.5)
        taught = {"nearest": 1, "verdict": "use", "seconds": 4.0, "loading": 0.1}
        for k in tasks.KS:
            rows[Key("code", e, k, 0)] = a_score(0.6, **taught)
            rows[Key("code", e, k, 1)] = a_score(0.498 if e == 0 else 0.7, **taught)
            rows[Key("timed", e, k, 0)] = {"seconds": 4.0 + e, "loading": 0.1}
        rows[Key("code", e, tasks.MANY, 0)] = a_score(0.69, **taught)
        rows[Key("biases", e, 3, 0)] = a_score(0.55, **taught)
        rows[Key("energy", e, 3, 0)] = {"ged": 0.1, "ged_consensus": 0.2, "ged_same": 0.0}
    return rows


def a_record() -> dict:
    return {
        "format": tables.FORMAT,
        "measured": "2026-01-02T10:00:00",
        "machine": {"device": "cpu, abacus", "threads": 2},
        "load_before": 0.1,
        "weights": {"title": "x", "hash": "0123456789"},
        "tests": 24,
        **summary(some_rows()),
        "swap": {"3": {"experts": 4, "learnt": [0.9, 0.8, 1.0], "learnt_columns": 0.5}},
    }


def whole(record: dict) -> dict:
    record["swap"]["3"].update(perfect=[1.0, 1.0, 1.0], perfect_columns=1.0)
    return record


def test_the_gap_closed_is_a_ratio_of_means_over_experts():
    three = summary(some_rows())["curve"]["3"]

    # Draws of .6 and .7 mean .65 for three experts; .6 and .498 mean .549 for one.
    assert three["best"]["gap"][0] == pytest.approx((3 * 0.15 + 0.049) / (4 * 0.2))
    assert three["best"]["gap_median"] == pytest.approx(0.75)
    assert three["best"]["experts_closed"] == 0.75
    assert three["best"]["value"][0] == pytest.approx((3 * 0.65 + 0.549) / 4)
    assert (three["experts"], three["fits"]) == (4, 8)


def test_fits_below_the_consensus_are_counted_by_expert_and_draw():
    three = summary(some_rows())["curve"]["3"]

    assert three["best"]["below"][0] == pytest.approx(1 / 8)
    assert three["best"]["below_much"][0] == 0


def test_the_known_expert_chosen_on_the_cases_is_scored_on_the_test():
    assert summary(some_rows())["curve"]["3"]["best"]["nearest"]["value"][0] == pytest.approx(0.55)


def test_a_rival_stands_beside_the_code_of_the_same_cases():
    (rival,) = summary(some_rows())["rivals"]

    assert (rival["rival"], rival["k"], rival["experts"]) == ("biases", 3, 4)
    assert rival["best"]["gap"][0] == pytest.approx(0.25)
    assert rival["code"]["best"]["gap"][0] == pytest.approx(0.5)


def test_bounds_have_their_own_place_in_the_gap():
    bounds = summary(some_rows())["bounds"]["best"]

    gaps = {name: of["gap"][0] for name, of in bounds.items() if "gap" in of}
    assert gaps == pytest.approx({"consensus": 0, "ceiling": 1, "nearest": 0.25})
    assert bounds["reread"] == {"value": pytest.approx([0.6, 0.6, 0.6])}


def test_an_unfinished_run_is_summed_up_too():
    rows = {key: row for key, row in some_rows().items() if key.method in ("bounds", "mean")}

    found = summary(rows)

    assert list(found["curve"]) == ["0"]
    assert found["rivals"] == []
    assert found["energy"] == found["timed"] == {}


def test_limits_of_agreement_pool_all_differences():
    volumes = np.random.default_rng(0).normal(3, 2, (50, 24))
    rows = [[of.mean(), (of**2).mean()] for of in volumes]

    bias, low, high = agreement(rows)

    assert bias == pytest.approx(volumes.mean())
    assert (low, high) == pytest.approx(volumes.mean() + np.array([-1, 1]) * 1.96 * volumes.std())


def test_an_interval_holds_its_value_and_is_narrow_where_experts_agree():
    value, low, high = ratio(np.array([1.0, 2, 3, 4]), np.ones(4))
    assert low < value == 2.5 < high
    assert ratio(np.full(4, 2.0), np.full(4, 4.0)) == pytest.approx([0.5, 0.5, 0.5])


def test_the_diagonal_of_a_swap_is_compared_within_its_column():
    table = np.array([[0.9, 0.8, 0.1], [0.5, 0.7, 0.1], [0.5, 0.6, 0.2]])

    # Column 1 loses one of its two pairs.
    assert of_pairs(swap.beaten(table))[0] == pytest.approx(5 / 6)
    assert swap.columns_won(table).tolist() == [True, False, True]


# --- shown ----------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_every_number_of_cases():
    rows = list(tables.tables(whole(a_record())))

    (three,) = (row for row in rows if row.startswith("| 3 |"))
    assert "62 %" in three
    assert "5.5, at most 7.0" in three
    assert any("all biases" in row and "25 %" in row and "50 %" in row for row in rows)
    assert any("90.0 %" in row for row in rows)
    assert "| gap closed | 70 % | 62 %" in "\n".join(rows)
    assert "are not below the consensus | 95 % | 88 %" in "\n".join(rows)


def test_only_the_marked_part_of_the_page_changes(tmp_path):
    page = tmp_path / "Docs" / "page.md"
    page.parent.mkdir()
    page.write_text(f"before\n{tables.BEGIN}\nof before\n{tables.END}\nafter\n")
    bench_expert.write(whole(a_record()), tmp_path)
    bench_expert.write({**whole(a_record()), "measured": "2026-01-01", "tests": 7}, tmp_path)

    tables.renew_page(tmp_path, page, tmp_path / "few.png")

    text = page.read_text()
    assert text.startswith(f"before\n{tables.BEGIN}\n")
    assert text.endswith(f"{tables.END}\nafter\n")
    assert "of before" not in text
    assert "24 test phantoms" in text
    assert "(../few.png)" in text
    assert (tmp_path / "few.png").stat().st_size > 1000


def test_the_page_has_the_marks():
    text = tables.PAGE.read_text(encoding="utf-8")
    assert "renewed" in tables.with_section(text, "renewed")


def test_the_picture_rises_with_the_number_of_cases():
    curves = bench_expert_picture.curves(a_record(), "best", "gap")

    assert [k for k, _ in curves[bench_expert_picture.CODE]] == [0, *tasks.KS, tasks.MANY]
    assert curves[bench_expert_picture.CHOSEN][0] == (1, pytest.approx([0.25, 0.25, 0.25]))


def test_a_report_can_be_written_as_json(tmp_path):
    path = bench_expert.write(whole(a_record()), tmp_path)
    assert json.loads(path.read_text())["curve"].keys() == a_record()["curve"].keys()
