"""A comparison that no model made: four experts who differ about a ball on a noisy scan."""

from collections.abc import Sequence

import numpy as np

from diffoseg.comparison.result import Comparison, ExpertResult
from diffoseg.experts.panel import CONSENSUS, ExpertPanel
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume

WHOLE = Geometry((72, 64, 14), (0.8, 0.8, 2.5), (-30.0, -25.0, 10.0))
START, SIZE = (8, 10, 3), (48, 42, 10)
CENTER = np.array([36.0, 32.0, 7.0])  # i, j, k

# Shift of the ball's centre in mm along x, y, and its radius in mm.
STYLES = ((0.0, 0.0, 7.0), (4.0, 0.0, 6.0), (-4.0, 2.0, 6.5), (0.0, -3.0, 8.5))


def a_volume(geometry: Geometry = WHOLE) -> Volume:
    """Return soft tissue around a bright ball in air-like lung, HU."""
    distance = _distance(geometry, (0.0, 0.0, 7.0))
    noise = np.random.default_rng(0).normal(0, 30, geometry.size[::-1])
    array = np.where(distance < 0, 40.0, -820.0) + noise
    rim = _distance(geometry, (0.0, 0.0, 24.0))
    array = np.where(rim > 0, 20 + noise, array)
    return Volume(array.astype(np.float32), geometry, "CT", "phantom")


def a_comparison(
    names: Sequence[str] = ("Expert 1", "Expert 2", "Expert 3", "Expert 4"),
    samples: int = 8,
    *,
    consensus: bool = True,
    empty: bool = False,
    geometry: Geometry = WHOLE,
) -> Comparison:
    """Return experts with shifted and swollen balls, drawn again and again with a random radius."""
    region = geometry.crop(START, SIZE)
    panel = ExpertPanel.of(*names)
    results = [
        _result(name, region, STYLES[index % len(STYLES)], samples, index, empty)
        for index, name in enumerate(names)
    ]
    if consensus:
        results.insert(0, _result(CONSENSUS, region, (0.0, 0.0, 6.8), samples, 99, empty))
    return Comparison(
        results={result.name: result for result in results},
        geometry=geometry,
        region_geometry=region,
        region_start=START,
        colors={result.name: panel.color_of(result.name) for result in results},
        slugs={name: slug for name, slug in panel.slugs().items() if consensus or name in names},
        provenance={
            "weights_title": "Phantom lung nodules",
            "weights_hash": "4f1c" * 16,
            "code_version": "0.1.0",
            "sampler": "ddim",
            "steps": 16,
            "samples": samples,
            "seed": 0,
            "device": "cpu",
            "region_lps_mm": [-20.4, 18.0, -17.0, 18.2, 15.0, 40.0],
            "notice": "For demonstration and testing, not for clinical use",
        },
        timings={"total": 1.25},
    )


def _result(
    name: str,
    region: Geometry,
    style: tuple[float, float, float],
    samples: int,
    seed: int,
    empty: bool,
) -> ExpertResult:
    distance = _distance(region, style)
    softness = 1.2
    probability = (1 / (1 + np.exp(distance / softness))).astype(np.float32)
    swellings = np.random.default_rng(seed).normal(0, 1.2, samples)
    drawn = np.stack([distance < swelling for swelling in swellings])
    if empty:
        probability, drawn = probability * 0, drawn & False
    presence = 0.0 if empty else 1.0 - 0.05 * (seed % 4)
    return ExpertResult(name, probability, probability > 0.5, drawn, presence, 0.5)


def _distance(geometry: Geometry, style: tuple[float, float, float]) -> np.ndarray:
    """Return (K, J, I) mm from the surface of a ball around CENTER, shifted; negative inside."""
    x, y, radius = style
    k, j, i = np.indices(geometry.size[::-1])
    points = geometry.index_to_point(np.stack([i, j, k], -1))
    center = WHOLE.index_to_point(CENTER) + np.array([x, y, 0])
    return np.linalg.norm(points - center, axis=-1) - radius
