"""Whether a volume looks like what a model was trained for, said in plain sentences.

A model's own spread says nothing about a scan unlike its training; these sentences do.
"""

from ..model.metadata import ModelMetadata
from ..space.model_grid import ModelGrid
from ..space.volume import Volume
from .canvas import Canvas

_CLIPPED_SHARE = 0.5
_FIELD_SHARE = 0.5
_COARSE_PIXELS = 2.0


def warnings_for(
    volume: Volume, grid: ModelGrid, canvas: Canvas, metadata: ModelMetadata, searched: str
) -> tuple[str, ...]:
    """Return one sentence for each way in which ``volume`` lies outside the training.

    What reading the volume left out comes first, and what the model warns of itself comes last.
    Intensities are judged on what ``canvas`` looked at; ``searched`` is what a search says that was
    made because no region was given. An empty tuple means that nothing was noticed, not that the
    answer is right.
    """
    found = [
        _modality(volume, metadata),
        _broken(canvas),
        _intensities(canvas),
        _spacing(grid, metadata),
        _field(grid, metadata),
        searched,
    ]
    said = tuple(sentence for sentence in found if sentence)
    return (*volume.notes, *said, *_of_the_model(metadata))


def _of_the_model(metadata: ModelMetadata) -> tuple[str, ...]:
    """Return what the model itself warns of, such as what an imported checkpoint did not say."""
    return tuple(str(sentence) for sentence in metadata.training.get("warnings", ()))


def _modality(volume: Volume, metadata: ModelMetadata) -> str:
    if volume.modality and volume.modality != metadata.modality:
        return (
            f"This is {volume.modality}, and the model was trained on {metadata.modality}:"
            " do not rely on the outlines."
        )
    if not volume.modality:
        return (
            f"The file does not say what kind of scan it is; the model was trained on"
            f" {metadata.modality}."
        )
    return ""


def _broken(canvas: Canvas) -> str:
    if canvas.broken:
        return (
            f"{max(canvas.broken, 0.01):.0%} of what was looked at are no numbers and were taken"
            " for the darkest tissue: repair or reload the scan."
        )
    return ""


def _intensities(canvas: Canvas) -> str:
    if canvas.clipped > _CLIPPED_SHARE:
        return (
            f"{canvas.clipped:.0%} of what was looked at lies outside the intensities"
            f" {canvas.mapping.low:g} to {canvas.mapping.high:g} that the model tells apart."
        )
    if canvas.flat:
        return "What was looked at is the same everywhere: there is nothing to outline."
    return ""


def _spacing(grid: ModelGrid, metadata: ModelMetadata) -> str:
    coarsest = grid.spacing_mm / min(grid.steps[1:])
    if coarsest > _COARSE_PIXELS * metadata.spacing_mm:
        return (
            f"The pixels are {coarsest:.2g} mm wide, the model was trained on"
            f" {metadata.spacing_mm:g} mm: small structures cannot be seen."
        )
    return ""


def _field(grid: ModelGrid, metadata: ModelMetadata) -> str:
    smallest = min(grid.shape[1:])
    if smallest < _FIELD_SHARE * metadata.patch:
        return (
            f"The slices are only {smallest * grid.spacing_mm:.0f} mm across, the model was"
            f" trained on {metadata.patch * grid.spacing_mm:.0f} mm."
        )
    return ""
