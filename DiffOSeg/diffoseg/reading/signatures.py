"""What a file is by its first bytes, so that "cannot be read here" is not told as "is damaged"."""

import gzip
import zlib
from pathlib import Path
from typing import Literal

from ..errors import InputError
from .nifti_header import HEADER_BYTES, is_nifti

Format = Literal["nifti", "nrrd", "meta"]

_META = (b"objecttype", b"ndims", b"comment", b"objectsubtype")
_OTHERS = (
    (b"BZh", "packed with bzip2"),
    (b"\xfd7zXZ", "packed with xz"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x89HDF", "an HDF5 or MINC file"),
    (b"CDF", "a MINC file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"# vtk", "a VTK file"),
    (b"<?xml", "an XML file"),
    (b"<!doc", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a pointer that git-lfs did not replace by its file"),
)


def format_of(path: Path) -> Format:
    """Return the format that a file's content is of, whatever its name says.

    Raises:
        InputError: it cannot be opened, is empty, or is of none of them; the sentence says what it
            is, where that is known.
    """
    start = _first_bytes(path)
    if is_nifti(_unpacked(start)):
        return "nifti"
    if start.startswith(b"NRRD"):
        return "nrrd"
    if start.lstrip().lower().startswith(_META):
        return "meta"
    raise InputError(f"{path.name} {_what_else(start)}")


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError:
        raise InputError(f"{path.name} cannot be read. Check its permissions.") from None


def _unpacked(start: bytes) -> bytes:
    """Return the first bytes of what may be packed with gzip."""
    if start[:2] != b"\x1f\x8b":
        return start
    try:
        return zlib.decompressobj(wbits=31).decompress(start, HEADER_BYTES)
    except (zlib.error, gzip.BadGzipFile):
        return b""


def _what_else(start: bytes) -> str:
    """Return the rest of a sentence on a file that is of no known format."""
    if not start:
        return "is empty. Copy it again."
    wanted = "Give a NRRD, NIfTI or MHA file."
    if start[128:132] == b"DICM":
        return "is a DICOM file under another name. Rename it to .dcm."
    for first, name in _OTHERS:
        if start.lstrip()[: len(first)].lower() == first.lower():
            return f"is {name}, which cannot be read here. {wanted}"
    return f"is damaged or not an image. {wanted}"
