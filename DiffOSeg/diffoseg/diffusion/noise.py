"""Noise that depends on what it is for, never on when or beside what it is drawn.

Every uniform number is a function of (seed, expert's name, sample, slice, draw, place in the model
grid), or of another name, through the counter-based generator Philox (Salmon et al. 2011). So the
same seed gives the same bytes whatever the batch, the order, the region or the other experts.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from ..errors import InputError

_TILE = 64
_LATTICE = 2.0**-24  # float32 holds every multiple of this in [0, 1)


@dataclass(frozen=True)
class NoiseField:
    """Uniform noise on one window of the model grid, in one expert's name.

    Attributes:
        seed: the user's seed, any int.
        expert: the expert's name, or "consensus"; another name is other noise.
        start: (row, column) of the window's first pixel in the model grid; may be negative.
        size: (H, W) of the window in pixels.
        coherence: correlation in 0..1 of the noise of two slices of one sample. At 1 all slices
            share one field, at 0 each has its own; each pixel is uniform at any value.
        device: where the tensors go.
    """

    seed: int
    expert: str
    start: tuple[int, int]
    size: tuple[int, int]
    coherence: float = 1.0
    device: str | torch.device = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.coherence <= 1:
            raise InputError(
                f"A slice coherence of {self.coherence} is impossible. Use a number from 0 to 1."
            )

    def draw(self, rows: Sequence[tuple[int, int]], index: int) -> Tensor:
        """Return uniforms in [0, 1), float32 (B, H, W), for each (sample, slice) of ``rows``.

        ``index`` is the number of the draw in the sampling chain; 0 makes x_T.
        """

        @cache
        def uniform(sample: int, slice_: int | None) -> np.ndarray:
            return self._uniform(sample, slice_, index)

        @cache
        def gaussian(sample: int, slice_: int | None) -> np.ndarray:
            return ndtri(uniform(sample, slice_) + np.float64(_LATTICE / 2))

        c = self.coherence
        if c == 1:
            maps = [uniform(sample, None) for sample, _ in rows]
        elif c == 0:
            maps = [uniform(sample, slice_) for sample, slice_ in rows]
        else:  # mixed as Gaussians, which makes the result uniform again (a Gaussian copula)
            maps = [
                _cumulative(math.sqrt(c) * gaussian(n, None) + math.sqrt(1 - c) * gaussian(n, z))
                for n, z in rows
            ]
        return torch.from_numpy(np.stack(maps)).to(self.device)

    def smooth(self, rows: Sequence[tuple[int, int]], index: int, reach: float) -> Tensor:
        """Return uniforms like those of ``draw``, independent of them, but alike in neighbours.

        Each pixel is uniform by itself; as Gaussians two pixels correlate by 0.9 at 0.4 times
        ``reach``, by a half at the reach and hardly at all at twice. They are a sum of cubic
        B-splines on a lattice ``reach`` pixels wide, with normal weights, brought to variance 1
        everywhere.

        Args:
            rows: and ``index``, those of ``draw``.
            reach: in pixels, 1 or more.
        """
        down, across = (
            _splines(start, length, reach)
            for start, length in zip(self.start, self.size, strict=True)
        )
        size = (int(down.place[-1]) + 4, int(across.place[-1]) + 4)
        lattice = replace(self, start=(down.first, across.first), size=size, device="cpu")
        field = torch.special.ndtri(lattice.draw(rows, -1 - index).double() + _LATTICE / 2)
        # Sums of four, written out: the same bytes whatever the batch and the window.
        field = sum(down.values[n, :, None] * field[:, down.place + n] for n in range(4))
        field = sum(across.values[n] * field[:, :, across.place + n] for n in range(4))
        uniform = torch.special.ndtr(field).float().clamp(max=1 - _LATTICE)
        return uniform.to(self.device)

    def _uniform(self, sample: int, slice_: int | None, index: int) -> np.ndarray:
        (top, left), (height, width) = self.start, self.size
        tile_rows = range(top // _TILE, (top + height - 1) // _TILE + 1)
        tile_columns = range(left // _TILE, (left + width - 1) // _TILE + 1)
        whole = np.empty((len(tile_rows), _TILE, len(tile_columns), _TILE), np.float32)
        generator = np.random.Philox(0)
        for row, column in np.ndindex(len(tile_rows), len(tile_columns)):
            place = (tile_rows[row], tile_columns[column])
            key = _key(self.seed, self.expert, sample, slice_, index, *place)
            whole[row, :, column] = _tile(generator, key)
        joined = whole.reshape(len(tile_rows) * _TILE, -1)
        top, left = top % _TILE, left % _TILE
        return joined[top : top + height, left : left + width]


class _Splines(NamedTuple):
    """The four splines that each pixel of an axis lies under.

    Attributes:
        first: number of the first spline of all.
        place: of the first of the four, counted from there, int64 (length,).
        values: of the four, float64 (4, length); each pixel's squares sum to 1.
    """

    first: int
    place: Tensor
    values: Tensor


def _splines(start: int, length: int, reach: float) -> _Splines:
    pixels = (torch.arange(start, start + length, dtype=torch.float64) + 0.5) / reach
    place = pixels.floor().long() - 1
    distance = (pixels - place - torch.arange(4)[:, None]).abs()
    inner, outer = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clamp(min=0) ** 3 / 6
    values = torch.where(distance < 1, inner, outer)
    return _Splines(int(place[0]), place - place[0], values / values.square().sum(0).sqrt())


def _cumulative(z: np.ndarray) -> np.ndarray:
    """Return Phi(z) rounded down to the lattice of the plain uniforms, float32 below 1."""
    steps = np.floor(ndtr(z) / _LATTICE)
    return (steps * _LATTICE).clip(max=1 - _LATTICE).astype(np.float32)


def chances(count: int, *name: int | str) -> np.ndarray:
    """Return so many uniforms in [0, 1), float64 (count,), that depend on the name alone."""
    bits = np.random.Philox(key=_key(*name)).random_raw(count)
    return (bits >> np.uint64(11)) * 2.0**-53


def _key(*name: int | str | None) -> np.ndarray:
    """Return Philox' key for a name; that of a tile is (seed, expert, sample, slice, index, place).

    Slice None is the field that all slices share.
    """
    digest = hashlib.blake2b(json.dumps(name).encode(), digest_size=16).digest()
    return np.frombuffer(digest, "<u8").astype(np.uint64)


def _tile(generator: np.random.Philox, key: np.ndarray) -> np.ndarray:
    """Return uniforms on one tile, float32 (64, 64), from raw bits, which numpy promises to keep.

    The generator is set back to the start of the key's own sequence, which takes a tenth of the
    time that a new one takes.
    """
    generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": np.zeros(4, np.uint64), "key": key},
        "buffer": np.zeros(4, np.uint64),
        "buffer_pos": 4,
        "has_uint32": 0,
        "uinteger": 0,
    }
    bits = generator.random_raw(_TILE * _TILE // 2).astype("<u8", copy=False)
    upper_24 = (bits.view("<u4") >> 8).astype(np.float32)  # exact
    return (upper_24 * np.float32(_LATTICE)).reshape(_TILE, _TILE)
