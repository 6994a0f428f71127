"""What the values of a mask file mean: one rule, wherever a mask is read.

One label on a background of 0 is what is marked, whatever number it has. Fractions from 0 to 1 are
cut at one half, and that is said. Of several labels, or of values below 0, nobody can know which
are meant: one is chosen by its number.
"""

import re

import numpy as np

from ..errors import InputError
from ..files.values import one_line

_MOST_LISTED = 6


def marked_by(array: np.ndarray, name: str, label: str = "") -> tuple[np.ndarray, str]:
    """Return which voxels are marked, bool, and a sentence on what was made of them, or "".

    Args:
        array: of a mask, of any shape and number type.
        name: of the file, for sentences.
        label: the number of the label that is meant; "" where there is only one.

    Raises:
        InputError: some voxels are no numbers, the values can mean several things, or there is no
            such label.
    """
    if array.dtype.kind == "c" or not np.isfinite(array).all():
        raise InputError(f"Some voxels of {name} are no numbers. Give a mask.")
    if label:
        return _labelled(array, name, label), ""
    low, high = array.min(), array.max()
    marked = np.asarray(array != 0)
    if not marked.any() or (low >= 0 and high >= 1 and np.array_equal(marked, array == high)):
        return marked, ""
    if low >= 0 and high <= 1:
        return np.asarray(array > 0.5), f"{name} holds fractions; what exceeds one half is marked."
    raise InputError(
        f"{name} holds the values {_listed(array)}, and which are marked cannot be told. Choose one"
        " by its number, or give a .seg.nrrd with named segments."
    )


def _labelled(array: np.ndarray, name: str, label: str) -> np.ndarray:
    marked = np.asarray(array == float(label)) if is_label(label) else np.zeros(1, bool)
    if not marked.any():
        raise InputError(
            f"{name} has no label {one_line(label)}. It holds the values {_listed(array)}."
        )
    return marked


def is_label(text: str) -> bool:
    """Return whether a text is the number of a label: whole, and not the background's 0."""
    return re.fullmatch(r"-?[0-9]{1,9}", text) is not None and int(text) != 0


def _listed(array: np.ndarray) -> str:
    """Return the values of a mask, the first of many."""
    values = np.unique(array)
    listed = ", ".join(f"{value:g}" for value in values[:_MOST_LISTED])
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return listed + more
