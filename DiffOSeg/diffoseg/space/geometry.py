"""Where voxels are in the patient, and the way from a volume to the model's slices and back.

Patient space is LPS in millimetres (x towards the patient's left, y to the back, z to the head), as
in DICOM and SimpleITK. Indices of a volume are written (i, j, k), fastest first; its array is
(K, J, I). The model's grid is written (slice, row, column).

The model's slices are the volume's own slices, never resampled across; within a slice, pixels are
square, of the model's spacing, the first one on the centre of the volume's first voxel. "First" is
meant in the canonical orientation, which depends on the patient and not on the order in which a
file stores its voxels: flipped or permuted copies of one volume have the same slices, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..errors import InputError

Triple = tuple[int, int, int]
Point = tuple[float, float, float]

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_LARGEST_COSINE = 1e-3  # between two axes that count as perpendicular: 0.06 degrees


@dataclass(frozen=True)
class Geometry:
    """The grid of a volume in the patient.

    Attributes:
        size: voxels along (i, j, k).
        spacing: mm between neighbouring voxels along (i, j, k).
        origin: centre of voxel (0, 0, 0), LPS, mm.
        direction: row-major 3x3 as SimpleITK gives it; column a is the unit vector of index axis a.
            Left-handed is allowed, sheared is not.

    Raises InputError where these do not describe a grid.
    """

    size: Triple
    spacing: Point = (1.0, 1.0, 1.0)
    origin: Point = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = _IDENTITY

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        for name in ("spacing", "origin", "direction"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        if len(self.size) != 3 or min(self.size) < 1:
            raise InputError(f"A volume of {_times(self.size)} voxels is not 3D. Give a 3D volume.")
        if not all(np.isfinite(v) and v > 0 for v in self.spacing):
            raise InputError("The voxel spacing is not positive. Export the volume again.")
        if not np.all(np.isfinite(self.origin)):
            raise InputError("The volume's origin is not a number. Export the volume again.")
        _require_perpendicular(self.matrix)

    @property
    def matrix(self) -> np.ndarray:
        """The direction as a (3, 3) array; column a is the unit vector of index axis a."""
        return np.array(self.direction).reshape(3, 3)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing)) / 1000

    def index_to_point(self, ijk: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the LPS points (..., 3), mm, of (possibly fractional) indices (..., 3)."""
        return np.asarray(ijk, float) * self.spacing @ self.matrix.T + self.origin

    def point_to_index(self, point: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the fractional indices (..., 3) of LPS points (..., 3), mm."""
        offset = np.asarray(point, float) - self.origin
        return offset @ np.linalg.inv(self.matrix).T / self.spacing

    def crop(self, start: Sequence[int], size: Sequence[int]) -> "Geometry":
        """Return the grid of the ``size`` (i, j, k) voxels that begin at voxel ``start``."""
        origin = self.index_to_point(start)
        return Geometry(triple(size), self.spacing, _point(origin), self.direction)

    def bounding_box(self) -> "Box":
        """Return the box, along the patient's axes, around the voxels' outer faces."""
        corners = self.index_to_point(corners_of((-0.5,) * 3, [n - 0.5 for n in self.size]))
        return Box(_point(corners.min(0)), _point(corners.max(0)))

    def require_overlap(self, box: "Box") -> None:
        """Raise InputError where an axis of the volume or of the patient parts it from the box."""
        index = self.point_to_index(corners_of(box.lower, box.upper))
        around = self.bounding_box()
        if (
            np.any(index.max(0) <= -0.5)
            or np.any(index.min(0) >= np.subtract(self.size, 0.5))
            or np.any(np.less_equal(box.upper, around.lower))
            or np.any(np.greater_equal(box.lower, around.upper))
        ):
            spans = ", ".join(
                f"{name} {low:.0f} to {high:.0f}"
                for name, low, high in zip("xyz", around.lower, around.upper, strict=True)
            )
            raise InputError(
                f"The region lies outside the volume. Choose one inside {spans} (LPS, mm)."
            )


@dataclass(frozen=True)
class Box:
    """A box along the patient's axes: ``lower`` and ``upper`` corner (x, y, z), LPS, mm.

    Raises InputError where it is empty or not made of numbers.
    """

    lower: Point
    upper: Point

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", _point(self.lower))
        object.__setattr__(self, "upper", _point(self.upper))
        if not np.all(np.isfinite((self.lower, self.upper))):
            raise InputError("The region holds something that is not a number. Give six lengths.")
        if not np.all(np.less(self.lower, self.upper)):
            raise InputError(
                "The region is empty. Give x0,x1,y0,y1,z0,z1 in LPS mm, the smaller first."
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "x0,x1,y0,y1,z0,z1", LPS, mm; raises InputError for anything else."""
        try:
            x0, x1, y0, y1, z0, z1 = (float(part) for part in text.split(","))
        except ValueError:
            raise InputError(
                f"The region {text!r} is not six numbers. Give x0,x1,y0,y1,z0,z1 in LPS mm."
            ) from None
        return cls((x0, y0, z0), (x1, y1, z1))

    @classmethod
    def around(cls, center: Sequence[float], edge_mm: float) -> Self:
        """Return the cube of the given edge length around a point."""
        middle = np.asarray(center, float)
        return cls(_point(middle - edge_mm / 2), _point(middle + edge_mm / 2))


def _require_perpendicular(matrix: np.ndarray) -> None:
    if not np.allclose(matrix.T @ matrix, np.eye(3), rtol=0, atol=_LARGEST_COSINE):
        raise InputError(
            "The volume's axes are not perpendicular unit vectors. Resample it to a straight grid."
        )


def corners_of(lower: Sequence[float], upper: Sequence[float]) -> np.ndarray:
    """Return the eight corners (8, 3) of a box."""
    grid = np.meshgrid(*zip(lower, upper, strict=True), indexing="ij")
    return np.stack(grid, -1).reshape(8, 3)


def triple(values: Sequence[int] | np.ndarray) -> Triple:
    """Return three whole numbers as a tuple of Python's own."""
    a, b, c = (int(v) for v in values)
    return a, b, c


def _point(values: Sequence[float] | np.ndarray) -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _times(size: Sequence[int]) -> str:
    return " x ".join(str(n) for n in size)
