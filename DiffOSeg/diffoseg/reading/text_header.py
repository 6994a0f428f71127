"""The headers of NRRD and MetaImage files, for what ITK reads otherwise than they say.

NRRD: "key: value" and "key:=value" up to an empty line (teem.sourceforge.net/nrrd/format.html).
MetaImage: "Key = value" up to ElementDataFile (itk.org/Wiki/MetaIO/Documentation).
"""

import re
import zlib
from math import prod
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

import numpy as np

from ..errors import InputError

_HEADER_BYTES = 2**20
_CHUNK = 2**20
_PATIENT_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior")
_PATIENT_SHORT = ("lps", "ras", "las")
_NRRD_PACKED = {"raw", "txt", "text", "ascii", "hex", "gz", "gzip"}
_META_BYTES = {
    "char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "long": 4, "ulong": 4,
    "long_long": 8, "ulong_long": 8, "float": 4, "double": 8,
}  # fmt: skip


class TextHeader:
    """The fields of a header by their names in small letters without spaces."""

    def __init__(self, path: Path, separator: str, end: bytes):
        """Read the header of a file up to what ``end`` matches."""
        self.name = path.name
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
        found = re.search(end, start, re.IGNORECASE | re.MULTILINE)
        self.length = found.end() if found else len(start)
        lines = start[: self.length].decode("utf-8", "replace").splitlines()
        pairs = (re.split(separator, line, maxsplit=1) for line in lines if line[:1] != "#")
        self.fields = {
            pair[0].strip().lower().replace(" ", ""): pair[1].strip()
            for pair in pairs
            if len(pair) == 2
        }

    def get(self, *names: str) -> str:
        """Return the value under the first of the names that is there, or ""."""
        return next((self.fields[name] for name in names if name in self.fields), "")

    def require_points(self, *names: str) -> None:
        """Refuse numbers with commas, as programs write them in some languages."""
        for name in names:
            if found := re.search(r"-?\d+,\d+", self.get(name)):
                raise InputError(
                    f"{self.name} writes its numbers with commas ({found[0]}). Save it with points."
                )

    def require_own_data(self, *names: str) -> None:
        """Refuse a header whose voxels lie in another folder, as only a forged one says."""
        data = PureWindowsPath(self.get(*names))  # knows both kinds of slashes
        if data.anchor or ".." in data.parts:
            raise InputError(f"{self.name} takes its voxels from another folder. Save it anew.")


def check_nrrd(path: Path) -> tuple[str, ...]:
    """Return notes on what a NRRD header leaves open; InputError where ITK would read it wrongly.

    Raises:
        InputError: voxels elsewhere, an encoding that cannot be read, axes without a direction, or
            a unit that is not mm.
    """
    header = TextHeader(path, ":=?", rb"^\r?\n")
    header.require_own_data("datafile")
    encoding = header.get("encoding").lower()
    if encoding not in _NRRD_PACKED:
        raise InputError(
            f"{path.name} is packed as {encoding or 'nothing known'}, which cannot be read here."
            " Save it with gzip or raw."
        )
    _require_directions(header)
    header.require_points("spacings", "axismins", "axismaxs")
    units = set(re.findall(r'"([^"]*)"', header.get("spaceunits") or header.get("units")))
    if not units <= {"mm", "", "millimeter", "millimeters", "s", "sec"}:
        listed = ", ".join(sorted(units))
        raise InputError(f"{path.name} measures in {listed}. Save it with spacings in mm.")
    space = header.get("space").lower()
    if space.removesuffix("-time") in _PATIENT_SPACES or space[:3] in _PATIENT_SHORT:
        return ()
    return (f"{path.name} does not say where it lies in the patient.",)


def _require_directions(header: TextHeader) -> None:
    """Refuse a volume one of whose three axes has no direction: ITK would make one up."""
    directions = header.get("spacedirections")
    volume = header.get("dimension") not in ("1", "2")
    if volume and directions and len(re.findall(r"\([^)]*\)", directions)) != 3:
        raise InputError(f"{header.name} does not place three axes in space. Give one 3D volume.")


def check_meta(path: Path) -> tuple[float, float]:
    """Return slope and intercept that a MetaImage header gives its numbers; ITK leaves them out.

    Raises:
        InputError: voxels elsewhere, packed ones that are not all there or of a length that is not
            said, bytes before them that ITK would take for voxels, text in place of numbers, or a
            unit that is not mm.
    """
    header = TextHeader(path, "=", rb"^ElementDataFile\s*=.*\n?")
    header.require_own_data("elementdatafile")
    if header.get("binarydata").lower() == "false":
        raise InputError(f"{path.name} writes its voxels as text. Save it as binary.")
    if header.get("distanceunits").lower() not in ("", "mm", "?", "unknown"):
        unit = header.get("distanceunits")
        raise InputError(f"{path.name} measures in {unit}. Save it with spacings in mm.")
    header.require_points("elementspacing", "offset", "position", "origin", "transformmatrix")
    local = header.get("elementdatafile").lower() == "local"
    if local and header.get("headersize") not in ("", "0", "-1"):
        raise InputError(f"{path.name} has bytes between header and voxels. Save it anew.")
    if header.get("compresseddata").lower() == "true":
        _require_whole(path, header, local)
    return _scale(header)


def _scale(header: TextHeader) -> tuple[float, float]:
    try:
        slope = float(header.get("elementtointensityfunctionslope") or 1)
        intercept = float(header.get("elementtointensityfunctionoffset") or 0)
        if not slope or not np.isfinite([slope, intercept]).all():
            raise ValueError
    except ValueError:
        raise InputError(f"{header.name} scales its numbers by none. Save it anew.") from None
    return slope, intercept


def _require_whole(path: Path, header: TextHeader, local: bool) -> None:
    """Unpack once to see that all voxels are there: ITK leaves what is not at any value."""
    data = path if local else path.parent / header.get("elementdatafile")
    try:
        size = int(header.get("compresseddatasize") or (0 if local else data.stat().st_size))
        kind = header.get("elementtype").lower().removeprefix("met_").removesuffix("_array")
        channels = int(header.get("elementnumberofchannels") or 1)
        needed = prod(map(int, header.get("dimsize").split())) * channels * _META_BYTES[kind]
        with data.open("rb") as file:
            file.seek(header.length if local else 0)
            whole = _unpacked_bytes(file, size, needed) == needed
    except (OSError, ValueError, KeyError, zlib.error):
        whole = False
    if not whole:
        raise InputError(f"{path.name} is damaged or cut short. Copy it again.")


def _unpacked_bytes(file: BinaryIO, size: int, needed: int) -> int:
    """Return how many bytes the next ``size`` unpack to, or somewhat more than ``needed``."""
    unpack, count = zlib.decompressobj(), 0
    while size > 0 and count <= needed and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)
        while chunk and count <= needed:
            count += len(unpack.decompress(chunk, _CHUNK))
            chunk = unpack.unconsumed_tail
    return count if unpack.eof else 0
