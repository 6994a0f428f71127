"""Errors a person can act on: one plain sentence each, and the exit code the commands end with.

A message says what was wrong, what was expected and what to do next. It names files by their
name, never by their folder, which may hold a patient's name.
"""


class DiffOSegError(Exception):
    """The root of every error that is reported as one line instead of a traceback."""

    exit_code = 1


class InputError(DiffOSegError):
    """The request cannot be answered as it stands: a file, a region or a setting is wrong."""

    exit_code = 2


class OutOfMemoryError(DiffOSegError):
    """The computer or its graphics card has too little free memory."""

    exit_code = 3


class CancelledError(DiffOSegError):
    """The user stopped the run."""

    exit_code = 4


class WeightsError(DiffOSegError):
    """A weights file is damaged, hostile, too new, or does not hold what is asked of it."""

    exit_code = 5


class DependencyError(DiffOSegError):
    """A package that this step needs is missing or broken."""

    exit_code = 6


def ran_out_of_memory(error: BaseException) -> bool:
    """Say whether an error of Python or torch means that the memory did not suffice."""
    # torch's own class is a RuntimeError too; the words spare importing torch to ask for it.
    words = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
