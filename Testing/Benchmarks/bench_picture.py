"""Quality against cost as a picture: truth.py's figures over bench.py's."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_costs import Record, cases, cost, paper
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

OURS, FIRST_BELIEF, PAPER = "DiffOSeg", "level sets of its first belief", "the paper's kind"
PERFECT = "perfect sampler"

QUALITIES = {
    "mixture_ged": "GED_U excess\n(0 is perfect)",
    "expert_dice": "Dice of each expert",
    "consensus_ece": "ECE of the consensus",
}
COSTS = {
    "steps": "network calls a sample",
    "seconds": "seconds an answer",
    "flops": "TFLOP an answer",
}
_UNITS = {"steps": 1.0, "seconds": 1.0, "flops": 1e12}
_MARKS = {
    "fast kind": ("#1f6fb4", "o"),
    "level sets": ("#e08214", "D"),
    "paper's kind": ("#555555", "s"),
}


@dataclass(frozen=True)
class Point:
    """One way to answer.

    Attributes:
        series: which line it is on.
        cost: value of every cost.
        quality: value, low and high of the 95 % interval, of the qualities that are known.
    """

    series: str
    cost: Mapping[str, float]
    quality: Mapping[str, tuple[float, float, float]]


def newest_truth(results: Path) -> Record | None:
    """Return what truth.py wrote last, or None."""
    found = [json.loads(path.read_text("utf-8")) for path in results.glob("truth-*.json")]
    return max(found, key=lambda facts: facts["measured"], default=None)


def points(record: Record, truth: Record) -> list[Point]:
    """Return every way to answer whose cost and whose quality are both known."""
    sections, found = truth["sections"], []
    timed = (cases(record, case) for case in ("curve", "careful", "standard"))
    at_steps = {row["steps"]: _costs(cost(row)) for rows in timed for row in rows}
    for name, scored in sections.get("curve", {}).items():
        if (steps := _steps_in(name)) in at_steps:
            found.append(Point("fast kind", at_steps[steps], _quality(scored)))
    if FIRST_BELIEF in sections.get("main", {}):
        quality = _quality(sections["main"][FIRST_BELIEF])
        previews = cases(record, "preview")  # one network call too
        found += [Point("level sets", _costs(cost(row)), quality) for row in previews]
    papers = {n: s for n, s in sections.get("paper", {}).items() if n.startswith(PAPER)}
    for name, scored in papers.items():
        computed = paper(record, _steps_in(name))
        found.append(Point("paper's kind", _costs(computed), _quality(scored)))
    return found


def bounds(truth: Record) -> dict[str, dict[str, float]]:
    """Return the lines to draw across: a perfect sampler's, and that of the best plain rival."""
    main = truth["sections"].get("main", {})
    rivals = [name for name in main if name.startswith("U-Net, level sets")]
    return {
        name: {measure: value for measure, (value, *_) in _quality(main[name]).items()}
        for name in (PERFECT, *rivals)
        if name in main
    }


def caption(record: Record, truth: Record) -> str:
    """Return what has to be known to read the picture."""
    curve = next(iter(truth["sections"].get("curve", {}).values()), None)
    on = "" if curve is None else f" ({curve['slices']} slices of {curve['patients']} phantoms)"
    return (
        f"Quality{on} by `truth.py` on {truth['measured'][:10]}, weights `{truth['hash'][:8]}`,"
        f" with 95 % intervals over patients; cost by `make bench` on"
        f" {record['machine']['device']}. The quality of the paper's kind is that of the half-width"
        " network trained here, its cost that of the published size. A perfect sampler's"
        " probabilities are the means of its few samples."
    )


def draw(path: Path, every: Sequence[Point], lines: Mapping[str, Mapping[str, float]]) -> None:
    """Draw a row for each quality and a column for each cost."""
    figure = Figure(figsize=(10.5, 8.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(QUALITIES), len(COSTS), sharex="col", sharey="row")
    for row, (quality, said) in zip(panels, QUALITIES.items(), strict=True):
        row[0].set_ylabel(said)
        for panel, spent in zip(row, COSTS, strict=True):
            _draw_panel(panel, every, lines, quality, spent)
    for panel, said in zip(panels[-1], COSTS.values(), strict=True):
        panel.set_xlabel(said)
        panel.set_xscale("log")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=90)


def _draw_panel(
    panel: Any,
    every: Sequence[Point],
    lines: Mapping[str, Mapping[str, float]],
    quality: str,
    spent: str,
) -> None:
    for series, (color, marker) in _MARKS.items():
        chosen = [point for point in every if point.series == series and quality in point.quality]
        chosen.sort(key=lambda point: point.cost[spent])
        if not chosen:
            continue
        x = [point.cost[spent] / _UNITS[spent] for point in chosen]
        value, low, high = zip(*(point.quality[quality] for point in chosen), strict=True)
        below = [middle - end for middle, end in zip(value, low, strict=True)]
        above = [end - middle for middle, end in zip(value, high, strict=True)]
        panel.errorbar(
            x, value, (below, above), label=series, color=color, marker=marker, capsize=2, lw=1.2
        )
    styles = (("#2a8f4d", "--"), ("#8b4fb0", ":"), ("#b0474f", "-."))
    for (name, values), (color, style) in zip(lines.items(), styles, strict=False):
        if quality in values:
            panel.axhline(values[quality], color=color, linestyle=style, lw=1.2, label=name)
    panel.grid(alpha=0.3)


def _steps_in(name: str) -> int:
    """Return the number in "the paper's kind, 250 steps"."""
    found = re.search(r"(\d+) steps", name)
    assert found is not None, name
    return int(found[1])


def _costs(spent: Record) -> dict[str, float]:
    return {name: float(spent[name]) for name in COSTS}


def _quality(measured: Record) -> dict[str, tuple[float, float, float]]:
    known = measured["estimates"]
    return {
        name: (known[name]["value"], known[name]["low"], known[name]["high"])
        for name in QUALITIES
        if name in known
    }
