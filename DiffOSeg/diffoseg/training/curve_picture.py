"""Learning curves as pictures."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .curve import CurvePoint


def draw_curve(path: Path, curve: Sequence[CurvePoint]) -> None:
    """Draw training loss and every validation measure against iterations, one panel each."""
    names = list(curve[0].validation) if curve else []
    figure, panels = panels_of(1 + len(names))
    steps = [point.iteration for point in curve]
    series = {"training loss": [point.loss for point in curve]}
    series |= {name: [point.validation[name] for point in curve] for name in names}
    for panel, (name, values) in zip(panels, series.items(), strict=True):
        draw_panel(panel, name, steps, values)
    figure.savefig(path, dpi=90)


def panels_of(count: int) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of so many panels side by side."""
    figure = Figure(figsize=(4 * count, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, count, squeeze=False)[0]


def draw_panel(panel: Axes, title: str, steps: Sequence[int], values: Sequence[float]) -> None:
    """Draw one series against iterations."""
    panel.plot(steps, values, marker=".")
    panel.set_title(title)
    panel.set_xlabel("iteration")
    panel.grid(alpha=0.3)
