"""One annotated case: a volume, and what each expert drew on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..space.geometry import Box
from ..space.volume import Volume


@dataclass(frozen=True)
class Case:
    """One annotated volume.

    Attributes:
        patient: the unit by which cohorts are split; one patient may have several cases.
        name: unique within the cohort and safe as a folder name.
        volume: the image in scanner units.
        masks: by expert's name, bool, same shape as ``volume.array``; all experts of the cohort.
        region: where the lesion in question is, or None for the whole volume.
        tags: facts for splits by kind, such as {"nodule": "part-solid"}.
        lesions: by expert's name, which lesion each marked voxel belongs to, from 1 on, uint8, same
            shape; None where all that is marked is one lesion.
    """

    patient: str
    name: str
    volume: Volume
    masks: Mapping[str, np.ndarray]
    region: Box | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    lesions: Mapping[str, np.ndarray] | None = None
