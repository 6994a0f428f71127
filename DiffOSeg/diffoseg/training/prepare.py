"""From a cohort to training and held-out slices: the grid, the mapping and the split by patient."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..cohorts.case import Case
from ..errors import InputError
from ..model.metadata import ModelMetadata
from .slices import SliceSet, slices_of

SPLIT = "split.json"
_VALIDATION_SHARE = 0.1
ROOM = 16
"""Pixels that a crop can shift by, as augmentation."""


def prepare(
    cohort: Iterable[Case], metadata: ModelMetadata, folder: Path, seed: int
) -> tuple[SliceSet, SliceSet]:
    """Return (training, held-out) slices on the model's grid; no patient is in both.

    The split is written to ``folder`` and reused from there, so that stage II, a resumed run and
    an evaluation hold out the same patients. Raises InputError when the cohort has a patient that
    the split does not know.
    """
    slices = slices_of(
        cohort,
        spacing_mm=metadata.spacing_mm,
        intensity=metadata.intensity,
        edge=metadata.patch + ROOM,
    )
    path = folder / SPLIT
    if not path.exists():
        training, held_out = slices.split(_VALIDATION_SHARE, seed)
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, training, held_out)
        return training, held_out
    split = json.loads(path.read_text(encoding="utf-8"))
    unknown = set(slices.patients) - set(split["training"]) - set(split["validation"])
    if unknown:
        raise InputError(
            f"{SPLIT} in the output folder does not know the patient {min(unknown)}."
            " Use a new output folder for another cohort."
        )
    patients = np.array(slices.patients)
    return (
        slices.take(np.flatnonzero(np.isin(patients, split["training"]))),
        slices.take(np.flatnonzero(np.isin(patients, split["validation"]))),
    )


def _write(path: Path, training: SliceSet, held_out: SliceSet) -> None:
    split = {
        "training": sorted(set(training.patients)),
        "validation": sorted(set(held_out.patients)),
    }
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(split, indent=1), encoding="utf-8")
    part.replace(path)
