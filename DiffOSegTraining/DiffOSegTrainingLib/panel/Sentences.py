"""What the panel says about cases, trainings and experts, in one place."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from diffoseg.cohorts.checks import Finding
from diffoseg.experts.local_expert import summary_of
from diffoseg.model.cards import ExpertCard
from DiffOSegLib.panel.Sentences import duration
from DiffOSegLib.run import Dependencies

from ..run.Autosave import AutosavedTraining
from ..run.TrainingRun import TrainingEvent

_MOST_ROWS = 5  # whose faults are said in words at once; the others in their tool tips
_MARKS = {"use": "\u2714", "like consensus": "\u2248", "unproven": "?"}

Checked = tuple[Finding, ...] | None


def personalData() -> str:
    """Return what is to be kept in mind about experts' files."""
    return _(
        "The file of an expert describes how a person draws: treat it as personal data, and delete"
        " it when that person asks for it."
    )


def notOnThisComputer(model: str) -> str:
    """Return what to do where the chosen model is missing."""
    return _("The model {name} is not on this computer. Choose another one.").format(name=model)


def noCases() -> str:
    """Return how an empty table is filled."""
    return _("Drag segmentations here from the Data module,\nor press a button below.")


def worst(checked: Checked) -> str:
    """Return "unknown", "error", "warning" or "fine" for one row's findings."""
    if checked is None:
        return "unknown"
    kinds = {finding.kind for finding in checked}
    return next((kind for kind in ("error", "warning") if kind in kinds), "fine")


def inWords(checked: Checked) -> str:
    """Return all that is to be said about one row."""
    if checked is None:
        return _("Being looked at.")
    return "\n".join(finding.sentence for finding in checked) or _("This case can be used.")


def aboutCases(checks: Sequence[Checked]) -> str:
    """Return what is wrong with which row, or that all is well; "" without rows."""
    if not checks:
        return ""
    lines = [
        _("{mark} Case {n}: {sentence}").format(
            mark="\u2716" if worst(checked) == "error" else "\u26a0",
            n=number,
            sentence=" ".join(finding.sentence for finding in checked),
        )
        for number, checked in enumerate(checks, start=1)
        if checked
    ]
    waiting = sum(checked is None for checked in checks)
    if len(lines) > _MOST_ROWS:
        more = len(lines) - _MOST_ROWS
        lines = [*lines[:_MOST_ROWS], _("And {n} cases more: point at their signs.").format(n=more)]
    if waiting:
        lines.append(_("{n} cases are being looked at.").format(n=waiting))
    return "\n".join(lines) or _howMany(len(checks))


def _howMany(count: int) -> str:
    if count == 1:
        return _("1 case, which can be used. With a second one the result can be checked.")
    return _("{n} cases, all of which can be used.").format(n=count)


def startToolTip(running: bool) -> str:
    """Return what the Start button does now."""
    if running:
        return _("Stop within two seconds. What was learnt so far is kept, to resume from.")
    return _("Teach the model. All that it knew stays as it is.")


def progress(event: TrainingEvent) -> str:
    """Return what goes on, and for how long."""
    words = event.sentence.rstrip(".")
    if event.secondsLeft is not None:
        words = _("{what}, {time} left").format(what=words, time=duration(event.secondsLeft))
    return f"{words}."


def result(name: str, verdict: str, sentence: str) -> str:
    """Return the line on a finished training."""
    return f"{_MARKS.get(verdict, '')} {name}: {sentence}".strip()


def nowListed(count: int) -> str:
    """Return where the experts are that were taught."""
    if count == 1:
        return _("The expert is now in the list of the DiffOSeg module.")
    return _("These experts are now in the list of the DiffOSeg module.")


def toResume(autosaved: AutosavedTraining) -> str:
    """Return which training it was."""
    cases = _("1 case") if autosaved.cases == 1 else _("{n} cases").format(n=autosaved.cases)
    name, when = autosaved.expertName or _("Unreadable"), f"{autosaved.started:%d %b %H:%M}"
    return _("{name}, {cases}, {when}").format(name=name, cases=cases, when=when)


def whatHinders(state: Dependencies.DependencyState) -> str:
    """Return what has to be installed or mended before a training; "" where all is there."""
    if state.missing:
        names = ", ".join(f"{p.name} ({p.size})" for p in state.missing)
        return _("Not installed yet: {names}. Start asks before it installs anything.").format(
            names=names
        )
    return state.slicerTooOld or state.broken or ""


def runsOn(description: Mapping[str, Any], seconds: float | None) -> str:
    """Return what a training would run on, for how long, and why not on something faster."""
    line = _("Runs on {device}").format(device=description["line"])
    if seconds is not None and math.isfinite(seconds):
        line += _(": {time}").format(time=duration(seconds))
    because = description.get("because")
    return line + (_(", because {reason}.").format(reason=because) if because else ".")


def about(card: ExpertCard, baseTitle: str | None) -> str:
    """Return what is to be known of a taught expert.

    Args:
        card: the expert.
        baseTitle: of the model that the expert was taught to; None where it is not here.
    """
    made = card.base_title or _("a model without a title")
    lines = [summary_of(card.training)]
    if card.expert.description:
        lines.append(_("Note: {text}").format(text=card.expert.description))
    if baseTitle is None:
        lines.append(
            _("Taught to {model}, which is not on this computer: cannot be used here.").format(
                model=made
            )
        )
    else:
        lines.append(_("Taught to {model}.").format(model=made))
    corrected = card.training.get("corrects")
    if corrected:
        lines.append(_("Began as {name}.").format(name=corrected))
    return "\n".join(filter(None, lines))


def dice(value: Any) -> str:
    """Return a Dice as shown, a dash where there is none."""
    isNumber = isinstance(value, (int, float)) and math.isfinite(value)
    return f"{value:.2f}" if isNumber else "\u2013"


def deleteQuestion(name: str) -> str:
    """Return what is asked before an expert is deleted."""
    return _(
        "Delete {name} from this computer? The expert can be taught again only from the cases, or"
        " imported from a file. Drawings that are in a scene stay."
    ).format(name=name)


def discardQuestion(name: str) -> str:
    """Return what is asked before an unfinished training is thrown away.

    Args:
        name: of the expert; "" where what was kept cannot be read.
    """
    if not name:
        return _("Discard this unfinished training, which cannot be read? Its files are deleted.")
    return _(
        "Discard the unfinished training of {name}? Its copies of the scans are deleted; your own"
        " files and the scene stay as they are."
    ).format(name=name)


def onAnotherComputer() -> str:
    """Return how the same cases are used where there is no Slicer."""
    return _(
        "For many cases, or for a model of your own, train on a computer with a graphics card:"
        " export the cases, copy the folder there, and run one of these lines. Import brings the"
        " experts back. The exported files hold the scans as they are: treat them as patient data."
    )
