"""DICOM files and folders as one volume, or a sentence why they are none."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..files.values import one_line
from ..space.volume import Volume
from .dicom_header import SliceHeader, is_dicom, read_headers
from .dicom_stack import stacked
from .dicom_voxels import read_voxels

_MOST_FILES = 20_000
_MOST_LISTED = 8
_MOST_NAMED = 3  # files that could not be read


def read_dicom_file(path: Path) -> Volume:
    """Return one slice, or the frames of one file, as a volume.

    Raises InputError where it is no placed slice of a scan.
    """
    images = read_headers(path)
    if not images:
        raise InputError(f"{path.name} holds no image. Give a CT or MR slice, or its folder.")
    if images[0].segmentation:
        raise InputError(f"{path.name} is a segmentation. Give it as a region or a label.")
    if images[0].scout:
        raise InputError(f"{path.name} is a scout image. Give a slice, or the folder of a series.")
    return _volume(images, path.name)


def read_dicom_folder(folder: Path, series: int | str | None) -> Volume:
    """Return the one series in a folder and its subfolders, or the one of that number or UID.

    Scouts, colour pictures and X-ray images beside the slices are left out, and noted so, as are
    files that cannot be read.

    Raises:
        InputError: no series, several and none chosen, or slices that do not make one volume.
    """
    images, unreadable = _images_in(folder)
    lost = _lost(unreadable)
    if not images:
        raise InputError(
            f"The folder holds no DICOM images. {lost or 'Give the folder of a CT or MR series.'}"
        )
    slices = [image for image in images if not image.scout and not image.segmentation]
    if not slices:
        raise InputError(
            "The folder holds only scout images. Give the folder of a CT or MR series."
        )
    usable = [image for image in slices if image.flat and image.placed] or slices
    chosen = _choose(_by_series(usable), series)
    volume = _volume(chosen, f"Series {chosen[0].number}")
    left = len(images) - len(usable)
    others = (
        f"{left} scout{'s' if left > 1 else ''} or other image{'s' if left > 1 else ''} left out."
    )
    notes = [*volume.notes, others if left else "", lost]
    return replace(volume, notes=tuple(filter(None, notes)))


def _images_in(folder: Path) -> tuple[list[SliceHeader], list[Path]]:
    """Return what the files below a folder say of their images, and those that say nothing."""
    images: list[SliceHeader] = []
    unreadable: list[Path] = []
    others: list[Path] = []
    for path in _files(folder):
        if path.name.upper() == "DICOMDIR":
            continue
        if not is_dicom(path):
            others.append(path)
            continue
        try:
            images += read_headers(path)
        except InputError:
            unreadable.append(path)
    kinds = {_pattern(image.path) for image in images}
    return images, unreadable + [path for path in others if _pattern(path) in kinds]


def _pattern(path: Path) -> tuple[Path, str]:
    """Return what the names of a series' files share: a folder, and a name but for its digits."""
    return path.parent, re.sub(r"\d+", "#", path.name)


def _lost(unreadable: Sequence[Path]) -> str:
    """Return a note on files that could not be read, or ""."""
    count = len(unreadable)
    if count < 2:
        return f"1 file could not be read: {_names(unreadable)}. Copy it again." if count else ""
    return f"{count} files could not be read: {_names(unreadable)}. Copy them again."


def _names(paths: Sequence[Path]) -> str:
    names = ", ".join(one_line(path.name) for path in paths[:_MOST_NAMED])
    return f"{names} and others" if len(paths) > _MOST_NAMED else names


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, through links too, in one order on every machine."""
    seen = 0
    entered: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in entered:  # a link back to where we were
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        seen += len(names)
        if seen > _MOST_FILES:
            raise InputError(
                f"The folder holds more than {_MOST_FILES} files. Give the folder of one series."
            )
        yield from (Path(parent, name) for name in sorted(names))


def _by_series(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    found: dict[str, list[SliceHeader]] = {}
    for image in slices:
        found.setdefault(image.series, []).append(image)
    return list(found.values())


def _choose(found: list[list[SliceHeader]], series: int | str | None) -> list[SliceHeader]:
    """Return the only series, or the one asked for by number or UID."""
    wanted = None if series is None else str(series).strip()
    matches = [
        group for group in found if wanted is None or wanted in (group[0].number, group[0].series)
    ]
    if len(matches) == 1:
        return matches[0]
    listed = matches or found
    numbers = Counter(group[0].number for group in listed)
    lines = "; ".join(
        _describe(group, numbers[group[0].number] == 1) for group in listed[:_MOST_LISTED]
    )
    more = "; and others" if len(listed) > _MOST_LISTED else ""
    problem = (
        f"The folder holds {len(listed)} series"
        if matches or wanted is None
        else (f"The folder holds no series {wanted}, but {len(listed)} other")
    )
    raise InputError(f"{problem}: {lines}{more}. Choose one with --series.")


def _describe(group: Sequence[SliceHeader], unique: bool) -> str:
    """Name a series by nothing of the patient: number or UID, modality, size."""
    first = group[0]
    rows, columns = first.shape
    name = first.number if unique else first.series
    slices = f"{len(group)} slice{'s' if len(group) > 1 else ''} of {columns} x {rows}"
    return f"{name} ({first.modality or 'no modality'}, {slices})"


def _volume(slices: Sequence[SliceHeader], name: str) -> Volume:
    """Stack the slices of one series; ``name`` is what sentences call them."""
    stack = stacked(slices, name)
    array = read_voxels(stack.slices)
    return Volume(array, stack.geometry, stack.slices[0].modality, notes=stack.notes)
