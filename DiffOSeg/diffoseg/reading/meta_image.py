"""MetaImage files (.mha, .mhd) as their headers state them.

ITK is not asked: a header can end the whole process in its MetaIO, packed voxels that are damaged
come out as any values, and an intensity function is left out. Format: "Key = value" up to
ElementDataFile (itk.org/Wiki/MetaIO/Documentation).
"""

import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..space.geometry import Geometry
from .stored_image import StoredImage, require_length, require_volume
from .text_header import TextHeader

_CHUNK = 2**20
_NUMBERS = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "long": "i4", "ulong": "u4", "long_long": "i8", "ulong_long": "u8", "float": "f4",
    "double": "f8",
}  # fmt: skip
_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0")
_MOST_FILES = 10_000
_SPACING = ("elementspacing", "elementsize")


def read_meta(path: Path, components: bool) -> StoredImage:
    """Return the volume in a .mha or .mhd file.

    Raises:
        InputError: damaged, cut short, not 3D, in colour, voxels in another folder or as text,
            sheared axes, or a unit that is not mm.
    """
    header = TextHeader(path, "=", rb"^ElementDataFile\s*=.*\n?")
    _require_readable(header)
    try:
        if not header.sound or not _flag(header, "binarydata", default="true"):
            raise ValueError
        size = [int(word) for word in header.get("dimsize").split()]
        if len(size) != int(header.get("ndims")) or not size or min(size) < 1:
            raise ValueError
        channels = int(header.get("elementnumberofchannels") or 1)
        require_volume(path.name, size, 1 if components else channels)
        stored = _numbers(path, header, size, prod(size) * channels)
        grid = _grid(header, size)
    except (OSError, ValueError, KeyError, OverflowError, zlib.error):
        raise InputError(f"{path.name} is damaged or cut short. Copy it again.") from None
    shape = (*size[2::-1], channels) if channels > 1 else size[2::-1]
    unsized = not header.get(*_SPACING)
    notes = (f"{path.name} does not say how large its voxels are: 1 mm.",) if unsized else ()
    return StoredImage(_scaled(header, stored.reshape(shape)), grid, notes=notes)


def _require_readable(header: TextHeader) -> None:
    if header.get("binarydata").lower() in _FALSE:
        raise InputError(f"{header.name} writes its voxels as text. Save it as binary.")
    header.require_millimetres({header.get("distanceunits")})
    header.require_points("elementspacing", "offset", "position", "origin", "transformmatrix")
    if _is_local(header) and header.get("headersize") not in ("", "0", "-1"):
        raise InputError(f"{header.name} has bytes between header and voxels. Save it anew.")


def _is_local(header: TextHeader) -> bool:
    return header.get("elementdatafile").lower() == "local"


def _numbers(path: Path, header: TextHeader, size: list[int], count: int) -> np.ndarray:
    """Return all voxels in their order, in this machine's byte order.

    Raises ValueError, KeyError, OSError or zlib.error where they are not all there.
    """
    kind = header.get("elementtype").lower().removeprefix("met_").removesuffix("_array")
    swapped = _flag(header, "binarydatabyteordermsb", "elementbyteordermsb")
    dtype = np.dtype((">" if swapped else "<") + _NUMBERS[kind])
    needed = count * dtype.itemsize
    files = [path] if _is_local(header) else [path.parent / name for name in _files(path, header)]
    there = sum(file.stat().st_size for file in files)
    packed = _flag(header, "compresseddata")
    require_length(path.name, size, needed, there, packed)
    data = np.empty(needed, np.uint8)
    filled = 0
    for chunk in _chunks(files, header, needed, packed):
        part = np.frombuffer(chunk, np.uint8)
        if filled + part.size > needed:
            if packed:
                raise ValueError
            part = part[: needed - filled]
        data[filled : filled + part.size] = part
        filled += part.size
    if filled != needed:
        raise ValueError
    return data.view(dtype).astype(dtype.newbyteorder("="), copy=False)


