"""The header of a NIfTI file: numbers, their scale, and where they are in the patient.

Offsets and rules are those of nifti1.h and nifti2.h (nifti.nimh.nih.gov). What they leave open is
as nibabel has it: a scale that is 0 or no number scales nothing, a coded sform goes before a coded
qform, and without either the volume is centred with its first axis running to the left.
"""

import struct
from dataclasses import dataclass
from math import prod

import numpy as np

HEADER_BYTES = 540  # of the longer one

_FORMATS = {  # sizeof_hdr: where each field is, and its type in struct's letters
    348: {
        "dim": (40, "8h"),
        "datatype": (70, "h"),
        "pixdim": (76, "8f"),
        "offset": (108, "f"),
        "scale": (112, "2f"),
        "units": (123, "B"),
        "codes": (252, "2h"),
        "quaternion": (256, "6f"),
        "rows": (280, "12f"),
        "magic": (344, "4s"),
    },
    540: {
        "dim": (16, "8q"),
        "datatype": (12, "h"),
        "pixdim": (104, "8d"),
        "offset": (168, "q"),
        "scale": (176, "2d"),
        "units": (500, "i"),
        "codes": (344, "2i"),
        "quaternion": (352, "6d"),
        "rows": (400, "12d"),
        "magic": (4, "8s"),
    },
}
_ONE_FILE = {b"n+1\0": 352, b"n+2\0\r\n\x1a\n": 544}  # magic: the first place for voxels
_NUMBERS = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 32: "c8", 64: "f8", 256: "i1", 512: "u2", 768: "u4",
    1024: "i8", 1280: "u8", 1792: "c16",
}  # fmt: skip
_LAST_CODE = 5  # of what a placement is; others are none
_COLOURS = {128: 3, 2304: 4}
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # of xyzt_units; 0 is not said
_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI header says; made by :meth:`parse`.

    Attributes:
        size: voxels along each axis, as many as the file has.
        dtype: of the stored numbers, in the file's byte order; None where we know none.
        components: values of a voxel, more than 1 for colours.
        offset: bytes before the first voxel.
        scale: (slope, intercept) of the numbers, or None where they are not scaled.
        affine: (3, 4) from (i, j, k) to LPS mm, of the placement that counts.
        other: (3, 4), the other placement, where both are coded.
        placed: whether any placement is coded.
    """

    size: tuple[int, ...]
    dtype: np.dtype | None
    components: int
    offset: int
    scale: tuple[float, float] | None
    affine: np.ndarray
    other: np.ndarray | None
    placed: bool

    @property
    def bytes_needed(self) -> int:
        """Where the voxels end in the unpacked file."""
        width = self.dtype.itemsize if self.dtype is not None else 1
        return self.offset + prod(self.size) * self.components * width

    @classmethod
    def parse(cls, header: bytes) -> "NiftiHeader":
        """Return what the first bytes of an unpacked file say.

        Raises:
            ValueError: they are no header of a NIfTI file that holds its own voxels.
            struct.error: they are too few.
        """
        fields, order = _fields(header)
        least = _ONE_FILE.get(fields["magic"][0])
        if least is None or fields["units"][0] & 7 not in _MILLIMETRES:
            raise ValueError
        count, *size = fields["dim"]
        if not 1 <= count <= 7 or min(size[:count]) < 1:
            raise ValueError
        kind = fields["datatype"][0]
        affine, other, placed = _placements(fields)
        offset = fields["offset"][0]
        if not least <= offset < 2**40:
            raise ValueError
        return cls(
            size=tuple(size[:count]),
            dtype=np.dtype(order + _NUMBERS[kind]) if kind in _NUMBERS else None,
            components=_COLOURS.get(kind, 1),
            offset=int(offset),
            scale=_scale(*fields["scale"]),
            affine=affine,
            other=other,
            placed=placed,
        )


def is_nifti(header: bytes) -> bool:
    """Return whether unpacked bytes begin as those of a NIfTI file do, whole or not."""
    return header[344:348] in (b"n+1\0", b"ni1\0") or header[4:8] in (b"n+2\0", b"ni2\0")


def _fields(header: bytes) -> tuple[dict[str, tuple], str]:
    """Return every field's values, and the byte order in which they make sense."""
    for order in "<>":
        (length,) = struct.unpack_from(f"{order}i", header)
        if length in _FORMATS:
            places = _FORMATS[length].items()
            return {
                name: struct.unpack_from(order + letters, header, at)
                for name, (at, letters) in places
            }, order
    raise ValueError


def _scale(slope: float, intercept: float) -> tuple[float, float] | None:
    if slope == 0 or not np.isfinite(slope):
        return None
    if not np.isfinite(intercept):
        raise ValueError
    return None if (slope, intercept) == (1, 0) else (slope, intercept)


def _placements(fields: dict[str, tuple]) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Return the placement that counts and the other one, (3, 4) to LPS mm; whether it is coded."""
    quaternion, rows = (0 < code <= _LAST_CODE for code in fields["codes"])
    found = [_of_rows(fields["rows"])] if rows else []
    found += [_of_quaternion(fields["pixdim"], fields["quaternion"])] if quaternion else []
    if not found:
        found = [_centred(fields["dim"], fields["pixdim"])]
    unit = _MILLIMETRES[fields["units"][0] & 7]
    lps = [unit * _TO_LPS @ affine for affine in found]
    return lps[0], lps[1] if len(lps) > 1 else None, rows or quaternion


def _of_rows(rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows).reshape(3, 4)


def _of_quaternion(pixdim: tuple[float, ...], values: tuple[float, ...]) -> np.ndarray:
    """Return "method 2" of nifti1.h: a rotation, spacings, and a sign of the third axis."""
    b, c, d, *origin = values
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    third = -1.0 if pixdim[0] < 0 else 1.0
    return np.column_stack([turn * (np.abs(pixdim[1:4]) * (1, 1, third)), origin])


def _centred(dim: tuple[int, ...], pixdim: tuple[float, ...]) -> np.ndarray:
    """Return spacings alone, about the volume's middle."""
    steps = np.abs(pixdim[1:4]) * (-1, 1, 1)
    middle = (np.maximum(dim[1:4], 1) - 1) / 2
    return np.column_stack([np.diag(steps), -steps * middle])
