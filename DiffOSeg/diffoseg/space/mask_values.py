"""What the values of a mask file mean: one rule, wherever a mask is read.

One label on a background of 0 is what is marked, whatever number it has. Fractions from 0 to 1 are
cut at one half, and that is said. Of several labels, or of values below 0, nobody can know which
are meant.
"""

import numpy as np

from ..errors import InputError

_MOST_LISTED = 6


def marked_by(array: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """Return which voxels are marked, bool, and a sentence on what was made of them, or "".

    Args:
        array: of a mask, of any shape and number type.
        name: of the file, for sentences.

    Raises:
        InputError: some voxels are no numbers, or the values can mean several things.
    """
    if array.dtype.kind == "c" or not np.isfinite(array).all():
        raise InputError(f"Some voxels of {name} are no numbers. Give a mask.")
    low, high = array.min(), array.max()
    marked = np.asarray(array != 0)
    if not marked.any() or (low >= 0 and high >= 1 and np.array_equal(marked, array == high)):
        return marked, ""
    if low >= 0 and high <= 1:
        return np.asarray(array > 0.5), f"{name} holds fractions; what exceeds one half is marked."
    values = np.unique(array)
    listed = ", ".join(f"{value:g}" for value in values[:_MOST_LISTED])
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    raise InputError(
        f"{name} holds the values {listed}{more}, and which are marked cannot be told. Give a mask"
        " with one label on 0, or a .seg.nrrd with named segments."
    )
