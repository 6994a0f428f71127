"""Errors of Slicer's side as one plain sentence or two, without paths, which may name a patient."""

import errno

from slicer.i18n import tr as _

from diffoseg.errors import DiffOSegError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_WINDOWS_DISK_FULL = 112


def inWords(error: Exception, folder: str) -> str:
    """Return what went wrong and what to do.

    Args:
        error: of whatever kind.
        folder: which one was written or read, as people call it.
    """
    if isinstance(error, DiffOSegError):
        return str(error)
    if isinstance(error, OSError):
        windows = getattr(error, "winerror", None)
        if error.errno in _DISK_FULL or windows == _WINDOWS_DISK_FULL:
            return _("The disk with {folder} is full. Free some space, then try again.").format(
                folder=folder
            )
        return _(
            "A file could not be written or read ({reason}). Look whether you may write into"
            " {folder}, then try again."
        ).format(reason=error.strerror or type(error).__name__, folder=folder)
    if isinstance(error, MemoryError):
        return _("Slicer has too little free memory. Close other programs and try again.")
    return _(
        "An error in DiffOSeg ({kind}) ended this. Try again; where that does not help, send the"
        " details to its authors."
    ).format(kind=type(error).__name__)
