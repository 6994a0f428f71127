"""A cohort on disk: one folder that holds everything and can be copied as it is.

cohort.json names the experts and the cases; a case is a folder of its own with image.nrrd, the
scan, and experts.seg.nrrd, a segment for each expert, which Slicer opens. Cases are read when they
are asked for, so that a cohort may be larger than the memory. Where a scan shows several lesions,
lesions.nrrd tells them apart, a component for each expert.

Experts are persons who drew every case, unless the index says that they are not persistent: then
"Session 2" of one patient and of the next are different people.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..errors import InputError
from ..experts.panel import Expert, ExpertPanel
from ..files.atomic import replacing
from ..files.json_text import JsonError, parse_json
from ..output.seg_nrrd import write_seg_nrrd
from ..reading.image_file import read_image
from ..reading.seg_nrrd import read_seg_nrrd
from ..space.geometry import Box, Geometry
from ..space.same_grid import SharedGrid
from ..space.volume import Volume, image_of, write_image
from .case import Case

INDEX = "cohort.json"
IMAGE = "image.nrrd"
MASKS = "experts.seg.nrrd"
LESIONS = "lesions.nrrd"

_FORMAT = "diffoseg-cohort"
_VERSION = 1
_VERSION_WITHOUT_PERSONS = 2  # refused by those that would take its experts for persons
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class CaseEntry:
    """What cohort.json says of one case; the fields are those of ``Case``."""

    name: str
    patient: str
    modality: str
    region: Box | None
    tags: Mapping[str, str]


class FolderCohort(Sequence[Case]):
    """The cases of a cohort folder, read one at a time; made by :func:`read_cohort`.

    Attributes:
        experts: of the cohort, in its order.
        entries: what the index says of each case, without reading any.
        persistent_experts: whether an expert is one person throughout the cohort.
    """

    def __init__(
        self,
        root: Path,
        experts: ExpertPanel,
        entries: Sequence[CaseEntry],
        persistent_experts: bool = True,
    ):
        self._root = root
        self.experts = experts
        self.persistent_experts = persistent_experts
        self.entries = tuple(entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> "FolderCohort": ...
    def __getitem__(self, index: int | slice) -> "Case | FolderCohort":
        """Read one case, or take some; raises InputError where a case is incomplete."""
        if isinstance(index, slice):
            return FolderCohort(
                self._root, self.experts, self.entries[index], self.persistent_experts
            )
        entry = self.entries[index]
        volume = self._volume(entry)
        return Case(
            patient=entry.patient,
            name=entry.name,
            volume=volume,
            masks=self._masks(entry, volume.geometry),
            region=entry.region,
            tags=entry.tags,
            lesions=self._lesions(entry, volume.geometry),
        )

    def fingerprint(self, index: int) -> str:
        """Return a hash of all that is stored of a case; another case of that name has another."""
        entry = self.entries[index]
        digest = hashlib.sha256(json.dumps(_facts_of(entry), sort_keys=True).encode())
        for name in (IMAGE, MASKS, LESIONS):
            path = self._root / entry.name / name
            if path.is_file():
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def _volume(self, entry: CaseEntry) -> Volume:
        image = read_image(self._root / entry.name / IMAGE)
        array = image.array.astype(np.float32)
        return Volume(array, image.geometry, entry.modality, entry.name)

    def _masks(self, entry: CaseEntry, geometry: Geometry) -> dict[str, np.ndarray]:
        found, part = read_seg_nrrd(self._root / entry.name / MASKS)
        missing = [name for name in self.experts.names if name not in found]
        if missing:
            raise InputError(f"Case {entry.name} lacks the masks of {', '.join(missing)}.")
        shared = SharedGrid.of(geometry, part)  # Slicer saves what segments reach of the grid
        if shared is None or not shared.inside:
            raise InputError(f"The masks of case {entry.name} are not on its scan's voxels.")
        return {name: shared.put(found[name]) for name in self.experts.names}

    def _lesions(self, entry: CaseEntry, geometry: Geometry) -> dict[str, np.ndarray] | None:
        path = self._root / entry.name / LESIONS
        if not path.is_file():
            return None
        array = read_image(path, components=True).array
        if array.shape != (*geometry.size[::-1], len(self.experts)) or array.dtype != np.uint8:
            raise InputError(f"{LESIONS} of case {entry.name} does not fit it. Copy it again.")
        return {name: array[..., row] for row, name in enumerate(self.experts.names)}


def read_cohort(root: Path) -> FolderCohort:
    """Return the cohort in a folder; reads its index only.

    Raises:
        InputError: no index, of another format or version, or one that names what it must not.
    """
    try:
        facts = parse_json((root / INDEX).read_bytes())
    except OSError:
        raise InputError(f"The folder holds no {INDEX}. Give the folder of a cohort.") from None
    except JsonError as error:
        raise InputError(f"{INDEX} is damaged: {error}. Copy the cohort again.") from None
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
        raise InputError(f"{INDEX} does not describe a DiffOSeg cohort. Give another folder.")
    if facts.get("version") not in (_VERSION, _VERSION_WITHOUT_PERSONS):
        raise InputError(
            f"{INDEX} is of version {facts.get('version')}, known are {_VERSION} and"
            f" {_VERSION_WITHOUT_PERSONS}. Update DiffOSeg."
        )
    try:
        experts = ExpertPanel([Expert(e["name"], e["description"]) for e in facts["experts"]])
        entries = [_entry_of(case) for case in facts["cases"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{INDEX} is incomplete. Copy the cohort again.") from None
    names = [entry.name.lower() for entry in entries]
    if len(set(names)) != len(names):
        raise InputError(f"Two cases in {INDEX} share a name. Rename one of them.")
    return FolderCohort(root, experts, entries, facts.get("persistent_experts", True) is not False)


def write_case(root: Path, case: Case, experts: ExpertPanel) -> CaseEntry:
    """Write one case into its folder; returns what the index says of it.

    Raises:
        InputError: the name is not safe for a folder, a mask is missing, or writing fails.
    """
    _require_safe(case.name)
    if set(case.masks) != set(experts.names):
        raise InputError(f"Case {case.name} needs one mask of each of {', '.join(experts.names)}.")
    folder = root / case.name
    with replacing(folder / IMAGE) as part:
        folder.mkdir(parents=True, exist_ok=True)
        image = image_of(_compact(case.volume.array), case.volume.geometry)
        write_image(image, part)
    if case.lesions is not None:
        numbers = np.stack([case.lesions[name] for name in experts.names], axis=-1)
        with replacing(folder / LESIONS) as part:
            image = image_of(numbers.astype(np.uint8), case.volume.geometry)
            write_image(image, part)
    write_seg_nrrd(
        folder / MASKS,
        {name: case.masks[name] for name in experts.names},
        case.volume.geometry,
        colors={name: experts.color_of(name) for name in experts.names},
    )
    return CaseEntry(case.name, case.patient, case.volume.modality, case.region, case.tags)


def write_cohort(
    root: Path, cases: Iterable[Case], experts: ExpertPanel | None = None
) -> FolderCohort:
    """Write cases one after the other and, when all are there, the index.

    Args:
        root: the cohort's folder; is made if missing.
        cases: each with a mask of every expert.
        experts: None takes the names of the first case's masks.

    Raises:
        InputError: there is no case, or as :func:`write_case` does.
    """
    entries = []
    for case in cases:
        experts = ExpertPanel.of(*case.masks) if experts is None else experts
        entries.append(write_case(root, case, experts))
    if experts is None:
        raise InputError("A cohort needs at least one case. Ask for more.")
    return write_index(root, entries, experts)


def write_index(
    root: Path,
    entries: Sequence[CaseEntry],
    experts: ExpertPanel,
    *,
    persistent_experts: bool = True,
) -> FolderCohort:
    """Write the index of cases that are written; see ``FolderCohort``'s attributes.

    Raises:
        InputError: writing fails.
    """
    facts: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION if persistent_experts else _VERSION_WITHOUT_PERSONS,
        **({} if persistent_experts else {"persistent_experts": False}),
        "experts": [{"name": e.name, "description": e.description} for e in experts],
        "cases": [_facts_of(entry) for entry in entries],
    }
    with replacing(root / INDEX) as part:
        root.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return FolderCohort(root, experts, entries, persistent_experts)


def _compact(array: np.ndarray) -> np.ndarray:
    """Return whole numbers as int16, half the size on disk; others as they are."""
    short = array.astype(np.int16)
    return short if np.array_equal(short, array) else array


def _facts_of(entry: CaseEntry) -> dict[str, Any]:
    box = entry.region
    return {
        "name": entry.name,
        "patient": entry.patient,
        "modality": entry.modality,
        "region": None if box is None else {"lower": box.lower, "upper": box.upper},
        "tags": dict(entry.tags),
    }


def _entry_of(facts: Mapping[str, Any]) -> CaseEntry:
    box = facts["region"]
    _require_safe(facts["name"])
    return CaseEntry(
        name=facts["name"],
        patient=str(facts["patient"]),
        modality=str(facts["modality"]),
        region=None if box is None else Box(tuple(box["lower"]), tuple(box["upper"])),
        tags={str(key): str(value) for key, value in facts["tags"].items()},
    )


def _require_safe(name: str) -> None:
    """Refuse a case's name that could lead out of the cohort's folder, as "..", "/x" or "C:x"."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise InputError(
            f"{name!r} cannot be a case's name. Use letters, digits, hyphens and underscores."
        )
