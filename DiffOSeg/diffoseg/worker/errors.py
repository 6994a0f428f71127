"""Any error as the worker tells it: one plain sentence, a code, and nobody's folders."""

import re
from pathlib import Path

from ..errors import DependencyError, DiffOSegError, InputError, OutOfMemoryError, ran_out_of_memory

_LONGEST_WORDS = 200


def as_reported(error: BaseException) -> DiffOSegError:
    """Return what a person is told about any error: itself where it is ours, else its kind."""
    if isinstance(error, DiffOSegError):
        return error
    if ran_out_of_memory(error):
        return OutOfMemoryError(
            "There is not enough free memory. Close other programs or choose a smaller region."
        )
    if isinstance(error, ImportError):
        return unusable(error)
    if isinstance(error, OSError):
        name = Path(str(error.filename)).name if error.filename else "A file"
        return InputError(
            f"{name} cannot be read or written ({error.strerror or type(error).__name__})."
            " Check that the disk is there and has free space, then run again."
        )
    return DiffOSegError(
        f"This is a fault in DiffOSeg ({type(error).__name__}: {words_of(error)})."
        " Run again; if it stays, please report it with the details."
    )


def unusable(error: ImportError) -> DependencyError:
    """Return what is told of a package that is missing or does not load."""
    package = (error.name or "").partition(".")[0] or "that is needed"
    if isinstance(error, ModuleNotFoundError):
        return DependencyError(f"The package {package} is missing. Install it, then run again.")
    return DependencyError(
        f"The package {package} cannot be loaded ({words_of(error)})."
        " Install it again, then restart Slicer."
    )


def words_of(error: BaseException) -> str:
    """Return an error's own words in one short line, without the folders of the files it names."""
    line = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"(?:[A-Za-z]:)?[\\/][^\"'<>|:*?]*[\\/]", "", line)[:_LONGEST_WORDS]
