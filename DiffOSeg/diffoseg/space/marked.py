"""Where a mask is marked: its box in voxels and in the patient, and what of it a region judges."""

import numpy as np

from .geometry import Box, Geometry, Triple
from .model_grid import ModelGrid


def marked_box(geometry: Geometry, mask: np.ndarray) -> Box | None:
    """Return the box, LPS mm, around the marked voxels of a mask (K, J, I); None where none is."""
    found = marked_voxels(mask)
    return None if found is None else geometry.crop(*found).bounding_box()


def marked_voxels(mask: np.ndarray) -> tuple[Triple, Triple] | None:
    """Return start and size, (i, j, k), of the box of marked voxels of a mask (K, J, I)."""
    first, size = [], []
    for axis in range(3):  # each turn looks only at what the turns before have left
        places = np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis)))
        if not len(places):
            return None
        first.append(int(places[0]))
        size.append(int(places[-1] - places[0] + 1))
        mask = mask[(slice(None),) * axis + (slice(first[-1], first[-1] + size[-1]),)]
    (k, j, i), (depth, height, width) = first, size
    return (i, j, k), (width, height, depth)


def inside_region(grid: ModelGrid, mask: np.ndarray, region: Box | None) -> np.ndarray:
    """Return what of a mask (K, J, I) is judged: all, or what the region's pixels touch.

    Raises InputError where the region lies outside the volume.
    """
    if region is None:
        return mask
    (i, j, k), (width, height, depth) = grid.region_of(grid.window_of(region))
    place = np.s_[k : k + depth, j : j + height, i : i + width]
    inside = np.zeros_like(mask)
    inside[place] = mask[place]
    return inside
