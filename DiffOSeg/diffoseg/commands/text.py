"""What the commands print of a model and of its answers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..experts.local_expert import summary_of
from ..experts.panel import display_name
from ..files.values import is_number, one_line
from ..model.presets import PRESETS, sampler_of

if TYPE_CHECKING:
    from ..comparison.measures import ExpertRow
    from ..model.cards import ExpertCard
    from ..model.model import Model


def table_of(rows: Sequence["ExpertRow"]) -> str:
    """Return the volumes as aligned text, a line for every expert."""
    interval = next((row.interval.label for row in rows if row.interval), "range")
    lines = [("", "volume", interval, "marks anything", "Dice with consensus")]
    for row in rows:
        spread = f"{row.interval.low:.2f} - {row.interval.high:.2f} ml" if row.interval else "-"
        overlap = row.dice if isinstance(row.dice, str) else f"{row.dice or 0:.2f}"
        lines.append(
            (
                display_name(row.name),
                f"{row.volume_ml:.2f} ml",
                spread,
                f"{row.presence:.0%}",
                "-" if row.dice is None else overlap,
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        line[0].ljust(widths[0])
        + "".join(f"   {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )


def networks_of(model: "Model") -> str:
    """Return who can be asked, and how large the networks are."""
    parts = ["the consensus"] if model.has_consensus else []
    return f"{', '.join([*parts, *model.experts])} ({model.parameter_count:,} values)"


def presets_of(model: "Model") -> str:
    """Return what each preset stands for in a model."""

    def said(sampler: str, steps: int) -> str:
        return f"{sampler} in {steps} step{'s' * (steps > 1)}"

    about, reach = model.metadata, model.calibration.reach
    return "; ".join(f"{preset}: {said(*sampler_of(preset, about, reach))}" for preset in PRESETS)


def expert_text(card: "ExpertCard") -> str:
    """Return what a taught expert's file says of itself; anyone may have written it."""
    told = card.training
    checked = told.get("validation")
    best = checked.get("best") if isinstance(checked, Mapping) else None
    rows = {
        "taught to": card.base_title,
        "base hash": card.base_hash,
        "cases": told.get("cases"),
        "slices": told.get("slices"),
        "began as": told.get("corrects"),
        "date": told.get("date"),
        "best of others": f"Dice {best:.2f}" if is_number(best) else None,
        "made by": f"diffoseg {card.code_version}",
        "hash": card.hash,
    }
    lines = [f"  {label:<14} {one_line(str(value))}" for label, value in rows.items() if value]
    return "\n".join(
        [
            card.name,
            *lines,
            summary_of(told),
            "It describes how a person draws: treat it as personal data.",
            "For research, not for clinical use.",
        ]
    )


def curve_of(curve: Mapping[str, Any]) -> str:
    """Return what was measured at each number of steps, as aligned text."""
    columns = zip(curve["steps"], curve["mixture_ged"], curve["empty_rate"], strict=True)
    return "\n".join(
        [
            f"Measured on {curve.get('slices', '?')} slices, {curve.get('samples', '?')} samples:",
            "  steps   distance to the experts   nothing marked",
            *(f"  {n:>5}   {distance:>23.4f}   {empty:>14.1%}" for n, distance, empty in columns),
        ]
    )
