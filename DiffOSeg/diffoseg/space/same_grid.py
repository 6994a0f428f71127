"""Where the voxels of two grids are the same ones, and a mask of one on the other.

Programs save a mask cropped to what is marked, or with axes in another order, and it is still drawn
on the scan's own voxels. Nothing is interpolated here.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from .geometry import Geometry, Triple, triple

_APART = 0.1  # voxels between two centres that count as one
_TURNED = 1e-3  # between the components of two directions that count as one


@dataclass(frozen=True)
class SharedGrid:
    """How the voxels of one grid lie among those of another; made by :meth:`of`.

    Attributes:
        whole: the grid on which masks are wanted.
        size: voxels of the other grid along the axes (i, j, k) of ``whole``.
        first: (i, j, k) in ``whole`` of its lowest voxel; may lie outside.
        order: which of its own axes runs along (i, j, k) of ``whole``.
        flips: which of these run against them.
    """

    whole: Geometry
    size: Triple
    first: Triple
    order: Triple
    flips: tuple[bool, bool, bool]

    @classmethod
    def of(cls, whole: Geometry, other: Geometry) -> Self | None:
        """Return how the other grid's voxels lie among those of ``whole``; None if elsewhere."""
        turn = whole.matrix.T @ other.matrix
        signed = np.rint(turn)
        if not np.allclose(turn, signed, rtol=0, atol=_TURNED):
            return None
        order = np.abs(signed).argmax(1)
        flips = signed[range(3), order] < 0
        size = np.array(other.size)[order]
        if not np.allclose(np.array(other.spacing)[order], whole.spacing, rtol=1e-3):
            return None
        corners = np.array(list(np.ndindex(2, 2, 2)))
        own = np.empty((8, 3))
        own[:, order] = np.where(flips, 1 - corners, corners) * (size - 1)
        found = whole.point_to_index(other.index_to_point(own))
        first = np.rint(found[0])
        if not np.allclose(found, first + corners * (size - 1), rtol=0, atol=_APART):
            return None
        i, j, k = (bool(flip) for flip in flips)
        return cls(whole, triple(size), triple(first), triple(order), (i, j, k))

    @property
    def inside(self) -> bool:
        """Whether every voxel of the other grid is one of ``whole``."""
        last = np.add(self.first, self.size)
        return min(self.first) >= 0 and bool(np.all(last <= self.whole.size))

    def put(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask (K, J, I) of the other grid on ``whole``, bool; what lies outside is cut.

        Not a copy where the two grids are one.
        """
        turned = mask.transpose([2 - self.order[axis] for axis in (2, 1, 0)])
        turned = np.flip(turned, tuple(2 - axis for axis in range(3) if self.flips[axis]))
        if self.first == (0, 0, 0) and self.size == self.whole.size:
            return turned.astype(bool, copy=False)
        low = np.clip(self.first, 0, self.whole.size)
        high = np.clip(np.add(self.first, self.size), low, self.whole.size)
        result = np.zeros(self.whole.size[::-1], bool)
        there, here = (
            tuple(slice(a, b) for a, b in zip(start[::-1], end[::-1], strict=True))
            for start, end in (
                (low, high),
                (np.subtract(low, self.first), np.subtract(high, self.first)),
            )
        )
        if np.all(low < high):
            result[there] = turned[here]
        return result
