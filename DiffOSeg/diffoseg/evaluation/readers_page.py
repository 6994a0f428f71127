"""One page of what was measured on a cohort of readers: tables, in Markdown and as HTML."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from ..output.markup import table as html_table
from ..output.report_style import STYLE
from .intervals import Estimate, interval, patient_weights
from .metrics import calibration_error
from .readers import CaseScores
from .tables import markdown

_SIZES_MM = (0.0, 8.0, 20.0, np.inf)
_MOST_VALUES, _FEWEST_CASES = 6, 5  # of a tag, to be worth a table of its own
_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Row = tuple[str, list[str]]
Pick = Callable[[CaseScores], Iterable[float]]

_SLICE_ROWS = {
    "Dice with a reader": ("Dice with a reader", "Dice of two readers", "", ""),
    "GED_U": ("GED_U", "", "GED_U of level sets", ""),
    "GED_V of 100": ("GED, V-statistic at 100 samples", "", "", "published GED"),
    "GED_V": ("GED, V-statistic at these samples", "", "", ""),
    "HM-IoU": ("HM-IoU", "", "HM-IoU of level sets", ""),
    "Dice_soft": ("Dice_soft", "", "", "published Dice_soft"),
    "Dice_max": ("Dice_max", "", "", "published Dice_max"),
    "Dice_match": ("Dice_match", "", "", "published Dice_match"),
}
_CASE_ROWS = {
    "3-D Dice with a reader": ("3-D Dice", "3-D Dice of two readers"),
    "surface with a reader, mm": ("mean surface distance, mm", "surface of two readers, mm"),
    "95 % surface with a reader, mm": (
        "95 % surface distance, mm",
        "95 % surface of two readers, mm",
    ),
    "flicker of outline": ("1 - Dice from slice to slice, outline", "flicker of readers"),
    "flicker of samples": ("the same, samples", "flicker of readers"),
    "volumes in the interval": ("readers' volumes in the samples' 90 % interval", ""),
    "laws in their order": ("cases with the four laws in their order", ""),
}


@dataclass(frozen=True)
class Section:
    """A table with a title, what it says in a sentence, its heads and its rows."""

    title: str
    note: str
    heads: Sequence[str]
    rows: Sequence[Row]


def sections_of(cases: Sequence[CaseScores]) -> list[Section]:
    """Return all tables of two patients or more."""
    return [
        _slices(cases),
        _volumes(cases),
        _experts(cases),
        _presence_by_readers(cases),
        _reliability(cases),
        *_strata(cases),
    ]


def as_markdown(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page in Markdown."""
    parts = [f"# {title}\n", *(f"{line}\n" for line in lead)]
    for section in sections:
        rows = [[name, *cells] for name, cells in section.rows]
        parts += [f"## {section.title}\n", f"{section.note}\n", markdown(section.heads, rows)]
    return "\n".join(parts)


