"""A piece of chest CT with one lung nodule, made to look like one.

Lung with branching vessels that taper away from the hilum, in some cases the chest wall with
pleura, muscle, ribs, fat and skin; the nodule solid, part-solid or ground glass, of the sizes that
are found in patients, free, at a vessel or at the wall. Everything is composed in HU, averaged over
the thickness of a slice, blurred by the scanner and then covered with correlated noise.

Synthetic pictures: they stand in for no patient and are never clinical evidence.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .anatomy import PARENCHYMA, Scene, Spacing, zones_of
from .shapes import Offsets, Size, add_tube, blob, field, inside, offsets_of, tube, winding

AIR, FAT, MUSCLE, MARROW, CORTEX = -1000.0, -105.0, 45.0, 190.0, 650.0  # HU

LEAST_DIAMETER = 3.0  # mm
_LARGEST_DIAMETER = 22.0
_LAYER = 1.0  # mm between the layers of which a slice is the mean
_HILUM = 75.0  # mm from the nodule
_TREES = 0.28  # vessels with their branches that begin in each ml
_POOR, _SHARP = 0.65, 0.4  # scale of the edge, mm, from which on and up to which it is called so


@dataclass(frozen=True)
class _Wall:
    """The chest wall: a sphere's inner side.

    Attributes:
        toward: unit vector (z, y, x) to the wall.
        away: mm from the nodule's middle to the pleura.
        radius: of the sphere, mm.
    """

    toward: np.ndarray
    away: float
    radius: float

    def depth(self, offsets: Offsets) -> np.ndarray:
        """Return how many mm each voxel lies outside the pleura."""
        middle = (self.away - self.radius) * self.toward
        z, y, x = (axis - np.float32(m) for axis, m in zip(offsets, middle, strict=True))
        return np.sqrt(0.1 * z * z + y * y + x * x) - np.float32(self.radius)


def render_chest(rng: np.random.Generator, size: Size, spacing: Spacing) -> Scene:
    """Return one random scene.

    Args:
        rng: the only source of randomness.
        size: (K, J, I) voxels.
        spacing: mm along (x, y, z), as in a Geometry.
    """
    layers = max(1, round(spacing[2] / _LAYER))
    fine = (size[0] * layers, *size[1:])
    steps = np.array([spacing[2] / layers, spacing[1], spacing[0]])
    jitter = np.array([rng.uniform(-1.5, 1.5), *rng.uniform(-3.5, 3.5, 2)])
    middle = (np.array(fine) - 1) / 2 + jitter / steps
    offsets = offsets_of(fine, steps, middle)

    diameter = min(2.6 + rng.lognormal(np.log(2.15), 0.9), _LARGEST_DIAMETER)
    wall = _wall(rng, diameter / 2)
    weights, levels, tags = _nodule(rng, diameter / 2, offsets, wall)
    lung = PARENCHYMA + rng.normal(0, 18)
    contrast = np.zeros(fine, np.float32)
    _add_vessels(rng, contrast, offsets, steps, diameter / 2, wall)
    for name, weight in weights.items():
        np.maximum(contrast, weight * np.float32(levels[name] - PARENCHYMA), out=contrast)
    hu = contrast + np.float32(lung)
    if wall is not None:
        depth = wall.depth(offsets)
        _add_wall(rng, hu, offsets, depth, wall, steps)
        weights = {name: weight * (depth < 0) for name, weight in weights.items()}
    hu = _scan(rng, hu, steps, layers)
    zones = zones_of({n: _thick(w, layers) for n, w in weights.items()}, size)
    z, y, x = middle.tolist()
    return Scene(hu, zones, ((z + 0.5) / layers - 0.5, y, x), tags)


def _wall(rng: np.random.Generator, radius: float) -> _Wall | None:
    """Return a wall in two of three cases, in a quarter of those touching the nodule."""
    angle = rng.uniform(0, 2 * np.pi)
    toward = np.array([0.0, np.sin(angle), np.cos(angle)])
    away = radius * rng.uniform(0.5, 0.95) if rng.random() < 0.25 else radius + rng.uniform(3, 32)
    curve = rng.uniform(70, 130)
    return _Wall(toward, float(away), float(curve)) if rng.random() < 0.67 else None


def _nodule(
    rng: np.random.Generator, radius: float, offsets: Offsets, wall: _Wall | None
) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, str]]:
    """Return each structure's weight in 0..1, its HU, and tags."""
    kind = str(rng.choice(("solid", "part-solid", "ground-glass"), p=(0.76, 0.1, 0.14)))
    flat = rng.uniform(0.8, 1.2)
    edge = float(min((0.26 + 0.03 * radius) * rng.lognormal(0, 0.4), 0.85))
    roughness = 0.1 * rng.lognormal(0, 0.4)
    across = rng.normal(size=3) * (0.4, 1.0, 1.0)
    across /= np.linalg.norm(across)
    along = np.array([0.0, across[2], -across[1]])
    along /= np.linalg.norm(along)
    levels = {"core": rng.uniform(-30, 70)}
    if kind == "ground-glass":
        levels["core"] = rng.uniform(-620, -400)
    elif rng.random() < 0.08:
        levels["core"] = rng.uniform(200, 600)  # calcified
    weights = {}
    if kind == "part-solid":
        for name, side in (("lobe a", 1.0), ("lobe b", -1.0)):
            middle = side * along * radius * rng.uniform(0.1, 0.25)
            weights[name] = blob(rng, offsets, middle, 0.95 * radius, flat, edge + 0.2, roughness)
            levels[name] = rng.uniform(-520, -400)
        radius *= rng.uniform(0.6, 0.8)
    weights["core"] = blob(rng, offsets, np.zeros(3), radius, flat, edge, roughness)
    if rng.random() < 0.06:
        second = max(radius * rng.uniform(0.5, 0.8), 1.5)
        middle = across * (radius + second + rng.uniform(0.5, 2.0))
        weights["focus"] = blob(rng, offsets, middle, second, flat, 0.4, roughness)
        levels["focus"] = rng.uniform(-100, 20)
    if rng.random() < 0.35:
        thick = float(np.clip(0.28 * radius * rng.lognormal(0, 0.3), 0.5, 1.8))
        path = winding(rng, -across * 0.7 * radius, -across, radius + rng.uniform(10, 40), 0.12)
        weights["vessel"] = tube(offsets, path, thick, 1.3 * thick)
        levels["vessel"] = rng.uniform(-20, 60)
    margin = "poor" if edge >= _POOR else "sharp" if edge <= _SHARP else "between"
    tags = {"nodule": kind, "margin": margin}
    tags |= {name: "yes" if name in weights else "no" for name in ("focus", "vessel")}
    attached = wall is not None and wall.away < radius
    tags["wall"] = "none" if wall is None else "touched" if attached else "near"
    return weights, levels, tags


