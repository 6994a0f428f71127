"""How much care a drawing takes, by name: the sampler and the number of steps of each name.

numpy and the standard library only, so that Slicer's own process can use it.
"""

from collections.abc import Mapping
from typing import Any

from .errors import InputError
from .metadata import ModelMetadata

STANDARD = "standard"
PRESETS = ("preview", STANDARD, "careful")

LEVEL_SET = "level-set"
"""The sampler of one network call, which only the fast kind has."""

_MOST_STEPS = 250
_CAREFUL = 4  # times as many steps as the standard
_TOLERANCE = 0.002  # of GED_U; less is the noise of the curves that are measured


def sampler_of(preset: str, metadata: ModelMetadata, reach: float = 0.0) -> tuple[str, int]:
    """Return the sampler and the number of its steps that a preset stands for.

    "standard" is the model's own. "careful" takes four times as many steps, 250 at most.
    "preview" of the fast kind is one network call an expert, whatever the number of samples: one
    step where the model draws borders as pieces (``reach`` of its calibration above 0), else level
    sets; of the paper's kind a quarter of the model's steps. Raises InputError for another name.
    """
    match preset:
        case "preview" if metadata.kind == "fast":
            return (metadata.sampler if reach else LEVEL_SET), 1
        case "preview":
            return metadata.sampler, max(1, metadata.steps // _CAREFUL)
        case "standard":
            return metadata.sampler, metadata.steps
        case "careful":
            return metadata.sampler, max(
                metadata.steps, min(_CAREFUL * metadata.steps, _MOST_STEPS)
            )
    raise InputError(
        f"There is no preset {preset!r:.40}. Use {', '.join(PRESETS[:-1])} or careful."
    )


def chosen_steps(curve: Mapping[str, Any]) -> int:
    """Return the fewest steps that are as good as any, from what a model was measured at.

    As good is a generalized energy distance of the mixture within 0.002 of the curve's lowest.

    Args:
        curve: as ``ModelMetadata.steps_curve``, with "steps" and "mixture_ged" of one length.

    Raises InputError for a curve in which nothing was measured.
    """
    measured = sorted(zip(curve.get("steps", ()), curve.get("mixture_ged", ()), strict=True))
    if not measured:
        raise InputError("No number of steps was measured. Measure a few, then choose.")
    best = min(distance for _, distance in measured)
    return next(steps for steps, distance in measured if distance <= best + _TOLERANCE)
