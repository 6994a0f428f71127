"""Without a region few likely places are all drawn; of many the likeliest alone, which is said."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from a_model import a_model

from diffoseg.drawing.canvas import Canvas
from diffoseg.drawing.search import MOST_TILES, found_in, sentence
from diffoseg.space.geometry import Geometry
from diffoseg.space.model_grid import ModelGrid
from diffoseg.space.volume import Volume

LIKELY = 0.25
METADATA = replace(a_model().metadata, spacing_mm=1.0, patch=16)


def a_canvas(array: np.ndarray) -> tuple[Canvas, ModelGrid]:
    geometry = Geometry(array.shape[::-1], (1.0, 1.0, 3.0), (-20.0, 10.0, 5.0), np.eye(3).ravel())
    volume = Volume(array, geometry, "CT")
    grid = ModelGrid.fit(geometry, METADATA.spacing_mm)
    window = grid.window_of(None)
    return Canvas.of(volume, grid, window, METADATA, torch.device("cpu")), grid


def noise(size: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).normal(-500, 200, size).astype(np.float32)


def test_few_likely_places_are_all_drawn():
    chance = np.zeros((30, 20))
    chance[3, 4], chance[20, 7] = 0.9, 0.3
    found = found_in(chance, LIKELY)
    assert np.array_equal(found.tiles, chance > 0)
    assert found.left_out == 0


def test_of_many_only_the_likeliest_is_and_the_slices_next_to_it_that_are_nearly_as_likely():
    chance = np.full((30, 20), 0.4)
    chance[10:14, 5] = 0.6, 0.95, 0.9, 0.5
    chance[14, 5], chance[8, 5], chance[9, 5] = 0.46, 0.9, 0.3
    found = found_in(chance, LIKELY)
    assert found.tiles.sum() == 4
    assert found.tiles[10:14, 5].all()
    assert found.left_out == chance.size - 4 > MOST_TILES


def test_where_nothing_is_likely_the_likeliest_is_drawn_and_nothing_is_left_out():
    chance = np.zeros((30, 20))
    chance[7, 3] = 0.01
    found = found_in(chance, LIKELY)
    assert np.argwhere(found.tiles).tolist() == [[7, 3]]
    assert found.left_out == 0


def test_what_was_left_out_is_said_with_the_place_that_was_drawn():
    canvas, grid = a_canvas(noise((30, 160, 160)))
    whole = canvas.to_search()
    chance = np.full(tuple(whole.active.shape), 0.4)
    chance[12, 34] = 1.0
    chance[11, 34] = chance[13, 34] = 0.45
    said = sentence(found_in(chance, LIKELY), whole, grid)
    _, row, column = whole.boxes()[12, 34].tolist()
    x, y, z = -20 + column + 7.5, 10 + row + 7.5, 5 + 3 * 12
    assert f"finds {chance.size - 1} other fields of view" in said
    numbers = [float(word.strip(",")) for word in said.split("around ")[1].split()[:3]]
    assert numbers == pytest.approx([x, y, z], abs=1)


def test_tiles_of_a_search_lie_side_by_side_and_leave_out_what_shows_nothing():
    array = noise((2, 64, 48))
    array[1, :20, :20] = -3000
    canvas, _ = a_canvas(array)
    whole = canvas.to_search()
    covered = np.zeros(canvas.window.size[1:], int)
    for tile in range(len(whole.tiling.corners)):
        covered[whole.tiling.place(tile)] += 1
    assert covered.min() == 1
    assert len(whole.tiling.corners) < len(canvas.tiling.corners)
    assert whole.active[0].all()
    assert whole.active[1].sum() == len(whole.tiling.corners) - 1
