"""What experts drew on an image, in a file of another program, as a Case.

A .seg.nrrd or DICOM SEG holds a segment for each expert or lesion; any other image file is one
mask. Either may be cropped, reach beyond the scan or have its axes in another order, as long as its
voxels are the scan's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from ..errors import InputError
from ..files.values import one_line
from ..reading.image_file import read_image
from ..reading.scan import read_volume
from ..reading.segments import holds_segments, read_segments
from ..space.geometry import Box, Geometry
from ..space.mask_values import marked_by
from ..space.same_grid import SharedGrid
from ..space.volume import Volume
from .case import Case
from .checks import OUTSIDE, other_grid

_MOST_LISTED = 8


@dataclass(frozen=True)
class DataEntry:
    """One image, and the file with what one or several experts drew on it.

    Attributes:
        image: a scan in any form that ``reading`` reads.
        label: a .seg.nrrd or DICOM SEG file, or a mask of one label; see ``space.mask_values``.
        drawn: by segment's name or label's number, the expert; "" as a segment is the file's only
            mask, "" as an expert whoever the list is read for.
        region: where the experts looked, LPS mm; None is around everything that is marked.
        patient: the unit of every split; "" makes the image one.
        name: what sentences call it; "" is named after the image.
    """

    image: Path
    label: Path
    drawn: Mapping[str, str]
    region: Box | None = None
    patient: str = ""
    name: str = ""


class DataCohort(Sequence[Case]):
    """The cases of a data list, read one at a time; made by :meth:`DataList.cohort`."""

    def __init__(self, groups: Sequence[Sequence[DataEntry]]):
        self._groups = groups

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> "DataCohort": ...
    def __getitem__(self, index: int | slice) -> "Case | DataCohort":
        """Read one case, or take some; raises InputError, naming the case, where it is broken."""
        if isinstance(index, slice):
            return DataCohort(self._groups[index])
        first = self._groups[index][0]
        try:
            return _read_case(self._groups[index])
        except InputError as error:
            raise InputError(f"Case {first.name}: {error}") from error


def _read_case(entries: Sequence[DataEntry]) -> Case:
    """Read an image and what the entries say was drawn on it."""
    first = entries[0]
    volume = read_volume(first.image)
    masks: dict[str, np.ndarray] = {}
    notes = list(volume.notes)
    for entry in entries:
        for expert, drawn, grid in _drawings(entry, notes):
            mask = _on_volume(drawn, grid, volume, notes)
            masks[expert] = masks[expert] | mask if expert in masks else mask
    return Case(
        patient=first.patient,
        name=first.name,
        volume=replace(volume, notes=tuple(dict.fromkeys(notes))),
        masks=masks,
        region=first.region,
    )


def _drawings(entry: DataEntry, notes: list[str]) -> Iterator[tuple[str, np.ndarray, Geometry]]:
    """Yield expert, mask and its grid for all that an entry says was drawn; adds notes."""
    name = entry.label.name
    if not holds_segments(entry.label):
        image = read_image(entry.label)
        for label, expert in entry.drawn.items():
            mask, note = marked_by(image.array, name, label)
            notes += [note] if note else []
            yield expert, mask, image.geometry
        return
    found, grid = read_segments(entry.label)
    notes += found.notes
    listed = ", ".join(map(one_line, list(found)[:_MOST_LISTED]))
    for segment, expert in entry.drawn.items():
        if not segment and len(found) > 1:
            raise InputError(
                f'{name} holds several segments: {listed}. Say which by "segment", or whose each is'
                ' by "experts".'
            )
        if segment and segment not in found:
            raise InputError(f"{name} has no segment {one_line(segment)}. It has: {listed}.")
        yield expert, found[segment or next(iter(found))], grid


def _on_volume(drawn: np.ndarray, grid: Geometry, volume: Volume, notes: list[str]) -> np.ndarray:
    """Return a mask on the volume's voxels; notes where some of it lies outside."""
    shared = SharedGrid.of(volume.geometry, grid)
    if shared is None:
        raise InputError(other_grid(volume.geometry, grid).sentence)
    mask = shared.put(drawn)
    if not shared.inside and (marked := np.count_nonzero(drawn)):
        kept = np.count_nonzero(mask)
        if not kept:
            raise InputError(OUTSIDE.sentence)
        if kept < marked:
            notes.append("Part of the segment lies outside the volume and was left out.")
    return mask
