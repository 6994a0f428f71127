"""Whom the effect's list offers: a model's own experts, and those who were taught here on it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OfferedExpert:
    """One line of the list of whose style to draw in.

    Attributes:
        name: the expert's own, or "consensus".
        shown: how the line reads.
        color: red-green-blue in 0..1.
        toolTip: more on the expert; may be empty.
    """

    name: str
    shown: str
    color: tuple[float, float, float]
    toolTip: str = ""


def offeredBy(model: Any) -> tuple[OfferedExpert, ...]:
    """Return whom one can ask, by the model's own ModelCard and what was taught on it."""
    from diffoseg.experts.panel import display_name
    from DiffOSegLib.run import LocalExperts

    card = LocalExperts.withTaught(model)
    taught, offered = LocalExperts.taughtAmong(card), []
    for name in card.answers:
        shown, toolTip = display_name(name), ""
        if name in taught:
            shown = f"{shown} ({LocalExperts.inAWord(taught[name])})"
            toolTip = LocalExperts.inAll(taught[name])
        offered.append(OfferedExpert(name, shown, card.panel.color_of(name), toolTip))
    return tuple(offered)
