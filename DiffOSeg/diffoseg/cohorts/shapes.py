"""Shapes that synthetic anatomy is made of: soft-edged blobs and tubes, and textures.

All lengths are mm; weights are 0..1, so that a structure's HU is its weight times its contrast.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

Offsets = tuple[np.ndarray, np.ndarray, np.ndarray]  # mm along z, y, x; broadcastable
Size = tuple[int, int, int]


def offsets_of(size: Size, steps: np.ndarray, center: np.ndarray) -> Offsets:
    """Return where voxels ``steps`` mm apart (z, y, x) lie from a fractional index ``center``."""
    z, y, x = (
        ((axis - c) * step).astype(np.float32)
        for axis, c, step in zip(np.ogrid[tuple(map(slice, size))], center, steps, strict=True)
    )
    return z, y, x


def blob(
    rng: np.random.Generator,
    offsets: Offsets,
    middle: np.ndarray,
    radius: float,
    flat: float,
    margin: float,
    roughness: float,
) -> np.ndarray:
    """Return a star-shaped weight: logistic in (radius(direction) - distance) / margin."""
    z, y, x = (axis - np.float32(m) for axis, m in zip(offsets, middle, strict=True))
    z = z / np.float32(flat)
    distance = np.sqrt(z * z + y * y + x * x) + np.float32(1e-3)
    inverse = 1 / distance
    extent = np.ones_like(distance)
    for odd in (False, True, True, False):
        toward = rng.normal(size=3)
        vz, vy, vx = (toward / np.linalg.norm(toward)).astype(np.float32)
        cosine = (z * vz + y * vy + x * vx) * inverse
        bump = cosine * cosine
        if odd:
            bump *= cosine
        extent += np.float32(2 * roughness * rng.normal()) * bump
    np.clip(extent, 0.75, 1.3, out=extent)
    return inside(np.float32(radius) * extent - distance, margin)


def inside(depth: np.ndarray, margin: float) -> np.ndarray:
    """Return the logistic weight, float32, of being ``depth`` mm inside an edge of that margin."""
    weight = np.clip(depth * np.float32(-1 / margin), -30, 30).astype(np.float32)
    np.exp(weight, out=weight)
    weight += 1
    return np.reciprocal(weight, out=weight)


def winding(
    rng: np.random.Generator, start: np.ndarray, heading: np.ndarray, length: float, bend: float
) -> np.ndarray:
    """Return the corners, (n, 3) mm (z, y, x), of a gently winding line."""
    step, points, heading = 2.5, [start], heading.copy()
    for _ in range(int(np.ceil(length / step))):
        heading = heading + bend * rng.normal(size=3) * (0.5, 1.0, 1.0)
        heading /= np.linalg.norm(heading)
        points.append(points[-1] + step * heading)
    return np.array(points)


def tube(offsets: Offsets, path: np.ndarray, first: float, last: float) -> np.ndarray:
    """Return the weight of a tube along ``path`` whose radius, mm, tapers from first to last."""
    shape = np.broadcast_shapes(*(axis.shape for axis in offsets))
    weight = np.zeros(shape, np.float32)
    add_tube(weight, offsets, path, first, last)
    return weight


def add_tube(
    weight: np.ndarray,
    offsets: Offsets,
    path: np.ndarray,
    first: float,
    last: float,
    *,
    edge: float = 0.25,
    peak: float = 1.0,
) -> None:
    """Draw a tube of weight ``peak`` into ``weight``, where it exceeds what is there."""
    radii = np.linspace(first, last, len(path))
    for start, end, radius in zip(path[:-1], path[1:], radii[:-1], strict=True):
        reach = radius + 2.0
        lower, upper = np.minimum(start, end) - reach, np.maximum(start, end) + reach
        near = tuple(
            _span(a.ravel(), *ends) for a, *ends in zip(offsets, lower, upper, strict=True)
        )
        if any(part.start >= part.stop for part in near):
            continue
        z, y, x = offsets[0][near[0]], offsets[1][:, near[1]], offsets[2][:, :, near[2]]
        drawn = inside(radius - _to_segment((z, y, x), start, end), edge)
        if peak != 1.0:
            drawn *= np.float32(peak)
        np.maximum(weight[near], drawn, out=weight[near])


def _span(axis: np.ndarray, lower: float, upper: float) -> slice:
    return slice(int(np.searchsorted(axis, lower)), int(np.searchsorted(axis, upper)))


def _to_segment(offsets: Offsets, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    d = (end - start).astype(np.float32)
    z, y, x = (axis - np.float32(s) for axis, s in zip(offsets, start, strict=True))
    along = np.clip((z * d[0] + y * d[1] + x * d[2]) / np.float32(d @ d), 0, 1)
    return np.sqrt((z - along * d[0]) ** 2 + (y - along * d[1]) ** 2 + (x - along * d[2]) ** 2)


def field(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: np.ndarray, truncate: float
) -> np.ndarray:
    """Return a smooth Gaussian field of standard deviation one, float32."""
    white = rng.standard_normal(shape, np.float32)
    smooth = gaussian_filter(white, sigma, truncate=truncate, mode="wrap")
    return smooth / smooth.std()
