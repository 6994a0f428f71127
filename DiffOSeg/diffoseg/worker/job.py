"""A segmentation job and its answer, in numpy alone, so that Slicer's own process can use them.

A job travels in a folder: ``job.json`` says what is asked, ``image.npy`` holds the voxels that the
network will look at, which are few where a region is given.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.lib import format as npy

from ..drawing.request import SegmentationRequest
from ..errors import InputError
from ..files.atomic import replacing
from ..model.metadata import ModelMetadata
from ..model.presets import STANDARD
from ..space.field_of_view import window_seen
from ..space.geometry import Box, Geometry, Triple, triple
from ..space.model_grid import ModelGrid
from ..space.volume import Volume

JOB = "job.json"
IMAGE = "image.npy"

DeviceChoice = Literal["auto", "cpu", "cuda", "mps"]

_FORMAT = "diffoseg-job"
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class SegmentationJob:
    """What is asked of a segmentation, complete: the same job gives the same answer.

    Attributes:
        geometry: the whole volume's grid.
        start: (i, j, k) of the first voxel that ``image.npy`` carries.
        size: voxels that it carries along (i, j, k).
        region: where to answer, in the volume's own space, LPS mm; None searches the whole volume.
        experts: names, "consensus" among them where wanted.
        samples: plausible drawings of each.
        steps: network evaluations a sample by the model's own sampler; None leaves it to the
            preset.
        seed: names the draw.
        model: a model's name or file; "" is the default one.
        device: where to compute; "auto" is the best there is.
        modality: DICOM's word, "CT" or "MR", or "" where it is not known.
        name: a short name for titles that holds nothing of the patient.
        preset: one of ``presets.PRESETS``, how much care to take.
        presence: what the chance that an expert marks anything is set to, in (0, 1]; None leaves
            it to the model.
        expert_files: local experts' files, for the names in ``experts`` that are not the model's.

    Raises InputError where the carried voxels do not lie in the volume.
    """

    geometry: Geometry
    start: Triple
    size: Triple
    region: Box | None
    experts: tuple[str, ...]
    samples: int
    steps: int | None
    seed: int
    model: str = ""
    device: DeviceChoice = "auto"
    modality: str = ""
    name: str = "volume"
    preset: str = STANDARD
    presence: float | None = None
    expert_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ends = np.add(self.start, self.size)
        if min(self.start) < 0 or min(self.size) < 1 or np.any(ends > self.geometry.size):
            raise InputError("The voxels handed over do not lie in the volume. Run again.")

    def write(self, folder: Path) -> None:
        """Write ``job.json``; raises InputError where the folder cannot be written."""
        values = {"format": _FORMAT, "format_version": _FORMAT_VERSION, **asdict(self)}
        with replacing(folder / JOB) as part:
            part.write_text(json.dumps(values, allow_nan=False), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote; raises InputError where it is missing or damaged."""
        try:
            values = json.loads((folder / JOB).read_text(encoding="utf-8"))
            if (values["format"], values["format_version"]) != (_FORMAT, _FORMAT_VERSION):
                raise ValueError
            return cls(**_job_fields(values))
        except OSError as error:
            raise InputError(f"{JOB} cannot be read ({error.strerror}). Run again.") from error
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise InputError(
                f"{JOB} is damaged or from another version of DiffOSeg. Restart Slicer, run again."
            ) from error

    def request(self, volume: Volume) -> SegmentationRequest:
        """Return what is asked of the Segmenter, of the volume that ``volume`` returned."""
        return SegmentationRequest(
            image=volume,
            region=self.region,
            experts=self.experts,
            samples=self.samples,
            steps=self.steps,
            seed=self.seed,
            preset=self.preset,
            renewal=0.0,
            presence=self.presence,
        )

    def volume(self, folder: Path) -> Volume:
        """Return the whole volume with the carried voxels in place and 0 elsewhere.

        The voxels that are not carried take no memory where the system hands out pages on first
        use. Raises InputError where ``image.npy`` is missing, damaged or of another size.
        """
        carried = _read_image(folder / IMAGE, self.size[::-1])
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and clipped
            if self.size == self.geometry.size:
                array = np.array(carried, np.float32)
            else:
                array = np.zeros(self.geometry.size[::-1], np.float32)
                places = zip(self.start[::-1], self.size[::-1], strict=True)
                array[tuple(slice(first, first + count) for first, count in places)] = carried
        return Volume(array, self.geometry, self.modality, self.name)


def carried_voxels(
    geometry: Geometry, region: Box | None, metadata: ModelMetadata
) -> tuple[Triple, Triple]:
    """Return start and size, (i, j, k), of the voxels on which a job's answer depends.

    The region with the margin that the network sees; everything where there is no region or where
    the intensities are mapped by the whole volume's percentiles. Raises InputError where the
    region lies outside the volume.
    """
    grid = ModelGrid.fit(geometry, metadata.spacing_mm)
    answer = grid.window_of(region)
    if region is None or metadata.intensity.kind == "percentiles":
        return (0, 0, 0), geometry.size
    boxes = (grid.voxels_read(window_seen(answer, metadata.patch)), grid.region_of(answer))
    start = np.min([first for first, _ in boxes], axis=0)
    end = np.max([np.add(first, size) for first, size in boxes], axis=0)
    return triple(start), triple(end - start)


def npy_header(dtype: np.dtype, shape: Triple) -> bytes:
    """Return what stands in an .npy file before the voxels, (K, J, I) in C order, little-endian."""
    header = io.BytesIO()
    described = npy.dtype_to_descr(np.dtype(dtype).newbyteorder("<"))
    npy.write_array_header_1_0(
        header, {"descr": described, "fortran_order": False, "shape": tuple(map(int, shape))}
    )
    return header.getvalue()


def _job_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's fields from parsed JSON; raises ValueError or TypeError where one is wrong."""
    region, steps, experts = values["region"], values["steps"], values["experts"]
    texts = {name: values[name] for name in ("model", "device", "modality", "name")}
    # A job from before there were presets, or local experts, names none.
    texts["preset"], files = values.get("preset", STANDARD), values.get("expert_files", [])
    if not (isinstance(experts, list) and isinstance(files, list)):
        raise TypeError
    if not all(isinstance(text, str) for text in (*texts.values(), *experts, *files)):
        raise TypeError
    if texts["device"] not in get_args(DeviceChoice):
        raise ValueError
    return texts | {
        "geometry": Geometry(**values["geometry"]),
        "region": None if region is None else Box(**region),
        "experts": tuple(experts),
        "expert_files": tuple(files),
        "steps": None if steps is None else _whole(steps),
        "samples": _whole(values["samples"]),
        "seed": _whole(values["seed"]),
        "presence": _share(values.get("presence")),
        "start": triple([_whole(n) for n in values["start"]]),
        "size": triple([_whole(n) for n in values["size"]]),
    }


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _share(value: Any) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise TypeError
    return value


def _read_image(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of an .npy file, mapped and not read, once its type and shape fit."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}). Run again.") from error
    except Exception as error:  # whatever numpy's header parser makes of damage
        raise InputError(f"{path.name} is damaged or cut short. Run again.") from error
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise InputError(f"{path.name} does not hold the voxels that the job names. Run again.")
    return array
