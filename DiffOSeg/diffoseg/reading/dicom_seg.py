"""Segments by their labels from a DICOM Segmentation (PS3.3 A.51), read with pydicom alone.

Such a file leaves out the frames on which nothing is marked, so each frame lies where it says, and
the grid is the smallest that holds them all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files.values import one_line
from ..space.geometry import Geometry
from .dicom_header import SEGMENTATIONS, SliceHeader, class_of, frame_header, macro, numbers
from .dicom_stack import alike
from .dicom_voxels import open_image, stored_frame

_CONTOURS = "1.2.840.10008.5.1.4.1.1.481.3"
_MOST_PLANES = 10_000
_OFF = 0.1  # of a step, between a frame and its plane


@dataclass(frozen=True)
class _Frames:
    """A file's frames: whose each is, None for everyone's, and on which plane it lies."""

    tags: Any
    path: Path
    owners: Sequence[int | None]
    planes: Sequence[int]


class DicomSegments(Mapping[str, np.ndarray]):
    """Masks, bool, (K, J, I), by segment's label in the file's order; each is made when asked for.

    Attributes:
        notes: plain sentences on what was made of fractions.
    """

    def __init__(self, frames: _Frames, segments: Mapping[str, int], size: tuple[int, ...]):
        """Take the frames, each segment's number, and the masks' size, (K, J, I)."""
        self._frames = frames
        self._segments = segments
        self._size = size
        self.notes = _notes(frames)

    def __getitem__(self, label: str) -> np.ndarray:
        """Return one segment's mask; raises InputError where its frames are damaged."""
        number = self._segments[label]
        mask = np.zeros(self._size, bool)
        for frame, (owner, plane) in enumerate(
            zip(self._frames.owners, self._frames.planes, strict=True)
        ):
            if owner in (None, number):
                mask[plane] |= _marked(self._frames, frame, number)
        return mask

    def __contains__(self, label: object) -> bool:
        return label in self._segments

    def __iter__(self) -> Iterator[str]:
        return iter(self._segments)

    def __len__(self) -> int:
        return len(self._segments)


def read_dicom_seg(path: Path) -> tuple[DicomSegments, Geometry]:
    """Return the masks by segment's label, and their grid.

    Fractions are cut at one half of their greatest value, which the file states.

    Raises:
        InputError: the file is missing, damaged, no segmentation, of several directions, or has two
            segments of one label.
    """
    if not path.is_file():
        raise InputError(f"There is no file {one_line(path.name)}. Check the name.")
    tags = open_image(path)
    try:
        _require_segmentation(tags, one_line(path.name))
        headers = [frame_header(path, tags, k) for k in range(int(tags.get("NumberOfFrames", 1)))]
        owners = [_owner(tags, frame) for frame in range(len(headers))]
        between = _stated_step(tags)
        segments = _segments(tags, path)
    except InputError:
        raise
    except Exception:  # a forged header can make pydicom raise nearly anything
        raise _unclear(path) from None
    planes, geometry = _grid(headers, between, path)
    frames = _Frames(tags, path, owners, planes)
    return DicomSegments(frames, segments, geometry.size[::-1]), geometry


def _require_segmentation(tags: Any, name: str) -> None:
    uid = class_of(tags)
    if uid == _CONTOURS:
        raise InputError(
            f"{name} holds contours (RTSTRUCT), which are not read. Import it in 3D Slicer with"
            " SlicerRT, and export it as a segmentation: DICOM SEG or .seg.nrrd."
        )
    if uid not in SEGMENTATIONS:
        raise InputError(f"{name} is no segmentation. Give a DICOM SEG, or a mask file.")


def _segments(tags: Any, path: Path) -> dict[str, int]:
    """Return each segment's number by its label."""
    found: dict[str, int] = {}
    for item in tags.SegmentSequence:
        number = int(item.SegmentNumber)
        label = str(item.get("SegmentLabel") or f"Segment {number}").strip()
        if label in found:
            raise InputError(
                f"{one_line(path.name)} has two segments called {one_line(label)}. Rename one of"
                " them."
            )
        if number:  # 0 is what a label map calls its background
            found[label] = number
    if not found:
        raise InputError(f"{one_line(path.name)} holds no segments. Export it again.")
    return found


