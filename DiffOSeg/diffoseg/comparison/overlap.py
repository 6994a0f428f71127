"""How much masks overlap, pair by pair: the counts that metrics.py is made of."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

Masks = np.ndarray | Tensor
"""N binary masks of one shape: (N, H, W) or (N, D, H, W), any number type, values 0 and 1."""

_CHUNK = 2**22  # pixels a matrix product; float32 counts exactly up to 2**24


@dataclass(frozen=True)
class Overlap:
    """Pixels of every mask, and of the intersection of every pair, all float64.

    Attributes:
        intersection: (N, S).
        first: pixels of the N first masks, (N, 1).
        second: pixels of the S second masks, (1, S).
    """

    intersection: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @property
    def union(self) -> np.ndarray:
        """Pixels in either mask of a pair, (N, S)."""
        return self.first + self.second - self.intersection

    def iou(self, empty: float) -> np.ndarray:
        """Return intersection over union, (N, S); ``empty`` where both masks are empty."""
        union = self.union
        return np.where(union > 0, self.intersection / np.maximum(union, 1), empty)

    def dice(self) -> np.ndarray:
        """Return twice the intersection over the sum of sizes, (N, S); 1 where both are empty."""
        total = self.first + self.second
        return np.where(total > 0, 2 * self.intersection / np.maximum(total, 1), 1.0)


def overlap(first: Masks, second: Masks) -> Overlap:
    """Count the pixels that each of N masks shares with each of S masks, by matrix products.

    Raises InputError when the masks differ in shape or are not binary.
    """
    if first.shape[1:] != second.shape[1:]:
        raise InputError(
            f"Masks of {tuple(first.shape[1:])} pixels cannot be compared with masks of"
            f" {tuple(second.shape[1:])}. Bring both onto one grid."
        )
    a = _flat(first)
    b = _flat(second).to(a.device)
    shared = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    for start in range(0, a.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        shared += a[:, part].float() @ b[:, part].float().T
    return Overlap(
        intersection=shared.cpu().numpy(),
        first=a.sum(1).double().cpu().numpy()[:, None],
        second=b.sum(1).double().cpu().numpy()[None],
    )


def _flat(masks: Masks) -> Tensor:
    if masks.ndim < 3 or len(masks) == 0:
        raise InputError(
            f"Masks are asked for as (N, H, W) or (N, D, H, W) with N >= 1; the shape is"
            f" {tuple(masks.shape)}."
        )
    # A comparison makes a fresh array: torch refuses numpy's flipped views and some of its types.
    marked = masks != 0
    if not bool(torch.as_tensor(marked == masks).all()):
        raise InputError(
            "A mask holds 0 and 1 only. Threshold probabilities, or pick one class, first."
        )
    return torch.as_tensor(marked).flatten(1)
