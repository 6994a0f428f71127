"""What a comparison says in numbers: volumes with their spread, overlap, distances, two maps.

Disagreement is between experts, sampling spread is within one expert. They mean different things
and nothing here mixes them.
"""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..experts.panel import CONSENSUS
from ..space.geometry import Geometry
from ..space.model_grid import ModelGrid
from ..space.volume import Volume
from .result import Comparison, ExpertResult

BOTH_EMPTY: Literal["both empty"] = "both empty"

Dice = float | Literal["both empty"]

# n samples' minimum and maximum cover (n - 1) / (n + 1) of a distribution: 90 % from 19 on.
_SAMPLES_FOR_INTERVAL = 19


@dataclass(frozen=True)
class Interval:
    """Where the volumes of one expert's samples lie.

    It speaks of the model's samples; it is no confidence interval of the truth.

    Attributes:
        low: lower end, ml.
        high: upper end, ml.
        samples: how many samples it stands on, at least 2.
    """

    low: float
    high: float
    samples: int

    @property
    def label(self) -> str:
        """Return what the interval is called, which its number of samples decides."""
        if self.samples < _SAMPLES_FOR_INTERVAL:
            return f"range of {self.samples} samples"
        return f"90 % interval of {self.samples} samples"


@dataclass(frozen=True)
class ExpertRow:
    """One line of the table; None where a number has no meaning.

    Attributes:
        name: the expert's name, or "consensus".
        volume_ml: volume of the mask.
        interval: where the samples' volumes lie; None with fewer than two samples.
        difference_ml: volume minus the consensus' volume; None for the consensus itself.
        difference_percent: the same in per cent of the consensus; None where that is empty.
        diameter_mm: largest diameter within one slice; None for an empty mask.
        mean_intensity: mean of the volume inside the mask, scanner units (HU for CT).
        presence: in 0..1, that anything would be marked at all.
        dice: overlap with the consensus in 0..1, or "both empty".
        surface_mm: mean symmetric surface distance to the consensus; None where either is empty.
        surface_95_mm: 95th percentile of the same, the larger of both directions.
    """

    name: str
    volume_ml: float
    interval: Interval | None
    difference_ml: float | None
    difference_percent: float | None
    diameter_mm: float | None
    mean_intensity: float | None
    presence: float
    dice: Dice | None
    surface_mm: float | None
    surface_95_mm: float | None


def table(
    comparison: Comparison, volume: Volume, *, surfaces: bool = True
) -> tuple[ExpertRow, ...]:
    """Return a row for every result, in the comparison's order.

    Surface distances are None without ``surfaces``, and where MONAI, whose first import takes
    seconds, is not installed.
    """
    consensus = comparison.results.get(CONSENSUS)
    intensities = crop_to_region(volume.array, comparison)
    slice_axis = ModelGrid.fit(comparison.geometry, spacing_mm=1.0).axes[0]
    return tuple(
        _row(result, consensus, intensities, comparison.region_geometry, slice_axis, surfaces)
        for result in comparison.results.values()
    )


def crop_to_region(array: np.ndarray, comparison: Comparison) -> np.ndarray:
    """Return the region's part, a view, of a (K, J, I) array on the input's whole grid."""
    corner = comparison.region_start[::-1]
    size = comparison.region_geometry.size[::-1]
    return array[tuple(slice(a, a + n) for a, n in zip(corner, size, strict=True))]


def experts_of(comparison: Comparison) -> tuple[ExpertResult, ...]:
    """Return the experts' results, the consensus left out."""
    return tuple(r for name, r in comparison.results.items() if name != CONSENSUS)


def disagreement(comparison: Comparison) -> np.ndarray | None:
    """Return the standard deviation over the experts' probabilities, (K, J, I) float32 in 0..0.5.

    The consensus does not count as an expert. None with fewer than two experts.
    """
    experts = experts_of(comparison)
    if len(experts) < 2:
        return None
    total = np.zeros(experts[0].probability.shape)
    for expert in experts:
        total += expert.probability
    mean = total / len(experts)
    total[:] = 0
    for expert in experts:  # two passes: a difference of squares would lose small spreads
        total += (expert.probability - mean) ** 2
    return np.sqrt(total / len(experts)).astype(np.float32)


def sampling_spread(result: ExpertResult) -> np.ndarray | None:
    """Return the standard deviation over one expert's samples, (K, J, I) float32 in 0..0.5.

    None with fewer than two samples.
    """
    if len(result.samples) < 2:
        return None
    share = result.samples.mean(axis=0, dtype=np.float32)
    return np.sqrt(share * (1 - share))


def volume_interval(result: ExpertResult, voxel_volume_ml: float) -> Interval | None:
    """Return where the samples' volumes lie; None with fewer than two samples.

    Below 19 samples it is their smallest and largest; from 19 on the 5th and 95th percentile at
    the plotting positions i / (n + 1) (Weibull 1939), for which 19 samples give exactly 90 %.
    """
    count = len(result.samples)
    if count < 2:
        return None
    volumes = result.samples.sum(axis=(1, 2, 3)) * voxel_volume_ml
    low, high = volumes.min(), volumes.max()
    if count >= _SAMPLES_FOR_INTERVAL:
        low, high = np.quantile(volumes, (0.05, 0.95), method="weibull")
    return Interval(float(low), float(high), count)


