"""A small piece of CT-like lung with one nodule of ambiguous extent.

A solid core carries a ground-glass lobe on each of two opposite sides, a vessel that runs into it
and a second focus beside it; around it are parenchyma, other vessels and sometimes the chest wall.
Everything is composed in HU first; blur (the scanner's resolution) and noise come after, so that
neither reveals where one structure ends. Sizes are in mm, so any grid can be asked for.

Synthetic pictures: they stand in for no patient and are never clinical evidence.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

PARENCHYMA = -860.0  # HU
GROUND_GLASS = -480.0
SOLID = 20.0

Offsets = tuple[np.ndarray, np.ndarray, np.ndarray]  # mm along z, y, x; broadcastable
Size = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Recipe:
    """What kind of nodule and scanner to draw; ranges are (lowest, highest), uniform.

    Attributes:
        radius: of the solid core in plane, mm.
        margin: scale of the logistic edge of the core, mm; 10-90 % takes 4.4 of it.
        lobe: radius of a ground-glass lobe over that of the core.
        solid: HU of the core.
        ground_glass: HU of the lobes.
        roughness: relative bumps of the outlines.
        noise: standard deviation of the noise, HU.
        grain: correlation length of the noise in plane, mm.
        focus: probability that there is a second focus.
        vessel: probability that a vessel runs into the core.
        nodule: the word for the case's tags.
    """

    radius: tuple[float, float] = (3.6, 6.4)
    margin: tuple[float, float] = (0.3, 0.9)
    lobe: tuple[float, float] = (0.9, 1.1)
    solid: tuple[float, float] = (-20.0, 60.0)
    ground_glass: tuple[float, float] = (-520.0, -430.0)
    roughness: float = 0.13
    noise: tuple[float, float] = (18.0, 38.0)
    grain: float = 0.6
    focus: float = 0.6
    vessel: float = 0.9
    nodule: str = "part-solid"


@dataclass(frozen=True)
class Scene:
    """One rendered volume and which of its visible regions belongs to which structure.

    Attributes:
        hu: the visible image, whole HU, float32, (K, J, I).
        zones: by structure ("core", "lobe a", "lobe b", "vessel", "focus"), bool, (K, J, I); where
            the structure's weight before blur and noise is not negligible. Zones overlap.
        center: of the core, fractional index (k, j, i).
        tags: facts about the case.
    """

    hu: np.ndarray
    zones: dict[str, np.ndarray]
    center: tuple[float, float, float]
    tags: dict[str, str]


def render(rng: np.random.Generator, recipe: Recipe, size: Size, spacing: Spacing) -> Scene:
    """Return one random scene.

    Args:
        rng: the only source of randomness.
        recipe: kind of nodule and scanner.
        size: (K, J, I) voxels.
        spacing: mm along (x, y, z), as in a Geometry.
    """
    steps = np.array(spacing[::-1])
    jitter = np.array([rng.uniform(-1.5, 1.5), *rng.uniform(-3.5, 3.5, 2)])
    center = (np.array(size) - 1) / 2 + jitter / steps
    offsets = _offsets(size, steps, center)
    weights, levels = _nodule(rng, recipe, offsets)
    contrast = np.zeros(size, np.float32)
    for name, weight in weights.items():
        np.maximum(contrast, weight * np.float32(levels[name] - PARENCHYMA), out=contrast)
    _add_vessels(rng, contrast, offsets, steps, keep_away=3.0 * recipe.radius[1])
    if rng.random() < 0.3:
        _add_chest_wall(rng, contrast, offsets)
    hu = _scan(rng, recipe, contrast, steps)
    tags = {"nodule": recipe.nodule} | {
        name: "yes" if name in weights else "no" for name in ("focus", "vessel")
    }
    k, j, i = center.tolist()
    return Scene(hu, _zones(weights, size), (k, j, i), tags)


def _offsets(size: Size, steps: np.ndarray, center: np.ndarray) -> Offsets:
    z, y, x = (
        ((axis - c) * step).astype(np.float32)
        for axis, c, step in zip(np.ogrid[tuple(map(slice, size))], center, steps, strict=True)
    )
    return z, y, x


def _nodule(
    rng: np.random.Generator, recipe: Recipe, offsets: Offsets
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return each structure's weight in 0..1, (K, J, I), and its HU."""
    radius, angle = rng.uniform(*recipe.radius), rng.uniform(0, 2 * np.pi)
    along = np.array([0.0, np.sin(angle), np.cos(angle)])
    across = np.array([0.0, np.cos(angle), -np.sin(angle)]) * rng.choice((-1.0, 1.0))
    flat = rng.uniform(0.85, 1.15)  # height along z over width
    margin = rng.uniform(*recipe.margin)
    weights = {"core": _blob(rng, offsets, np.zeros(3), radius, flat, margin, recipe.roughness)}
    levels = {"core": rng.uniform(*recipe.solid)}
    for name, side in (("lobe a", 1.0), ("lobe b", -1.0)):
        bulge = radius * rng.uniform(*recipe.lobe)
        middle = side * along * radius * rng.uniform(0.9, 1.1) + across * rng.normal(0, 0.6)
        edge = rng.uniform(0.3, 0.6)
        weights[name] = _blob(rng, offsets, middle, bulge, 0.95 * flat, edge, recipe.roughness)
        levels[name] = rng.uniform(*recipe.ground_glass)
    if rng.random() < recipe.focus:
        second = radius * rng.uniform(0.65, 0.9)
        middle = across * (radius + second + rng.uniform(1.5, 2.5)) + along * rng.normal(0, 1.5)
        middle[0] = rng.uniform(-1.0, 1.0)
        weights["focus"] = _blob(rng, offsets, middle, second, flat, 0.4, recipe.roughness)
        levels["focus"] = rng.uniform(-180.0, -80.0)
    if rng.random() < recipe.vessel:
        path = _path(rng, -across * 0.5 * radius, -across, length=radius + 9.0, bend=0.25)
        weights["vessel"] = _tube(offsets, path, rng.uniform(1.6, 2.1), 1.3)
        levels["vessel"] = rng.uniform(-60.0, 20.0)
    return weights, levels


