"""A new expert's learning curve as a picture."""

from collections.abc import Sequence
from pathlib import Path

from ..curve_picture import draw_panel, panels_of
from .curve import ExpertPoint


def draw_expert_curve(path: Path, curve: Sequence[ExpertPoint]) -> None:
    """Draw an expert's training: the loss, and Dice on held-out cases beside what is there already.

    Without held-out cases there is the loss alone.
    """
    last = curve[-1]
    steps = [point.step for point in curve]
    checked = last.dice == last.dice  # not so where there was no case to hold out
    figure, panels = panels_of(1 + checked)
    draw_panel(panels[0], "loss", steps, [point.loss for point in curve])
    if checked:
        draw_panel(panels[1], "Dice on held-out cases", steps, [point.dice for point in curve])
        panels[1].axhline(last.consensus, color="0.4", linestyle="--", label="consensus")
        best = last.best_name.replace("$", r"\$")  # between two of these would be mathematics
        panels[1].axhline(last.best, color="tab:orange", linestyle=":", label=f"nearest: {best}")
        panels[1].legend()
    figure.savefig(path, dpi=90)
