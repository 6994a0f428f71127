"""One picture of a comparison: every outline, every expert, and the two maps, on one slice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..comparison.measures import ExpertRow, crop_to_region, disagreement, sampling_spread
from ..comparison.result import Comparison, ExpertResult
from ..experts.panel import CONSENSUS, display_name
from ..space.volume import Volume
from . import wording
from .display import Display, dashes, display_window, field_of_view, interest, outlines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect

_BACKGROUND, _TEXT, _DIM, _ALERT = "#0e1116", "#e8eaed", "#a3abb5", "#ffb454"

_CELL, _GAP, _MARGIN, _CAPTION, _HEADER = 2.9, 0.25, 0.3, 0.8, 1.2  # inches
_DPI = 110
_MOST_COLUMNS = 5

_BARS_MM = (1, 2, 5, 10, 20, 50, 100)
_LARGEST_SPREAD = 0.5  # standard deviation where half are 0 and half are 1


Panel = Callable[["Axes"], None]


@dataclass(frozen=True)
class _View:
    """The slice, and the part of it, that every panel but the first shows.

    ``scan`` is the whole volume, (S, H, W); ``window`` what is shown black and white, in ``unit``.
    """

    comparison: Comparison
    display: Display
    index: int
    field: tuple[slice, slice]
    scan: np.ndarray
    window: tuple[float, float]
    unit: str

    @classmethod
    def of(cls, comparison: Comparison, volume: Volume) -> "_View":
        display = Display.of(comparison)
        worth = interest(comparison, display)
        index = int(worth.argmax()) if worth.any() else len(worth) // 2
        field = field_of_view(comparison, display)
        near = display.slices(crop_to_region(volume.array, comparison))[index][field]
        scan, unit = display.slices(volume.array), wording.intensity_unit(volume)
        return cls(comparison, display, index, field, scan, display_window(near), unit)

    def shown(self, array: np.ndarray) -> np.ndarray:
        """Cut what is shown out of a (K, J, I) array on the region."""
        return self.display.slices(array)[self.index][self.field]


def draw_comparison(
    comparison: Comparison, volume: Volume, rows: Sequence[ExpertRow], path: Path
) -> None:
    """Write the picture as a PNG without a date: the same comparison gives the same bytes.

    ``rows`` are the comparison's table.
    """
    figure = comparison_figure(comparison, volume, rows)
    figure.savefig(path, format="png", facecolor=_BACKGROUND, metadata={"Software": None})


def comparison_figure(
    comparison: Comparison, volume: Volume, rows: Sequence[ExpertRow]
) -> "Figure":
    """Return the picture: the outlines and the maps above, a panel per result below."""
    from matplotlib.figure import Figure

    view = _View.of(comparison, volume)
    lines = _lines(view, rows)
    width = 2 * _MARGIN + max(len(line) for line in lines) * (_CELL + _GAP) - _GAP
    height = _HEADER + len(lines) * (_CELL + _CAPTION)
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=_BACKGROUND)
    _write_header(figure, view)
    for number, line in enumerate(lines):
        bottom = height - _HEADER - number * (_CELL + _CAPTION) - _CELL
        for column, draw in enumerate(line):
            left = _MARGIN + column * (_CELL + _GAP)
            draw(
                figure.add_axes(
                    (left / width, bottom / height, _CELL / width, _CELL / height), anchor="N"
                )
            )
    return figure


def _lines(view: _View, rows: Sequence[ExpertRow]) -> list[list[Panel]]:
    """Return the panels line by line; a single result needs no panel that compares."""
    overview: Panel = partial(_draw_overview, view=view)
    legend: Panel = partial(_draw_legend, view=view)
    results = _results(view, rows)
    if len(results) == 1:
        return [[overview, *results, *_maps(view), legend]]
    columns = ceil(len(results) / ceil(len(results) / _MOST_COLUMNS))
    below = [results[at : at + columns] for at in range(0, len(results), columns)]
    return [[overview, partial(_draw_outlines, view=view), *_maps(view), legend], *below]


def _maps(view: _View) -> list[Panel]:
    """Return the two maps, as far as there are experts and samples enough to make them."""
    panels: list[Panel] = []
    between = disagreement(view.comparison)
    if between is not None:
        title = "Disagreement between the experts"
        panels.append(partial(_draw_map, view=view, values=between, title=title, colors="inferno"))
    first = next(iter(view.comparison.results.values()))
    within = sampling_spread(first)
    if within is not None:
        title = f"Spread of {len(first.samples)} samples: {display_name(first.name)}"
        panels.append(partial(_draw_map, view=view, values=within, title=title, colors="viridis"))
    return panels


def _results(view: _View, rows: Sequence[ExpertRow]) -> list[Panel]:
    """Return one panel for every result."""
    results = view.comparison.results.values()
    return [
        partial(_draw_result, view=view, result=result, row=row)
        for result, row in zip(results, rows, strict=True)
    ]


def _draw_overview(axes: "Axes", view: _View) -> None:
    """Show the whole slice, and the part of it that the other panels show."""
    from matplotlib.patches import Rectangle

    display = view.display
    plane = view.scan[display.start[0] + view.index]
    _draw_scan(axes, plane, view)
    _, top, left = display.start
    rows, columns = view.field
    corner = (left + columns.start - 0.5, top + rows.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=_TEXT, linewidth=1.2))
    _mark_sides(axes, display)
    _draw_scale_bar(axes, plane.shape, display)
    _write_caption(axes, "Where", [display.label(view.index), "frame: shown in the other panels"])


def _draw_outlines(axes: "Axes", view: _View) -> None:
    """Show the scan with every outline, the consensus thick."""
    _draw_field(axes, view)
    for result in view.comparison.results.values():
        _draw_outline(axes, view, result)
    _mark_sides(axes, view.display)
    _draw_scale_bar(axes, _shape(view.field), view.display)
    marked = any(result.mask.any() for result in view.comparison.results.values())
    _write_caption(axes, "All outlines", [] if marked else [wording.NOTHING_MARKED])


def _draw_result(axes: "Axes", view: _View, result: ExpertResult, row: ExpertRow) -> None:
    """Show one result: its probability as shading, its outline, its volume and spread."""
    color = view.comparison.colors[result.name]
    _draw_field(axes, view)
    probability = view.shown(result.probability)
    shading = np.empty((*probability.shape, 4))
    shading[..., :3] = color
    shading[..., 3] = 0.55 * probability
    axes.imshow(shading, interpolation="bilinear", aspect=_aspect(view.display))
    _draw_outline(axes, view, result)
    name = wording.shortened(display_name(result.name))
    _write_caption(axes, name, _volume_lines(row), color)


def _volume_lines(row: ExpertRow) -> list[str]:
    """Return what stands below a result's panel."""
    first = f"{wording.millilitres(row.volume_ml)} ml" if row.volume_ml else wording.NOTHING_MARKED
    if row.presence < 0.995:
        first += f", presence {100 * row.presence:.0f} %"
    if row.interval is None:
        return [first]
    return [first, f"{wording.interval_ends(row.interval)} ml, {row.interval.label}"]


