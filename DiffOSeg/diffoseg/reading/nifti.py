"""NIfTI files (.nii, .nii.gz, version 1 and 2) as the format states them.

ITK is not asked: it turns voxels that are no numbers into 0, adds the intercept of a scale of 0,
knows no version 2 and takes one of two placements without a word.
"""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError
from ..space.geometry import Geometry
from .nifti_header import HEADER_BYTES, NiftiHeader
from .stored_image import StoredImage, require_length, require_volume

_CHUNK = 2**20
_APART_VOXELS = 0.1  # between two placements that count as one


def read_nifti(path: Path) -> StoredImage:
    """Return the volume in a .nii file, packed with gzip or not.

    Raises:
        InputError: damaged, cut short, not 3D, in colour, of a number type or scale that we do not
            know, or on axes that are not perpendicular.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            file = gzip.GzipFile(fileobj=plain) if packed else plain
            start = file.read(HEADER_BYTES)
            header = NiftiHeader.parse(start)
            _require_volume(path, header, packed)
            stored = _voxels(file, start, header)
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, struct.error):
        raise InputError(f"{path.name} is damaged or cut short. Copy it again.") from None
    return _stored_image(path, header, stored)


def _require_volume(path: Path, header: NiftiHeader, packed: bool) -> None:
    """Refuse what is whole but no volume of one number a voxel."""
    require_volume(path.name, header.size, header.components)
    if header.dtype is None:
        raise InputError(
            f"{path.name} stores its voxels as a kind of number that cannot be read here. Save it"
            " as integers or float."
        )
    require_length(path.name, header.size, header.bytes_needed, path.stat().st_size, packed)


def _voxels(file: BinaryIO | gzip.GzipFile, start: bytes, header: NiftiHeader) -> np.ndarray:
    """Return the stored numbers, (K, J, I), and read on to the end, where gzip has its sum."""
    assert header.dtype is not None
    skipped = file.read(max(0, header.offset - len(start)))
    before = (start + skipped)[header.offset :]
    count = prod(header.size)
    numbers = np.empty(count, header.dtype)
    there = numbers.view(np.uint8)
    filled = min(len(before), there.size)
    there[:filled] = np.frombuffer(before[:filled], np.uint8)
    while filled < there.size:
        got = np.frombuffer(file.read(min(_CHUNK, there.size - filled)), np.uint8)
        if not got.size:
            raise EOFError
        there[filled : filled + got.size] = got
        filled += got.size
    _read_on(file)
    return numbers.reshape(header.size[2::-1])


def _read_on(file: BinaryIO | gzip.GzipFile) -> None:
    """Read to the end, or as far as no honest file goes."""
    for _ in range(64):
        if not file.read(_CHUNK):
            return


def _stored_image(path: Path, header: NiftiHeader, stored: np.ndarray) -> StoredImage:
    grid = _grid(path.name, header)
    notes = []
    if not header.placed:
        notes.append(f"{path.name} does not say where it lies in the patient.")
    if header.other is not None:
        apart = _apart(header.affine, header.other, grid)
        if apart > _APART_VOXELS * min(grid.spacing):
            notes.append(
                f"{path.name} states two places in the patient, up to {apart:.3g} mm apart. The"
                " second one (sform) was taken."
            )
    return StoredImage(_scaled(stored, header.scale), grid, notes=tuple(notes))


def _grid(name: str, header: NiftiHeader) -> Geometry:
    columns = header.affine[:, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if not np.isfinite(header.affine).all() or not spacing.all():
        raise InputError(f"{name} does not say how large its voxels are. Export it again.")
    i, j, k = header.size[:3]
    origin = header.affine[:, 3]
    return Geometry((i, j, k), (*spacing,), (*origin,), tuple((columns / spacing).ravel()))


def _apart(affine: np.ndarray, other: np.ndarray, grid: Geometry) -> float:
    """Return mm between the two places of the corner where they differ most."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(grid.size) - 1)
    homogeneous = np.column_stack([corners, np.ones(8)])
    return float(np.linalg.norm(homogeneous @ (affine - other).T, axis=1).max())


def _scaled(stored: np.ndarray, scale: tuple[float, float] | None) -> np.ndarray:
    """Return the numbers in this machine's byte order, scaled plane by plane as float64."""
    if scale is None:
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    slope, intercept = scale
    array = np.empty(stored.shape, np.complex64 if stored.dtype.kind == "c" else np.float32)
    for plane, numbers in zip(array, stored, strict=True):
        plane[:] = numbers.astype(np.result_type(numbers, np.float64)) * slope + intercept
    return array
