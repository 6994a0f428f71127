"""How probable it is that an expert marks anything: who can be told, and what the number means."""

from slicer.i18n import tr as _

from diffoseg.model.cards import ModelCard

# What the number of an answer is; as a tag it stands in saved scenes.
PREDICTED, COUNTED, GIVEN = "probability", "share of samples", "given"


def canBeGiven(card: ModelCard) -> bool:
    """Return whether a model can be told how probable it is that an expert marks anything."""
    return card.metadata.kind == "fast"


def givenTo(card: ModelCard, chosen: float) -> float | None:
    """Return the presence to ask a model for.

    Args:
        card: of the model; one that cannot be told is left to itself.
        chosen: in 0..1; 0 means as predicted.
    """
    return float(chosen) if chosen and canBeGiven(card) else None


def meaning(card: ModelCard, given: float | None) -> str:
    """Return what the presence of an answer is: PREDICTED, COUNTED or GIVEN."""
    if given is not None:
        return GIVEN
    return PREDICTED if canBeGiven(card) else COUNTED


def columnTitle(meant: str) -> str:
    """Return the title of a table's column of such numbers."""
    return {
        PREDICTED: _("Probability of marking anything [0 to 1]"),
        COUNTED: _("Share of samples that mark anything [0 to 1]"),
        GIVEN: _("Probability of marking anything, as given [0 to 1]"),
    }[meant]


def percentage(presence: str) -> str:
    """Return a tag's number in per cent; "" where it is none."""
    try:
        return _("{n} %").format(n=round(100 * float(presence)))
    except (ValueError, OverflowError):  # somebody's own
        return ""


def explanation(expert: str, meant: str, percent: str) -> str:
    """Return what the percentage says of an expert, in a sentence; "" where that is not known."""
    sentences = {
        PREDICTED: _("{expert} marks anything: {percent}, as the model predicts."),
        COUNTED: _("{expert} marks anything in {percent} of the samples."),
        GIVEN: _("{expert} marks anything: {percent}, which was given and not predicted."),
    }
    return sentences.get(meant, "").format(expert=expert, percent=percent)
