"""Simulated experts: from what a volume shows to one person's drawing of it, in a known law.

An expert acts on the visible image alone: the noisy HU, smoothed a little as an eye does. The one
approximation: which visible region is core, lobe, vessel or second focus is told by the renderer's
zones instead of being recognised; every structure stands out of the noise by many standard
deviations, so that a network can see what the expert is told. Given the zones, the drawing on one
slice depends on that slice alone, and the personal draws behind it (`Latents`) are shared by all
slices, so that a 2D network can learn the law and one drawing is still coherent in 3D.

Choices of the crossing kind cross: one lobe or the other, the vessel, the second focus, smooth or
polygonal contours are chosen whatever the threshold, so that masks are not nested and no level sets
can imitate them. Readers of the nodules kind (readers.py) look with another eye, View.by_contrast:
they judge the nodule as a whole, so that its brightest and largest slices count on the others, too.

Simulated people: they tell nothing about how real experts read, and are never clinical evidence.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.ndimage import gaussian_filter

from .anatomy import GROUND_GLASS, PARENCHYMA, SOLID, Scene

_EYE = 0.6  # mm; the eye's own smoothing in plane
_EDGE = 150.0  # HU over which a contour decision saturates
_KNOT = 3.0  # mm between the corners of a polygonal contour, and of the wobble of a hand
_TRAITS = 9

# Of those who judge by contrast (View.by_contrast); set so that the named readers disagree as the
# radiologists of LIDC-IDRI do, by Testing/Benchmarks/phantom_table.py.
FAINTEST = -650.0  # HU; what is fainter is drawn as if it were of this
_KEEN_EYE = 0.4  # mm
_BRIGHTEST = 4.0  # mm² that show how bright a small structure is
_UNSEEN = 100.0  # HU over the lung that nobody notices
_EDGE_SHARE = 0.45  # of the step, over which a contour decision saturates
_LEAST_DOUBT = 40.0  # HU
_REACH = 0.52
_STEEPNESS = 2.3
_SURE_AREA = 10.0  # mm²
_OWN = 0.5  # weight of a slice's own area beside the nodule's largest
_CEILING = 0.986


@dataclass(frozen=True)
class Style:
    """How one expert draws; every probability is of one drawing, not of one slice.

    Attributes:
        name, description: as in an Expert.
        threshold: place of the contour on an edge, 0 (outermost) to 1 (innermost).
        lobes: probabilities of including no lobe, exactly one (either with equal chance), both.
        vessel, focus, polygon: probabilities of including the vessel, the second focus, and of
            drawing straight-sided contours.
        smoothing: of the contour, mm.
        detection: log odds of drawing anything on a slice that shows 30 mm² of solid core.
        wobble: standard deviation of the hand, in units of a saturated decision.
        drift: standard deviation of the threshold from one drawing to the next.
    """

    name: str
    description: str
    threshold: float
    lobes: tuple[float, float, float]
    vessel: float
    focus: float
    polygon: float
    smoothing: float
    detection: float
    wobble: float
    drift: float

    @classmethod
    def of_traits(cls, name: str, description: str, traits: np.ndarray) -> Self:
        """Return the style at a point of the population, whose every trait is N(0, 1).

        Args:
            name: the expert's name.
            description: one plain line.
            traits: (9,) tightness, breadth, one-sidedness, vessel, focus, polygon, smoothness,
                vigilance, unsteadiness.
        """
        tight, broad, sided, vessel, focus, polygon, smooth, vigilant, unsteady = traits
        lobes = np.exp([-0.7 * broad, 2.0 + 0.4 * sided, 0.7 * broad])
        lobes /= lobes.sum()
        return cls(
            name,
            description,
            threshold=float(np.clip(0.5 + 0.1 * tight, 0.25, 0.75)),
            lobes=(float(lobes[0]), float(lobes[1]), float(lobes[2])),
            vessel=_logistic(0.8 * vessel),
            focus=_logistic(-0.7 + 0.7 * focus),
            polygon=_logistic(1.2 * polygon),
            smoothing=float(0.9 * np.exp(0.3 * smooth)),
            detection=float(1.0 + 1.5 * vigilant),
            wobble=float(0.18 * np.exp(0.3 * unsteady)),
            drift=float(0.04 * np.exp(0.3 * unsteady)),
        )


def _logistic(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def style_population(seed: int, n: int) -> tuple[Style, ...]:
    """Return ``n`` unseen experts, "Unseen 1".., whose traits are independent N(0, 1)."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0xE4])))
    traits = rng.standard_normal((n, _TRAITS))
    return tuple(
        Style.of_traits(f"Unseen {i + 1}", "a simulated expert of the population", row)
        for i, row in enumerate(traits)
    )


