"""Which files of a folder are scans, and which were drawn on them: told by their names alone.

A drawing is a .seg.nrrd file, or one whose name or folder says so ("scan_mask.nii.gz",
"labelsTr/scan.nii.gz", "labels/final/scan.nii.gz"). It belongs to the scan that is named alike, or
to the only one beside it, or beside the folder of the drawings. Of several sequences of one
examination it belongs to the enhanced one.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from diffoseg.cohorts.datalist import DataEntry
from diffoseg.errors import InputError

_ENDINGS = re.compile(r"(\.seg)?\.(nrrd|nhdr|nii|nii\.gz|mha|mhd)$", re.IGNORECASE)
_DRAWN = re.compile(
    r"(seg|segs|segmentations?|labels?|masks?|contours?|annotations?|gt)\d*", re.IGNORECASE
)
_DRAWN_FOLDER = re.compile(r"(seg|label|mask|contour|annotation)", re.I)
_CHANNEL = "0000"  # nnU-Net's ending of a scan's name
_ENHANCED = ("t1c", "t1ce", "t1gd")  # BraTS's words for the sequence that is drawn on
_REVIEWED, _PROPOSED = "final", "original"  # MONAI Label's folders of the same drawing
_DEEPEST = 4  # folders below each other
_MOST_FILES = 20_000
_MOST_NAMED = 5


@dataclass(frozen=True)
class FolderCases:
    """What a folder holds.

    Attributes:
        entries: scan and drawing; all segments of the drawing are meant, whoever drew them.
        left: files without a partner.
    """

    entries: tuple[DataEntry, ...]
    left: tuple[Path, ...]

    @property
    def note(self) -> str:
        """A sentence on the files without a partner; "" where there are none."""
        if not self.left:
            return ""
        names = ", ".join(path.name for path in self.left[:_MOST_NAMED])
        more = ", ..." if len(self.left) > _MOST_NAMED else ""
        return _(
            "{count} files have no partner and were left out ({names}). Name a scan and its"
            " segmentation alike, such as scan.nrrd and scan.seg.nrrd."
        ).format(count=len(self.left), names=names + more)


def casesIn(folder: Path) -> FolderCases:
    """Return the pairs of scan and drawing in a folder and those below it.

    Raises InputError where there is none.
    """
    files = sorted(_images(folder))
    drawn = [path for path in files if _isDrawing(path, path.parent.relative_to(folder).parts)]
    if len(drawn) == len(files):  # a folder above them all is called so
        drawn = [
            path for path in files if _isDrawing(path, path.parent.relative_to(folder).parts[-1:])
        ]
    scans = [path for path in files if path not in set(drawn)]
    final = [path for path in drawn if not _isProposal(path, drawn)]
    pairs = {path: scan for path in final if (scan := _scanOf(path, scans, folder)) is not None}
    if not pairs:
        raise InputError(
            _(
                "The folder {name} holds no scan with a segmentation beside it. Name them alike,"
                " such as scan.nrrd and scan.seg.nrrd, or choose another folder."
            ).format(name=folder.name)
        )
    used = {*pairs, *pairs.values()}
    entries = tuple(DataEntry(scan, path, {}) for path, scan in pairs.items())
    return FolderCases(entries, tuple(path for path in files if path not in used))


def _images(folder: Path) -> Iterable[Path]:
    """Yield the image files in a folder and below it."""
    count = 0
    for root, folders, names in os.walk(folder):
        depth = len(Path(root).relative_to(folder).parts)
        folders[:] = [n for n in sorted(folders) if n[0] != "." and depth < _DEEPEST]
        for name in names:
            if _ENDINGS.search(name) and not name.startswith("."):
                count += 1
                if count > _MOST_FILES:
                    raise InputError(
                        _("The folder {name} holds too many files. Choose a smaller one.").format(
                            name=folder.name
                        )
                    )
                yield Path(root) / name


def _isDrawing(path: Path, within: Sequence[str]) -> bool:
    """Return whether a file's name, or one of the folders that it is within, says that it is."""
    ending = _ENDINGS.search(path.name)
    if ending is not None and ending[1]:
        return True
    return any(_DRAWN.fullmatch(word) for word in _words(path)) or any(
        _DRAWN_FOLDER.match(name) for name in within
    )


def _isProposal(path: Path, drawn: Sequence[Path]) -> bool:
    """Return whether a drawing is a program's, which somebody has reviewed since."""
    reviewed = path.parent.with_name(_REVIEWED) / path.name
    return path.parent.name == _PROPOSED and reviewed in drawn


def _scanOf(drawing: Path, scans: Sequence[Path], folder: Path) -> Path | None:
    """Return the scan that a drawing belongs to, the nearest first; None where that is unclear."""
    for parent in drawing.parents:
        beside = [scan for scan in scans if scan.parent == parent]
        found = _alike(drawing, beside) or _enhanced(drawing, beside)
        if found is not None or len(beside) == 1:
            return found or beside[0]
        if beside or parent == folder:
            break
    return None if beside else _alike(drawing, scans)


def _enhanced(drawing: Path, scans: Sequence[Path]) -> Path | None:
    """Return the enhanced one of several sequences that are named alike but for their last word."""
    words = _key(drawing)
    found = [s for s in scans if _key(s)[:-1] == words and _key(s)[-1] in _ENHANCED]
    return found[0] if len(found) == 1 else None


def _alike(drawing: Path, scans: Sequence[Path]) -> Path | None:
    """Return the scan whose name the drawing's begins with, the longest; None for none or two."""
    words = _key(drawing)
    found = [scan for scan in scans if words[: len(_key(scan))] == _key(scan)]
    longest = max((len(_key(scan)) for scan in found), default=0)
    best = [scan for scan in found if len(_key(scan)) == longest and longest]
    return best[0] if len(best) == 1 else None


def _key(path: Path) -> list[str]:
    """Return the words of a name that say which case it is."""
    words = [word for word in _words(path) if not _DRAWN.fullmatch(word)]
    return words[:-1] if len(words) > 1 and words[-1] == _CHANNEL else words


def _words(path: Path) -> list[str]:
    return [word for word in re.split(r"[-_. ]+", _ENDINGS.sub("", path.name).lower()) if word]
