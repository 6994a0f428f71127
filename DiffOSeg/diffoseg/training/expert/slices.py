"""One expert's cases as slices: windows around what was marked, few enough for any number of cases.

The windows are those that the network will look at when the same place is segmented: a field of
view about a lesion or the region, several where it is larger than that.
"""

import hashlib
from collections.abc import Callable, Sequence
from math import ceil

import numpy as np

from ...cohorts.case import Case
from ...cohorts.checks import findings, too_small
from ...errors import CancelledError, InputError
from ...model.metadata import ModelMetadata
from ...space.field_of_view import window_seen
from ...space.marked import inside_region
from ...space.model_grid import GridWindow, ModelGrid
from ..slices import SliceSet
from ..windows import around_lesions, tiles_of

MOST_SLICES = 384
"""Slices of all cases together: 8 MB of 64 x 64 pixels."""

_LOOKED_AT = 4  # times as many slices as are taken; those with but a trace of a mark are left out


def expert_slices(
    cohort: Sequence[Case],
    expert: str,
    metadata: ModelMetadata,
    most: int = MOST_SLICES,
    *,
    progress: Callable[[int, int, str], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    note: Callable[[str], None] | None = None,
) -> SliceSet:
    """Return at most ``most`` slices of what one expert drew, with one drawing (M = 1) of each.

    Cases are read one at a time, and each gets an equal share of ``most``; what one leaves goes to
    those after it.

    Args:
        cohort: the cases; each is read once.
        expert: whose masks to take.
        metadata: of the model, which says pixels, field of view and intensities.
        most: slices in all.
        progress: is called with (cases done, cases in all, "Reading cases").
        cancel: says whether to stop.
        note: is called with each warning, a sentence that names the case.

    Raises:
        InputError: there is no case, or one that cannot be learnt from; the sentence names it.
        CancelledError: ``cancel`` said so.
    """
    if not cohort:
        raise InputError("There is no case to learn from. Add a volume and its segment.")
    parts: list[SliceSet] = []
    known: dict[str, str] = {}
    left = most
    for index in range(len(cohort)):
        if cancel is not None and cancel():
            raise CancelledError("The training was stopped while its cases were read.")
        if progress is not None:
            progress(index, len(cohort), "Reading cases")
        share = ceil(left / (len(cohort) - index))
        if share == 0:
            if note is not None:
                note(f"Of {len(cohort)} cases the first {index} are learnt from: more do not fit.")
            break
        part = _of_case(cohort[index], expert, metadata, share, note)
        digest = _digest(part)
        if digest in known:
            raise InputError(
                f"Case {part.cases[0]} is case {known[digest]} once more. Remove one of the two."
            )
        known[digest] = part.cases[0]
        left -= len(part)
        parts.append(part)
    return SliceSet.joined(parts)


def _of_case(
    case: Case,
    expert: str,
    metadata: ModelMetadata,
    share: int,
    note: Callable[[str], None] | None,
) -> SliceSet:
    """Return at most ``share`` slices of one case."""
    if expert not in case.masks:
        raise InputError(f"Case {case.name} holds nothing that {expert} drew. Leave it out.")
    mask, image, geometry = case.masks[expert], case.volume.array, case.volume.geometry
    found = findings(geometry, image, mask, geometry, case.region, metadata)
    if found and found[0].kind == "error":
        raise InputError(f"Case {case.name}: {found[0].sentence}")
    if note is not None:
        for sentence in (*case.volume.notes, *(finding.sentence for finding in found)):
            note(f"Case {case.name}: {sentence}")
    grid = ModelGrid.fit(geometry, metadata.spacing_mm)
    planes = _planes(case, mask, grid, metadata.patch, share)
    mapping = metadata.intensity.resolve(image)
    images = [mapping.apply(grid.slices(image, plane))[0] for plane in planes]
    masks = [grid.slices(mask, plane)[0] > 0.5 for plane in planes]
    return SliceSet(
        images=np.stack(images)[:, None],
        masks=np.stack(masks)[:, None].astype(np.uint8),
        drawn_by=np.zeros((len(planes), 1), int),
        patients=(case.patient,) * len(planes),
        experts=(expert,),
        positions=np.array([plane.start[0] for plane in planes]),
        cases=(case.name,) * len(planes),
    )


def _planes(
    case: Case, mask: np.ndarray, grid: ModelGrid, patch: int, share: int
) -> list[GridWindow]:
    """Return the windows, each of one slice, to take of a case: marked ones, then empty ones.

    All of those about the lesions, or as many of each kind as there are in proportion: which slices
    an expert leaves empty tells as much as which ones are marked, so neither may be picked.
    """
    windows = _windows(case, mask, grid, patch, share)
    touched: list[GridWindow] = []
    empty: list[GridWindow] = []
    for window in windows:
        for row, flag in enumerate(_touched_slices(grid, mask, window)):
            (touched if flag else empty).append(_plane(window, row))
    looked_at = _spread(touched, _LOOKED_AT * (share + 1))
    marked = [plane for plane in looked_at if (grid.slices(mask, plane) > 0.5).any()]
    if not marked and case.region is None:
        raise InputError(f"Case {case.name}: {too_small(grid).sentence}")
    if not marked:
        return _spread([*touched, *empty], share)
    count = len(touched) * len(marked) / len(looked_at)  # expected, where not all were looked at
    room = max(1, round(share * count / (count + len(empty))))
    taken = _spread(marked, room)
    return taken + _spread(empty, share - len(taken))


def _windows(
    case: Case, mask: np.ndarray, grid: ModelGrid, patch: int, most: int
) -> list[GridWindow]:
    """Return the fields of view to take slices of, each with all slices that it spans.

    About the lesions. Where a region is given they span its slices and keep to what the network
    sees of it; where nothing is marked they cover it.
    """
    if case.region is None:
        return around_lesions(grid, mask, patch, most)
    answer = grid.window_of(case.region)
    inside = inside_region(grid, mask, case.region)
    if not inside.any():
        return tiles_of(answer, patch)
    seen = window_seen(answer, patch)
    kept = {_moved_into(seen, window) for window in around_lesions(grid, inside, patch, most)}
    return sorted(kept, key=lambda window: window.start)


def _moved_into(seen: GridWindow, window: GridWindow) -> GridWindow:
    """Return a field of view moved into what is seen, over all slices of that."""
    lowest = np.array(seen.start[1:])
    highest = lowest + seen.size[1:] - window.size[1:]
    top, left = np.clip(window.start[1:], lowest, np.maximum(lowest, highest)).tolist()
    return GridWindow((seen.start[0], top, left), (seen.size[0], *window.size[1:]))


def _touched_slices(grid: ModelGrid, mask: np.ndarray, window: GridWindow) -> np.ndarray:
    """Return in which of a window's slices, bool (S,), any voxel is marked that pixels are of."""
    across = 2 - grid.axes[0]
    others = tuple(axis for axis in range(3) if axis != across)
    touched = np.asarray(mask[_voxels(grid, window)].any(others))
    return touched[::-1] if grid.flips[0] else touched


def _plane(window: GridWindow, row: int) -> GridWindow:
    """Return one slice of a window."""
    (s, r, c), (_, rows, columns) = window.start, window.size
    return GridWindow((s + row, r, c), (1, rows, columns))


def _voxels(grid: ModelGrid, window: GridWindow) -> tuple[slice, ...]:
    """Return where, in an array (K, J, I), the voxels are that a window's pixels are made of."""
    start, size = grid.voxels_read(window)
    return tuple(slice(a, a + n) for a, n in zip(start[::-1], size[::-1], strict=True))


def _spread(planes: list[GridWindow], count: int) -> list[GridWindow]:
    """Return ``count`` of the planes, or all, evenly spread over their order."""
    if len(planes) <= count:
        return planes
    return [planes[int(place)] for place in (np.arange(count) + 0.5) * len(planes) / count]


def _digest(slices: SliceSet) -> str:
    """Return what two cases share that show the same and are marked the same."""
    digest = hashlib.sha256(np.ascontiguousarray(slices.images).tobytes())
    digest.update(np.ascontiguousarray(slices.masks).tobytes())
    return digest.hexdigest()