def _blob(
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
    return _inside(np.float32(radius) * extent - distance, margin)


def _inside(depth: np.ndarray, margin: float) -> np.ndarray:
    """Return the logistic weight, float32, of being ``depth`` mm inside an edge of that margin."""
    weight = np.clip(depth * np.float32(-1 / margin), -30, 30).astype(np.float32)
    np.exp(weight, out=weight)
    weight += 1
    return np.reciprocal(weight, out=weight)


def _path(
    rng: np.random.Generator, start: np.ndarray, heading: np.ndarray, length: float, bend: float
) -> np.ndarray:
    """Return the corners, (n, 3) mm (z, y, x), of a gently winding line."""
    step, points, heading = 2.5, [start], heading.copy()
    for _ in range(int(np.ceil(length / step))):
        heading = heading + bend * rng.normal(size=3) * (0.5, 1.0, 1.0)
        heading /= np.linalg.norm(heading)
        points.append(points[-1] + step * heading)
    return np.array(points)


def _tube(offsets: Offsets, path: np.ndarray, first: float, last: float) -> np.ndarray:
    """Return the weight of a tube along ``path`` whose radius, mm, tapers from first to last."""
    shape = np.broadcast_shapes(*(axis.shape for axis in offsets))
    weight = np.zeros(shape, np.float32)
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
        distance = _to_segment((z, y, x), start, end)
        np.maximum(weight[near], _inside(radius - distance, 0.25), out=weight[near])
    return weight


def _span(axis: np.ndarray, lower: float, upper: float) -> slice:
    return slice(int(np.searchsorted(axis, lower)), int(np.searchsorted(axis, upper)))


def _to_segment(offsets: Offsets, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    d = (end - start).astype(np.float32)
    z, y, x = (axis - np.float32(s) for axis, s in zip(offsets, start, strict=True))
    along = np.clip((z * d[0] + y * d[1] + x * d[2]) / np.float32(d @ d), 0, 1)
    return np.sqrt((z - along * d[0]) ** 2 + (y - along * d[1]) ** 2 + (x - along * d[2]) ** 2)


def _add_vessels(
    rng: np.random.Generator,
    contrast: np.ndarray,
    offsets: Offsets,
    steps: np.ndarray,
    keep_away: float,
) -> None:
    """Draw branching vessels that stay ``keep_away`` mm clear of the core, so none seems part."""
    half = np.array(contrast.shape) * steps / 2
    for _ in range(rng.poisson(5) + 2):
        start = rng.uniform(-half, half)
        heading = rng.normal(size=3) * (0.5, 1.0, 1.0)
        trunk = _path(rng, start, heading / np.linalg.norm(heading), rng.uniform(15, 35), 0.15)
        fork = len(trunk) // 2
        turn = trunk[fork] - trunk[fork - 1] + rng.normal(size=3) * (0.6, 1.6, 1.6)
        branch = _path(rng, trunk[fork], turn / np.linalg.norm(turn), rng.uniform(8, 18), 0.2)
        radius, level = rng.uniform(0.7, 1.8), rng.uniform(700, 880)
        for path, first in ((trunk, radius), (branch, 0.7 * radius)):
            if np.linalg.norm(path, axis=1).min() > keep_away:
                tube = _tube(offsets, path, first, 0.6 * first) * np.float32(level)
                np.maximum(contrast, tube, out=contrast)


def _add_chest_wall(rng: np.random.Generator, contrast: np.ndarray, offsets: Offsets) -> None:
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(27, 31)
    z, y, x = offsets
    s, c = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    depth = y * s + x * c + (x * s - y * c) ** 2 / np.float32(160) + z * np.float32(0.1)
    np.maximum(contrast, 900 * _inside(depth - away, 0.4), out=contrast)


def _scan(
    rng: np.random.Generator, recipe: Recipe, contrast: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return what the scanner shows: blur first, then structured tissue and noise, in whole HU."""
    blurred = gaussian_filter(contrast, np.array([0.9, 0.5, 0.5]) / steps, truncate=3)
    tissue = _field(rng, contrast.shape, np.array([3.0, 3.0, 3.0]) / steps, truncate=2)
    grain = recipe.grain / steps * (0.5, 1, 1)
    noise = _field(rng, contrast.shape, grain, truncate=3)
    sigma = rng.uniform(*recipe.noise)
    air = 1 - np.clip(blurred / 880, 0, 1)  # tissue texture is the lung's own
    level = PARENCHYMA + rng.normal(0, 15)
    hu = level + blurred + 18 * tissue * air + np.float32(sigma) * noise
    return np.rint(np.clip(hu, -1024, 400)).astype(np.float32)


def _field(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: np.ndarray, truncate: float
) -> np.ndarray:
    """Return a smooth Gaussian field of standard deviation one, float32."""
    white = rng.standard_normal(shape, np.float32)
    smooth = gaussian_filter(white, sigma, truncate=truncate, mode="wrap")
    return smooth / smooth.std()


def _zones(weights: dict[str, np.ndarray], size: Size) -> dict[str, np.ndarray]:
    """Return where each structure is; the vessel's zone ends where the core begins."""
    none = np.zeros(size, np.float32)
    zones = {
        name: weights.get(name, none) > 0.06
        for name in ("core", "lobe a", "lobe b", "vessel", "focus")
    }
    zones["vessel"] &= weights["core"] < 0.3
    return zones
