"""What is wrong with an annotated case, said before anything is trained: the same rules everywhere.

An "error" stops a training, a "warning" is said and left to people. numpy alone, so that Slicer's
own process can ask.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import InputError
from ..model.metadata import ModelMetadata
from ..space.field_of_view import window_seen
from ..space.geometry import Box, Geometry
from ..space.intensity import IntensityMapping
from ..space.marked import inside_region, marked_box, marked_voxels
from ..space.model_grid import ModelGrid
from ..space.same_grid import SharedGrid

_CLIPPED_SHARE = 0.5  # as where a volume is segmented
_COARSE_PIXELS = 2.0
_FIELDS = 2.0  # how many fields of view a lesion may span before it is said
_TINY = 2**16  # pixels up to which it is looked whether anything is left on the model's grid


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a case, or that one should know of it.

    Attributes:
        kind: "error" where the case cannot be trained on, else "warning".
        sentence: what is wrong and what to do; ends with a full stop and names no case.
    """

    kind: Literal["error", "warning"]
    sentence: str


OUTSIDE = Finding(
    "error", "The segment lies outside the volume. Choose the volume that it was drawn on."
)


def findings(
    geometry: Geometry,
    image: np.ndarray | None,
    mask: np.ndarray,
    mask_geometry: Geometry,
    region: Box | None,
    metadata: ModelMetadata,
) -> tuple[Finding, ...]:
    """Return what is wrong with one case, errors first; empty where nothing was noticed.

    Args:
        geometry: the volume's grid.
        image: (K, J, I) in scanner units; None leaves out what it would tell.
        mask: (K, J, I) bool, on the volume's grid.
        mask_geometry: the grid on which the mask was drawn, which may be a part of the volume's,
            reach beyond it, or have its axes in another order.
        region: where the expert looked, LPS mm; None is around everything that is marked.
        metadata: of the model that is taught.
    """
    if SharedGrid.of(geometry, mask_geometry) is None:
        return (other_grid(geometry, mask_geometry),)
    marked = marked_box(geometry, mask)
    look = marked if region is None else region
    if look is None:
        return (_nothing(geometry, mask_geometry),)
    try:
        grid = ModelGrid.fit(geometry, metadata.spacing_mm)
        judged = inside_region(grid, mask, region)
    except InputError as error:
        return (Finding("error", str(error)),)
    found = [
        *([] if image is None else _intensities(image, grid, look, metadata)),
        _nothing_left(judged, grid),
        _outside_region(mask, judged),
        _too_large(mask, grid, region, metadata),
        _spacing(grid, metadata),
    ]
    said = [finding for finding in found if finding is not None]
    return tuple(sorted(said, key=lambda finding: finding.kind))


def duplicates(keys: Sequence[Hashable]) -> dict[int, Finding]:
    """Return, by its index, each case that an earlier one repeats.

    Args:
        keys: one for each case; two cases are the same where they are equal, as (volume, hash of
            the segment's voxels, expert) are.
    """
    first: dict[Hashable, int] = {}
    found = {}
    for index, key in enumerate(keys):
        if first.setdefault(key, index) != index:
            found[index] = Finding(
                "error",
                f"This is case {first[key] + 1} once more: the same volume and the same segment."
                " Remove one of the two.",
            )
    return found


def other_grid(geometry: Geometry, drawn: Geometry) -> Finding:
    """Return what to say of a segment whose voxels are not those of the volume."""
    return Finding(
        "error",
        f"The segment was drawn on other voxels ({_described(drawn)}) than the volume's"
        f" ({_described(geometry)}). Choose the volume that it was drawn on, or resample the"
        " segmentation to this one.",
    )


def too_small(grid: ModelGrid) -> Finding:
    """Return what to say of a segment of which no pixel of the model is marked."""
    return Finding(
        "error",
        f"The segment is smaller than the model's pixels of {grid.spacing_mm:g} mm. Leave the case"
        " out, or choose a model with finer pixels.",
    )


def _described(geometry: Geometry) -> str:
    size, spacing = (
        " x ".join(f"{n:.4g}" for n in values) for values in (geometry.size, geometry.spacing)
    )
    return f"{size} of {spacing} mm"


def _nothing(geometry: Geometry, drawn: Geometry) -> Finding:
    try:
        geometry.require_overlap(drawn.bounding_box())
    except InputError:
        return OUTSIDE
    return Finding(
        "error",
        "The segment is empty. Mark something, or give a region in which this expert saw nothing"
        " to mark.",
    )


