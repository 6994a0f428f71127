"""Times in words."""

from slicer.i18n import tr as _


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
