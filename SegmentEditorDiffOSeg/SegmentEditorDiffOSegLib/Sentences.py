"""What the effect alone says below its Run button."""

from slicer.i18n import tr as _

from diffoseg.experts.panel import display_name
from DiffOSegLib.scene.Conditions import conditions

from .Answer import Answer


def preview(answer: Answer, threshold: float, volumeMl: float) -> str:
    """Return what the preview of an answer shows."""
    expert = display_name(answer.expert)
    given = conditions(answer.preset, answer.presence)
    if given:
        expert = f"{expert}, {given}"
    if not volumeMl:
        return _("{expert} draws nothing here above {threshold:.2f}.").format(
            expert=expert, threshold=threshold
        )
    samples = _("1 sample") if answer.samples == 1 else _("{n} samples").format(n=answer.samples)
    shown = _("{expert}, {samples}: {volume:.2f} ml above {threshold:.2f}.").format(
        expert=expert, samples=samples, volume=volumeMl, threshold=threshold
    )
    if answer.reachesEdge(threshold):
        shown += " " + _("It reaches the region's edge: a larger region may show more.")
    return shown
