"""One expert's cases as slices: windows around what was marked, few enough for any number of cases.

The windows are those that the network will look at when the same place is segmented: a field of
view about a lesion or the region, several where it is larger than that.
"""

import hashlib
from collections.abc import Callable, Sequence
from math import ceil

import numpy as np

from ..case_checks import findings
from ..cohorts.case import Case
from ..errors import CancelledError, InputError
from ..geometry import GridWindow, ModelGrid
from ..metadata import ModelMetadata
from .slices import EMPTY_SHARE, SliceSet
from .windows import around_lesions, tiles_of

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
    those after it. Of the slices EMPTY_SHARE show nothing marked, nearest to the marked ones first.

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
    """Return the windows, each of one slice, to take of a case: marked ones, then empty ones."""
    if case.region is None:
        windows = around_lesions(grid, mask, patch, share)
    else:
        windows = tiles_of(grid.window_of(case.region), patch)
    touched: list[GridWindow] = []
    empty: list[tuple[int, GridWindow]] = []  # with how many slices lie between it and a marked one
    for window in windows:
        flags = _touched_slices(grid, mask, window)
        rows = np.flatnonzero(flags)
        touched += [_plane(window, int(row)) for row in rows]
        empty += [
            (int(np.abs(rows - row).min(initial=window.size[0])), _plane(window, int(row)))
            for row in np.flatnonzero(~flags)
        ]
    looked_at = _spread(touched, _LOOKED_AT * (share + 1))
    marked = [plane for plane in looked_at if (grid.slices(mask, plane) > 0.5).any()]
    if marked:
        nearest = [plane for _, plane in sorted(empty, key=lambda pair: pair[0])]
        wanted = max(1, round(len(marked) * EMPTY_SHARE / (1 - EMPTY_SHARE)))
        room = max(1, ceil(share * (1 - EMPTY_SHARE)))
        taken = _spread(marked, max(room, share - min(wanted, len(nearest))))
        return taken + nearest[: min(wanted, share - len(taken))]
    if case.region is None:
        raise InputError(
            f"Case {case.name}: what is marked is smaller than the model's pixels of"
            f" {grid.spacing_mm:g} mm. Leave the case out, or choose a model with finer pixels."
        )
    everything = [_plane(window, row) for window in windows for row in range(window.size[0])]
    return _spread(everything, min(share, max(1, round(EMPTY_SHARE * len(everything)))))


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
