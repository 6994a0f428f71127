"""What the panel and the effect say in the same words."""

from html import escape

from slicer.i18n import tr as _

from diffoseg.experts.panel import display_name

from ..run.Run import RunEvent


def asHtml(text: str) -> str:
    """Return plain text for where Qt would read a name that holds tags as HTML; it wraps there."""
    lines = escape(text).replace("\n", "<br>")
    return f"<p>{lines}</p>" if text else ""


def duration(seconds: float) -> str:
    """Return a time as people say it: "about 40 s", "about 3 min"."""
    if seconds < 1.5:
        return _("about a second")
    if seconds < 90:
        rounded = round(seconds) if seconds < 10 else round(seconds / 5) * 5
        return _("about {n} s").format(n=rounded)
    if seconds < 90 * 60:
        return _("about {n} min").format(n=round(seconds / 60))
    return _("about {n} h").format(n=round(seconds / 3600))


def progress(event: RunEvent) -> str:
    """Return whose drawing goes on, and for how long."""
    words = [_("Drawing: {what}").format(what=display_name(event.sentence))]
    if event.secondsLeft is not None:
        words.append(_("{time} left").format(time=duration(event.secondsLeft)))
    return ", ".join(words)


def noModel() -> str:
    """Return what to do where not even the default model is there."""
    return _("There is no model on this computer. Install the DiffOSeg extension again.")
