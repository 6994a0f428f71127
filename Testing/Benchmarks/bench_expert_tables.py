"""What bench_expert.py measured, as Markdown, and the part of Docs/benchmarks.md that shows it.

python Testing/Benchmarks/bench_expert_tables.py     writes that part anew, from the newest results
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import bench_expert_picture
from bench_expert_rows import Record
from bench_expert_summary import WANTED

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "Docs" / "benchmarks.md"
PICTURE = ROOT / "Resources" / "Screenshots" / "few_shot.png"
BEGIN, END = "<!-- bench-expert: written by make bench-expert -->", "<!-- bench-expert: end -->"
FORMAT = 1  # of the records that these tables can read
MANY = "100"


def tables(record: Record) -> Iterator[str]:
    """Yield Markdown lines about one record."""
    yield _measured_on(record)
    yield ""
    yield from _targets(record)
    yield ""
    yield from _curve(record)
    yield ""
    yield from _beside(record)
    yield ""
    yield from _notes(record)


def _measured_on(record: Record) -> str:
    return (
        f"{record['measured'][:10]}, weights `{record['weights']['hash'][:8]}`,"
        f" {record['experts']} experts whom no training has seen, {record['tests']} test phantoms,"
        " each drawn 8 times by each expert. *Dice* is that of the best outline, cut from a"
        " probability map where its own expected Dice is highest; *gap closed* runs from the"
        " consensus (0) to the expert's exact map (1); *of the map* is the same of the squared"
        " distance of the maps, a proper score; [ ] is a 95 % interval over experts."
    )


def _targets(record: Record) -> Iterator[str]:
    """Yield what was wanted of three cases, and what came of it, as far as it is measured."""
    yield "| with three cases | wanted | measured |"
    yield "|---|--:|---|"
    three, timed = record["curve"].get("3"), record["timed"].get("3")
    if three is not None:
        best = three["best"]
        yield f"| gap closed | {100 * WANTED:.0f} % | {_percent(best['gap'])} |"
        kept = [1 - best["below"][0], 1 - best["below"][2], 1 - best["below"][1]]
        yield f"| draws of cases that are not below the consensus | 95 % | {_percent(kept)} |"
    if "3" in record["swap"]:
        won = _percent(record["swap"]["3"]["learnt"])
        yield f"| pairs of experts told apart when swapped | 95 % | {won} |"
    if timed is not None:
        yield f"| seconds of a fit | 10 | {_seconds(timed)} |"


def _curve(record: Record) -> Iterator[str]:
    yield (
        "| cases | gap closed | of the median expert | experts at 70 % | of the map | Dice |"
        " below the consensus | by more than .005 | Dice above one half | NSD at 1 mm |"
        " volume less the expert's, mm³ [limits of agreement] | seconds a fit | fits |"
    )
    yield "|--:|---|--:|--:|---|---|--:|--:|--:|--:|---|--:|--:|"
    for k, row in record["curve"].items():
        name = "0, mean of the known experts" if k == "0" else k
        best = row["best"]
        yield (
            f"| {name} | {_percent(best['gap'])} | {_share([best['gap_median']])} |"
            f" {_share([best['experts_closed']])} |"
            f" {_percent(row['map']['gap'])} | {_dice(best['value'])} | {_share(best['below'])} |"
            f" {_share(best['below_much'])} | {row['half']['value'][0]:.3f} |"
            f" {row['nsd'][0]:.3f} | {_volume(row['volume'])} |"
            f" {_seconds(record['timed'].get(k))} | {row['fits']:,} |"
        )


def _beside(record: Record) -> Iterator[str]:
    yield (
        "| for comparison | cases | gap closed | of the map | Dice | Dice above one half |"
        " gap closed by the code of the same cases |"
    )
    yield "|---|---|---|---|---|--:|---|"
    bounds, curve = record["bounds"], record["curve"]
    for name, said in _BOUNDS.items():
        of = {measure: bounds[measure].get(name, {}) for measure in ("best", "map", "half")}
        yield _row(said, "", of, "")
    for k in (k for k in ("1", "3", "20") if "nearest" in curve.get(k, {}).get("best", {})):
        of = {measure: curve[k][measure]["nearest"] for measure in ("best", "map", "half")}
        yield _row("known expert, chosen on the cases", k, of, _percent(curve[k]["best"]["gap"]))
    for row in record["rivals"]:
        own = _percent(row["code"]["best"]["gap"]) if row["code"] else "–"
        said = f"{_RIVALS[row['rival']]}, 10 s ({row['experts']} experts)"
        yield _row(said, str(row["k"]), row, own)


_BOUNDS = {
    "consensus": "consensus of the known experts",
    "nearest": "known expert, chosen on the test itself",
    "another": "another unseen expert's drawing",
    "reread": "the same expert's other drawing",
    "ceiling": "the expert's exact map",
}


def _row(said: str, cases: str, of: Record, own: str) -> str:
    best, half = of["best"]["value"], of["half"]["value"]
    gaps = (_percent(of[name]["gap"]) if "gap" in of[name] else "" for name in ("best", "map"))
    return f"| {said} | {cases} | {' | '.join(gaps)} | {_dice(best)} | {half[0]:.3f} | {own} |"


_RIVALS = {
    "biases": "all biases of the decoder trained",
    "all weights": "all weights of the network trained",
}


def _notes(record: Record) -> Iterator[str]:
    for k, row in record["swap"].items():
        yield (
            f"* Swapped ({k} cases, {row['experts']} experts): an expert's own code has more Dice"
            f" on the expert's drawings than another's in {_percent(row['learnt'], 1)} of the"
            f" pairs; exact maps win {_percent(row['perfect'], 1)}. It is the best of all codes for"
            f" {_share([row['learnt_columns']])} of the experts, with exact maps for"
            f" {_share([row['perfect_columns']])}."
        )
    if MANY in record["curve"]:
        most = record["curve"][MANY]
        yield (
            f"* A code learnt from {MANY} cases closes {_percent(most['best']['gap'])}, of the map"
            f" {_percent(most['map']['gap'])}: the rest is the network's."
        )
    if record["timed"]:
        on = record["machine"]
        yield (
            f"* Seconds: median of {next(iter(record['timed'].values()))['fits']} fits on"
            f" {on['device']}, {on['threads']} threads, load {record['load_before']} before, with"
            " the cross-validation that the product shows; reading the cases comes before."
        )
    if record["energy"]:
        of = record["energy"]
        yield (
            f"* Samples, not only outlines: GED_U of whole drawings after 3 cases"
            f" {_dice(of['ged'])}, of the consensus {_dice(of['ged_consensus'])}, of the expert's"
            f" own other drawings {_dice(of['ged_same'])} ({of['experts']} experts, few samples)."
        )
    for k, row in record["curve"].items():
        if k in ("1", "3", "20") and row["verdicts"]:
            said = (f"“{name}” {_share([share])}" for name, share in row["verdicts"].items())
            yield f"* What the product said, number of cases {k}: {', '.join(said)}."


def _percent(values: list[float], digits: int = 0) -> str:
    value, low, high = (100 * value for value in values)
    return f"{value:.{digits}f} % [{low:.{digits}f}, {high:.{digits}f}]"


def _share(values: list[float]) -> str:
    return f"{100 * values[0]:.0f} %" if values[0] in (0, 1) else f"{100 * values[0]:.1f} %"


def _dice(values: list[float]) -> str:
    value, low, high = values
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _volume(values: list[float]) -> str:
    bias, low, high = values
    return f"{bias:+.0f} [{low:+.0f}, {high:+.0f}]"


def _seconds(timed: Record | None) -> str:
    return "" if timed is None else f"{timed['seconds']:.1f}, at most {timed['most']:.1f}"


# --- the page -------------------------------------------------------------------------------------


def newest(results: Path) -> Record | None:
    """Return the newest record that these tables can read, or None."""
    every = (json.loads(path.read_text("utf-8")) for path in results.glob("expert-*.json"))
    readable = [record for record in every if record["format"] == FORMAT]
    return max(readable, key=lambda record: record["measured"], default=None)


def with_section(text: str, section: str) -> str:
    """Return a text with what stands between the two marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page lacks the marks {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{section.strip()}\n{END}{after}"


def renew_page(results: Path, page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Write the newest results into the page, and draw the picture."""
    record = newest(results)
    if record is None:
        return
    bench_expert_picture.draw(picture, record)
    where = Path(os.path.relpath(picture, page.parent)).as_posix()
    shown = f"![Gap closed and Dice against the number of cases]({where})"
    text = page.read_text(encoding="utf-8")
    section = "\n".join([*tables(record), "", shown])
    page.write_text(with_section(text, section), encoding="utf-8")


if __name__ == "__main__":
    renew_page(RESULTS)
    sys.exit(0)
