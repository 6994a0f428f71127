"""Each way in which a scan is unlike a model's training has its sentence, and only then."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffoseg.drawing.applicability import warnings_for
from diffoseg.drawing.canvas import Canvas
from diffoseg.model.metadata import ModelMetadata
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.intensity import IntensityMapping
from diffoseg.space.model_grid import ModelGrid
from diffoseg.space.volume import Volume

METADATA = ModelMetadata(
    title="test",
    intensity=IntensityMapping("window", -1000.0, 400.0),
    spacing_mm=0.7,
    patch=64,
    mask_distance=100.0,
)


def a_volume(spacing: float = 0.7, pixels: int = 80, modality: str = "CT") -> Volume:
    array = np.linspace(-900, 100, 4 * pixels**2, dtype=np.float32).reshape(4, pixels, pixels)
    identity = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    geometry = Geometry((pixels, pixels, 4), (spacing, spacing, 3.0), (0, 0, 0), identity)
    return Volume(array, geometry, modality)


def said(volume: Volume, searched: str = "", metadata: ModelMetadata = METADATA) -> list[str]:
    grid = ModelGrid.fit(volume.geometry, metadata.spacing_mm)
    window = grid.window_of(None)
    canvas = Canvas.of(volume, grid, window, metadata, torch.device("cpu"))
    return list(warnings_for(volume, grid, canvas, metadata, searched))


def test_a_scan_like_the_training_is_not_warned_of():
    assert said(a_volume()) == []


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (a_volume(modality="MR"), "This is MR"),
        (a_volume(modality=""), "does not say what kind"),
        (a_volume(spacing=1.6), "1.6 mm wide"),
        (a_volume(pixels=20), "only 14 mm across"),
        (replace(a_volume(), array=a_volume().array + 3000), "100% of what was looked at"),
    ],
)
def test_one_sentence_says_what_is_unlike(volume: Volume, words: str):
    (sentence,) = said(volume)

    assert words in sentence
    assert sentence.endswith(".")


def test_values_that_are_no_numbers_are_said():
    array = a_volume().array.copy()
    array[1, 3, 3] = np.nan
    array[2, 40, 40] = np.inf
    (sentence,) = said(replace(a_volume(), array=array))
    assert "1% of what was looked at are no numbers" in sentence


def test_a_scan_that_is_the_same_everywhere_is_said():
    (sentence,) = said(replace(a_volume(), array=np.full_like(a_volume().array, 7)))
    assert "nothing to outline" in sentence


def test_no_region_is_said():
    assert said(a_volume(), searched="A search was made.") == ["A search was made."]


def test_what_the_model_warns_of_itself_is_passed_on():
    imported = replace(METADATA, training={"warnings": ["The intensities are assumed."]})

    assert said(a_volume(), metadata=imported) == ["The intensities are assumed."]


def test_what_reading_left_out_is_passed_on():
    volume = replace(a_volume(), notes=("1 scout was left out.",))

    assert said(volume) == ["1 scout was left out."]


def test_intensities_are_judged_where_the_model_looks():
    volume = a_volume(pixels=300)
    volume.array[:, :200] = -3000
    grid = ModelGrid.fit(volume.geometry, METADATA.spacing_mm)
    answer = grid.window_of(Box((0, 150, 0), (20, 200, 9)))
    canvas = Canvas.of(volume, grid, answer, METADATA, torch.device("cpu"))

    assert "66% of what was looked at" in said(volume)[0]
    assert warnings_for(volume, grid, canvas, METADATA, "") == ()
