"""The model's grid in a volume, and the way from voxels to the model's slices and back.

The model's slices are the volume's own slices, never resampled across; within a slice, pixels are
square, of the model's spacing, the first one on the centre of the volume's first voxel. "First" is
meant in the canonical orientation, which depends on the patient and not on the order in which a
file stores its voxels: flipped or permuted copies of one volume have the same slices, bit for bit.
The grid is written (slice, row, column).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import permutations
from math import ceil, floor
from typing import Self

import numpy as np

from .geometry import Box, Geometry, Point, Triple, corners_of, triple

_ANISOTROPIC = 1.5  # coarsest over finest spacing from which slices lie across the coarsest axis


_ALIASING = 1.5  # pixel over voxel spacing from which voxels are averaged


_TOLERANCE = 1e-6  # of a pixel, so that a region that ends on a pixel's edge ends there


@dataclass(frozen=True)
class GridWindow:
    """A part of the model's grid: first (slice, row, column) and size in the same order.

    It may reach outside the volume, where indices are negative or beyond the grid's shape.
    """

    start: Triple
    size: Triple

    def padded(self, rows_cols: tuple[int, int]) -> "GridWindow":
        """Return the window grown in plane by that many rows and columns on each side."""
        (s, r, c), (n, h, w) = self.start, self.size
        rows, cols = rows_cols
        return GridWindow((s, r - rows, c - cols), (n, h + 2 * rows, w + 2 * cols))

    def within(self, outer: "GridWindow") -> tuple[slice, slice, slice]:
        """Return the slices that cut this window out of an array on the window ``outer``."""
        first, second, third = (
            slice(a - b, a - b + n)
            for a, b, n in zip(self.start, outer.start, self.size, strict=True)
        )
        return first, second, third


@dataclass(frozen=True)
class ModelGrid:
    """The grid on which the model sees a volume; made by :meth:`fit`.

    Attributes:
        geometry: of the volume.
        spacing_mm: of the pixels, in plane.
        axes: the volume's index axes that run along (slices, rows, columns).
        flips: which of these run against the volume's own order.
    """

    geometry: Geometry
    spacing_mm: float
    axes: Triple
    flips: tuple[bool, bool, bool]

    @classmethod
    def fit(cls, geometry: Geometry, spacing_mm: float) -> Self:
        """Return the grid for a volume and the model's pixel spacing.

        Slices lie across the coarsest axis if it is more than 1.5 times the finest, else across
        the one nearest superior-inferior; a volume one voxel thin is one slice. Slices are stacked
        towards head, back or left, and lie as radiologists look at them: columns run to the
        patient's left (sagittal: to the back), rows to the back (others: to the feet).
        """
        axes, signs = _patient_axes(geometry.matrix)
        across = _slice_axis([geometry.spacing[a] for a in axes], [geometry.size[a] for a in axes])
        columns, rows = (p for p in range(3) if p != across)
        if rows == 2:
            signs[rows] *= -1
        order = (across, rows, columns)
        return cls(
            geometry,
            float(spacing_mm),
            triple([axes[p] for p in order]),
            (signs[across] < 0, signs[rows] < 0, signs[columns] < 0),
        )

    @property
    def steps(self) -> Point:
        """How many voxels one step of (slice, row, column) is."""
        _, rows, cols = (self.geometry.spacing[a] for a in self.axes)
        return 1.0, self.spacing_mm / rows, self.spacing_mm / cols

    @property
    def shape(self) -> Triple:
        """Slices, rows and columns that cover every voxel centre of the volume."""
        counts = (self.geometry.size[a] for a in self.axes)
        last = [(n - 1) / step for n, step in zip(counts, self.steps, strict=True)]
        return triple([floor(place + 0.5 + _TOLERANCE) + 1 for place in last])

    def window_of(self, box: Box | None) -> GridWindow:
        """Return the pixels that a region touches, clipped to the volume; the whole for None.

        Raises InputError where the region is wholly outside the volume.
        """
        if box is None:
            return GridWindow((0, 0, 0), self.shape)
        self.geometry.require_overlap(box)
        return self._touched(self.geometry.point_to_index(corners_of(box.lower, box.upper)))

    def window_of_voxels(self, start: Sequence[int], size: Sequence[int]) -> GridWindow:
        """Return the pixels that the ``size`` (i, j, k) voxels from voxel ``start`` on touch."""
        low = np.subtract(start, 0.5)
        return self._touched(corners_of(low.tolist(), (low + size).tolist()))

    def _touched(self, ijk: np.ndarray) -> GridWindow:
        """Return the pixels between corners (8, 3) at fractional indices, clipped to the volume."""
        corners = self._to_grid(ijk)
        start, stop = [], []
        for low, high, count in zip(corners.min(0), corners.max(0), self.shape, strict=True):
            first = min(max(floor(low + 0.5 + _TOLERANCE), 0), count - 1)
            last = min(max(ceil(high - 0.5 - _TOLERANCE), first), count - 1)
            start.append(first)
            stop.append(last + 1)
        return GridWindow(triple(start), triple(np.subtract(stop, start)))

    def slices(
        self, array: np.ndarray, window: GridWindow, fill: float | None = None
    ) -> np.ndarray:
        """Return the volume on the window's pixels.

        Linear in plane; where pixels are more than 1.5 times as large as voxels, each is the
        triangle-weighted mean of the voxels less than one pixel away, so that noise is averaged
        and not aliased. Each pixel depends on its own place alone: a window's pixels are those of
        any larger window, bit for bit.

        Args:
            array: (K, J, I), the volume.
            window: may reach outside the volume.
            fill: the value outside; None repeats the value at the edge.

        Returns:
            (S, H, W) float32.
        """
        canonical = self._canonical(array)
        rows, cols = self._taps_of(window)
        first = window.start[0]
        result = np.empty(window.size, np.float32)
        for s, plane in enumerate(result, first):
            source = canonical[min(max(s, 0), len(canonical) - 1)]
            plane[:] = _resample(source, rows, cols)
        if fill is not None:
            result[~self._inside(window)] = fill
        return result

    def voxels_read(self, window: GridWindow) -> tuple[Triple, Triple]:
        """Return start and size, (i, j, k), of all voxels that ``slices`` reads for a window."""
        first, last = window.start[0], window.start[0] + window.size[0] - 1
        count = self.geometry.size[self.axes[0]]
        slices = np.clip((first, last), 0, count - 1)
        start, size = [0, 0, 0], [0, 0, 0]
        read = (slices, *(index for index, _ in self._taps_of(window)))
        for axis, flip, index in zip(self.axes, self.flips, read, strict=True):
            low, high = int(index.min()), int(index.max())
            start[axis] = self.geometry.size[axis] - 1 - high if flip else low
            size[axis] = high - low + 1
        return triple(start), triple(size)

    def region_of(self, window: GridWindow) -> tuple[Triple, Triple]:
        """Return start and size, (i, j, k), of the voxels whose centres lie in the window.

        Neighbouring windows share no voxel, and the window that :meth:`window_of` gives for the
        whole volume holds them all. Where pixels are smaller than voxels and no centre is inside,
        it is the voxel that holds the window's middle.
        """
        start, size = [0, 0, 0], [0, 0, 0]
        places = zip(self.axes, self.flips, window.start, window.size, self.steps, strict=True)
        for axis, flip, first, n, step in places:
            count = self.geometry.size[axis]
            low, high = (
                min(max(ceil((edge - 0.5 - _TOLERANCE) * step), 0), count)
                for edge in (first, first + n)
            )
            if low == high:
                low = min(max(floor((first + (n - 1) / 2) * step + 0.5), 0), count - 1)
                high = low + 1
            start[axis] = count - high if flip else low
            size[axis] = high - low
        return triple(start), triple(size)

    def to_input(
        self, maps: np.ndarray, window: GridWindow, start: Sequence[int], size: Sequence[int]
    ) -> np.ndarray:
        """Return maps on the window's pixels, linear, at the centres of a box of voxels.

        Args:
            maps: (S, H, W) on the window, such as probabilities.
            window: must hold the slices of these voxels; in plane, its edge is repeated.
            start: (i, j, k) of the first voxel.
            size: voxels along (i, j, k).

        Returns:
            (size k, size j, size i) float32.
        """
        ranges = [
            (self.geometry.size[a] - start[a] - size[a] if flip else start[a], size[a])
            for a, flip in zip(self.axes, self.flips, strict=True)
        ]
        (first, count), *in_plane = ranges
        first -= window.start[0]
        if first < 0 or first + count > window.size[0]:
            raise ValueError(f"The window's {window.size[0]} slices do not hold those asked for.")
        rows, cols = (
            _taps((np.arange(n) + low) / step - origin, 1.0, width)
            for (low, n), step, origin, width in zip(
                in_plane, self.steps[1:], window.start[1:], window.size[1:], strict=True
            )
        )
        result = np.empty((count, in_plane[0][1], in_plane[1][1]), np.float32)
        for plane, source in zip(result, maps[first : first + count], strict=True):
            plane[:] = _resample(source, rows, cols)
        return self._of_input(result)

    def _canonical(self, array: np.ndarray) -> np.ndarray:
        """View (K, J, I) as (slices, rows, columns)."""
        return np.flip(array.transpose([2 - a for a in self.axes]), self._flipped)

    def _of_input(self, array: np.ndarray) -> np.ndarray:
        """Copy (slices, rows, columns) to (K, J, I); the inverse of ``_canonical``."""
        back = np.argsort([2 - a for a in self.axes])
        return np.ascontiguousarray(np.flip(array, self._flipped).transpose(back))

    def _taps_of(self, window: GridWindow) -> "tuple[Taps, Taps]":
        """Return which voxels, along rows and columns, make a window's pixels."""
        rows, columns = (
            _taps((np.arange(n) + start) * step, step if step > _ALIASING else 1.0, count)
            for start, n, step, count in zip(
                window.start[1:],
                window.size[1:],
                self.steps[1:],
                [self.geometry.size[axis] for axis in self.axes[1:]],
                strict=True,
            )
        )
        return rows, columns

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)

    def _to_grid(self, ijk: np.ndarray) -> np.ndarray:
        """Return the fractional (slice, row, column) of fractional indices, both (..., 3)."""
        last = np.array([self.geometry.size[a] - 1 for a in self.axes])
        index = ijk[..., self.axes]
        return np.where(self.flips, last - index, index) / self.steps

    def _inside(self, window: GridWindow) -> np.ndarray:
        """Return (S, H, W) bool, which of the window's pixels are pixels of the volume."""
        places = [np.arange(n) + a for a, n in zip(window.start, window.size, strict=True)]
        s, r, c = ((p >= 0) & (p < n) for p, n in zip(places, self.shape, strict=True))
        return s[:, None, None] & r[:, None] & c


