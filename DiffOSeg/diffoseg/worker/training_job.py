"""A training of one expert as a folder, in numpy alone: Slicer writes it and the worker reads it.

``training.json`` says what is asked; ``image-0001.npy`` and ``mask-0001.npy`` hold those voxels of
the first case that the network will look at. The folder is the training's autosave as well: its
checkpoint and its result are written into it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, get_args, overload

import numpy as np

from ..cohorts.case import Case
from ..errors import InputError
from ..experts.panel import Expert, check_name
from ..files.atomic import replacing
from ..model.metadata import ModelMetadata
from ..space.field_of_view import window_seen
from ..space.geometry import Box, Geometry, Triple
from ..space.model_grid import ModelGrid
from ..space.volume import Volume
from ..training.windows import with_empty_slices
from .job import DeviceChoice

JOB = "training.json"
RESULT = "expert.safetensors"
LARGEST_SEED = 2**63 - 1

_FORMAT = "diffoseg-training"
_FORMAT_VERSION = 1
_MOST_VOXELS = 2**36  # far beyond any scan; a file may say anything
_LARGEST_JOB = 2**25  # bytes of training.json; a case takes some 500


@dataclass(frozen=True)
class TrainingCase:
    """One case of a training, of which the folder carries the voxels that matter.

    Attributes:
        name: what sentences call it.
        patient: the unit of every split.
        geometry: the whole volume's grid.
        start: (i, j, k) of the first voxel that is carried.
        size: voxels that are carried along (i, j, k).
        region: where the expert looked, LPS mm; None is around everything that is marked.
        modality: DICOM's word, "CT" or "MR", or "" where it is not known.

    Raises InputError where the carried voxels do not lie in the volume.
    """

    name: str
    patient: str
    geometry: Geometry
    start: Triple
    size: Triple
    region: Box | None = None
    modality: str = ""

    def __post_init__(self) -> None:
        ends = np.add(self.start, self.size)
        inside = min(self.start) >= 0 and min(self.size) >= 1 and np.all(ends <= self.geometry.size)
        if not inside or math.prod(self.geometry.size) > _MOST_VOXELS:
            raise InputError(
                f"The voxels of case {self.name} do not lie in its volume. Start the training anew."
            )

    @property
    def place(self) -> tuple[slice, ...]:
        """Where the carried voxels lie in an array (K, J, I) of the whole volume."""
        pairs = zip(self.start[::-1], self.size[::-1], strict=True)
        return tuple(slice(first, first + count) for first, count in pairs)


@dataclass(frozen=True)
class TrainingJob:
    """What is asked of a training, complete: the same job gives the same expert.

    Attributes:
        expert: who is learnt.
        corrects: a known expert's name to begin from; "" begins from the mean of all.
        cases: in the order of the files' numbers, at least one.
        model: a model's name or file; "" is the default one.
        device: where to compute; "auto" is the best there is.
        seed: names every draw of the training, 0..LARGEST_SEED.
    """

    expert: Expert
    corrects: str
    cases: tuple[TrainingCase, ...]
    model: str = ""
    device: DeviceChoice = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.expert.name)
        if not self.cases:
            raise InputError("A training needs at least one case. Add a volume and its segment.")

    def write(self, folder: Path) -> None:
        """Write ``training.json``, after all cases: a folder that has it is complete.

        Raises InputError where the folder cannot be written.
        """
        values = {"format": _FORMAT, "format_version": _FORMAT_VERSION, **asdict(self)}
        with replacing(folder / JOB) as part:
            part.write_text(json.dumps(values, allow_nan=False), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote; raises InputError where it is missing or damaged."""
        path = folder / JOB
        try:
            if path.stat().st_size > _LARGEST_JOB:
                raise ValueError
            values = json.loads(path.read_text(encoding="utf-8"))
            if (values["format"], values["format_version"]) != (_FORMAT, _FORMAT_VERSION):
                raise ValueError
            return cls(**_job_fields(values))
        except OSError as error:
            raise InputError(
                f"{JOB} cannot be read ({error.strerror}). Start the training anew."
            ) from error
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise InputError(
                f"{JOB} is damaged or from another version of DiffOSeg. Start the training anew."
            ) from error

    def cohort(self, folder: Path) -> "JobCohort":
        """Return the cases, whose voxels are read from the folder when one is asked for."""
        return JobCohort(self, folder)


