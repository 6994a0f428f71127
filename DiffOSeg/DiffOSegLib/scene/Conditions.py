"""Under which conditions a result holds, in words."""

from slicer.i18n import tr as _

from diffoseg.model.presets import PREVIEW


def conditions(preset: str | None, presence: float | None) -> str:
    """Return under which conditions a result holds, to stand after its name; "" for none.

    Args:
        preset: that it was drawn with; None for a number of steps.
        presence: that was given; None where the model predicted it.
    """
    words = []
    if presence == 1:
        words.append(_("given that something is marked"))
    elif presence is not None:
        words.append(
            _("given a chance of {n} % that something is marked").format(n=round(100 * presence))
        )
    if preset == PREVIEW:
        words.append(_("in preview quality"))
    return ", ".join(words)
