"""What a segmentation answers: each expert's drawings, and all of them on one region."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..space.geometry import Geometry


@dataclass(frozen=True)
class ExpertResult:
    """What the model drew in the style of one expert, or as the consensus.

    All arrays lie on ``Comparison.region_geometry``, a crop of the input's own grid.

    Attributes:
        name: the expert's name, or "consensus".
        probability: (K, J, I) float32 in 0..1, that this expert would include the voxel.
        mask: (K, J, I) bool, the outline: how it would be drawn where it is drawn at all, which
            is where the probability exceeds ``level``; see ``comparison.outline``.
        samples: (N, K, J, I) bool, N plausible drawings of this same expert.
        presence: in 0..1, that this expert would mark anything in the region at all.
        level: of the probability, in 0..1, that the mask is cut at.
    """

    name: str
    probability: np.ndarray
    mask: np.ndarray
    samples: np.ndarray
    presence: float
    level: float


@dataclass(frozen=True)
class Comparison:
    """The consensus and the experts on one region of one volume.

    Attributes:
        results: by name, the consensus first where it was asked for, then in the panel's order.
        geometry: the whole input grid.
        region_geometry: the grid of all arrays; its voxels are voxels of ``geometry``.
        region_start: (i, j, k) index in the input grid of the region's first voxel.
        colors: by name, red-green-blue in 0..1.
        slugs: by name, the same safe in file names.
        warnings: plain sentences on what lies outside the model's training.
        provenance: JSON-able: weights hash, code version, seed, steps, sampler, device, region.
        timings: JSON-able, seconds by part; kept apart because it differs from run to run.
        stopped: whether it was cancelled, so that results or samples are missing.
    """

    results: Mapping[str, ExpertResult]
    geometry: Geometry
    region_geometry: Geometry
    region_start: tuple[int, int, int]
    colors: Mapping[str, tuple[float, float, float]]
    slugs: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = False
