"""LIDC-IDRI's outlines as masks on the voxels of their scan.

The pixels of a chain lie just outside of what it encloses, so that a nodule is the strict interior
of the polygon through their centres, and a hole takes its own chain with it. Several chains on one
slice are pieces of one nodule: what they enclose is taken together, then the holes are cut out.
Nobody drew a piece of nodule within a hole (none of the 41,406 outlines of LIDC-IDRI).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..reading.dicom_header import SliceHeader
from .lidc_readings import Outline, Reading

_OFF = 0.1  # of the distance between slices, by which an outline's place may miss its slice


@dataclass(frozen=True)
class Drawn:
    """One nodule as one session drew it, on the voxels of the scan.

    Attributes:
        session: 1..4.
        start: (k, j, i) in the scan of the mask's first voxel.
        mask: (K, J, I) bool, on the box of the chains.
        chains: (N, 3) int, (k, j, i) of the chains' pixels.
        ratings: as in a Reading.
    """

    session: int
    start: np.ndarray
    mask: np.ndarray
    chains: np.ndarray
    ratings: Mapping[str, int] = field(default_factory=dict)

    @property
    def end(self) -> np.ndarray:
        """(k, j, i) just beyond the mask's last voxel."""
        return self.start + self.mask.shape

    def on(self, start: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Return the mask on another box of the scan's voxels; what lies outside is cut."""
        result = np.zeros(shape, bool)
        low = np.maximum(self.start, start)
        high = np.maximum(np.minimum(self.end, start + shape), low)
        there = tuple(slice(*ends) for ends in zip(low - start, high - start, strict=True))
        here = tuple(slice(*ends) for ends in zip(low - self.start, high - self.start, strict=True))
        if np.all(low < high):
            result[there] = self.mask[here]
        return result


def drawn_on(reading: Reading, stack: Sequence[SliceHeader], slice_mm: float) -> Drawn:
    """Return what a session drew, on the voxels of a scan.

    Args:
        reading: of a nodule.
        stack: the scan's slices in their order.
        slice_mm: from slice to slice.

    Raises:
        InputError: an outline leaves the image or the stack, or names two different slices.
    """
    rows, columns = stack[0].shape
    places = [_place_of(outline, stack, slice_mm * _OFF) for outline in reading.outlines]
    for outline in reading.outlines:
        if outline.points.min() < 0 or np.any(outline.points.max(0) >= (columns, rows)):
            raise InputError(
                f"Session {reading.session} drew outside of the scan, beyond the edge of a slice."
            )
    chains = np.concatenate(
        [
            np.column_stack([np.full(len(outline.points), k), outline.points[:, ::-1]])
            for outline, k in zip(reading.outlines, places, strict=True)
        ]
    )
    start, end = chains.min(0), chains.max(0) + 1
    mask = np.zeros(end - start, bool)
    for k in set(places):
        here = [o for o, place in zip(reading.outlines, places, strict=True) if place == k]
        mask[k - start[0]] = mask_of(here, start[1:], end[1:])
    return Drawn(reading.session, start, mask, chains, reading.ratings)


def mask_of(outlines: Sequence[Outline], start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return what the outlines of one slice enclose, bool, from (row, column) start to end."""
    y, x = np.mgrid[start[0] : end[0], start[1] : end[1]]
    mask = np.zeros(y.shape, bool)
    for outline in sorted(outlines, key=lambda outline: not outline.inclusion):
        inside, line = _polygon(outline.points, x, y)
        if outline.inclusion:
            mask |= inside & ~line
        else:
            mask &= ~(inside | line)
    return mask


def _polygon(points: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels' centres are inside by the even-odd rule, and which are on the line.

    All in whole numbers, so that there is nothing to round.
    """
    inside, line = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
        side = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)  # 0 is on the straight line
        within_x = (min(x0, x1) <= x) & (x <= max(x0, x1))
        within_y = (min(y0, y1) <= y) & (y <= max(y0, y1))
        line |= (side == 0) & within_x & within_y
        crosses = (y0 <= y) != (y1 <= y)  # a ray along the row, to the right, meets this side
        inside ^= crosses & ((side > 0) if y1 > y0 else (side < 0))
    return inside, line


def _place_of(outline: Outline, stack: Sequence[SliceHeader], tolerance: float) -> int:
    """Return the index of the slice on which an outline was drawn."""
    misses = [abs(header.position[2] - outline.z) for header in stack]
    nearest = int(np.argmin(misses))
    if misses[nearest] > max(tolerance, 1e-3):
        raise InputError(
            f"An outline lies outside of the scan: at z = {outline.z:g} mm there is no slice."
        )
    named = next((k for k, header in enumerate(stack) if header.uid == outline.image), nearest)
    if outline.image and named != nearest:
        raise InputError("An outline names one slice and gives the place of another.")
    return nearest
