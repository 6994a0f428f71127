"""Tiles cover a canvas, and blending them changes nothing where they agree."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffoseg.space.field_of_view import OVERLAP
from diffoseg.space.tiling import Cut, Tiling, calls_about


@given(st.integers(8, 70), st.integers(8, 70))
def test_tiles_cover_every_pixel_and_stay_inside(height: int, width: int):
    tiling = Tiling.cover((height, width), 8)
    seen = torch.zeros(height, width)

    for tile in range(len(tiling.corners)):
        assert seen[tiling.place(tile)].shape == (8, 8)
        seen[tiling.place(tile)] += 1

    assert seen.min() >= 1


def test_neighbouring_tiles_share_at_least_the_overlap():
    tops = sorted({top for top, _ in Tiling.cover((100, 64), 64).corners})
    assert len(tops) == 2
    assert tops[0] + 64 - tops[1] >= OVERLAP * 64


def predict(tiling: Tiling, x_t: torch.Tensor, active: torch.Tensor, network, micro_batch: int):
    images = torch.arange(x_t.numel()).reshape(len(x_t), 1, *x_t.shape[1:]).float()
    return tiling.predict(x_t, active, shown(tiling, images, network), 2, micro_batch, first=0)


def shown(tiling: Tiling, images: torch.Tensor, network):
    """Give a network of (x_t, image) the part of an image that each tile is about."""
    return lambda tiles, pairs: network(
        tiles, torch.stack([images[row][:, *tiling.place(tile)] for row, tile in pairs])
    )


def pixelwise(tiles: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """A network that answers each pixel by its own image value."""
    foreground = images[:, 0] / 10_000
    return torch.stack([1 - foreground, foreground], 1)


def test_blending_a_pixelwise_network_gives_its_answer_on_the_whole_canvas():
    tiling = Tiling.cover((20, 13), 8)
    x_t = torch.zeros(3, 20, 13, dtype=torch.long)
    active = torch.ones(3, len(tiling.corners), dtype=torch.bool)

    result = predict(tiling, x_t, active, pixelwise, 4)

    expected = torch.arange(x_t.numel()).reshape(x_t.shape) / 10_000
    torch.testing.assert_close(result[:, 1], expected.float())
    torch.testing.assert_close(result.sum(1), torch.ones(3, 20, 13))


def test_what_no_active_tile_covers_is_background_for_certain():
    tiling = Tiling.cover((8, 16), 8)
    active = torch.zeros(1, len(tiling.corners), dtype=torch.bool)
    active[0, 0] = True

    result = predict(tiling, torch.zeros(1, 8, 16, dtype=torch.long), active, pixelwise, 4)

    assert (result[0, 0, :, 8:] == 1).all()
    assert (result[0, 1, :, 8:] == 0).all()
    assert result[0, 1, 4, 4] > 0


@pytest.mark.parametrize("micro_batch", [1, 3, 64])
def test_the_network_always_sees_the_same_number_of_tiles(micro_batch: int):
    tiling = Tiling.cover((20, 20), 8)
    active = torch.ones(2, len(tiling.corners), dtype=torch.bool)
    counts = []

    def network(tiles: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        counts.append(len(tiles))
        return pixelwise(tiles, images)

    predict(tiling, torch.zeros(2, 20, 20, dtype=torch.long), active, network, micro_batch)

    assert set(counts) == {micro_batch}


def test_a_rows_place_in_the_networks_batch_follows_from_the_tiles_before_it():
    tiling = Tiling.cover((8, 8), 8)
    canvases = torch.zeros(3, 8, 8, dtype=torch.long)
    images = torch.tensor([10.0, 11.0, 12.0]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    seen = []

    def network(tiles: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        seen.append([int(value) for value in images[:, 0, 0, 0]])
        return pixelwise(tiles, images)

    active = torch.ones(3, 1, dtype=torch.bool)
    tiling.predict(canvases, active, shown(tiling, images, network), 2, 4, first=6)

    assert seen == [[10, 10, 10, 11], [12, 12, 12, 12]]


@given(st.integers(0, 70), st.integers(1, 40), st.integers(1, 40))
def test_a_tiles_call_and_place_follow_from_the_tiles_before_it_alone(first, tiles, others):
    together = places_of(calls_about(tiles + others, first, 4, 16), first)
    apart = places_of(calls_about(tiles, first, 4, 16), first) | places_of(
        calls_about(others, first + tiles, 4, 16), first + tiles
    )
    assert together == apart
    assert set(together) == set(range(first, first + tiles + others))


def places_of(calls, first: int) -> dict[int, tuple[int, int]]:
    """Return the size of the call, and the place in it, of every tile of the run."""
    return {
        first + call.numbers[place]: (len(call.numbers), place)
        for call in calls
        for place in range(len(call.numbers))[call.places]
    }


def test_calls_grow_from_the_least_to_the_most():
    assert [len(call.numbers) for call in calls_about(60, 0, 4, 16)] == [4, 4, 8, 16, 16, 16]
    assert calls_about(0, 5, 4, 16) == []


def test_tiles_that_are_cut_and_joined_are_the_canvas():
    tiling = Tiling.cover((20, 13), 8)
    canvases = torch.rand(3, 20, 13)
    cut = Cut(tiling, torch.ones(3, len(tiling.corners), dtype=torch.bool))
    torch.testing.assert_close(cut.joined(cut.tiles(canvases)), canvases)
    assert not cut.nowhere.any()