class JobCohort(Sequence[Case]):
    """The cases of a job's folder, read one at a time; made by :meth:`TrainingJob.cohort`."""

    def __init__(self, job: TrainingJob, folder: Path):
        self._job = job
        self._folder = folder

    def __len__(self) -> int:
        return len(self._job.cases)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> list[Case]: ...
    def __getitem__(self, index: int | slice) -> Case | list[Case]:
        """Read one case, the volume being 0 where no voxels are carried; or several.

        What is not carried takes no memory where the system hands out pages on first use. Raises
        InputError where a file is missing, damaged or of another size.
        """
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
        case = self._job.cases[row]
        array = np.zeros(case.geometry.size[::-1], np.float32)
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused later
            array[case.place] = _read_voxels(self._folder / image_file(row), case)
        mask = np.zeros(array.shape, bool)
        mask[case.place] = _read_voxels(self._folder / mask_file(row), case) != 0
        return Case(
            patient=case.patient,
            name=case.name,
            volume=Volume(array, case.geometry, case.modality, case.name),
            masks={self._job.expert.name: mask},
            region=case.region,
        )


def image_file(index: int) -> str:
    """Return the name of the file with the image of the case at ``index``, which counts from 0."""
    return f"image-{index + 1:04d}.npy"


def mask_file(index: int) -> str:
    """Return the name of the file with the mask of the case at ``index``, which counts from 0."""
    return f"mask-{index + 1:04d}.npy"


def carried_for_training(
    geometry: Geometry, marked: Box | None, region: Box | None, metadata: ModelMetadata
) -> tuple[Triple, Triple]:
    """Return start and size, (i, j, k), of the voxels on which a training may depend.

    Args:
        geometry: the whole volume's grid.
        marked: around the mask, LPS mm, as :func:`marked_box` gives it; None where it is empty.
        region: where the expert looked, LPS mm; None where that is around what is marked.
        metadata: of the model.

    The region with the margin that the network sees; or the mask's box with what windows around
    any lesion in it may reach; everything where the intensities are mapped by the whole volume's
    percentiles. Raises InputError where either lies outside the volume, or there is neither.
    """
    if marked is None and region is None:
        raise InputError("The segment is empty. Mark something, or give a region with nothing.")
    grid = ModelGrid.fit(geometry, metadata.spacing_mm)
    answer = grid.window_of(marked if region is None else region)
    if metadata.intensity.kind == "percentiles":
        return (0, 0, 0), geometry.size
    if region is not None:
        return grid.voxels_read(window_seen(answer, metadata.patch))
    taller = with_empty_slices(answer, grid)
    return grid.voxels_read(taller.padded((metadata.patch, metadata.patch)))


def _read_voxels(path: Path, case: TrainingCase) -> np.ndarray:
    """Return the array of an .npy file, mapped and not read, once its type and shape fit."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(
            f"{path.name} of case {case.name} cannot be read ({error.strerror})."
            " Start the training anew."
        ) from error
    except Exception as error:  # whatever numpy's header parser makes of damage
        raise InputError(
            f"{path.name} of case {case.name} is damaged or cut short. Start the training anew."
        ) from error
    if array.shape != case.size[::-1] or array.dtype.kind not in "biuf":
        raise InputError(
            f"{path.name} does not hold the voxels of case {case.name}. Start the training anew."
        )
    return array


def _job_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's fields from parsed JSON; raises ValueError or TypeError where one is wrong."""
    expert, cases = values["expert"], values["cases"]
    texts = {name: values[name] for name in ("corrects", "model", "device")}
    if texts["device"] not in get_args(DeviceChoice):
        raise ValueError
    if type(values["seed"]) is not int or not 0 <= values["seed"] <= LARGEST_SEED:
        raise ValueError
    _require_texts(*texts.values(), expert["name"], expert["description"])
    color = expert["color"]
    return texts | {
        "expert": Expert(
            expert["name"], expert["description"], None if color is None else tuple(color)
        ),
        "cases": tuple(_case_of(case) for case in cases),
        "seed": values["seed"],
    }


def _case_of(values: Mapping[str, Any]) -> TrainingCase:
    texts = {name: values[name] for name in ("name", "patient", "modality")}
    _require_texts(*texts.values())
    region = values["region"]
    return TrainingCase(
        **texts,
        geometry=Geometry(**values["geometry"]),
        start=_triple(values["start"]),
        size=_triple(values["size"]),
        region=None if region is None else Box(**region),
    )


def _require_texts(*values: Any) -> None:
    if not all(isinstance(text, str) for text in values):
        raise TypeError


def _triple(values: Any) -> Triple:
    if not all(type(value) is int for value in values):
        raise TypeError
    i, j, k = values
    return i, j, k
