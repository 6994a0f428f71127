"""What the commands print of a model and of its answers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .experts import display_name
from .presets import PRESETS, sampler_of

if TYPE_CHECKING:
    from .comparison import ExpertRow
    from .model import Model


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
