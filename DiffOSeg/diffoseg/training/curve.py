"""Learning curves as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from .expert import ExpertPoint
    from .loop import CurvePoint


def draw_curve(path: Path, curve: Sequence["CurvePoint"]) -> None:
    """Draw training loss and every validation measure against iterations, one panel each."""
    names = list(curve[0].validation) if curve else []
    figure, panels = _figure(1 + len(names))
    steps = [point.iteration for point in curve]
    series = {"training loss": [point.loss for point in curve]}
    series |= {name: [point.validation[name] for point in curve] for name in names}
    for panel, (name, values) in zip(panels, series.items(), strict=True):
        _draw(panel, name, steps, values)
    figure.savefig(path, dpi=90)


def draw_expert_curve(path: Path, curve: Sequence["ExpertPoint"]) -> None:
    """Draw an expert's training: the loss, and Dice on held-out cases beside what is there already.

    Without held-out cases there is the loss alone.
    """
    last = curve[-1]
    steps = [point.step for point in curve]
    checked = last.dice == last.dice  # not so where there was no case to hold out
    figure, panels = _figure(1 + checked)
    _draw(panels[0], "loss", steps, [point.loss for point in curve])
    if checked:
        _draw(panels[1], "Dice on held-out cases", steps, [point.dice for point in curve])
        panels[1].axhline(last.consensus, color="0.4", linestyle="--", label="consensus")
        best = last.best_name.replace("$", r"\$")  # between two of these would be mathematics
        panels[1].axhline(last.best, color="tab:orange", linestyle=":", label=f"nearest: {best}")
        panels[1].legend()
    figure.savefig(path, dpi=90)


def _figure(count: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(4 * count, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _draw(panel: Axes, title: str, steps: Sequence[int], values: Sequence[float]) -> None:
    panel.plot(steps, values, marker=".")
    panel.set_title(title)
    panel.set_xlabel("iteration")
    panel.grid(alpha=0.3)
