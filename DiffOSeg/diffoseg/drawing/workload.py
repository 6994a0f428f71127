"""How much work a job is, known before it runs and without torch."""

from ..model.metadata import ModelMetadata
from ..model.presets import STANDARD, sampler_of
from ..space.field_of_view import OVERLAP, tile_corners, window_seen
from ..space.geometry import Box, Geometry
from ..space.model_grid import ModelGrid

ENCODING = 4
"""What it costs the fast kind to encode a tile, in steps: 0.80 to 0.21 GFLOP at 64 x 64 pixels."""

DRAWN = 0.6
"""Share of the fast kind's later steps that are taken: where a sample says that an expert marks
nothing, none is. Close boxes around phantoms' nodules came out at 0.36 to 0.94."""


def tile_evaluations(
    geometry: Geometry,
    region: Box | None,
    metadata: ModelMetadata,
    answers: int,
    samples: int,
    steps: int | None,
    preset: str = STANDARD,
) -> int:
    """Return how many tiles go through the network, which the time is proportional to.

    Of the fast kind it is the steps that are counted; encoding a tile once counts as ENCODING, and
    each answer's first belief, which all its samples begin with, as one more; of the later steps
    the share DRAWN is expected.

    Args:
        geometry: the whole volume's grid.
        region: where to answer, LPS mm. Without one, only the search by a consensus network is
            counted: what follows depends on what it finds.
        metadata: of the model.
        answers: how many are asked, the consensus among them.
        samples: of each.
        steps: a sample, by the model's own sampler; None leaves it to the preset.
        preset: one of ``presets.PRESETS``.

    Raises InputError where the region lies outside the volume, or for an unknown preset.
    """
    grid = ModelGrid.fit(geometry, metadata.spacing_mm)
    slices, rows, columns = window_seen(grid.window_of(region), metadata.patch).size
    overlap = OVERLAP if region is not None else 0.0  # a search has its tiles side by side
    tiles = slices * len(tile_corners((rows, columns), metadata.patch, overlap))
    once = ENCODING if metadata.kind == "fast" else 0
    if region is None:
        return tiles * (1 + once)
    _, each = sampler_of(preset, metadata, steps=steps)
    if metadata.kind == "fast":
        return tiles * (once + answers) + round(DRAWN * tiles * answers * samples * (each - 1))
    return tiles * answers * samples * each
