"""What a new expert is taught from: a tiny fast model, cases, a job's folder, a data list."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from a_fast_model import a_fast_model
from a_model import a_volume
from a_tiny_network import TINY_FAST

from diffoseg.cohorts.case import Case
from diffoseg.experts.panel import Expert
from diffoseg.model.model import Model
from diffoseg.networks.fast import FastNetwork
from diffoseg.space.marked import marked_box
from diffoseg.space.volume import image_of
from diffoseg.worker.training_job import (
    TrainingCase,
    TrainingJob,
    carried_for_training,
    image_file,
    mask_file,
)

NAME = 'Änn "O\'Hara" / 2'


def a_base() -> Model:
    """A fast network with random weights and small tiles, two experts and eight who passed by."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = FastNetwork(replace(TINY_FAST, population=8))
        for values in network.parameters():
            values.data += 0.1 * torch.randn_like(values)
    model = a_fast_model(network.eval())
    return replace(model, metadata=replace(model.metadata, patch=16))


def some_cases(count: int, name: str = NAME) -> list[Case]:
    """Return cases of as many patients: a bright ball each, drawn with a margin around it."""
    volume = a_volume()
    cases = []
    for number in range(count):
        random = np.random.default_rng(number)
        array = volume.array + random.normal(0, 40, volume.array.shape).astype(np.float32)
        k, j, i = np.mgrid[: array.shape[0], : array.shape[1], : array.shape[2]]
        distance = np.sqrt(((i - 20) * 0.7) ** 2 + ((j - 18) * 0.7) ** 2 + ((k - 4) * 2.0) ** 2)
        own = replace(volume, array=array)
        cases.append(Case(f"patient {number}", f"case {number}", own, {name: distance < 4}))
    return cases


def a_training(folder: Path, weights: Path, cases: Sequence[Case] | None = None, **changes) -> Path:
    """Write a job's folder as Slicer does, and return it."""
    cases, carried = some_cases(3) if cases is None else cases, []
    folder.mkdir()
    for index, case in enumerate(cases):
        (mask,), geometry = case.masks.values(), case.volume.geometry
        box = carried_for_training(
            geometry, marked_box(geometry, mask), case.region, a_base().metadata
        )
        entry = TrainingCase(case.name, case.patient, geometry, *box, case.region, "CT")
        np.save(folder / image_file(index), case.volume.array[entry.place])
        np.save(folder / mask_file(index), mask[entry.place])
        carried.append(entry)
    job = TrainingJob(Expert(NAME, color=(0.1, 0.2, 0.3)), "", tuple(carried), str(weights), "cpu")
    replace(job, **changes).write(folder)
    return folder


def a_list(folder: Path, cases: Sequence[Case]) -> Path:
    """Write cases as images, masks and a data list, and return the list's path."""
    folder.mkdir()
    entries = []
    for case in cases:
        image = {"image": f"{case.name}.nrrd", "patient": case.patient, "name": case.name}
        sitk.WriteImage(image_of(case.volume.array, case.volume.geometry), folder / image["image"])
        for number, (expert, mask) in enumerate(case.masks.items()):
            label = f"{case.name}, drawn {number}.nrrd"
            drawn = image_of(mask.astype(np.uint8), case.volume.geometry)
            sitk.WriteImage(drawn, folder / label)
            entries.append({**image, "label": label, "expert": expert})
    path = folder / "cases.json"
    path.write_text(json.dumps({"training": entries}, ensure_ascii=False), encoding="utf-8")
    return path