def as_text(sections: Sequence[Section]) -> str:
    """Return the tables for a terminal."""
    lines = []
    for section in sections:
        table = [list(section.heads), *([name, *cells] for name, cells in section.rows)]
        widths = [max(len(row[column]) for row in table) for column in range(len(section.heads))]
        lines += ["", section.title]
        lines += [
            "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
    return "\n".join(lines)


def as_html(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page as one HTML file that needs nothing else."""
    body = "".join(f"<p>{escape(line)}</p>" for line in lead)
    for section in sections:
        lines = [(escape(name), cells) for name, cells in section.rows]
        body += f'<h2>{escape(section.title)}</h2><p class="dim">{escape(section.note)}</p>'
        body += html_table(section.heads, lines)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )


def estimate(cases: Sequence[CaseScores], pick: Pick) -> Estimate | None:
    """Return the mean of what is picked from cases, with its interval over patients."""
    found = [(case.patient, value) for case in cases for value in pick(case)]
    patients = [patient for patient, _ in found]
    if len(set(patients)) < 2:
        return None
    values, weights = np.array([value for _, value in found]), patient_weights(patients)
    totals = weights.sum(1)
    means = (weights @ values)[totals > 0] / totals[totals > 0]
    return interval(float(values.mean()), means, len(set(patients)))


def of_slices(name: str) -> Pick:
    """Pick a number of every slice that has it."""
    return lambda case: [row[name] for row in case.slices if name in row]


def of_case(name: str) -> Pick:
    """Pick a number of the case, if it has it."""
    return lambda case: [case.numbers[name]] if name in case.numbers else []


def _text(found: Estimate | None) -> str:
    return "–" if found is None else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _cell(cases: Sequence[CaseScores], pick: Callable[[str], Pick], name: str) -> str:
    return _text(estimate(cases, pick(name))) if name else ""


def _slices(cases: Sequence[CaseScores]) -> Section:
    rows = [
        (title, [_cell(cases, of_slices, each) for each in (name, readers, level, published)])
        for name, (title, readers, level, published) in _SLICE_ROWS.items()
    ]
    sums = np.sum([case.calibration for case in cases], axis=0)
    rows.append(
        ("calibration error, 5 to 95 %", [f"{float(calibration_error(sums)):.3f}", "", "", ""])
    )
    return Section(
        "Slices that some reader marked",
        "The consensus. Dice is of the outline, on slices that two or more marked; two readers are"
        " compared on the same. Level sets are those of the model's own map.",
        ["measure", "model", "two readers", "level sets of its map", "the published code's"],
        rows,
    )


def _volumes(cases: Sequence[CaseScores]) -> Section:
    rows = [
        (title, [_cell(cases, of_case, name), _cell(cases, of_case, readers)])
        for name, (title, readers) in _CASE_ROWS.items()
    ]
    marked = [case.numbers for case in cases if case.numbers["readers' mean, ml"] > 0]
    differences = np.array([n["outline, ml"] - n["readers' mean, ml"] for n in marked])
    if len(differences) > 1:
        bias, spread = differences.mean(), 1.96 * differences.std(ddof=1)
        text = f"{bias:+.3f} ml, limits {bias - spread:+.3f} to {bias + spread:+.3f}"
        rows.append(("volume less the readers' mean (Bland-Altman)", [text, ""]))
    return Section(
        "Whole cases",
        "In three dimensions, on the scan's own voxels.",
        ["measure", "model", "two readers"],
        rows,
    )


def _experts(cases: Sequence[CaseScores]) -> Section:
    start = "3-D Dice of the consensus with "
    names = sorted({name.removeprefix(start) for c in cases for name in c.numbers if start in name})
    rows = [
        (
            name,
            [
                _cell(cases, of_case, f"3-D Dice of {name}"),
                _cell(cases, of_case, start + name),
            ],
        )
        for name in names
    ]
    return Section(
        "Each expert",
        "The Dice of the expert's outline with what that person, or that law, drew, beside the"
        " consensus'.",
        ["expert", "own outline", "consensus"],
        rows,
    )


def _presence_by_readers(cases: Sequence[CaseScores]) -> Section:
    counts = sorted({row["readers marking"] for case in cases for row in case.slices})
    rows = []
    for count in counts:
        chosen = [_marked_by(case, count) for case in cases]
        slices = sum(len(case.slices) for case in chosen)
        rows.append((f"{count:.0f}", [str(slices), _cell(chosen, of_slices, "presence")]))
    return Section(
        "Presence by how many readers marked the slice",
        "The share of samples that mark anything. Even who knows the true chance does not know how"
        " many will mark: a calibrated model stays nearer to the middle than this.",
        ["readers", "slices", "presence"],
        rows,
    )


def _reliability(cases: Sequence[CaseScores]) -> Section:
    stated = np.array([case.numbers["presence stated"] for case in cases])
    true = np.array([case.numbers["presence true"] for case in cases])
    place = np.digitize(stated, _BINS[1:-1])
    rows = []
    for row, (low, high) in enumerate(itertools.pairwise(_BINS)):
        inside = place == row
        if inside.any():
            cells = [
                str(inside.sum()),
                f"{stated[inside].mean():.2f}",
                f"{true[inside].mean():.2f}",
            ]
            rows.append((f"{low:.1f} to {high:.1f}", cells))
    return Section(
        "Presence as stated, and the share of readers who marked",
        "Of whole cases.",
        ["stated", "cases", "mean stated", "readers who marked"],
        rows,
    )


def _strata(cases: Sequence[CaseScores]) -> list[Section]:
    diameters = [_diameter(case.numbers["readers' mean, ml"]) for case in cases]
    sizes = {
        f"{low:g} to {high:g} mm" if np.isfinite(high) else f"over {low:g} mm": [
            case for case, d in zip(cases, diameters, strict=True) if low <= d < high
        ]
        for low, high in itertools.pairwise(_SIZES_MM)
    }
    found = [_stratum("size", "Diameter of a sphere of the readers' mean volume.", sizes)]
    for tag in sorted({tag for case in cases for tag in case.tags}):
        values = sorted({case.tags.get(tag, "") for case in cases})
        groups = {v: [case for case in cases if case.tags.get(tag, "") == v] for v in values}
        groups = {v: group for v, group in groups.items() if len(group) >= _FEWEST_CASES}
        if 1 < len(groups) <= _MOST_VALUES:
            found.append(_stratum(tag, "By a tag of the cases.", groups))
    return found


def _stratum(name: str, note: str, groups: dict[str, list[CaseScores]]) -> Section:
    rows = [
        (
            value or "–",
            [
                str(len(group)),
                _cell(group, of_case, "3-D Dice with a reader"),
                _cell(group, of_case, "3-D Dice of two readers"),
                _cell(group, of_slices, "GED_U"),
            ],
        )
        for value, group in groups.items()
        if group
    ]
    heads = [name, "cases", "3-D Dice", "two readers", "GED_U"]
    return Section(f"By {name}", note, heads, rows)


def _diameter(volume_ml: float) -> float:
    """Return the diameter, mm, of a sphere of a volume."""
    return float(np.cbrt(6000 * volume_ml / np.pi))


def _marked_by(case: CaseScores, readers: float) -> CaseScores:
    """Return a case with the slices that so many readers marked."""
    return replace(case, slices=tuple(r for r in case.slices if r["readers marking"] == readers))