def _owner(tags: Any, frame: int) -> int | None:
    """Return the number of the segment that a frame shows, None on a label map, which shows all."""
    if tags.SegmentationType == "LABELMAP":
        return None
    return int(macro(tags, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _stated_step(tags: Any) -> float:
    """Return mm between slices as the file states them, 0 where it does not."""
    found = numbers(macro(tags, 0, "PixelMeasuresSequence"), "SpacingBetweenSlices")
    return abs(float(found[0])) if found.size else 0.0


def _grid(frames: Sequence[SliceHeader], between: float, path: Path) -> tuple[list[int], Geometry]:
    """Return on which plane each frame lies, and the grid of the planes."""
    first = frames[0] if frames else None
    if first is None or not all(frame.placed and frame.spacing for frame in frames):
        raise _unclear(path)
    if not all(alike(frame, first) for frame in frames):
        raise InputError(
            f"{one_line(path.name)} has frames of several directions. Export one segmentation of"
            " each."
        )
    offsets = np.array([frame.position - first.position for frame in frames])
    places = offsets @ first.normal
    places -= places.min()
    step = _step(places, between, first.thickness)
    planes = np.rint(places / step).astype(int) if step > 0 else np.zeros(1, int)
    aside = np.abs(offsets - np.outer(offsets @ first.normal, first.normal)).max()
    off = np.abs(places - planes * step).max() > _OFF * step
    if step <= 0 or off or aside > _OFF * max(first.spacing) or planes.max() >= _MOST_PLANES:
        raise _unclear(path)
    lowest = frames[int(places.argmin())]
    rows, columns = first.shape
    return planes.tolist(), Geometry(
        (columns, rows, int(planes.max()) + 1),
        (first.spacing[1], first.spacing[0], step),
        (*lowest.position,),
        tuple(np.stack([*first.orientation, first.normal], axis=1).ravel()),
    )


def _step(places: np.ndarray, between: float, thickness: float) -> float:
    """Return mm from plane to plane: as stated where all frames fit, else the smallest step.

    Frames may be missing, so the smallest step may be several slices: the thickness tells, where it
    fits into it.
    """
    steps = np.diff(np.unique(np.round(places, 3)))
    steps = steps[steps > 1e-2]
    smallest = float(steps.min()) if steps.size else 0.0
    for step in (between, thickness):
        if step > 0 and np.abs(places - np.rint(places / step) * step).max() <= _OFF * step:
            return step
    return smallest


def _marked(frames: _Frames, frame: int, number: int) -> np.ndarray:
    """Return where a frame marks a segment, (rows, columns) bool."""
    stored = stored_frame(frames.tags, frame, frames.path)
    if frames.owners[frame] is None:
        return np.asarray(stored == number)
    return np.asarray(stored * 2.0 > _greatest(frames.tags))


def _greatest(tags: Any) -> float:
    """Return the stored value that means "wholly inside"."""
    fractional = tags.SegmentationType == "FRACTIONAL"
    return float(tags.get("MaximumFractionalValue") or 255) if fractional else 1.0


def _notes(frames: _Frames) -> tuple[str, ...]:
    """Return a note where voxels are marked in part, in the words of other masks."""
    if frames.tags.SegmentationType != "FRACTIONAL":
        return ()
    whole = _greatest(frames.tags)
    for frame in range(len(frames.planes)):
        stored = stored_frame(frames.tags, frame, frames.path)
        if ((stored > 0) & (stored < whole)).any():
            name = one_line(frames.path.name)
            return (f"{name} holds fractions; what exceeds one half is marked.",)
    return ()


def _unclear(path: Path) -> InputError:
    return InputError(
        f"{one_line(path.name)} does not say clearly where its frames lie, or whose they are."
        " Export the segmentation again."
    )
