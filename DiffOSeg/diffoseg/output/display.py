"""How a radiologist looks at a region: which slices, which way up, which part, how bright."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from contourpy import contour_generator

from ..comparison.measures import disagreement
from ..comparison.result import Comparison
from ..space.geometry import Geometry
from ..space.model_grid import ModelGrid

_PLANES = ("sagittal", "coronal", "axial")
_TOWARDS = ("L", "P", "S")
_AWAY = ("R", "A", "I")
_WORTH_SHOWING = 0.05  # a probability from which a voxel counts when choosing what to show
_SMALLEST_FIELD_MM = 32.0
_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 2), (1, 1.5))  # () is a solid line


@dataclass(frozen=True)
class Display:
    """The order and orientation in which one comparison's region is shown.

    Attributes:
        region: the grid of the arrays that are looked at.
        grid: the model's grid of the whole volume, whose slices and orientation are used.
        start: (slice, row, column) in the whole volume, as shown, where the region begins.
    """

    region: Geometry
    grid: ModelGrid
    start: tuple[int, int, int]

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """Return the order and orientation of the model's own slices."""
        grid = ModelGrid.fit(comparison.geometry, spacing_mm=1.0)  # only axes and flips count here
        whole, region = comparison.geometry.size, comparison.region_geometry.size
        slices, rows, columns = (
            whole[a] - comparison.region_start[a] - region[a]
            if flip
            else comparison.region_start[a]
            for a, flip in zip(grid.axes, grid.flips, strict=True)
        )
        return cls(comparison.region_geometry, grid, (slices, rows, columns))

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Height and width of a pixel as shown, mm."""
        return tuple(self.region.spacing[a] for a in self.grid.axes[1:])  # type: ignore[return-value]

    @property
    def plane(self) -> str:
        """Return "axial", "coronal" or "sagittal", the nearest for an oblique volume."""
        return _PLANES[int(np.abs(self._towards(0)).argmax())]

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """Return the patient's side at the left, right, top and bottom of a slice as shown."""
        down, right = (_letters(self._towards(position)) for position in (1, 2))
        return right[1], right[0], down[1], down[0]

    def slices(self, array: np.ndarray) -> np.ndarray:
        """View an array (K, J, I) on the region, or on the whole volume, as (S, H, W) as shown."""
        flipped = tuple(axis for axis, flip in enumerate(self.grid.flips) if flip)
        return np.flip(array.transpose([2 - a for a in self.grid.axes]), flipped)

    def label(self, index: int) -> str:
        """Name the region's slice ``index`` by its number in the volume and its place in mm."""
        axis, flip = self.grid.axes[0], self.grid.flips[0]
        number, total = self.start[0] + index, self.grid.geometry.size[axis]
        voxel = np.zeros(3)
        voxel[axis] = total - 1 - number if flip else number
        place = self.grid.geometry.index_to_point(voxel)
        toward = int(np.abs(self._towards(0)).argmax())
        letter = (_TOWARDS if place[toward] >= 0 else _AWAY)[toward]
        return f"{self.plane} slice {number + 1} of {total}, {letter} {abs(place[toward]):.1f} mm"

    def _towards(self, position: int) -> np.ndarray:
        """Return the LPS direction in which slices (0), rows (1) or columns (2) run as shown."""
        sign = -1 if self.grid.flips[position] else 1
        return sign * self.region.matrix[:, self.grid.axes[position]]


def _letters(direction: np.ndarray) -> tuple[str, str]:
    """Return the letters of the patient's side nearest to a direction and of the opposite one."""
    axis = int(np.abs(direction).argmax())
    ends = _TOWARDS[axis], _AWAY[axis]
    return ends if direction[axis] > 0 else ends[::-1]


def interest(comparison: Comparison, display: Display) -> np.ndarray:
    """Return how much there is to see in each slice, (S,); 0 where nobody marks anything.

    It is what the results mark on average, plus what the experts disagree on.
    """
    worth = np.zeros(display.region.size[::-1], np.float32)
    for result in comparison.results.values():
        worth += np.where(result.probability > _WORTH_SHOWING, result.probability, 0)
    worth /= len(comparison.results)
    spread = disagreement(comparison)
    if spread is not None:
        worth += np.where(worth > 0, spread, 0)
    return display.slices(worth).sum(axis=(1, 2), dtype=np.float64)


def field_of_view(comparison: Comparison, display: Display) -> tuple[slice, slice]:
    """Return the rows and columns that hold everything marked, with room around it.

    At least 32 mm and half as much again as the marked part, within the region; the whole region
    where nothing is marked.
    """
    marked = np.zeros(display.region.size[::-1], bool)
    for result in comparison.results.values():
        marked |= result.probability > _WORTH_SHOWING
    plane = np.logical_or.reduce(display.slices(marked))
    if not plane.any():
        return slice(0, plane.shape[0]), slice(0, plane.shape[1])
    spans = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    widths = [(s[-1] - s[0] + 1) * mm for s, mm in zip(spans, display.pixel_mm, strict=True)]
    edge = max(_SMALLEST_FIELD_MM, 1.5 * max(widths))
    rows, columns = (
        _centered((int(s[0]) + int(s[-1])) / 2, edge / mm, count)
        for s, mm, count in zip(spans, display.pixel_mm, plane.shape, strict=True)
    )
    return rows, columns


def outlines(probability: np.ndarray, level: float) -> list[np.ndarray]:
    """Return the closed lines, (points, 2) as column and row, where a slice (H, W) crosses a level.

    Pixel centres are at whole numbers. Outside the slice the probability counts as 0, so that
    every line closes.
    """
    lines = contour_generator(z=np.pad(probability, 1)).lines(level)
    return [np.asarray(line) - 1 for line in lines]


def display_window(intensities: np.ndarray) -> tuple[float, float]:
    """Return the intensities shown black and white: the 1st and 99.5th percentile."""
    low, high = (float(v) for v in np.percentile(intensities, (1, 99.5)))
    return (low, high) if high > low else (low, low + 1)


def _centered(center: float, width: float, count: int) -> slice:
    """Return ``width`` of ``count`` pixels around ``center``, moved to lie within them."""
    width = min(round(width), count)
    start = min(max(round(center - (width - 1) / 2), 0), count - width)
    return slice(start, start + width)


def dashes(comparison: Comparison, name: str) -> tuple[float, ...]:
    """Return the dash pattern, in line widths, that tells apart experts of the same colour."""
    colors, names = comparison.colors, list(comparison.results)
    same = [other for other in names if colors[other] == colors[name]]
    return _DASHES[same.index(name) % len(_DASHES)]
