"""Which slices the report lets one scroll through."""

import numpy as np
import pytest

from diffoseg.output.slice_reader import _choose_slices


@pytest.mark.parametrize(
    ("worth", "slices", "current"),
    [
        ([5], [0], 0),
        ([5, 0], [0, 1], 0),
        ([0, 0, 3, 4, 0, 0, 0], [1, 2, 3, 4], 2),
        ([0, 0, 0], [0, 1, 2], 1),
    ],
)
def test_what_is_marked_is_shown_with_a_slice_on_either_side(worth, slices, current):
    assert _choose_slices(np.array(worth)) == (slices, current)


def test_of_many_slices_sixteen_at_most_are_shown_and_the_best_is_among_them():
    worth = np.ones(100)
    worth[37] = 9

    slices, current = _choose_slices(worth)

    assert len(slices) <= 16
    assert slices[current] == 37
    assert (slices[0], slices[-1]) == (0, 99)
