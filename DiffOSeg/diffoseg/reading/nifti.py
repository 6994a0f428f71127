"""Whether a NIfTI file is all there; ITK fills what is missing with zeros and says nothing."""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError

_CHUNK = 2**20


def require_whole_nifti(path: Path) -> None:
    """Raise InputError where a .nii or .nii.gz file holds fewer bytes than its header says.

    Reads a compressed file once to its end, which checks its sum too.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            file = gzip.GzipFile(fileobj=plain) if packed else plain
            header = file.read(540)
            needed = _bytes_needed(header)
            whole = len(header) + _bytes_left(file, needed) >= needed
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, struct.error):
        whole = False
    if not whole:
        raise InputError(f"{path.name} is damaged or cut short. Copy it again.")


def _bytes_needed(header: bytes) -> int:
    """Return where the voxels end (nifti1.h and nifti2.h: sizeof_hdr, dim, bitpix, vox_offset)."""
    for order in "<>":
        (kind,) = struct.unpack_from(f"{order}i", header)
        if kind == 348:
            (offset,) = struct.unpack_from(f"{order}f", header, 108)
            (bits,) = struct.unpack_from(f"{order}h", header, 72)
            dim = struct.unpack_from(f"{order}8h", header, 40)
        elif kind == 540:
            (offset,) = struct.unpack_from(f"{order}q", header, 168)
            (bits,) = struct.unpack_from(f"{order}h", header, 14)
            dim = struct.unpack_from(f"{order}8q", header, 16)
        else:
            continue
        return int(offset) + prod(dim[1 : 1 + dim[0]]) * bits // 8
    raise EOFError


def _bytes_left(file: BinaryIO | gzip.GzipFile, needed: int) -> int:
    """Read to the end, or far enough past the bytes needed that it can be no honest file."""
    count = 0
    while count <= needed + _CHUNK and (chunk := file.read(_CHUNK)):
        count += len(chunk)
    return count
