"""Which files of a folder are DICOM, and which should have been but cannot be read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from os import walk
from pathlib import Path

from ..errors import InputError
from ..files.values import one_line
from .dicom_header import HeaderError, SliceHeader, read_frames

_MOST_FILES = 20_000
_SUFFIXES = (".dcm", ".dicom", ".ima")
_FIRST_ELEMENT = re.compile(  # of group 0008, with neither preamble nor group 0002 before it
    rb"(?:\x08\0[\0-\xff]{2}|\0\x08[\0-\xff]{2})"
    rb"(?:[A-Z]{2}|[\0-\xff]{2}\0\0|\0\0[\0-\xff]{2})"
)


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder, and the files that look like DICOM and could not be read."""

    images: list[SliceHeader]
    unread: list[HeaderError]


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM files do, or is called one."""
    if path.suffix.lower() in _SUFFIXES and not path.name.startswith("._"):
        return True
    return _begins_as_dicom(_beginning(path))


def read_folder(folder: Path) -> FolderImages:
    """Return what lies in a folder and its subfolders, linked ones too, in one order everywhere.

    A file that is no DICOM counts as unread where its neighbours are, and it is called as they are
    or holds nothing at all: it should have been a slice. Any other file is no matter.

    Raises:
        InputError: too many files, or a folder that cannot be opened.
    """
    found = FolderImages([], [])
    for parent, names in _folders(folder):
        read: list[Path] = []
        others: list[Path] = []
        for path in (parent / name for name in names):
            (read if is_dicom(path) else others).append(path)
        slices = [path for path in read if _take(path, found)]
        _take_lost(others, slices, found)
    return found


def _folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder once, however it is linked, and the names of its files."""
    seen: set[Path] = set()
    count = 0
    for parent, folders, names in walk(folder, onerror=_refuse_folder, followlinks=True):
        if (place := Path(parent).resolve()) in seen:
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        count += len(names)
        if count > _MOST_FILES:
            raise InputError(
                f"The folder holds more than {_MOST_FILES} files. Give the folder of one series."
            )
        yield Path(parent), sorted(names)


def _refuse_folder(error: OSError) -> None:
    name = one_line(Path(str(error.filename)).name)
    raise InputError(f"The folder {name} cannot be opened ({error.strerror}). Check its rights.")


def _take(path: Path, found: FolderImages) -> bool:
    """Add what a file holds, and return whether it holds an image."""
    try:
        frames = read_frames(path)
    except HeaderError as error:
        found.unread.append(error)
        return False
    found.images.extend(frames)
    return bool(frames)


def _take_lost(others: list[Path], slices: list[Path], found: FolderImages) -> None:
    """Add the files that should have been slices, as their neighbours are."""
    patterns = {_pattern(path.name) for path in slices}
    suffixes = {path.suffix.lower() for path in slices}
    for path in others:
        start = _beginning(path)
        blank = start is not None and not start.strip(b"\0")
        if _pattern(path.name) in patterns or (blank and path.suffix.lower() in suffixes):
            found.unread.append(HeaderError(path, _why_lost(start)))


def _why_lost(start: bytes | None) -> str:
    if start is None:
        return "cannot be opened"
    return "is no DICOM" if start else "is empty"


def _pattern(name: str) -> str:
    """Return a name without what tells slices apart: numbers, hexadecimal ones too."""
    return re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", name.lower())


def _begins_as_dicom(start: bytes | None) -> bool:
    if not start:
        return False
    headerless = bool(_FIRST_ELEMENT.match(start)) or start.startswith(b"\x02\0\0\0UL")
    return start[128:] == b"DICM" or headerless


def _beginning(path: Path) -> bytes | None:
    """Return the first 132 bytes of a file, or None where it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(132)
    except (OSError, ValueError):  # ValueError: text that no file can be called
        return None