def _member(name: str, description: str, *traits: float) -> Style:
    return Style.of_traits(name, description, np.array(traits))


DEFAULT_EXPERTS = (
    _member(
        "Expert 1",
        "tight: close to the solid core, seldom the whole halo, smooth contour",
        *(1.4, -1.0, 0.3, -0.6, 0.0, -2.0, 0.8, 0.2, -0.5),
    ),
    _member(
        "Expert 2",
        "generous: outermost visible edge, often both lobes, follows the vessel, smooth contour",
        *(-1.5, 1.2, 0.3, 1.2, 0.3, -1.5, 0.3, 2.0, 0.0),
    ),
    _member(
        "Expert 3",
        "geometric: straight-sided contours, one lobe or the other, second focus as the mood goes",
        *(0.0, 0.0, 1.5, 0.0, 0.3, 2.0, -0.5, 0.5, 0.0),
    ),
    _member(
        "Expert 4",
        "hesitant: leaves out what is faint, seldom the vessel, restless contour",
        *(0.3, -0.2, 1.0, -1.2, -0.3, -1.0, -1.0, -0.9, 1.5),
    ),
)


@dataclass(frozen=True)
class View:
    """What an expert looks at: the part of a scene around the nodule.

    Attributes:
        seen: smoothed HU, float32, (K, h, w).
        zones: by structure, bool, (K, h, w).
        solid_area: mm² of visibly solid core on each slice, (K,).
        solid, glass: HU of what counts as solid and as ground glass on each slice, float32, (K,).
        edge_share: of the step that a contour follows, over which its place is in doubt; 0 for a
            fixed number of HU.
        steepness: log odds of drawing on a slice, for each e-fold of its solid area.
        sure_area: mm² of solid area at which those are a style's detection.
        ceiling: probability of marking what nobody can fail to see.
        reach: how far, in saturated decisions, the hand may stray; below 1 it leaves no islands.
        window: where (h, w) lies in (J, I).
        shape: (K, J, I) of the volume.
        spacing: mm along (x, y, z).
    """

    seen: np.ndarray
    zones: dict[str, np.ndarray]
    solid_area: np.ndarray
    solid: np.ndarray
    glass: np.ndarray
    window: tuple[slice, slice]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    edge_share: float = 0.0
    steepness: float = 2.5
    sure_area: float = 30.0
    reach: float = np.inf
    ceiling: float = 1.0

    @classmethod
    def of(cls, scene: Scene, spacing: tuple[float, float, float]) -> Self:
        """Return the expert's view of ``scene``, whose voxels are ``spacing`` mm apart."""
        window, seen, zones = _looked_at(scene, spacing, _EYE)
        halfway = (GROUND_GLASS + SOLID) / 2
        solidness = np.clip((seen - GROUND_GLASS) / (2 * (halfway - GROUND_GLASS)), 0, 1)
        area = (solidness * zones["core"]).sum((1, 2)) * spacing[0] * spacing[1]
        solid, glass = (np.full(len(seen), level, np.float32) for level in (SOLID, GROUND_GLASS))
        return cls(seen, zones, area, solid, glass, window, _shape(scene.hu), spacing)

    @classmethod
    def by_contrast(cls, scene: Scene, spacing: tuple[float, float, float]) -> Self:
        """Return the view of somebody who judges a nodule by its contrast with the lung around it.

        What is solid is as bright as the nodule's core where it is brightest: a contour halfway is
        halfway up its edge, of a faint nodule as of a solid one, and tapers off at the ends. A
        slice is the more conspicuous the more contrast it and the nodule's largest slice show,
        squared, as mm² of solid tissue.
        """
        window, seen, zones = _looked_at(scene, spacing, _KEEN_EYE)
        pixel = spacing[0] * spacing[1]
        halo = (zones["lobe a"] | zones["lobe b"]) & ~zones["core"]
        solid = _brightness(seen, zones["core"], pixel, SOLID)
        glass = _brightness(seen, halo, pixel, GROUND_GLASS)
        nodule = zones["core"] | halo
        contrast = (seen - PARENCHYMA - _UNSEEN) / (SOLID - PARENCHYMA - _UNSEEN)
        area = (np.clip(contrast, 0, 1) ** 2 * nodule).sum((1, 2)) * pixel + 0.05
        area = area**_OWN * area.max() ** (1 - _OWN)
        return cls(
            seen,
            zones,
            area,
            solid,
            glass,
            window,
            _shape(scene.hu),
            spacing,
            edge_share=_EDGE_SHARE,
            steepness=_STEEPNESS,
            sure_area=_SURE_AREA,
            reach=_REACH,
            ceiling=_CEILING,
        )

    def at(self, here: slice) -> Self:
        """Return the view of some of the slices alone."""
        return replace(
            self,
            seen=self.seen[here],
            zones={name: zone[here] for name, zone in self.zones.items()},
            solid_area=self.solid_area[here],
            solid=self.solid[here],
            glass=self.glass[here],
            shape=(len(self.solid_area[here]), *self.shape[1:]),
        )

    def presence(self, style: Style) -> np.ndarray:
        """Return the probability, (K,), that the expert draws anything on each slice."""
        odds = style.detection + self.steepness * np.log((self.solid_area + 0.05) / self.sure_area)
        return self.ceiling / (1 + np.exp(-odds))

    def paste(self, drawings: np.ndarray) -> np.ndarray:
        """Return drawings (D, K, h, w) on the whole volume, (D, K, J, I)."""
        whole = np.zeros((len(drawings), *self.shape), bool)
        whole[:, :, *self.window] = drawings
        return whole