def _add_vessels(
    rng: np.random.Generator,
    contrast: np.ndarray,
    offsets: Offsets,
    steps: np.ndarray,
    radius: float,
    wall: _Wall | None,
) -> None:
    """Draw vessels that run from the hilum, fork and taper, and pass the nodule at a distance."""
    half = np.array(contrast.shape) * steps / 2
    angle = rng.uniform(0, 2 * np.pi)
    from_wall = np.array([rng.normal(0, 0.3), np.sin(angle), np.cos(angle)])
    hilum = -_HILUM * (wall.toward if wall is not None else from_wall)
    level = float(rng.choice((rng.uniform(20, 60), rng.uniform(100, 180)), p=(0.6, 0.4)))
    peak = level - PARENCHYMA
    for _ in range(rng.poisson(_TREES * np.prod(2 * half) / 1000)):
        aim = rng.uniform(-half, half)
        outward = (aim - hilum) / np.linalg.norm(aim - hilum)
        start = aim - outward * rng.uniform(10, 60)  # mostly outside, so that few begin in view
        heading = outward + rng.normal(size=3) * (0.25, 0.2, 0.2)
        thick = float(np.clip(rng.lognormal(np.log(0.8), 0.35), 0.4, 1.6))
        _add_tree(rng, contrast, offsets, start, heading, thick, peak, radius + 1.5, wall)


def _add_tree(
    rng: np.random.Generator,
    contrast: np.ndarray,
    offsets: Offsets,
    start: np.ndarray,
    heading: np.ndarray,
    thick: float,
    peak: float,
    keep_away: float,
    wall: _Wall | None,
) -> None:
    """Draw one vessel and, while they are thick enough to be seen, its branches."""
    heading = heading / np.linalg.norm(heading)
    path = winding(rng, start, heading, 6 + 9 * thick * rng.uniform(0.6, 1.6), 0.13)
    if wall is not None:
        toward_edge = path @ wall.toward > wall.away - 3.0  # vessels end before the pleura
        path = path[: int(np.argmax(toward_edge))] if toward_edge.any() else path
    clear = np.linalg.norm(path, axis=1) > keep_away + thick
    path = path if clear.all() else path[: int(np.argmin(clear))]
    if len(path) < 2:
        return
    add_tube(contrast, offsets, path, thick, 0.85 * thick, peak=peak)
    beyond = [abs(p) > abs(axis).max() + 10 for p, axis in zip(path[-1], offsets, strict=True)]
    if thick < 0.4 or any(beyond):
        return
    side = rng.normal(size=3)
    side -= heading * (side @ heading)
    side /= np.linalg.norm(side)
    for share, turn in ((0.82, 0.35), (rng.uniform(0.45, 0.75), -rng.uniform(0.5, 1.0))):
        onward = path[-1] - path[-2]
        onward = onward / np.linalg.norm(onward) + turn * side
        narrow = share * thick
        _add_tree(rng, contrast, offsets, path[-1], onward, narrow, peak, keep_away, wall)


