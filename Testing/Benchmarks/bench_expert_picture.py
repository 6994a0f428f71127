"""The gap closed and the Dice over the number of cases, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_expert_rows import Record
from bench_expert_summary import WANTED
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PANELS = {
    ("best", "gap"): "gap closed, Dice of the best outline",
    ("map", "gap"): "gap closed, distance of the maps",
    ("best", "value"): "Dice of the best outline, 3-D",
}
CODE, CHOSEN = "a new code (the product)", "known expert, chosen on the cases"
_COLORS = {CODE: "#1f6fb4", CHOSEN: "#e08214"}
_RIVALS = {"biases": ("all biases trained", "#8b4fb0"), "all weights": ("all trained", "#b0474f")}
_LINES = {
    "ceiling": ("the expert's exact map", "#2a8f4d", "--"),
    "reread": ("the expert's other drawing", "#2a8f4d", ":"),
    "consensus": ("consensus", "#555555", "--"),
    "another": ("another unseen expert's", "#555555", ":"),
}
Points = Sequence[tuple[int, list[float]]]
"""(cases, (value, low, high))."""


def draw(path: Path, record: Record) -> None:
    """Draw one panel for each measure."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(PANELS))
    for panel, ((measure, figure_of), said) in zip(panels, PANELS.items(), strict=True):
        panel.set_title(said, fontsize="medium")
        panel.set_xlabel("cases")
        _draw_panel(panel, record, measure, figure_of)
    wanted = panels[0].plot([3], [WANTED], marker="*", ms=11, color="black", ls="")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(
        [*handles, *wanted], [*labels, "wanted"], loc="outside upper center", ncols=4, frameon=False
    )
    figure.savefig(path, dpi=90)


def _draw_panel(panel: Any, record: Record, measure: str, which: str) -> None:
    ks = sorted(int(k) for k in record["curve"])
    for name, points in curves(record, measure, which).items():
        _draw_curve(panel, points, name, _COLORS[name], "o-")
    for rival, (name, color) in _RIVALS.items():
        rows = [row for row in record["rivals"] if row["rival"] == rival]
        _draw_curve(panel, [(row["k"], row[measure][which]) for row in rows], name, color, "s")
    bounds = record["bounds"][measure]
    for name, (said, color, style) in _LINES.items():
        if which in bounds.get(name, {}):
            panel.axhline(bounds[name][which][0], label=said, color=color, ls=style, lw=1.2)
    panel.set_xscale("symlog", linthresh=1, linscale=0.5)  # no case at all has a place too
    panel.set_xlim(-0.2, 1.3 * ks[-1])
    panel.set_xticks(ks, [str(k) for k in ks])
    panel.minorticks_off()
    panel.grid(alpha=0.3)


def curves(record: Record, measure: str, which: str) -> Mapping[str, Points]:
    """Return what changes with the number of cases, in rising order.

    Args:
        record: of bench_expert.py.
        measure: "best", "half" or "map".
        which: "gap" or "value" of it.
    """
    rows = sorted((int(k), row[measure]) for k, row in record["curve"].items())
    chosen = [(k, row["nearest"][which]) for k, row in rows if "nearest" in row]
    return {CODE: [(k, row[which]) for k, row in rows], CHOSEN: chosen}


def _draw_curve(panel: Any, points: Points, name: str, color: str, style: str) -> None:
    if not points:
        return
    values = [value for _, (value, _, _) in points]
    below = [value - low for _, (value, low, _) in points]
    above = [high - value for _, (value, _, high) in points]
    cases = [k for k, _ in points]
    panel.errorbar(
        cases, values, (below, above), fmt=style, label=name, color=color, capsize=2, lw=1.2
    )
