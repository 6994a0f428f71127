"""Values out of files that anybody may have made: which of them can be used, and shown."""

import math
from typing import Any

_LONGEST_TITLE = 200


def one_line(text: str) -> str:
    """Return text from a file fit to be shown: one line of bounded length, nothing unprintable."""
    words = " ".join(text.split())
    return "".join(sign for sign in words if sign.isprintable())[:_LONGEST_TITLE]


def is_number(value: Any) -> bool:
    """Say whether a value read from JSON is a number that a float can hold."""
    return type(value) in (int, float) and _is_finite(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False