def dice(first: np.ndarray, second: np.ndarray) -> Dice:
    """Return 2 |A and B| / (|A| + |B|) of two bool arrays, or "both empty"."""
    marked = int(first.sum()) + int(second.sum())
    if marked == 0:
        return BOTH_EMPTY
    return 2 * int((first & second).sum()) / marked


def dice_matrix(comparison: Comparison) -> dict[tuple[str, str], Dice]:
    """Return the overlap of every ordered pair of different experts, by their names."""
    experts = experts_of(comparison)
    matrix: dict[tuple[str, str], Dice] = {}
    for index, first in enumerate(experts):
        for second in experts[:index]:
            overlap = dice(first.mask, second.mask)
            matrix[first.name, second.name] = matrix[second.name, first.name] = overlap
    return matrix


def largest_diameter(mask: np.ndarray, geometry: Geometry, slice_axis: int) -> float | None:
    """Return the largest distance, mm, between two points of the mask within one slice.

    Slices lie across the index axis ``slice_axis`` (0 i, 1 j, 2 k). The mask (K, J, I) is taken
    as the points half a voxel from each voxel's centre along the slice's axes, so that a row of
    n voxels is n spacings long and a disc keeps its diameter. None for an empty mask.
    """
    spacing = np.delete(geometry.spacing, slice_axis)[::-1]  # rows first, as in the slices
    slices = np.moveaxis(mask, 2 - slice_axis, 0)
    diameters = [_feret(plane, spacing) for plane in slices if plane.any()]
    return max(diameters, default=None)


def surface_distances(
    first: np.ndarray, second: np.ndarray, geometry: Geometry
) -> tuple[float, float] | None:
    """Return mean and 95th percentile surface distance, mm, as MONAI defines them.

    The mean is over both surfaces' voxels together (symmetric); the percentile is the larger of
    the two directions' (MONAI's ``compute_hausdorff_distance``). None where either mask is empty.
    """
    if not first.any() or not second.any():
        return None
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    box = _bounding_box(first | second)
    a, b = (torch.from_numpy(np.ascontiguousarray(m[box]))[None, None] for m in (first, second))
    spacing = tuple(geometry.spacing[::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.5-1.6 warns of its own call
        mean = compute_average_surface_distance(a, b, True, symmetric=True, spacing=spacing)
        far = compute_hausdorff_distance(a, b, True, percentile=95, spacing=spacing)
    return float(mean), float(far)


def _row(
    result: ExpertResult,
    consensus: ExpertResult | None,
    intensities: np.ndarray,
    geometry: Geometry,
    slice_axis: int,
    surfaces: bool,
) -> ExpertRow:
    volume = int(result.mask.sum()) * geometry.voxel_volume_ml
    against = _against(result, consensus, geometry, surfaces)
    return ExpertRow(
        name=result.name,
        volume_ml=volume,
        interval=volume_interval(result, geometry.voxel_volume_ml),
        diameter_mm=largest_diameter(result.mask, geometry, slice_axis),
        mean_intensity=float(intensities[result.mask].mean()) if result.mask.any() else None,
        presence=result.presence,
        difference_ml=against.get("difference_ml"),
        difference_percent=against.get("difference_percent"),
        dice=dice(result.mask, consensus.mask) if against and consensus else None,
        surface_mm=against.get("surface_mm"),
        surface_95_mm=against.get("surface_95_mm"),
    )


def _against(
    result: ExpertResult, consensus: ExpertResult | None, geometry: Geometry, surfaces: bool
) -> Mapping[str, float | None]:
    """Return one expert's numbers against the consensus; nothing for the consensus itself."""
    if consensus is None or result.name == CONSENSUS:
        return {}
    own, agreed = (int(r.mask.sum()) * geometry.voxel_volume_ml for r in (result, consensus))
    distances = None
    if surfaces:
        with suppress(ImportError):
            distances = surface_distances(result.mask, consensus.mask, geometry)
    mean, far = distances or (None, None)
    return {
        "difference_ml": own - agreed,
        "difference_percent": 100 * (own - agreed) / agreed if agreed else None,
        "surface_mm": mean,
        "surface_95_mm": far,
    }


def _feret(plane: np.ndarray, spacing: np.ndarray) -> float:
    """Return the largest diameter, mm, of a non-empty 2D mask; ``spacing`` of rows and columns."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    rows = np.flatnonzero(plane.any(axis=1))
    left = plane[rows].argmax(axis=1)
    right = plane.shape[1] - 1 - plane[rows, ::-1].argmax(axis=1)
    ends = np.concatenate([np.column_stack([rows, left]), np.column_stack([rows, right])])
    halves = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    points = (ends[:, None] + halves).reshape(-1, 2) * spacing
    return float(pdist(points[ConvexHull(points).vertices]).max())


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the smallest box around a non-empty mask."""
    spans = (np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)
