"""What fuzz_reading does to DICOM: slices alone and in a folder, enhanced frames, segmentations.

python Testing/Benchmarks/fuzz_reading.py --formats dicom,dicom-jpeg,dicom-folder,dicom-seg
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from a_dicom_series import a_segmentation_by_hand, a_series, an_enhanced_file
from pydicom.uid import JPEGLSLossless

from diffoseg.errors import InputError
from diffoseg.reading import read_volume

SERIES = ".series.dcm"
"""The suffix of a file that is read as the last slice of the folder ``series`` beside it."""

_SLICES = 5
_ELEMENT = re.compile(rb"[\x08\x18\x20\x28]\0[\0-\xff]\0(?:DS|IS|US|UI|CS|SQ|LO|OW|OB)")
_EXTREME = (b"-1", b"0", b"999999999", b"1e300", b"nan", b"1,5", b"1,500", b"\\\\\\", b"\xff\xff")


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Return a file cut short, with other bytes, or with one element that says what it cannot."""
    kind = random.integers(0, 4)
    if kind == 0:
        return data[: random.integers(0, len(data))]
    changed = bytearray(data)
    if kind == 1:
        end = max(data.rfind(b"\xe0\x7f\x10\0"), 200) + 12
        for at in random.integers(0, min(end, len(data)), random.integers(1, 5)):
            changed[at] = random.integers(0, 256)
        return bytes(changed)
    places = [found.end() for found in _ELEMENT.finditer(data)]
    at = places[int(random.integers(0, len(places)))]
    if kind == 2:  # another length
        changed[at : at + 2] = random.integers(0, 2**16, dtype=np.uint16).tobytes()
        return bytes(changed)
    length = int.from_bytes(data[at : at + 2], "little")
    value = _EXTREME[int(random.integers(len(_EXTREME)))].ljust(length)[:length]
    changed[at + 2 : at + 2 + length] = value
    return bytes(changed)


def judged_in_folder(path: Path) -> tuple[str, str]:
    """Read a folder with a damaged slice; a slice that vanishes without a word is a fault."""
    folder = path.parent / "series"
    (folder / f"slice_{_SLICES:04d}.dcm").write_bytes(path.read_bytes())
    try:
        volume = read_volume(folder)
    except InputError as error:
        text = str(error)
        plain = text.endswith(".") and "\n" not in text and text.isprintable()
        return ("refused", "") if plain else ("traceback", text[:200])
    if volume.geometry.size[2] < _SLICES and not volume.notes:
        return "differs", f"{path.name}: a slice vanished"
    return "read with a note" if volume.notes else "read", ""


def _slice(folder: Path) -> bytes:
    return a_series(folder / "one", slices=1)[0].read_bytes()


def _last_slice(folder: Path) -> bytes:
    return a_series(folder / "series", slices=_SLICES)[-1].read_bytes()


def _jpeg(folder: Path) -> bytes:
    path = a_series(folder / "one", slices=1)[0]
    packed = pydicom.dcmread(path)
    packed.compress(JPEGLSLossless)
    packed.save_as(path)
    return path.read_bytes()


def _enhanced(folder: Path) -> bytes:
    an_enhanced_file(folder / "enhanced.dcm", order=[2, 0, 3, 1], slopes=[1, 2, 0.5, 4])
    return (folder / "enhanced.dcm").read_bytes()


def _segmentation(folder: Path) -> bytes:
    mask = np.zeros((8, 7, 6), bool)
    mask[2, 1:4, 2], mask[6, 5, 5] = True, True
    return a_segmentation_by_hand(folder / "seg.dcm", mask, [6, 2]).read_bytes()


Made = tuple[str, Callable[[Path], bytes], Callable[[bytes, np.random.Generator], bytes]]
DICOM_FORMATS: dict[str, Made] = {
    "dicom": (".dcm", _slice, mutated),
    "dicom-jpeg": (".dcm", _jpeg, mutated),
    "dicom-folder": (SERIES, _last_slice, mutated),
    "dicom-enhanced": (".dcm", _enhanced, mutated),
    "dicom-seg": (".dcm", _segmentation, mutated),
}
