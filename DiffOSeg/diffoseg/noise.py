"""Noise that depends on what it is for, never on when or beside what it is drawn.

Every uniform number is a function of (seed, expert's name, sample, slice, draw, place in the model
grid), through the counter-based generator Philox (Salmon et al. 2011). So the same seed gives the
same bytes whatever the batch, the order, the region or the other experts.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from .errors import InputError

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

    def _uniform(self, sample: int, slice_: int | None, index: int) -> np.ndarray:
        (top, left), (height, width) = self.start, self.size
        tile_rows = range(top // _TILE, (top + height - 1) // _TILE + 1)
        tile_columns = range(left // _TILE, (left + width - 1) // _TILE + 1)
        whole = np.block(
            [
                [_tile(self.seed, self.expert, sample, slice_, index, r, c) for c in tile_columns]
                for r in tile_rows
            ]
        )
        top, left = top % _TILE, left % _TILE
        return whole[top : top + height, left : left + width]


def _cumulative(z: np.ndarray) -> np.ndarray:
    """Return Phi(z) rounded down to the lattice of the plain uniforms, float32 below 1."""
    steps = np.floor(ndtr(z) / _LATTICE)
    return (steps * _LATTICE).clip(max=1 - _LATTICE).astype(np.float32)


def _tile(
    seed: int, expert: str, sample: int, slice_: int | None, index: int, row: int, column: int
) -> np.ndarray:
    """Return uniforms on one tile, float32 (64, 64), from raw bits, which numpy promises to keep.

    Slice None is the field that all slices share.
    """
    name = json.dumps([seed, expert, sample, slice_, index, row, column])
    key = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=16).digest(), "<u8")
    bits = np.random.Philox(key=key.astype(np.uint64)).random_raw(_TILE * _TILE // 2)
    upper_24 = bits.astype("<u8").view("<u4") >> 8
    return (upper_24 * np.float32(_LATTICE)).astype(np.float32).reshape(_TILE, _TILE)
