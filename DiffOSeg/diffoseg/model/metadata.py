"""What a model says about itself, as JSON: the part of a weights file that people read."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from itertools import zip_longest
from typing import Any, get_type_hints

from ..errors import InputError, WeightsError
from ..files.values import is_number
from ..space.intensity import IntensityMapping
from ..version import __version__

# Far beyond any scan; a file may say anything, and the number of tiles follows from these.
_LARGEST_PATCH = 4096
_FINEST_MM, _COARSEST_MM = 1e-3, 1e3


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What a model says about itself; JSON-able, stored in the weights file.

    Attributes:
        title: a line for people.
        kind: the kind of network: "paper", the published U-Net, or "fast", ``networks.fast``.
        classes: names of the K classes, the background first.
        image_channels: what each channel of the image is.
        intensity: from scanner units to what the network reads.
        spacing_mm: side of the square in-plane pixels.
        patch: side of the field of view it was trained on, in pixels.
        sampler: name of the sampler that suits it.
        steps: how many steps that sampler takes.
        mask_distance: in how many pixels two experts' masks differ on average (D).
        modality: DICOM's word, "CT" or "MR".
        training: a free summary of data and training.
        steps_curve: what was measured at several numbers of steps: "steps", "mixture_ged" and
            "empty_rate", lists of one length, and "slices" and "samples", how many of each; or
            empty.
        code_version: the version of the engine that made it.
    """

    title: str
    kind: str = "paper"
    classes: tuple[str, ...] = ("background", "lesion")
    image_channels: tuple[str, ...] = ("CT",)
    intensity: IntensityMapping
    spacing_mm: float
    patch: int
    sampler: str = "ddim"
    steps: int = 16
    mask_distance: float
    modality: str = "CT"
    training: dict[str, Any] = field(default_factory=dict)
    steps_curve: dict[str, Any] = field(default_factory=dict)
    code_version: str = __version__

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or not self.image_channels:
            raise InputError("A model has at least two classes and one image channel.")
        for name in ("spacing_mm", "patch", "steps", "mask_distance"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} of a model is above 0, not {getattr(self, name)}.")
        if self.patch > _LARGEST_PATCH or not _FINEST_MM <= self.spacing_mm <= _COARSEST_MM:
            raise InputError(f"No model looks at {self.patch} pixels of {self.spacing_mm:g} mm.")
        if self.steps_curve:
            _check_curve(self.steps_curve)

    def with_training(self, mask_distance: float, summary: Mapping[str, Any]) -> "ModelMetadata":
        """Return the metadata after one more training, whose summary joins the earlier ones."""
        return replace(self, mask_distance=mask_distance, training={**self.training, **summary})

    def to_json(self) -> str:
        """Return all fields as JSON text."""
        values = asdict(self)
        if not self.steps_curve:  # older files lack it, and their hash is over what they hold
            del values["steps_curve"]
        return json.dumps(values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "ModelMetadata":
        """Read what ``to_json`` wrote, by this version or a later one, whose new fields are left.

        Raises WeightsError where a field is missing, has another type or an impossible value.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise _damaged("it is not JSON") from error
        return cls.from_values(values)

    @classmethod
    def from_values(cls, values: Any) -> "ModelMetadata":
        """Return what parsed JSON describes; raises as ``from_json`` does."""
        if not isinstance(values, dict):
            raise _damaged("it is not a table of fields")
        types = get_type_hints(cls)
        for known in fields(cls):
            required = known.default is MISSING and known.default_factory is MISSING
            if required and known.name not in values:
                raise _damaged(f"{known.name} is missing")
        found = {name: _typed(name, values[name], types[name]) for name in types if name in values}
        try:
            return cls(**found)
        except InputError as error:
            raise _damaged(str(error).rstrip(".")) from error


def _typed(name: str, value: Any, wanted: Any) -> Any:
    """Return a JSON value as the wanted type, or raise WeightsError."""
    if wanted is float and is_number(value):
        return float(value)
    if wanted in (str, int) and type(value) is wanted:
        return value
    if wanted == dict[str, Any] and isinstance(value, dict):
        return value
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if wanted == tuple[str, ...] and is_list:
        return tuple(value)
    if wanted is IntensityMapping and isinstance(value, dict):
        return _intensity(value)
    raise _damaged(f"{name} has the wrong type or value: {value!r:.60}")


def _check_curve(curve: Mapping[str, Any]) -> None:
    """Raise InputError unless each number of steps has its measured numbers."""
    names = ["steps", "mixture_ged", "empty_rate", *(["hm_iou"] if "hm_iou" in curve else [])]
    columns = [curve.get(name, ()) for name in names]
    if not all(isinstance(column, list | tuple) for column in columns) or not columns[0]:
        raise InputError("steps_curve of a model lacks a list of what was measured.")
    rows = list(zip_longest(*columns))
    if not all(type(n) is int and n > 0 and all(map(is_number, found)) for n, *found in rows):
        raise InputError("steps_curve of a model has a number of steps without its values.")


def _intensity(values: Mapping[str, Any]) -> IntensityMapping:
    types = {"kind": str} | dict.fromkeys(("low", "high", "to_low", "to_high"), float)
    if missing := types.keys() - values.keys():
        raise _damaged(f"intensity lacks {min(missing)}")
    try:
        return IntensityMapping(
            **{name: _typed(f"intensity {name}", values[name], types[name]) for name in types}
        )
    except InputError as error:
        raise _damaged(str(error).rstrip(".")) from error


def _damaged(what: str) -> WeightsError:
    return WeightsError(
        f"The description in the weights file cannot be used: {what}. Get the file again."
    )
