"""How much care a drawing takes, by name: the sampler and the number of steps of each name.

numpy and the standard library only, so that Slicer's own process can use it.
"""

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .metadata import ModelMetadata

PREVIEW, STANDARD, CAREFUL = PRESETS = ("preview", "standard", "careful")

LEVEL_SET = "level-set"
"""The one of ``sampling.SAMPLERS`` that only the fast kind has; it takes one network call."""

_MOST_STEPS = 250
_TIMES = 4  # as many steps in the next preset
_AS_NEAR = 0.002  # of GED_U; less is the noise of the curves that are measured
_AS_ALIKE = 0.015  # of HM-IoU; more can be seen in single samples


def sampler_of(
    preset: str, metadata: ModelMetadata, reach: float = 0.0, steps: int | None = None
) -> tuple[str, int]:
    """Return the sampler and the number of its steps that a preset stands for.

    "standard" is the model's own. "careful" takes four times as many steps, 250 at most.
    "preview" of the fast kind is one network call an expert, whatever the number of samples: one
    step where the model draws borders as pieces, else level sets; of the paper's kind a quarter of
    the model's steps.

    Args:
        preset: one of PRESETS.
        metadata: of the model.
        reach: of the model's calibration; above 0 where borders are drawn as pieces.
        steps: that were asked for in place of the preset's, of the model's own sampler.

    Raises InputError for another name.
    """
    if preset not in PRESETS:
        raise InputError(
            f"There is no preset {preset!r:.40}. Use {', '.join(PRESETS[:-1])} or {PRESETS[-1]}."
        )
    own = metadata.steps
    if steps is not None:
        return metadata.sampler, steps
    if preset == PREVIEW and metadata.kind == "fast":
        return (metadata.sampler if reach else LEVEL_SET), 1
    several = {
        PREVIEW: max(1, own // _TIMES),
        STANDARD: own,
        CAREFUL: max(own, min(_TIMES * own, _MOST_STEPS)),
    }
    return metadata.sampler, several[preset]


def chosen_steps(curve: Mapping[str, Any]) -> int:
    """Return the fewest steps that are as good as any, from what a model was measured at.

    As good is a generalized energy distance of the mixture within 0.002 of the curve's lowest and,
    where that was measured too, an overlap of matched drawings (HM-IoU) within 0.015 of its
    highest: the distance alone hardly notices samples that are each a little malformed.

    Args:
        curve: as ``ModelMetadata.steps_curve``, with "steps", "mixture_ged" and perhaps "hm_iou",
            of one length.

    Raises InputError for a curve in which nothing was measured.
    """
    steps, distances = curve.get("steps", ()), curve.get("mixture_ged", ())
    overlaps = curve.get("hm_iou", [0.0] * len(steps))
    measured = sorted(zip(steps, distances, overlaps, strict=True))
    if not measured:
        raise InputError("No number of steps was measured. Measure a few, then choose.")
    nearest, likest = min(distances), max(overlaps)
    good = [
        n
        for n, distance, overlap in measured
        if distance <= nearest + _AS_NEAR and overlap >= likest - _AS_ALIKE
    ]
    return good[0] if good else measured[-1][0]
