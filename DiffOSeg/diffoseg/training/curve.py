"""The learning curve as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from .loop import CurvePoint


def draw_curve(path: Path, curve: Sequence["CurvePoint"]) -> None:
    """Draw training loss and every validation measure against iterations, one panel each."""
    names = list(curve[0].validation) if curve else []
    figure = Figure(figsize=(4 * (1 + len(names)), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 1 + len(names), squeeze=False)[0]
    steps = [point.iteration for point in curve]
    series = {"training loss": [point.loss for point in curve]}
    series |= {name: [point.validation[name] for point in curve] for name in names}
    for panel, (name, values) in zip(panels, series.items(), strict=True):
        panel.plot(steps, values, marker=".")
        panel.set_title(name)
        panel.set_xlabel("iteration")
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=90)
