"""Where to look: six numbers, a mask file, or an ROI that was saved in Slicer."""

import re
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files.json_text import parse_json
from ..files.values import one_line
from ..space.geometry import Box, Geometry
from ..space.mask_values import marked_by
from ..space.same_grid import SharedGrid
from ..space.volume import Volume
from .dicom_seg import DicomSegments
from .image_file import is_image_file, read_image
from .segments import holds_segments, read_segments

_LARGEST_ROI_FILE = 2**20
_MOST_LISTED = 8


def read_region(text_or_path: str | Path, volume: Volume) -> Box:
    """Return the box, LPS mm, of a region of a volume.

    Args:
        text_or_path: "x0,x1,y0,y1,z0,z1" in LPS mm; or a mask file of one label, or of segments
            (.seg.nrrd, DICOM SEG), that the box holds just so, or FILE:NAME for one segment by its
            name or one label by its number; or an ROI saved by Slicer (.mrk.json), turned or not.
        volume: that the region is of; the mask's grid need not be the same.

    Raises:
        InputError: none of these, empty, or wholly outside the volume.
    """
    path, chosen = _with_choice(text_or_path)
    if is_image_file(path) or holds_segments(path):
        box = _box_of_mask(path, chosen, volume)
    elif path.name.lower().endswith(".json"):
        box = _box_of_roi(path)
    else:
        box = Box.parse(str(text_or_path))
    volume.geometry.require_overlap(box)
    return box


def _with_choice(text_or_path: str | Path) -> tuple[Path, str]:
    """Return a file, and the segment or label behind a colon, "" without one."""
    path, text = Path(text_or_path), str(text_or_path)
    if not path.exists():
        for found in re.finditer(":.", text):  # a name may hold colons, and a drive has one
            if (before := Path(text[: found.start()])).is_file():
                return before, text[found.start() + 1 :]
    return path, ""


def _box_of_mask(path: Path, chosen: str, volume: Volume) -> Box:
    mask, grid = _marked(path, chosen, volume)
    marked = np.argwhere(mask)
    if not len(marked):
        raise InputError(f"The mask {path.name} is empty. Mark at least one voxel.")
    first, last = marked.min(0)[::-1], marked.max(0)[::-1]
    return grid.crop(first, last - first + 1).bounding_box()


def _marked(path: Path, chosen: str, volume: Volume) -> tuple[np.ndarray, Geometry]:
    """Return what a mask file marks, and its grid; refuses what needs a note, unheard here."""
    if holds_segments(path):
        found, grid = read_segments(path)
        if isinstance(found, DicomSegments) and found.notes:
            raise _fractions(path)
        if chosen and chosen not in found:
            listed = ", ".join(map(one_line, list(found)[:_MOST_LISTED]))
            raise InputError(f"{path.name} has no segment {one_line(chosen)}. It has: {listed}.")
        return found[chosen] if chosen else reduce(np.logical_or, found.values()), grid
    image = read_image(path)
    mask, note = marked_by(image.array, path.name, chosen)
    if note:
        raise _fractions(path)
    if image.notes and SharedGrid.of(volume.geometry, image.geometry) is None:
        raise InputError(f"{image.notes[0]} Save it again on the scan's voxels.")
    return mask, image.geometry


def _fractions(path: Path) -> InputError:
    return InputError(f"{path.name} holds fractions. Give a mask of one label on 0.")


def _box_of_roi(path: Path) -> Box:
    """Return the box around an ROI.

    Format: Slicer's markups schema; "orientation" is a row-major 3x3 whose columns are the ROI's
    axes, "size" its full edges along them, both in "coordinateSystem".
    """
    markup = _only_roi(path)
    try:
        center = np.array(markup["center"], float).reshape(3)
        size = np.array(markup["size"], float).reshape(3)
        turn = np.array(markup.get("orientation", np.eye(3)), float).reshape(3, 3)
        system = markup.get("coordinateSystem", "LPS")
        if system not in ("LPS", "RAS"):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"The ROI in {path.name} is incomplete. Save it again from Slicer."
        ) from None
    if system == "RAS":
        center = center * (-1, -1, 1)
    half = np.abs(turn) @ np.abs(size) / 2
    lower, upper = (center - half).tolist(), (center + half).tolist()
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def _only_roi(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"There is no file {path.name}. Check the name.")
    try:
        if path.stat().st_size > _LARGEST_ROI_FILE:
            raise ValueError
        markups = parse_json(path.read_bytes())["markups"]
        rois = [markup for markup in markups if markup["type"] == "ROI"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path.name} is not an ROI file. Save one from Slicer.") from None
    if len(rois) != 1:
        raise InputError(f"{path.name} holds {len(rois)} ROIs. Give a file with one.")
    return rois[0]