def _flag(header: TextHeader, *names: str, default: str = "false") -> bool:
    word = header.get(*names).lower() or default
    if word not in _TRUE + _FALSE:
        raise ValueError
    return word in _TRUE


def _files(path: Path, header: TextHeader) -> list[str]:
    """Return the names of the files that hold the voxels, in their order."""
    first, *words = header.get("elementdatafile").split()
    names = [header.get("elementdatafile")]
    if first.lower() == "list":
        text = path.read_bytes()[header.length :].decode("utf-8")
        names = [line.strip() for line in text.splitlines() if line.strip()]
    elif "%" in first:
        low, high, step = (*map(int, words), 1)[:3]
        if not 0 < len(range(low, high + 1, step)) < _MOST_FILES or first.count("%") != 1:
            raise ValueError
        names = [_numbered(first, number) for number in range(low, high + 1, step)]
    for name in names:
        header.require_own(name)
    return names


def _numbered(pattern: str, number: int) -> str:
    """Return a name like s%03d.raw with its number."""
    before, _, after = pattern.partition("%")
    width, letter, end = after.partition("d")
    if not letter or not (width == "" or (width.isdecimal() and len(width) < 3)):
        raise ValueError
    return f"{before}{str(number).rjust(int(width or 0), '0' if width[:1] == '0' else ' ')}{end}"


def _chunks(files: list[Path], header: TextHeader, needed: int, packed: bool) -> Iterator[bytes]:
    """Yield the voxels' bytes, unpacked, at most a little more of them than are needed."""
    skip = header.length if _is_local(header) else 0
    before = int(header.get("headersize") or 0)
    for file in files:
        with file.open("rb") as opened:
            if before == -1 and not packed:
                skip = max(skip, file.stat().st_size - needed // len(files))
            opened.seek(skip + max(0, before))
            raw = iter(lambda: opened.read(_CHUNK), b"")
            yield from _unpacked(header, raw) if packed else raw


def _unpacked(header: TextHeader, raw: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what one zlib stream unpacks to, once it is sure that it ends where it should."""
    left = int(header.get("compresseddatasize") or 0)
    if not left and _is_local(header):
        raise ValueError
    stream = zlib.decompressobj()
    for chunk in raw:
        part = chunk[:left] if left else chunk
        while part:
            yield stream.decompress(part, _CHUNK)
            part = stream.unconsumed_tail
        if left and (left := left - len(chunk)) <= 0:
            break
    if not stream.eof:
        raise ValueError


def _grid(header: TextHeader, size: list[int]) -> Geometry:
    """Return the grid; the matrix's rows are the directions of the axes."""
    count = len(size)
    matrix = _floats(header, np.eye(count), "transformmatrix", "rotation", "orientation")
    spacing = _floats(header, np.ones(count), *_SPACING)
    origin = _floats(header, np.zeros(count), "offset", "position", "origin")
    turn = matrix.reshape(count, count)[:3, :3].T
    i, j, k = size[:3]
    return Geometry((i, j, k), (*spacing[:3],), (*origin[:3],), tuple(turn.ravel()))


def _floats(header: TextHeader, default: np.ndarray, *names: str) -> np.ndarray:
    """Return the numbers under one of the names, as many as the default has."""
    words = header.get(*names).split()
    if not words:
        return default
    if len(words) != default.size or any("_" in word for word in words):  # float() takes 1_0
        raise ValueError
    return np.array(words, float)


def _scaled(header: TextHeader, stored: np.ndarray) -> np.ndarray:
    """Return the numbers after the header's intensity function."""
    try:
        slope = float(header.get("elementtointensityfunctionslope") or 1)
        intercept = float(header.get("elementtointensityfunctionoffset") or 0)
        if not slope or not np.isfinite([slope, intercept]).all():
            raise ValueError
    except ValueError:
        raise InputError(f"{header.name} scales its numbers by none. Save it anew.") from None
    if (slope, intercept) == (1, 0):
        return stored
    return (stored * np.float64(slope) + intercept).astype(np.float32)