Taps = tuple[np.ndarray, np.ndarray]


def _taps(positions: np.ndarray, width: float, count: int) -> Taps:
    """Return which of ``count`` samples, and with which weights, make the values at positions.

    A triangle of half-width ``width`` samples around each position; 1 is linear interpolation.
    Where it reaches beyond the ends, the samples there are left out; where none is left, it is the
    first or last one.

    Returns:
        index and weight, (len(positions), taps), the weights float32 and of sum 1.
    """
    first = np.floor(positions - width).astype(int) + 1
    index = first[:, None] + np.arange(ceil(2 * width))
    weight = np.maximum(0.0, 1 - np.abs(index - positions[:, None]) / width)
    weight *= (index >= 0) & (index < count)
    weight[weight.sum(1) == 0, 0] = 1
    weight /= weight.sum(1, keepdims=True)
    return index.clip(0, count - 1), weight.astype(np.float32)


def _resample(plane: np.ndarray, rows: Taps, cols: Taps) -> np.ndarray:
    """Return a plane (J, I) at rows x cols, float32.

    Sums tap by tap instead of a matrix product, whose rounding would depend on the plane's size.
    """
    if not (len(rows[0]) and len(cols[0])):
        return np.zeros((len(rows[0]), len(cols[0])), np.float32)
    (r, rw), (c, cw) = rows, cols
    low, left = r.min(), c.min()
    part = plane[low : r.max() + 1, left : c.max() + 1].astype(np.float32)
    with np.errstate(invalid="ignore"):  # 0 times infinity, where a volume holds such voxels
        wide = reduce(np.add, (part[j - low] * w[:, None] for j, w in zip(r.T, rw.T, strict=True)))
        return reduce(np.add, (wide[:, i - left] * w for i, w in zip(c.T, cw.T, strict=True)))


