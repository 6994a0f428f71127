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

from .shapes import Offsets, Size, blob, field, inside, offsets_of, tube, winding

PARENCHYMA = -860.0  # HU
GROUND_GLASS = -480.0
SOLID = 20.0

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
    offsets = offsets_of(size, steps, center)
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
    return Scene(hu, zones_of(weights, size), (k, j, i), tags)


def _nodule(
    rng: np.random.Generator, recipe: Recipe, offsets: Offsets
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return each structure's weight in 0..1, (K, J, I), and its HU."""
    radius, angle = rng.uniform(*recipe.radius), rng.uniform(0, 2 * np.pi)
    along = np.array([0.0, np.sin(angle), np.cos(angle)])
    across = np.array([0.0, np.cos(angle), -np.sin(angle)]) * rng.choice((-1.0, 1.0))
    flat = rng.uniform(0.85, 1.15)  # height along z over width
    margin = rng.uniform(*recipe.margin)
    weights = {"core": blob(rng, offsets, np.zeros(3), radius, flat, margin, recipe.roughness)}
    levels = {"core": rng.uniform(*recipe.solid)}
    for name, side in (("lobe a", 1.0), ("lobe b", -1.0)):
        bulge = radius * rng.uniform(*recipe.lobe)
        middle = side * along * radius * rng.uniform(0.9, 1.1) + across * rng.normal(0, 0.6)
        edge = rng.uniform(0.3, 0.6)
        weights[name] = blob(rng, offsets, middle, bulge, 0.95 * flat, edge, recipe.roughness)
        levels[name] = rng.uniform(*recipe.ground_glass)
    if rng.random() < recipe.focus:
        second = radius * rng.uniform(0.65, 0.9)
        middle = across * (radius + second + rng.uniform(1.5, 2.5)) + along * rng.normal(0, 1.5)
        middle[0] = rng.uniform(-1.0, 1.0)
        weights["focus"] = blob(rng, offsets, middle, second, flat, 0.4, recipe.roughness)
        levels["focus"] = rng.uniform(-180.0, -80.0)
    if rng.random() < recipe.vessel:
        path = winding(rng, -across * 0.5 * radius, -across, length=radius + 9.0, bend=0.25)
        weights["vessel"] = tube(offsets, path, rng.uniform(1.6, 2.1), 1.3)
        levels["vessel"] = rng.uniform(-60.0, 20.0)
    return weights, levels


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
        trunk = winding(rng, start, heading / np.linalg.norm(heading), rng.uniform(15, 35), 0.15)
        fork = len(trunk) // 2
        turn = trunk[fork] - trunk[fork - 1] + rng.normal(size=3) * (0.6, 1.6, 1.6)
        branch = winding(rng, trunk[fork], turn / np.linalg.norm(turn), rng.uniform(8, 18), 0.2)
        radius, level = rng.uniform(0.7, 1.8), rng.uniform(700, 880)
        for path, first in ((trunk, radius), (branch, 0.7 * radius)):
            if np.linalg.norm(path, axis=1).min() > keep_away:
                seen = tube(offsets, path, first, 0.6 * first) * np.float32(level)
                np.maximum(contrast, seen, out=contrast)


def _add_chest_wall(rng: np.random.Generator, contrast: np.ndarray, offsets: Offsets) -> None:
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(27, 31)
    z, y, x = offsets
    s, c = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    depth = y * s + x * c + (x * s - y * c) ** 2 / np.float32(160) + z * np.float32(0.1)
    np.maximum(contrast, 900 * inside(depth - away, 0.4), out=contrast)


def _scan(
    rng: np.random.Generator, recipe: Recipe, contrast: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return what the scanner shows: blur first, then structured tissue and noise, in whole HU."""
    blurred = gaussian_filter(contrast, np.array([0.9, 0.5, 0.5]) / steps, truncate=3)
    tissue = field(rng, contrast.shape, np.array([3.0, 3.0, 3.0]) / steps, truncate=2)
    grain = recipe.grain / steps * (0.5, 1, 1)
    noise = field(rng, contrast.shape, grain, truncate=3)
    sigma = rng.uniform(*recipe.noise)
    air = 1 - np.clip(blurred / 880, 0, 1)  # tissue texture is the lung's own
    level = PARENCHYMA + rng.normal(0, 15)
    hu = level + blurred + 18 * tissue * air + np.float32(sigma) * noise
    return np.rint(np.clip(hu, -1024, 400)).astype(np.float32)


def zones_of(weights: dict[str, np.ndarray], size: Size) -> dict[str, np.ndarray]:
    """Return where each structure is; the vessel's zone ends where the core begins."""
    none = np.zeros(size, np.float32)
    zones = {
        name: weights.get(name, none) > 0.06
        for name in ("core", "lobe a", "lobe b", "vessel", "focus")
    }
    zones["vessel"] &= weights["core"] < 0.3
    return zones
