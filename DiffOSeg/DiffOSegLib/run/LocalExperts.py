"""The experts taught on this computer: who there is, and who wants to know when that changes.

The files in the library's folder are all there is; they are looked at again whenever the folder has
changed, so that another Slicer's experts, and those copied there by hand, are found as well.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from slicer.i18n import tr as _

from diffoseg.errors import InputError
from diffoseg.experts.local_expert import summary_of
from diffoseg.experts.panel import display_name, name_key
from diffoseg.model.cards import ExpertCard, ModelCard, read_card
from diffoseg.model.expert_library import ExpertLibrary, default_folder

_observers: list[Callable[[], None]] = []


def library() -> ExpertLibrary:
    """Return the library of this computer's experts, enabled and disabled."""
    return ExpertLibrary(default_folder())


def cardFor(model: str) -> ModelCard:
    """Return a model's description with the enabled experts who were taught on it.

    Args:
        model: name or path of the weights; "" is the default model.

    Raises WeightsError where the model is missing or damaged.
    """
    return withTaught(read_card(model or None))


def withTaught(card: ModelCard) -> ModelCard:
    """Return a model's own description with the enabled experts who were taught on it."""
    own = {name_key(name) for name in card.panel.names}
    taught = [one for one in _enabled() if one.base_hash == card.hash]
    return card.with_experts([one for one in taught if name_key(one.name) not in own])


def taughtAmong(card: ModelCard) -> Mapping[str, ExpertCard]:
    """Return those of a description's experts who were taught here, by name."""
    here = {one.expert: one for one in _enabled() if one.base_hash == card.hash}
    return {expert.name: here[expert] for expert in card.panel if expert in here}


def filesFor(card: ModelCard, names: Iterable[str]) -> tuple[Path, ...]:
    """Return the files of those who were taught here.

    Args:
        card: as of :func:`cardFor`.
        names: whom a run asks, "consensus" and the model's own experts among them.

    Raises InputError where one of them is not there any more.
    """
    names = tuple(names)
    gone = [name for name in names if name not in card.answers]
    if gone:
        raise InputError(notThere(gone))
    taught = taughtAmong(card)
    return tuple(taught[name].path for name in names if name in taught)


def notThere(names: Iterable[str]) -> str:
    """Return the sentence on experts who were asked for and are not there."""
    return _(
        "The model does not know these experts: {names}. Tick others; or, where they were taught,"
        " enable or import them in DiffOSeg Training."
    ).format(names=", ".join(display_name(name) for name in names))


def goneFor(name: str, instead: str) -> str:
    """Return the sentence on an expert who is not there, and in whose place another is chosen."""
    return _("{name} is not among this model's experts. {instead} is chosen instead.").format(
        name=display_name(name), instead=display_name(instead)
    )


def inAWord(card: ExpertCard) -> str:
    """Return what sets an expert who was taught here apart in a list: "taught here: 4 cases".

    It also says where the training found no reason to prefer this expert to the consensus.
    """
    cases, verdict = card.training.get("cases"), _verdict(card)
    if not isinstance(cases, int):
        return _("taught here")
    words = _("taught here: 1 case") if cases == 1 else _("taught here: {n} cases").format(n=cases)
    reserve = {"unproven": _("not checked"), "like consensus": _("like the consensus")}
    return f"{words}, {reserve[verdict]}" if verdict in reserve else words


def inAll(card: ExpertCard) -> str:
    """Return the lines that a tool tip says of an expert who was taught here."""
    date = str(card.training.get("date", ""))
    head = inAWord(card)
    lines = [
        f"{head[:1].upper()}{head[1:]}, {date}." if date else f"{head[:1].upper()}{head[1:]}.",
        summary_of(card.training),
        card.expert.description,
    ]
    return "\n".join(filter(None, lines))


def _verdict(card: ExpertCard) -> str:
    validation = card.training.get("validation")
    return str(validation.get("verdict")) if isinstance(validation, Mapping) else ""


def observe(callback: Callable[[], None]) -> Callable[[], None]:
    """Call back after every change that Slicer makes to the experts; return what ends that."""
    _observers.append(callback)

    def stop() -> None:
        if callback in _observers:
            _observers.remove(callback)

    return stop


def changed() -> None:
    """Tell everybody that an expert was added, renamed, enabled, disabled or deleted."""
    _read.cache_clear()
    for callback in tuple(_observers):
        try:
            callback()
        except Exception:  # one panel's trouble must not keep the news from the others
            logging.exception("DiffOSeg: a list of experts could not be brought up to date")


def _enabled() -> tuple[ExpertCard, ...]:
    """Return the enabled experts, of whatever model, sorted by name."""
    folder = default_folder()
    return _read(folder, tuple(_lastChange(one) for one in (folder, folder / "disabled")))


@lru_cache(maxsize=4)
def _read(folder: Path, _changes: tuple[int, ...]) -> tuple[ExpertCard, ...]:
    found = ExpertLibrary(folder)
    return tuple(card for card in found.cards() if found.is_enabled(card))


def _lastChange(folder: Path) -> int:
    """Return when a folder was last changed, in ns; 0 where there is none."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