def _patient_axes(matrix: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the index axis nearest to each patient axis L, P, S, and its sign along it.

    The assignment of greatest summed cosines wins. Ties, as at 45 degrees, go to the one whose
    axes come first in lexical order: by what the axes are, not by how the file orders or flips
    them.
    """
    columns = np.round(matrix.T, 4)

    def sign(axis: int, patient: int) -> int:
        along = np.roll(columns[axis], -patient)
        return 1 if along[np.flatnonzero(along)[0]] > 0 else -1

    def rank(order: tuple[int, ...]) -> tuple[float, list[list[float]]]:
        total = sum(abs(columns[axis][patient]) for patient, axis in enumerate(order))
        lines = [(columns[axis] * sign(axis, p)).tolist() for p, axis in enumerate(order)]
        return -round(float(total), 3), lines

    best = min(permutations(range(3)), key=rank)
    return list(best), [sign(axis, patient) for patient, axis in enumerate(best)]


def _slice_axis(spacing: Sequence[float], size: Sequence[int]) -> int:
    """Return the patient axis (0 L, 1 P, 2 S) across which slices lie; see ModelGrid.fit."""
    thin = [p for p in range(3) if size[p] == 1]
    if len(thin) == 1:
        return thin[0]
    coarsest = max(spacing)
    if coarsest <= _ANISOTROPIC * min(spacing) * (1 + _TOLERANCE):
        return 2
    return max(p for p in range(3) if spacing[p] >= coarsest * (1 - 1e-3))
