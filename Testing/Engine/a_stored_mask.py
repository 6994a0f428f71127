"""A mask as another program may store it."""

import numpy as np

from diffoseg.space.geometry import Geometry


def stored_otherwise(mask, geometry, order, flips):
    """Return the same voxels with other index axes, the way a program may save them."""
    size, spacing = np.array(geometry.size)[list(order)], np.array(geometry.spacing)[list(order)]
    first = np.zeros(3)
    signs = np.ones(3)
    for axis, source in enumerate(order):
        if flips[axis]:
            first[source], signs[axis] = geometry.size[source] - 1, -1
    turned = geometry.matrix[:, list(order)] * signs
    array = mask.transpose([2 - order[axis] for axis in (2, 1, 0)])
    array = np.flip(array, tuple(2 - axis for axis in range(3) if flips[axis]))
    grid = Geometry(size, spacing, geometry.index_to_point(first), tuple(turned.ravel()))
    return array, grid
