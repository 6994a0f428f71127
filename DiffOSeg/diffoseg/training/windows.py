"""Which fields of view of a case to learn from: those that the network will look at there."""

import numpy as np

from ..space.field_of_view import tile_corners, window_seen
from ..space.marked import marked_voxels
from ..space.model_grid import GridWindow, ModelGrid

_EMPTY_ABOVE = 2 / 3
"""How many slices beyond a lesion's own may be looked at, as a share of these, on either side."""


def around_lesions(grid: ModelGrid, mask: np.ndarray, edge: int, most: int) -> list[GridWindow]:
    """Return fields of view around each connected lesion, the largest first; none without a mark.

    A lesion larger than a field of view has several. One that lies wholly in one of those before
    has none of its own; nor have the smallest, where there are ``most`` already.

    Args:
        grid: of the model for the volume.
        mask: (K, J, I) bool, on the volume's voxels.
        edge: side of a field of view, in pixels.
        most: fields of view after which no further lesion is taken.
    """
    from scipy.ndimage import find_objects, label

    voxels = marked_voxels(mask)
    if voxels is None:
        return []
    (i, j, k), (width, height, depth) = voxels
    place = np.s_[k : k + depth, j : j + height, i : i + width]
    lesions = find_objects(label(mask[place], np.ones((3, 3, 3)))[0])
    ends = np.array([[(side.start, side.stop) for side in lesion[::-1]] for lesion in lesions])
    starts, sizes = ends[..., 0] + voxels[0], ends[..., 1] - ends[..., 0]
    windows: list[GridWindow] = []
    for row in _largest_first(grid, starts, sizes):
        lesion = grid.window_of_voxels(starts[row], sizes[row])
        if not any(_holds(window, lesion) for window in windows):
            windows += tiles_of(with_empty_slices(lesion, grid), edge)
        if len(windows) >= most:
            break
    return windows


def tiles_of(answer: GridWindow, edge: int) -> list[GridWindow]:
    """Return the fields of view with which the network covers an answer."""
    seen = window_seen(answer, edge)
    (s, r, c), (n, rows, columns) = seen.start, seen.size
    return [
        GridWindow((s, r + top, c + left), (n, edge, edge))
        for top, left in tile_corners((rows, columns), edge)
    ]


def with_empty_slices(lesion: GridWindow, grid: ModelGrid) -> GridWindow:
    """Return a lesion's window with the slices above and below that may serve as empty ones."""
    more = max(1, int(np.ceil(_EMPTY_ABOVE * lesion.size[0])))
    first = max(0, lesion.start[0] - more)
    last = min(grid.shape[0], lesion.start[0] + lesion.size[0] + more)
    _, *corner = lesion.start
    _, *sides = lesion.size
    return GridWindow((first, corner[0], corner[1]), (last - first, sides[0], sides[1]))


def _largest_first(grid: ModelGrid, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return in which order to take boxes of voxels, given as two (N, 3): (i, j, k).

    By size, then by place as the model sees it: the same however a file stores its voxels.
    """
    axes = list(grid.axes)
    last = np.subtract(grid.geometry.size, starts + sizes)
    lower = np.where(grid.flips, last[:, axes], starts[:, axes])
    return np.lexsort((*lower.T[::-1], -sizes.prod(1)))


def _holds(window: GridWindow, part: GridWindow) -> bool:
    return all(
        a <= b and b + m <= a + n
        for a, n, b, m in zip(window.start, window.size, part.start, part.size, strict=True)
    )
