"""The benchmark's own arithmetic, its tables, and a smoke run of the whole of it."""

import json
import subprocess
import sys
from pathlib import Path

import a_fast_model as fast
import bench
import bench_picture
import bench_tables
import coherence
import numpy as np
import pytest
from bench_costs import paper

from diffoseg.model.stored import save_model

BENCH = Path(bench.__file__)


def a_paper_step(stage: str, batch: int, seconds: float, **more) -> dict:
    return {
        "what": "paper-steps",
        "stage": stage,
        "batch": batch,
        "step_seconds_median": seconds,
        "flops_per_sample_and_step": 10,
        "peak_memory_mib": 100 * batch,
        **more,
    }


def an_answer(case: str, steps: int, seconds: float) -> dict:
    timed = {"seconds_median": seconds, "runs": 10, "steps": steps, "flops": 10**12}
    return {"what": "answers", "case": case, **timed, "peak_memory_mib": 300}


def a_record(date: str = "2026-01-02") -> dict:
    return {
        "format": bench.FORMAT,
        "machine": {
            "date": f"{date}T10:00:00",
            "device": "cpu, abacus",
            "system": "wood-beads",
            "cores": 2,
            "threads": 2,
            "features": ["avx2"],
            "torch": "2",
            "commit": "abc",
        },
        "load_before": 0.12,
        "weights": {"experts": ["Ann", "Bob"], "patch": 64},
        "scale": {"samples": [4, 2], "paper_steps": 250, "edge": 128, "runs": 10},
        "measured": [
            a_paper_step("stage1", 1, 3.0),
            a_paper_step("stage1", 4, 4.0),
            a_paper_step("stage2", 1, 1.0),
            a_paper_step("stage2", 4, 8.0),
            a_paper_step("stage2", 1, 0.5, half=True),
            {"what": "paper-chain", "steps": 250, "seconds": 260.0, "seconds_computed": 250.0},
            an_answer("standard", 8, 3.0),
            an_answer("preview", 1, 0.5),
            an_answer("curve", 2, 1.0),
        ],
    }


def a_truth() -> dict:
    value = {"value": 0.01, "low": 0.005, "high": 0.02}
    scored = {"slices": 6, "patients": 2, "estimates": {"mixture_ged": value}}
    return {
        "measured": "2026-01-03T10:00:00",
        "hash": "0123456789",
        "sections": {
            "main": {"level sets of its first belief": scored, "perfect sampler": scored},
            "curve": {"2 steps": scored, "3 steps": scored},
            "paper": {"the paper's kind, 250 steps": scored},
        },
    }


def test_the_papers_answer_is_every_samples_steps_at_each_stages_best_batch():
    computed = paper(a_record(), 250)

    # One second a sample and step in either stage; 4 samples of the consensus and of two experts.
    assert computed["seconds"] == 250 * 4 * (1 + 2)
    assert computed["flops"] == 10 * 250 * 4 * 3
    assert computed["batches"] == [1, 4]


def test_the_table_gives_the_ratio_to_the_papers_250_steps():
    rows = list(bench_tables.tables(a_record()))

    (standard,) = (row for row in rows if "**standard**" in row)
    assert standard.split(" | ")[1:4] == ["8", "3.00", "1,000"]
    assert "2026-01-02" in rows[0]
    assert "load 0.12" in rows[0]
    assert "abacus" in rows[0]
    assert any("computed: median step x steps" in row for row in rows)


def test_results_are_added_to_and_never_overwritten(tmp_path):
    path = bench.append(a_record(), tmp_path)
    assert bench.append(a_record(), tmp_path) == path

    assert len(json.loads(path.read_text())) == 2


def test_the_page_shows_the_newest_record_of_each_machine(tmp_path):
    old = [{"host": {}, "measured": []}]
    (tmp_path / "2026-01-09-wood-beads-2cores.json").write_text(json.dumps(old))
    bench.append(a_record("2026-01-02"), tmp_path)
    bench.append(a_record("2026-01-04"), tmp_path)

    assert [r["machine"]["date"][:10] for r in bench_tables.newest(tmp_path)] == ["2026-01-04"]


def test_only_the_marked_part_of_the_page_changes(tmp_path):
    page = tmp_path / "Docs" / "page.md"
    page.parent.mkdir()
    page.write_text(f"before\n{bench_tables.BEGIN}\nold\n{bench_tables.END}\nafter\n")
    results = tmp_path / "results"
    results.mkdir()
    bench.append(a_record(), results)
    (results / "truth-1.json").write_text(json.dumps(a_truth()))

    bench_tables.renew_page(results, page, tmp_path / "cost.png")

    text = page.read_text()
    assert text.startswith(f"before\n{bench_tables.BEGIN}\n")
    assert text.endswith(f"{bench_tables.END}\nafter\n")
    assert "old" not in text
    assert "1,000" in text
    assert "(../cost.png)" in text
    assert (tmp_path / "cost.png").stat().st_size > 1000


def test_the_page_has_the_marks():
    text = bench_tables.PAGE.read_text(encoding="utf-8")
    assert "renewed" in bench_tables.with_section(text, "renewed")


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="lacks the marks"):
        bench_tables.with_section("nothing here", "section")


def test_the_picture_holds_what_has_both_a_cost_and_a_quality():
    found = {
        (point.series, point.cost["steps"]) for point in bench_picture.points(a_record(), a_truth())
    }

    assert found == {("fast kind", 2), ("level sets", 1), ("paper's kind", 250)}


@pytest.mark.slow
def test_the_whole_benchmark_runs_at_toy_sizes(tmp_path):
    weights = tmp_path / "fast.safetensors"
    save_model(fast.a_fast_model(), weights)
    before = sorted(bench.RESULTS.iterdir())

    command = [sys.executable, str(BENCH), "--quick", "--weights", str(weights)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=1200)

    assert answer.returncode == 0, answer.stderr
    assert "fast kind, preview" in answer.stdout
    assert "nothing is kept" in answer.stdout
    assert sorted(bench.RESULTS.iterdir()) == before


def test_a_setting_is_measured_in_a_process_of_its_own():
    assert bench.in_its_own_process({"what": "load"}).keys() == {"load"}


def test_slices_that_repeat_do_not_flicker_and_slices_apart_flicker_wholly():
    still = np.zeros((1, 3, 4, 4), bool)
    still[:, :, 1:3, 1:3] = True
    apart = np.zeros((1, 2, 4, 4), bool)
    apart[0, 0, 0], apart[0, 1, 3] = True, True

    assert coherence.flicker(still) == 0
    assert coherence.flicker(apart) == 1
    assert np.isnan(coherence.flicker(np.zeros((2, 3, 4, 4), bool)))


def test_a_gap_is_an_unmarked_slice_between_marked_ones():
    drawings = np.zeros((3, 5, 2, 2), bool)
    drawings[0, [1, 3]] = True  # a gap
    drawings[1, [0, 1]] = True  # none; the third marks nothing at all

    assert coherence.gaps(drawings) == 0.5


def test_flicker_is_compared_phantom_by_phantom():
    truth = np.array([[0.2, 0.9], [0.4, np.nan], [0.6, 0.1]])

    difference = coherence.paired(truth + 0.1, truth)

    assert difference.value == pytest.approx(0.1)
    assert (difference.low, difference.high) == pytest.approx((0.1, 0.1))
