"""What bench.py measured, as Markdown, and the part of Docs/benchmarks.md that shows it.

python Testing/Benchmarks/bench_tables.py      writes that part anew, from the newest results
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import bench_picture
from bench_costs import Record, cases, cost, paper

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "Docs" / "benchmarks.md"
PICTURE = ROOT / "Resources" / "Screenshots" / "quality_and_cost.png"
BEGIN, END = "<!-- bench: written by make bench -->", "<!-- bench: end -->"
FORMAT = 2  # of the records that these tables can read
FEWER_STEPS = 16  # at which the paper's network is put into the table once more


# --- tables ---------------------------------------------------------------------------------------


def tables(record: Record) -> Iterator[str]:
    """Yield Markdown lines about one record."""
    yield _measured_on(record)
    yield ""
    yield from _one_slice(record)
    yield ""
    yield from _the_rest(record)
    yield ""
    yield from _notes(record)


def _measured_on(record: Record) -> str:
    on, scale = record["machine"], record["scale"]
    busy = "" if record["load_before"] is None else f", load {record['load_before']:.2f} before"
    return (
        f"{on['date'][:10]}, {on['device']}, {on['cores']} cores, {on['threads']} threads"
        f" ({', '.join(on['features']) or 'plain instructions'}){busy}; torch {on['torch']};"
        f" commit {on['commit']}. Medians of {scale['runs']} runs, or as many as are said."
    )


def _one_slice(record: Record) -> Iterator[str]:
    scale = record["scale"]
    edge, samples, steps = scale["edge"], scale["samples"][0], scale["paper_steps"]
    experts = len(record["weights"]["experts"])
    title = f"{samples} samples x (consensus + {experts} experts), a slice of {edge} x {edge}"
    yield f"| {title} | steps | seconds | times faster | TFLOP | peak memory |"
    yield "|---|--:|--:|--:|--:|--:|"
    reference = paper(record, steps)
    yield _row("the paper's network and chain, computed: median step x steps", reference, reference)
    fewer = paper(record, min(FEWER_STEPS, steps))
    yield _row("the same network at fewer steps, computed alike", fewer, reference)
    for case, said in (
        ("careful", "fast kind, careful"),
        ("standard", "fast kind, **standard**"),
        ("preview", "fast kind, preview"),
        ("without bfloat16", "standard, as on a processor without bfloat16"),
        ("in tiles", f"standard, in the tiles of {_patch(record)} that the weights are trained at"),
    ):
        for row in cases(record, case):
            yield _row(said + _runs(row, scale["runs"]), cost(row), reference)


def _patch(record: Record) -> str:
    patch = record["weights"]["patch"]
    return f"{patch} x {patch}"


def _row(said: str, spent: Record, reference: Record) -> str:
    ratio = reference["seconds"] / spent["seconds"]
    memory = spent.get("card_peak_memory_mib") or spent["peak_memory_mib"]
    return (
        f"| {said} | {spent['steps']} | {_seconds(spent['seconds'])} | {ratio:,.0f} |"
        f" {spent['flops'] / 1e12:,.3g} | {_memory(memory)} |"
    )


def _seconds(seconds: float) -> str:
    if seconds >= 100:
        return f"{seconds:,.0f}"
    return f"{seconds:.1f}" if seconds >= 10 else f"{seconds:.2f}"


def _memory(mib: int | None) -> str:
    return "–" if not mib else f"{mib:,} MiB"


def _runs(row: Record, usual: int) -> str:
    return "" if row["runs"] == usual else f" ({row['runs']} runs)"


def _the_rest(record: Record) -> Iterator[str]:
    """Yield how long a reader waits for other questions, at the standard preset."""
    scale = record["scale"]
    samples, usual = scale["samples"][1], scale["runs"]
    yield "| standard preset | measured | wanted |"
    yield "|---|--:|--:|"
    for row in cases(record, "one expert"):
        said = f"one expert's {samples} samples of a slice of {_plane(row)}"
        yield f"| {said}{_runs(row, usual)} | {_seconds(row['seconds_median'])} s | about 0.5 s |"
    everyone = len(record["weights"]["experts"]) + 1
    for row in cases(record, "region"):
        said = f"{samples} samples x {everyone} answers in {row['size'][2]} slices of {_plane(row)}"
        plain = "" if row["half"] else ", without bfloat16"
        most = 45 if row["half"] else 90
        took = _seconds(row["seconds_median"])
        yield f"| {said}{plain}{_runs(row, usual)} | {took} s | {most} s |"
    for row in cases(record, "phantom"):
        said = f"the same in {_plane(row)}, of a phantom as it comes"
        yield f"| {said}{_runs(row, usual)} | {_seconds(row['seconds_median'])} s | |"
    yield from _waits(record)
    for row in cases(record, "volume"):
        size, box = (" x ".join(map(str, row[name])) for name in ("size", "region"))
        said = f"peak memory with a volume of {size} voxels, region {box}"
        yield f"| {said} | {_memory(row['peak_memory_mib'])} | 2,000 MB |"


def _waits(record: Record) -> Iterator[str]:
    for row in cases(record, "first"):
        said = f"{row['size'][2]} slice{'s' if row['size'][2] > 1 else ''} of a phantom"
        for state, before in (("cold", row["ready_s"]), ("warm", 0.0)):
            until = row[state]
            times = (until.get("first_progress_s", until["all_s"]), until["first_result_s"])
            start = "a new process" if before else "a running one"
            yield (
                f"| {said}, {start}: first progress, first result |"
                f" {', '.join(_seconds(before + seconds) for seconds in times)} s | |"
            )


def _plane(row: Record) -> str:
    return f"{row['size'][0]} x {row['size'][1]}"


def _notes(record: Record) -> Iterator[str]:
    scale = record["scale"]
    steps = scale["paper_steps"]
    batches = " and ".join(map(str, paper(record, steps)["batches"]))
    (check,) = cases(record, "paper-chain")
    yield (
        f"* The paper's network has its published size, in float32, each stage at its best batch"
        f" ({batches}). Check: one whole chain of {check['steps']} steps took"
        f" {_seconds(check['seconds'])} s, its own median step x {check['steps']} is"
        f" {_seconds(check['seconds_computed'])} s."
    )
    yield (
        f"* The fast kind runs in full, from a volume in memory to masks on its grid (`Segmenter`)."
        f" Presence is made certain, so that every sample is drawn in every slice, which costs"
        f" most. The shipped weights are trained at {_patch(record)} pixels; where they are run at"
        f" {scale['edge']} x {scale['edge']} at once, only the time counts."
    )
    for row in cases(record, "paper-steps", half=True):
        (plain,) = (
            other
            for other in cases(record, "paper-steps", stage=row["stage"], batch=row["batch"])
            if not other.get("half")
        )
        gain = plain["step_seconds_median"] / row["step_seconds_median"]
        yield (
            f"* bfloat16 alone, which the fast kind uses where it is faster, would make the paper's"
            f" network {gain:.1f} times as fast ({row['stage']}, batch {row['batch']})."
        )


# --- the page -------------------------------------------------------------------------------------


def newest(results: Path) -> list[Record]:
    """Return the newest record of every kind of machine, the newest of all first."""
    found: dict[str, Record] = {}
    for path in sorted(results.glob("*.json")):
        records = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(records, list):
            kind = re.sub(r"^\d{4}-\d\d-\d\d-", "", path.stem)
            for record in records:
                if record.get("format") == FORMAT:
                    found[kind] = record
    return sorted(found.values(), key=lambda record: record["machine"]["date"], reverse=True)


def with_section(text: str, section: str) -> str:
    """Return a text with what stands between the two marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page lacks the marks {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{section.strip()}\n{END}{after}"


def renew_page(results: Path, page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Write the newest results of every machine into the page, and draw the picture."""
    records = newest(results)
    parts = ["\n".join(tables(record)) for record in records]
    truth = bench_picture.newest_truth(results)
    points = [] if truth is None or not records else bench_picture.points(records[0], truth)
    if points:
        bench_picture.draw(picture, points, bench_picture.bounds(truth))
        where = Path(os.path.relpath(picture, page.parent)).as_posix()
        parts.append(f"![Quality against steps, seconds and operations]({where})")
        parts.append(bench_picture.caption(records[0], truth))
    text = page.read_text(encoding="utf-8")
    page.write_text(with_section(text, "\n\n".join(parts)), encoding="utf-8")


if __name__ == "__main__":
    renew_page(RESULTS)
    sys.exit(0)