def _draw_map(axes: "Axes", view: _View, values: np.ndarray, title: str, colors: str) -> None:
    """Show a standard deviation with its colour bar and the first result's outline."""
    image = axes.imshow(
        view.shown(values), cmap=colors, vmin=0, vmax=_LARGEST_SPREAD,
        interpolation="bilinear", aspect=_aspect(view.display),
    )  # fmt: skip
    axes.set_axis_off()
    first = next(iter(view.comparison.results.values()))
    _draw_outline(axes, view, first, color="white", linewidth=0.8, linestyle="solid")
    _write_caption(axes, title, [])
    figure = cast("Figure", axes.figure)
    rows, columns = _shape(view.field)
    height = _CELL * min(1, rows * _aspect(view.display) / columns)  # of the image, inches
    bar = axes.inset_axes((0.0, -0.47 / height, 1.0, 0.1 / height))
    scale = figure.colorbar(image, cax=bar, orientation="horizontal")
    scale.set_ticks([0, 0.25, 0.5], labels=["0", "standard deviation", "0.5"])
    scale.ax.tick_params(colors=_DIM, labelsize=8, length=0, pad=2)
    scale.outline.set_visible(False)


def _draw_legend(axes: "Axes", view: _View) -> None:
    """Name the colours."""
    from matplotlib.lines import Line2D

    axes.axis("off")
    comparison = view.comparison
    lines = [Line2D([], [], **_line_style(comparison, name)) for name in comparison.results]
    labels = [wording.shortened(display_name(name)) for name in comparison.results]
    legend = axes.legend(
        lines, labels, loc="upper left", bbox_to_anchor=(0, 1), borderaxespad=0,
        frameon=False, fontsize=10, labelcolor=_TEXT, handlelength=1.6,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    note = "shading: probability\noutline: as drawn, if at all"
    axes.text(0, 0, note, color=_DIM, fontsize=8, va="bottom", transform=axes.transAxes)


def _write_header(figure: "Figure", view: _View) -> None:
    """Write what was predicted, how, and what it may be used for."""
    provenance = view.comparison.provenance
    width, height = figure.get_size_inches()
    low, high = view.window
    facts = [
        wording.samples_text(view.comparison),
        f"weights: {provenance['weights_title']}" if "weights_title" in provenance else "",
        view.display.label(view.index),
        f"shown from {wording.number(low, 0)} to {wording.number(high, 0)}{view.unit}",
    ]
    conditions = wording.conditions(provenance)
    warned = [conditions[:1].upper() + conditions[1:], str(provenance.get("notice") or "")]
    lines = [
        (wording.headline(view.comparison), 15, _TEXT, "bold"),
        (" · ".join(fact for fact in facts if fact), 10, _DIM, "normal"),
        (" · ".join(filter(None, warned)), 10, _ALERT, "bold"),
    ]
    for (text, size, color, weight), inches in zip(lines, (0.22, 0.55, 0.8), strict=True):
        figure.text(
            _MARGIN / width, 1 - inches / height, text, color=color, fontsize=size,
            fontweight=weight, va="top", parse_math=False,
        )  # fmt: skip


def _draw_scan(axes: "Axes", plane: np.ndarray, view: _View) -> None:
    low, high = view.window
    axes.imshow(
        plane, cmap="gray", vmin=low, vmax=high,
        interpolation="bilinear", aspect=_aspect(view.display),
    )  # fmt: skip
    axes.set_axis_off()


def _draw_field(axes: "Axes", view: _View) -> None:
    """Show the scan where the results are."""
    plane = view.scan[view.display.start[0] + view.index]
    _, top, left = view.display.start
    rows, columns = view.field
    part = plane[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]
    _draw_scan(axes, part, view)


def _draw_outline(axes: "Axes", view: _View, result: ExpertResult, **style: Any) -> None:
    """Draw one outline, in its own style where ``style`` says nothing else."""
    for line in outlines(view.shown(result.probability), result.level):
        axes.plot(*line.T, **(_line_style(view.comparison, result.name) | style))


def _line_style(comparison: Comparison, name: str) -> dict[str, Any]:
    """Return colour, width and dashes of an expert's outline."""
    width = 2.8 if name == CONSENSUS else 1.4
    pattern = (0, dashes(comparison, name)) if dashes(comparison, name) else "solid"
    return {"color": comparison.colors[name], "linewidth": width, "linestyle": pattern}


def _mark_sides(axes: "Axes", display: Display) -> None:
    """Write the patient's sides at the edges."""
    places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.98), (0.5, 0.02))
    alignments = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
    for letter, (x, y), (ha, va) in zip(display.letters, places, alignments, strict=True):
        axes.text(
            x, y, letter, ha=ha, va=va, color=_TEXT, fontsize=10, fontweight="bold",
            transform=axes.transAxes, path_effects=_halo(),
        )  # fmt: skip


