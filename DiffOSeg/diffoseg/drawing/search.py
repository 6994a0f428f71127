"""What is drawn where no region was given: what a search of the whole volume finds likely.

A model of lesions that somebody points at is no detector: in a whole chest it finds too many places
likely. Few places are all drawn. Of many only the likeliest is, as if somebody had pointed at it,
and that is said.
"""

from dataclasses import dataclass

import numpy as np

from ..space.model_grid import ModelGrid
from .canvas import Canvas

MOST_TILES = 256
"""Tiles up to which all that is likely is drawn: about four regions of a field of view each."""

_AS_LIKELY = 0.5  # of the likeliest tile's chance, down to which the slices beside it belong to it


@dataclass(frozen=True)
class Found:
    """What a search chose.

    Attributes:
        tiles: of the canvas that was searched, bool (S, tiles); one at least.
        left_out: how many other tiles were likely.
    """

    tiles: np.ndarray
    left_out: int


def found_in(chance: np.ndarray, likely: float) -> Found:
    """Choose the tiles to draw.

    Args:
        chance: that anything is marked in each tile, (S, tiles), in 0..1.
        likely: chance from which a tile is worth drawing; without one, the likeliest is drawn.
    """
    found = chance >= likely
    if 0 < found.sum() <= MOST_TILES:
        return Found(found, 0)
    likeliest = _likeliest_place(chance)
    return Found(likeliest, int((found & ~likeliest).sum()))


def sentence(found: Found, canvas: Canvas, grid: ModelGrid) -> str:
    """Say what a search drew and what it left out; ``canvas`` is the one that was searched."""
    if not found.left_out:
        return (
            "No region was given: the model was trained on regions around a known lesion and may"
            " mark ordinary structures elsewhere."
        )
    region = grid.region_of(canvas.window_around(found.tiles))
    middle = grid.geometry.crop(*region).bounding_box()
    x, y, z = (np.add(middle.lower, middle.upper) / 2).round().astype(int).tolist()
    return (
        "No region was given, and this model is no detector: it finds"
        f" {found.left_out} other fields of view likely, too, ordinary structures among them. Only"
        f" the likeliest was drawn, around {x}, {y}, {z} mm (LPS). Put a region around the lesion"
        " that you mean."
    )


def _likeliest_place(chance: np.ndarray) -> np.ndarray:
    """Return the likeliest tile and those of the slices next to it that are nearly as likely."""
    index, tile = np.unravel_index(int(chance.argmax()), chance.shape)
    as_likely = chance[:, tile] >= _AS_LIKELY * chance[index, tile]
    first, last = index, index
    while first > 0 and as_likely[first - 1]:
        first -= 1
    while last + 1 < len(chance) and as_likely[last + 1]:
        last += 1
    place = np.zeros(chance.shape, bool)
    place[first : last + 1, tile] = True
    return place