def _looked_at(
    scene: Scene, spacing: tuple[float, float, float], eye_mm: float
) -> tuple[tuple[slice, slice], np.ndarray, dict[str, np.ndarray]]:
    """Return the window round the structures, and what is seen of image and zones through it."""
    window = _around(np.logical_or.reduce(list(scene.zones.values())), spacing)
    eye = (0.0, eye_mm / spacing[1], eye_mm / spacing[0])
    seen = gaussian_filter(scene.hu, eye, truncate=3)[:, *window]
    return window, seen, {name: zone[:, *window] for name, zone in scene.zones.items()}


def _brightness(seen: np.ndarray, zone: np.ndarray, pixel: float, most: float) -> np.ndarray:
    """Return how bright a zone is where it is brightest, HU, the same on all slices, (K,) float32.

    On a slice that is the mean of its brightest quarter, or of _BRIGHTEST mm² where it is small.
    """
    brightest = FAINTEST
    for values in (slice_seen[here] for slice_seen, here in zip(seen, zone, strict=True)):
        if len(values):
            part = max(len(values) // 4, int(_BRIGHTEST / pixel), 1)
            brightest = max(brightest, float(np.sort(values)[-part:].mean()))
    return np.full(len(seen), min(brightest, most), np.float32)


def _shape(array: np.ndarray) -> tuple[int, int, int]:
    k, j, i = array.shape
    return k, j, i


def _around(zone: np.ndarray, spacing: tuple[float, float, float]) -> tuple[slice, slice]:
    """Return the rows and columns of ``zone`` and 4 mm more."""
    spans = []
    for axis, step in ((0, spacing[1]), (1, spacing[0])):
        used = np.flatnonzero(zone.any((0, 2 - axis)))
        margin = int(np.ceil(4.0 / step))
        spans.append(slice(max(int(used[0]) - margin, 0), int(used[-1]) + margin + 1))
    return spans[0], spans[1]


@dataclass(frozen=True)
class Latents:
    """The personal draws behind D drawings; nothing else separates one drawing from another.

    Attributes:
        attention: (D,) in [0, 1); a slice is drawn on where this is below its presence.
        lobe_a, lobe_b, vessel, focus, polygon: (D,) bool choices.
        drift: (D,) N(0, 1), scales the style's drift.
        wobble: (D, K, r, c) N(0, 1) field on knots 3 mm apart in plane, scales the style's wobble.
        phase: (D, 2) in [0, 1), where the first corner of a polygon lies.
    """

    attention: np.ndarray
    lobe_a: np.ndarray
    lobe_b: np.ndarray
    vessel: np.ndarray
    focus: np.ndarray
    polygon: np.ndarray
    drift: np.ndarray
    wobble: np.ndarray
    phase: np.ndarray

    def at(self, here: slice) -> Self:
        """Return the draws as they act on some of the slices alone."""
        return replace(self, wobble=self.wobble[:, here])


def draw_latents(rng: np.random.Generator, style: Style, view: View, draws: int) -> Latents:
    """Return the personal draws of ``draws`` drawings in the given style."""
    lobes = rng.choice(3, draws, p=style.lobes)
    first = rng.random(draws) < 0.5
    coins = rng.random((3, draws)) < np.array([[style.vessel], [style.focus], [style.polygon]])
    return Latents(
        rng.random(draws),
        (lobes == 2) | ((lobes == 1) & first),
        (lobes == 2) | ((lobes == 1) & ~first),
        coins[0],
        coins[1],
        coins[2],
        *hand(rng, view, draws),
    )


def hand(
    rng: np.random.Generator, view: View, draws: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (drift, wobble, phase) of `Latents`: what is not a choice but an unsteady hand."""
    knots = (draws, *(len(axis) for axis in _knots(view)))
    white = rng.standard_normal((knots[0], view.shape[0], *knots[1:]), np.float32)
    sigma = np.array([0.0, 3.0 / view.spacing[2], 0.7, 0.7])
    wobble = gaussian_filter(white, sigma, mode="wrap", truncate=3)
    gain = 1 / max(float(wobble.std()), 1e-6) if wobble.size else 1.0
    return rng.standard_normal(draws), wobble * np.float32(gain), rng.random((draws, 2))


def _knots(view: View) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = view.seen.shape[1:]
    across, along = _KNOT / view.spacing[1], _KNOT / view.spacing[0]
    return np.arange(0, rows + across, across), np.arange(0, cols + along, along)


def draw(view: View, style: Style, latents: Latents) -> np.ndarray:
    """Return the drawings, bool, (D, K, h, w); the same latents give the same drawings."""
    presence = view.presence(style)
    drawings = np.zeros((len(latents.attention), *view.seen.shape), bool)
    for d, attention in enumerate(latents.attention):
        present = np.flatnonzero(attention < presence)
        if not len(present):
            continue
        here = slice(int(present[0]), int(present[-1]) + 1)  # the rest need not be worked out
        part, draws = view.at(here), latents.at(here)
        contour = _contour(_decide(part, style, draws, d), part, style, draws, d)
        drawings[d, here] = (contour > 0) & (attention < presence[here])[:, None, None]
    return drawings


def _decide(view: View, style: Style, latents: Latents, d: int) -> np.ndarray:
    """Return for each voxel how far it is inside (1) or outside (-1) before the hand moves.

    A contour lies at the expert's fraction of the step between the levels on its two sides: lung to
    solid, lung to ground glass round a chosen lobe, ground glass to solid within one left out.
    """
    zones = view.zones
    lobes = zones["lobe a"] | zones["lobe b"]
    chosen = (zones["lobe a"] & latents.lobe_a[d]) | (zones["lobe b"] & latents.lobe_b[d])
    place = np.float32(style.threshold + style.drift * latents.drift[d])
    solid, glass = view.solid[:, None, None], view.glass[:, None, None]
    lung = np.float32(PARENCHYMA)
    inner = np.where(chosen, glass, solid)
    outer = np.where(lobes & ~chosen, glass, lung)
    threshold = outer + place * (inner - outer)
    within = (zones["core"] | chosen) & ~(zones["vessel"] | zones["focus"])
    within |= (zones["vessel"] & latents.vessel[d]) | (zones["focus"] & latents.focus[d])
    doubt = view.edge_share * (inner - outer) if view.edge_share else np.float32(_EDGE)
    inside = (view.seen - threshold) / np.maximum(doubt, np.float32(_LEAST_DOUBT))
    return np.where(within, np.clip(inside, -1, 1), -1)


def _contour(
    decision: np.ndarray, view: View, style: Style, latents: Latents, d: int
) -> np.ndarray:
    """Return the decision as the hand follows it: smoothed, wobbling, perhaps straight-sided."""
    sigma = (0.0, style.smoothing / view.spacing[1], style.smoothing / view.spacing[0])
    smooth = gaussian_filter(decision, sigma, truncate=3, mode="nearest")
    rows, cols = _knots(view)
    n_rows, n_cols = decision.shape[1:]
    wobble = _between(latents.wobble[d], rows, n_rows, axis=1)
    stray = np.float32(style.wobble) * _between(wobble, cols, n_cols, axis=2)
    smooth += np.clip(stray, -view.reach, view.reach)
    if not latents.polygon[d]:
        return smooth
    for axis, count, step, phase in (
        (1, n_rows, rows[1], latents.phase[d, 0]),
        (2, n_cols, cols[1], latents.phase[d, 1]),
    ):
        corners = np.arange(phase * step, count, step)
        smooth = _between(smooth.take(corners.astype(int), axis), corners.astype(int), count, axis)
    return smooth


def _between(values: np.ndarray, positions: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Return values at pixels 0..count-1 of an axis, linear between the given positions."""
    pixel = np.arange(count)
    left = np.clip(np.searchsorted(positions, pixel, "right") - 1, 0, len(positions) - 2)
    share = (pixel - positions[left]) / (positions[left + 1] - positions[left])
    share = np.clip(share, 0, 1).astype(np.float32)
    share = share.reshape([count if a == axis else 1 for a in range(values.ndim)])
    return values.take(left, axis) * (1 - share) + values.take(left + 1, axis) * share
