"""Which readings of a scan are of one and the same nodule.

Sessions name nodules in their own words, so that only the place tells. Readings of different
sessions belong together where they share voxels, else where their outlines come as near as one
slice lies to the next. Pairs are joined from the most alike on, and never such that one session
would have two readings in a nodule: two it told apart stay two nodules. Only where two readings of
one session share voxels are they pieces of one drawing.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from .lidc_contours import Drawn


def nodules_of(drawn: Sequence[Drawn], spacing_mm: Sequence[float]) -> list[list[Drawn]]:
    """Return the nodules of a scan, each as its readings in the order of sessions, one of each.

    Args:
        drawn: all readings of the scan.
        spacing_mm: along (k, j, i).

    Nodules are in the order of their places, the lowest index (k, j, i) first.
    """
    readings = _pieces_joined(drawn)
    groups = [{row} for row in range(len(readings))]
    for _, _, one, two in _pairs(readings, np.asarray(spacing_mm)):
        first, second = (next(g for g in groups if row in g) for row in (one, two))
        if first is second:
            continue
        sessions = [readings[row].session for row in first | second]
        if len(set(sessions)) == len(sessions):
            groups.remove(second)
            first |= second
    nodules = [sorted((readings[row] for row in g), key=lambda d: d.session) for g in groups]
    return sorted(nodules, key=lambda nodule: tuple(np.min([d.start for d in nodule], axis=0)))


def _pieces_joined(drawn: Sequence[Drawn]) -> list[Drawn]:
    """Return the readings, those that share voxels within one session as one."""
    found: list[Drawn] = []
    for reading in drawn:
        for other in [
            d for d in found if d.session == reading.session and shares_voxels(d, reading)
        ]:
            found.remove(other)
            reading = _joined(other, reading)
        found.append(reading)
    return found


def _joined(one: Drawn, two: Drawn) -> Drawn:
    start, end = np.minimum(one.start, two.start), np.maximum(one.end, two.end)
    shape = tuple(end - start)
    larger = max(one, two, key=lambda drawn: int(drawn.mask.sum()))
    return replace(
        larger,
        start=start,
        mask=one.on(start, shape) | two.on(start, shape),
        chains=np.concatenate([one.chains, two.chains]),
    )


def _pairs(readings: Sequence[Drawn], spacing: np.ndarray) -> list[tuple[float, float, int, int]]:
    """Return pairs of one nodule by different sessions, the most alike first.

    Each is (1 - share of voxels in common, distance in mm, row, row).
    """
    near = float(spacing.max())
    found = []
    for one, two in combinations(range(len(readings)), 2):
        a, b = readings[one], readings[two]
        gap = np.maximum(np.maximum(a.start - b.end, b.start - a.end) + 1, 0) * spacing
        if a.session == b.session or np.linalg.norm(gap) > near:
            continue
        shared = _shared(a, b)
        distance = 0.0 if shared else _distance(a, b, spacing)
        if distance <= near + 1e-6:
            alike = 2 * shared / max(1, a.mask.sum() + b.mask.sum())
            found.append((1 - float(alike), distance, one, two))
    return sorted(found)


def shares_voxels(one: Drawn, two: Drawn) -> bool:
    """Say whether two readings have a voxel in common, whoever drew them."""
    return _shared(one, two) > 0


def _shared(one: Drawn, two: Drawn) -> int:
    """Return how many voxels are marked in both."""
    return int((two.on(one.start, one.mask.shape) & one.mask).sum())


def _distance(one: Drawn, two: Drawn, spacing: np.ndarray) -> float:
    """Return mm between the nearest pixels of two readings' chains."""
    from scipy.spatial import cKDTree

    near, _ = cKDTree(one.chains * spacing).query(two.chains * spacing)
    return float(near.min())