def _intensities(
    image: np.ndarray, grid: ModelGrid, look: Box, metadata: ModelMetadata
) -> list[Finding]:
    """Judge the voxels that the network sees around ``look``."""
    start, size = grid.voxels_read(window_seen(grid.window_of(look), metadata.patch))
    place = tuple(slice(a, a + n) for a, n in zip(start[::-1], size[::-1], strict=True))
    seen = image[place]
    if seen.dtype.kind == "f" and not np.isfinite(seen).all():
        return [
            Finding(
                "error",
                "Some voxels around the segment are no numbers (NaN or infinite). Repair the"
                " volume or load it again.",
            )
        ]
    low, high = float(seen.min()), float(seen.max())
    if low == high:
        return [
            Finding(
                "error",
                f"All voxels around the segment have the value {low:g}. Choose the volume that it"
                " was drawn on.",
            )
        ]
    mapping = metadata.intensity
    if mapping.kind == "percentiles":  # of this volume, so that nothing of it lies far outside
        return []
    if high <= mapping.low or low >= mapping.high:
        return [_outside("error", "All", low, high, mapping)]
    clipped = float(np.mean((seen < mapping.low) | (seen > mapping.high)))
    if clipped > _CLIPPED_SHARE:
        return [_outside("warning", f"{clipped:.0%}", low, high, mapping)]
    return []


def _outside(
    kind: Literal["error", "warning"], share: str, low: float, high: float, known: IntensityMapping
) -> Finding:
    return Finding(
        kind,
        f"{share} of what is around the segment, {low:g} to {high:g}, lies outside the"
        f" intensities {known.low:g} to {known.high:g} that the model tells apart. Check the"
        " volume's kind and its rescaling, or choose another model.",
    )


def _nothing_left(mask: np.ndarray, grid: ModelGrid) -> Finding | None:
    """Find a segment of which nothing is left on the model's pixels."""
    voxels = marked_voxels(mask)
    if voxels is None:
        return None
    window = grid.window_of_voxels(*voxels)
    if np.prod(window.size) > _TINY or (grid.slices(mask, window) > 0.5).any():
        return None
    return too_small(grid)


def _outside_region(mask: np.ndarray, judged: np.ndarray) -> Finding | None:
    if judged.any() or not mask.any():
        return None
    return Finding(
        "warning",
        "Nothing of the segment lies in the region, which is taken as nothing to mark there. Move"
        " the region if that is not meant.",
    )


def _too_large(
    mask: np.ndarray, grid: ModelGrid, region: Box | None, metadata: ModelMetadata
) -> Finding | None:
    field = metadata.patch * metadata.spacing_mm
    if region is None:
        what, widest = "segment", _widest_mm(mask, grid)
        advice = "Check that it is what the model draws"
    else:
        what, widest = "region", max(grid.window_of(region).size[1:]) * grid.spacing_mm
        advice = "Choose a closer one around what the expert judged"
    if widest <= _FIELDS * field:
        return None
    return Finding(
        "warning",
        f"The {what} is {widest:.0f} mm wide, the model looks at {field:.0f} mm at once and learns"
        f" it in pieces. {advice}.",
    )


def _widest_mm(mask: np.ndarray, grid: ModelGrid) -> float:
    """Return the longest stretch, in plane, that has no unmarked row or column between.

    The largest lesion is no wider; a second one far from it adds nothing.
    """
    voxels = marked_voxels(mask)
    if voxels is None:
        return 0.0
    start, size = voxels
    part = mask[tuple(slice(a, a + n) for a, n in zip(start[::-1], size[::-1], strict=True))]
    lines = part.transpose([2 - axis for axis in grid.axes])  # (slices, rows, columns)
    _, height, width = (grid.geometry.spacing[axis] for axis in grid.axes)
    return max(_longest_run(lines, 2) * height, _longest_run(lines, 1) * width)


def _longest_run(mask: np.ndarray, across: int) -> int:
    """Return of how many neighbouring lines of a slice, (S, R, C), each has something marked."""
    closed = np.pad(mask.any(across), ((0, 0), (1, 1))).ravel()
    changes = np.flatnonzero(closed[1:] != closed[:-1])
    return int(np.max(changes[1::2] - changes[::2], initial=0))


def _spacing(grid: ModelGrid, metadata: ModelMetadata) -> Finding | None:
    coarsest = grid.spacing_mm / min(grid.steps[1:])
    if coarsest <= _COARSE_PIXELS * metadata.spacing_mm:
        return None
    return Finding(
        "warning",
        f"The pixels are {coarsest:.2g} mm wide, the model was trained on"
        f" {metadata.spacing_mm:g} mm. Use a finer reconstruction if there is one.",
    )