def _draw_scale_bar(axes: "Axes", shape: tuple[int, int], display: Display) -> None:
    """Draw a bar of a round number of millimetres, at most 30 % of the width."""
    pixel = display.pixel_mm[1]
    length = max((mm for mm in _BARS_MM if mm <= 0.3 * shape[1] * pixel), default=_BARS_MM[0])
    right, bottom = 0.96 * shape[1] - 0.5, 0.95 * shape[0] - 0.5
    left = right - length / pixel
    axes.plot(
        [left, right], [bottom, bottom], color=_TEXT, linewidth=2.5,
        solid_capstyle="butt", path_effects=_halo(4.5),
    )  # fmt: skip
    axes.annotate(
        f"{length} mm", ((left + right) / 2, bottom), (0, 4), textcoords="offset points",
        ha="center", va="bottom", color=_TEXT, fontsize=8, path_effects=_halo(),
    )  # fmt: skip


def _write_caption(
    axes: "Axes", title: str, lines: Sequence[str], color: str | Sequence[float] = _TEXT
) -> None:
    """Write a panel's title and what stands under it, below the panel."""
    axes.annotate(
        title, (0, 0), (0, -5), xycoords="axes fraction", textcoords="offset points",
        va="top", color=color, fontsize=10.5, fontweight="bold", parse_math=False,
    )  # fmt: skip
    axes.annotate(
        "\n".join(lines), (0, 0), (0, -20), xycoords="axes fraction", textcoords="offset points",
        va="top", color=_DIM, fontsize=9, linespacing=1.35, parse_math=False,
    )  # fmt: skip


def _halo(width: float = 2.5) -> list["AbstractPathEffect"]:
    """Return the dark edge that keeps light marks legible on light tissue."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground=_BACKGROUND)]


def _aspect(display: Display) -> float:
    height, width = display.pixel_mm
    return height / width


def _shape(field: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = field
    return rows.stop - rows.start, columns.stop - columns.start