def _add_wall(
    rng: np.random.Generator,
    hu: np.ndarray,
    offsets: Offsets,
    depth: np.ndarray,
    wall: _Wall,
    steps: np.ndarray,
) -> None:
    """Draw from within: pleura and intercostal muscle with the ribs, muscle with fat, fat, skin."""
    rolling = field(rng, hu.shape, 12.0 / steps, truncate=2)
    streaks = field(rng, hu.shape, np.array([4.0, 2.0, 2.0]) / steps, truncate=2)
    ribs, muscle, fat = rng.uniform(9, 12), rng.uniform(8, 22), rng.uniform(5, 25)
    ends = (0.0, ribs, ribs + muscle, ribs + muscle + fat, ribs + muscle + fat + 2.0)
    deep = depth + 1.5 * rolling * np.clip(depth / 8, 0, 1)
    outer = np.where(streaks > 1.1, FAT, MUSCLE).astype(np.float32)
    inner = np.where((deep > 2.5) & (streaks > 0.9), FAT, MUSCLE).astype(np.float32)
    for start, level in zip(ends, (inner, outer, FAT, MUSCLE - 30, AIR), strict=True):
        weight = inside(deep - start, 0.25)
        hu += weight * (level - hu)
    _add_ribs(rng, hu, offsets, depth, wall, ribs)


def _add_ribs(
    rng: np.random.Generator,
    hu: np.ndarray,
    offsets: Offsets,
    depth: np.ndarray,
    wall: _Wall,
    thick: float,
) -> None:
    """Draw ribs that slant through the slices, marrow within a cortex."""
    z, y, x = offsets
    _, s, c = wall.toward
    along = y * np.float32(c) - x * np.float32(s)  # mm along the wall, nearly
    slope, apart = rng.uniform(1.2, 2.2) * rng.choice((-1, 1)), rng.uniform(42, 60)
    place = along + z * np.float32(slope) - np.float32(rng.uniform(0, apart))
    place = place - np.float32(apart) * np.rint(place / np.float32(apart))
    half = rng.uniform(9, 15)
    across = (depth - np.float32(0.55 * thick)) / np.float32(0.3 * thick)
    reach = 1 - np.sqrt((place / np.float32(half)) ** 2 + across**2)
    within = reach * np.float32(0.3 * thick)  # mm, about, inside the bone
    for start, level in ((0.0, CORTEX), (1.1, MARROW)):
        weight = inside(within - start, 0.2)
        hu += weight * (np.float32(level) - hu)


def _thick(fine: np.ndarray, layers: int) -> np.ndarray:
    """Return the means over the layers of each slice."""
    return fine.reshape(-1, layers, *fine.shape[1:]).mean(1)


def _scan(rng: np.random.Generator, hu: np.ndarray, steps: np.ndarray, layers: int) -> np.ndarray:
    """Return what the scanner shows of the layers, in whole HU."""
    blur = rng.uniform(0.45, 0.75)  # mm; a sharp or a soft kernel
    seen = _thick(gaussian_filter(hu, np.array([0.6, blur, blur]) / steps, truncate=3), layers)
    steps = steps * (layers, 1, 1)
    lung = 1 - np.clip((seen + 850) / 300, 0, 1)  # the lung's own texture
    for scale, strength in ((1.1, 14.0), (4.0, 12.0)):
        seen += np.float32(strength) * lung * field(rng, seen.shape, scale / steps, truncate=2)
    grain = np.array([0.3, 1.2 * blur, 1.2 * blur]) / steps
    sigma = 15 + 22 * rng.lognormal(0, 0.45) * (0.6 / blur)
    noisy = seen + np.float32(sigma) * field(rng, seen.shape, grain, truncate=3)
    return np.rint(np.clip(noisy, -1024, 3000)).astype(np.float32)
