"""How the network's square field of view covers an answer: numbers alone, without torch.

The network was trained on squares of one size. It sees at least one such square around an answer,
and a larger answer is covered by overlapping squares.
"""

import numpy as np

from .model_grid import GridWindow

OVERLAP = 0.25
"""Share of a tile's side that neighbouring tiles have in common, at least."""

_MARGIN = 8  # pixels of context that the network sees around an answer larger than one tile


def window_seen(answer: GridWindow, patch: int) -> GridWindow:
    """Return the window that is looked at for an answer: grown to a tile, or by a margin."""
    (s, r, c), (n, h, w) = answer.start, answer.size
    rows, columns = (
        patch if length <= patch else length + 2 * _MARGIN for length in answer.size[1:]
    )
    return GridWindow((s, r - (rows - h) // 2, c - (columns - w) // 2), (n, rows, columns))


def tile_corners(
    canvas: tuple[int, int], edge: int, overlap: float = OVERLAP
) -> tuple[tuple[int, int], ...]:
    """Return top and left of the fewest evenly spread tiles that cover (H, W) with an overlap."""
    tops, lefts = (_starts(length, edge, overlap) for length in canvas)
    return tuple((top, left) for top in tops for left in lefts)


def _starts(length: int, edge: int, overlap: float) -> list[int]:
    if length <= edge:
        return [0]
    count = 1 + int(np.ceil((length - edge) / (edge * (1 - overlap))))
    return [int(start) for start in np.linspace(0, length - edge, count).round()]
