"""A report for one reader: a single HTML file that needs no network and no script to be read."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ..comparison.measures import ExpertRow, dice_matrix, disagreement, experts_of
from ..comparison.outline import LEAST_PRESENCE
from ..comparison.result import Comparison
from ..experts.panel import CONSENSUS, display_name
from ..space.volume import Volume
from . import wording
from .markup import data_url, named, table
from .report_style import SCRIPT, STYLE
from .slice_reader import slice_reader

_PAPER = "https://arxiv.org/abs/2507.13087"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_VOLUMES_NOTE = (
    "The volume is that of the outline: how the lesion would be drawn where it is drawn at all; it"
    f" is empty where presence is below {100 * LEAST_PRESENCE:.0f}&nbsp;%. Ranges and intervals"
    " describe the model’s own samples; they are no confidence interval of the truth. {presence}"
    " Dice is 2&nbsp;|A∩B|&nbsp;/&nbsp;(|A|+|B|). Surface distances are MONAI’s: the mean over both"
    " surfaces, and the larger of the two directions’ 95th percentiles."
)
_DISAGREEMENT_NOTE = (
    "Disagreement is the standard deviation over the experts’ probabilities: how differently they"
    " draw. "
)
_SPREAD_NOTE = (
    "Spread is the standard deviation over the samples of one style: how sure the model is of it."
)
_LIMITS = f"""<h2>Limits of use</h2>
<ul>
<li>This is research software. It is not a medical device, and no diagnosis may rest on it.</li>
<li>It imitates how experts drew in its training data. It can be wrong in ways no expert would be,
above all on scans unlike those it was trained on; its spread does not tell when that is so.</li>
<li>Agreement between the styles is no proof that the outline is right.</li>
</ul>
<p class="dim">Method: Zhang, Luo, Chen, Li. DiffOSeg: Omni Medical Image Segmentation via
Multi-Expert Collaboration Diffusion Model. MICCAI 2025.
<a href="{_PAPER}" rel="noreferrer">arXiv:2507.13087</a></p>"""


def write_report(
    comparison: Comparison,
    volume: Volume,
    rows: Sequence[ExpertRow],
    picture: Path,
    path: Path,
) -> None:
    """Write the report.

    Args:
        comparison: what it is about.
        volume: the scan that was segmented.
        rows: the comparison's table.
        picture: the PNG of ``picture.draw_comparison``, which is put into the file.
        path: the HTML file.
    """
    title = wording.title(comparison)
    parts = [
        f"<h1>{escape(title)}</h1>",
        _introduction(comparison, volume),
        _warnings(comparison),
        "<h2>Volumes</h2>",
        _volumes(comparison, rows, volume),
        "<h2>Picture</h2>",
        _picture(comparison, rows, picture, title),
        "<h2>Slice by slice</h2>",
        slice_reader(comparison, volume),
        _agreement(comparison),
        "<h2>How it was made</h2>",
        _provenance(comparison),
        _LIMITS,
    ]
    path.write_text(_page(title, parts), encoding="utf-8", newline="\n")


def _page(title: str, parts: Iterable[str]) -> str:
    body = "\n".join(part for part in parts if part)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DiffOSeg: {escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _introduction(comparison: Comparison, volume: Volume) -> str:
    """Say what the reader is looking at, before any number."""
    notice = comparison.provenance.get("notice")
    alert = f'<p class="alert">{escape(str(notice))}</p>' if notice else ""
    conditions = wording.conditions(comparison.provenance)
    given = f", {conditions}" if conditions else ""
    names = len(experts_of(comparison))
    who = (
        "the consensus of the experts"
        if not names
        else (
            "how each expert of the training data would probably outline the lesion"
            + (", and their consensus" if CONSENSUS in comparison.results else "")
        )
    )
    return (
        f"{alert}<p>A model predicted {who}, from {wording.samples_text(comparison)}, in a"
        f" region of the volume “{escape(volume.name)}”{given}. What it draws is in the experts’"
        " styles; nobody drew it, and it is no person’s opinion of this scan.</p>"
    )


def _warnings(comparison: Comparison) -> str:
    if not comparison.warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in comparison.warnings)
    return f'<div class="alert" role="note"><ul>{items}</ul></div>'


def _volumes(comparison: Comparison, rows: Sequence[ExpertRow], volume: Volume) -> str:
    """Return the table of numbers: a line per result, and the columns that say anything."""
    columns = {
        head: cells
        for head, cells in _volume_columns(rows, wording.intensity_unit(volume).strip()).items()
        if set(cells) != {wording.MISSING}
    }
    names = [named(comparison, row.name) for row in rows]
    lines = list(zip(names, zip(*columns.values(), strict=True), strict=True))
    note = _VOLUMES_NOTE.format(presence=escape(wording.presence_note(comparison)))
    return table(["Predicted style of", *columns], lines) + f'<p class="dim">{note}</p>'


def _volume_columns(rows: Sequence[ExpertRow], unit: str) -> dict[str, list[str]]:
    """Return the columns of numbers, a cell per row, by their heads."""
    number = wording.number
    label = next((row.interval.label for row in rows if row.interval), "interval")
    intensity = f"Mean intensity, {unit}" if unit else "Mean intensity"
    return {
        "Volume, ml": [
            wording.millilitres(row.volume_ml) if row.volume_ml else wording.NOTHING_MARKED
            for row in rows
        ],
        f"{label[0].upper()}{label[1:]}, ml": [wording.interval_ends(r.interval) for r in rows],
        "Difference from consensus, ml": [number(r.difference_ml, 3, signed=True) for r in rows],
        "Difference, %": [number(r.difference_percent, 0, signed=True) for r in rows],
        "Largest diameter in a slice, mm": [number(r.diameter_mm, 1) for r in rows],
        intensity: [number(r.mean_intensity, 0) for r in rows],
        "Presence, %": [number(100 * r.presence, 0) for r in rows],
        "Dice with consensus": [wording.dice_text(r.dice) for r in rows],
        "Mean surface distance, mm": [number(r.surface_mm, 1) for r in rows],
        "95th percentile of it, mm": [number(r.surface_95_mm, 1) for r in rows],
    }


def _agreement(comparison: Comparison) -> str:
    """Return the experts' pairwise overlap; nothing for fewer than two experts."""
    names = [expert.name for expert in experts_of(comparison)]
    if len(names) < 2:
        return ""
    matrix = dice_matrix(comparison)
    lines = [
        (
            named(comparison, first),
            [wording.dice_text(matrix.get((first, second))) for second in names],
        )
        for first in names
    ]
    return "<h2>Overlap between the experts’ styles (Dice)</h2>" + table(["", *names], lines)


def _picture(comparison: Comparison, rows: Sequence[ExpertRow], picture: Path, title: str) -> str:
    names = ", ".join(display_name(name) for name in comparison.results)
    alt = f"{title}: one slice with the outlines of {names}, and maps of where they differ."
    notes = _DISAGREEMENT_NOTE if disagreement(comparison) is not None else ""
    notes += _SPREAD_NOTE if rows[0].interval else ""
    source = data_url(picture.read_bytes())
    return (
        f'<figure><div class="wide"><img class="whole" src="{source}" alt="{escape(alt)}"></div>'
        f"<figcaption>{notes}</figcaption></figure>"
    )


def _provenance(comparison: Comparison) -> str:
    rows = wording.provenance_rows(comparison.provenance)
    cells = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(value)}</td></tr>'
        for label, value in rows
    )
    return f'<table class="facts"><tbody>{cells}</tbody></table>'
