"""Segments by their names from Slicer's layered segmentation file (.seg.nrrd).

Slicer may put segments that do not overlap into one layer and tell them apart by their value there.
Format: Slicer's vtkMRMLSegmentationStorageNode.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..space.geometry import Geometry
from .image_file import read_image

_MOST_LISTED = 6


class SegmentMasks(Mapping[str, np.ndarray]):
    """Masks, bool, (K, J, I), by segment's name in the file's order; each is made when asked for.

    A file may hold dozens of segments in one layer, of which few are wanted.

    Attributes:
        notes: plain sentences on voxels that belong to no segment.
    """

    def __init__(
        self,
        layers: np.ndarray,
        places: Mapping[str, tuple[int, int]],
        notes: tuple[str, ...] = (),
    ):
        """Take the file's layers, (K, J, I, L), and each segment's layer and value there."""
        self._layers = layers
        self._places = places
        self.notes = notes

    def __getitem__(self, name: str) -> np.ndarray:
        layer, value = self._places[name]
        return np.asarray(self._layers[..., layer] == value)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def read_seg_nrrd(path: Path) -> tuple[SegmentMasks, Geometry]:
    """Return the masks by segment's name, and their grid.

    Raises:
        InputError: the file is missing, damaged, no NRRD, holds fractions or no segments, or two of
            one name.
    """
    image = read_image(path, components=True)
    facts, array = image.facts, image.array
    indices = sorted(
        int(found[1]) for key in facts if (found := re.fullmatch(r"Segment(\d{1,6})_ID", key))
    )
    if not indices:
        raise InputError(f"{path.name} holds no segments. Give a .seg.nrrd file.")
    _require_labels(path, facts, array)
    layers = array if array.ndim == 4 else array[..., None]
    places: dict[str, tuple[int, int]] = {}
    for index in indices:
        name, place = _place_of(path, facts, index, layers.shape[-1])
        if name in places:
            raise InputError(f"{path.name} has two segments called {name}. Rename one of them.")
        places[name] = place
    return SegmentMasks(layers, places, _unnamed(path, layers, places)), image.geometry


def _require_labels(path: Path, facts: Mapping[str, str], array: np.ndarray) -> None:
    """Refuse fractions, whose one half only the program that wrote them knows."""
    stated = (facts.get(f"Segmentation_{word}Representation", "") for word in ("Source", "Master"))
    fractional = any("fractional" in text.lower() for text in stated)
    if fractional or (array.dtype.kind not in "iu" and not np.array_equal(array, np.rint(array))):
        raise InputError(
            f"{path.name} holds fractions of voxels. Export its segments as binary labelmaps."
        )


def _unnamed(
    path: Path, layers: np.ndarray, places: Mapping[str, tuple[int, int]]
) -> tuple[str, ...]:
    """Return a note where voxels have a value that no segment has."""
    values: set[int] = set()
    for layer in range(layers.shape[-1]):
        named = [value for place, value in places.values() if place == layer]
        for plane in layers[..., layer]:
            stray = plane[(plane != 0) & ~np.isin(plane, named)]
            values.update(np.unique(stray).tolist())
    if not values:
        return ()
    listed = ", ".join(f"{value:g}" for value in sorted(values)[:_MOST_LISTED])
    return (f"{path.name} holds the values {listed} of no segment; they were left out.",)


def _place_of(
    path: Path, facts: Mapping[str, str], index: int, layers: int
) -> tuple[str, tuple[int, int]]:
    """Return the name of one segment of the file, and its layer and value there."""
    prefix = f"Segment{index}_"
    try:
        layer = int(facts.get(prefix + "Layer", index))
        value = int(facts.get(prefix + "LabelValue", 1))
        if not 0 <= layer < layers:
            raise ValueError
    except ValueError:
        raise InputError(
            f"{path.name} describes its segment {index + 1} wrongly. Save it again from Slicer."
        ) from None
    return facts.get(prefix + "Name", facts[prefix + "ID"]), (layer, value)
