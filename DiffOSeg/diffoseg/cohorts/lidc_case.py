"""One scan of LIDC-IDRI as cases: a crop around each nodule, with what the four sessions drew.

A crop holds the nodule, the surroundings in which nobody marked anything, and unmarked slices at
both ends. All that was outlined within the crop is drawn, other nodules too. A session that did not
outline the nodule has an empty mask: that is data. Everything is checked before anything is
written, and a case that is complete is not written again.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..experts.panel import Expert, ExpertPanel
from ..files.atomic import replacing
from ..reading.dicom_header import SliceHeader
from ..reading.dicom_stack import stacked
from ..reading.dicom_voxels import read_plane
from ..space.geometry import Box, Geometry, triple
from ..space.volume import Volume
from .case import Case
from .folder import LESIONS, CaseEntry, write_case
from .lidc_contours import Drawn, drawn_on
from .lidc_nodules import nodules_of
from .lidc_pylidc import in_sessions
from .lidc_readings import RATINGS, SESSIONS, ScanReadings
from .lidc_series import Refused, Series

PANEL = ExpertPanel(
    [
        Expert(
            f"Session {number}",
            f"Reading session {number} of a scan of LIDC-IDRI: one person within the scan, not one"
            " person across patients.",
        )
        for number in range(1, SESSIONS + 1)
    ]
)

MARGIN_MM = 24.0
"""Around a nodule: a field of view of 56 mm, as trainings cut by default, lies within the crop."""

_END_SLICES = 2  # at least, on either side of a nodule, and within its region
_RECORD = "case.json"
_RULES = 1  # raised whenever the same contours give another case
_UNSAFE = re.compile(r"[^A-Za-z0-9-]")


@dataclass(frozen=True)
class Imported:
    """What a series has become.

    Attributes:
        series: its SeriesInstanceUID.
        patient: LIDC-IDRI's number.
        source: what its outlines were read from.
        entries: of its cases, one a nodule.
        readers: of each nodule, how many sessions outlined it.
        written: how many cases were not there yet.
        spacing_mm: along (k, j, i).
        small: nodules under 3 mm that were pointed at; None where not known.
        non_nodules: as above.
    """

    series: str
    patient: str
    source: str
    entries: tuple[CaseEntry, ...]
    readers: tuple[int, ...]
    written: int
    spacing_mm: tuple[float, float, float]
    small: int | None
    non_nodules: int | None


@dataclass(frozen=True)
class _Crop:
    """Where a nodule's case lies in the scan; start and end are (k, j, i)."""

    nodule: int
    start: np.ndarray
    end: np.ndarray
    region: Box

    @property
    def shape(self) -> tuple[int, int, int]:
        k, j, i = (int(n) for n in self.end - self.start)
        return k, j, i


def import_series(series: Series, root: Path, margin_mm: float) -> Imported | Refused:
    """Write the cases of one series; returns what it has become, or why it was refused.

    Raises InputError where writing fails, which is no fault of the series.
    """
    try:
        imported, missing = _looked_through(series, root, margin_mm)
    except InputError as error:
        return Refused(series.uid, series.patient, str(error))
    for case, digest in missing:
        _write(root, case, digest)
    return imported


def _looked_through(
    series: Series, root: Path, margin_mm: float
) -> tuple[Imported, list[tuple[Case, str]]]:
    """Return what a series becomes, and the cases still to write, each with its digest."""
    said = series.readings
    if said is None:
        raise InputError("There is no XML for it.")
    stack, geometry = stacked(series.slices, "The series")
    nodules = _nodules(said, stack, geometry)
    crops = [_crop(number, nodules, geometry, margin_mm) for number in range(len(nodules))]
    cases = [_case(series, said.source, nodules, crop, geometry) for crop in crops]
    digests = [_digest(series, stack, geometry, case) for case in cases]
    rows = [row for row, d in enumerate(digests) if not _is_complete(root, cases[row].name, d)]
    _read_crops([crops[row] for row in rows], [cases[row] for row in rows], stack)
    i, j, k = geometry.spacing
    imported = Imported(
        series=series.uid,
        patient=series.patient,
        source=said.source,
        entries=tuple(CaseEntry(c.name, c.patient, "CT", c.region, c.tags) for c in cases),
        readers=tuple(len(nodule) for nodule in nodules),
        written=len(rows),
        spacing_mm=(k, j, i),
        small=said.small,
        non_nodules=said.non_nodules,
    )
    return imported, [(cases[row], digests[row]) for row in rows]


def _nodules(
    said: ScanReadings, stack: Sequence[SliceHeader], geometry: Geometry
) -> list[list[Drawn]]:
    """Return the nodules that anyone outlined, on the scan's voxels."""
    spacing = geometry.spacing[::-1]
    drawn = [drawn_on(reading, stack, geometry.spacing[2]) for reading in said.readings]
    if any(not reading.session for reading in said.readings):
        drawn = in_sessions(drawn, [reading.nodule for reading in said.readings], spacing)
    return nodules_of([one for one in drawn if one.mask.any()], spacing)


def _crop(
    number: int, nodules: Sequence[Sequence[Drawn]], geometry: Geometry, margin_mm: float
) -> _Crop:
    nodule = nodules[number]
    low = np.min([drawn.start for drawn in nodule], axis=0)
    high = np.max([drawn.end for drawn in nodule], axis=0)
    spacing = np.array(geometry.spacing[::-1])

    def grown(by_mm: float) -> tuple[np.ndarray, np.ndarray]:
        more = np.maximum(np.ceil(by_mm / spacing - 1e-9), (_END_SLICES, 0, 0)).astype(int)
        return np.maximum(low - more, 0), np.minimum(high + more, geometry.size[::-1])

    start, end = grown(margin_mm)
    first, last = grown(margin_mm / 2)
    region = geometry.crop(triple(first[::-1]), triple((last - first)[::-1])).bounding_box()
    return _Crop(number, start, end, region)


def _case(
    series: Series,
    source: str,
    nodules: Sequence[Sequence[Drawn]],
    crop: _Crop,
    geometry: Geometry,
) -> Case:
    """Return a nodule's case, its image still without values."""
    nodule = nodules[crop.nodule]
    shown = [crop.nodule] + [
        row
        for row, other in enumerate(nodules)
        if row != crop.nodule and any(d.on(crop.start, crop.shape).any() for d in other)
    ]
    lesions = {name: np.zeros(crop.shape, np.uint8) for name in PANEL.names}
    for number, row in reversed(list(enumerate(shown[:255], 1))):  # the nodule itself comes last
        for drawn in nodules[row]:
            name = PANEL.names[drawn.session - 1]
            lesions[name][drawn.on(crop.start, crop.shape)] = number
    scan = hashlib.sha256(series.uid.encode()).hexdigest()[:6]
    name = f"{_UNSAFE.sub('-', series.patient)[:40]}-{scan}-{crop.nodule + 1}"
    image = np.zeros(crop.shape, np.float32)
    part = geometry.crop(triple(crop.start[::-1]), crop.shape[::-1])
    return Case(
        patient=series.patient,
        name=name,
        volume=Volume(image, part, "CT", name),
        masks={name: numbers > 0 for name, numbers in lesions.items()},
        region=crop.region,
        tags={
            "scan": series.uid,
            "nodule": str(crop.nodule + 1),
            "readers": str(len(nodule)),
            "source": source,
            **_mean_ratings(nodule),
        },
        lesions=lesions if len(shown) > 1 else None,
    )


def _mean_ratings(nodule: Sequence[Drawn]) -> dict[str, str]:
    """Return the mean of what the sessions said, as text, where anyone did."""
    said = {name: [d.ratings[name] for d in nodule if name in d.ratings] for name in RATINGS}
    return {f"mean {name}": f"{np.mean(values):.3g}" for name, values in said.items() if values}


def _read_crops(
    crops: Sequence[_Crop], cases: Sequence[Case], stack: Sequence[SliceHeader]
) -> None:
    """Put the scan's values into the cases' images; every slice is read, so that it is whole."""
    for k, header in enumerate(stack if crops else ()):
        plane = read_plane(header)
        for crop, case in zip(crops, cases, strict=True):
            (first, top, left), (last, bottom, right) = crop.start, crop.end
            if first <= k < last:
                case.volume.array[k - first] = plane[top:bottom, left:right]


def _digest(series: Series, stack: Sequence[SliceHeader], geometry: Geometry, case: Case) -> str:
    """Return what tells whether a case on the disk is this one: all that it is made of."""
    facts = (
        _RULES,
        series.uid,
        [h.uid for h in stack],
        geometry,
        case.volume.geometry,
        case.region,
    )
    digest = hashlib.sha256(repr((facts, sorted(case.tags.items()))).encode())
    for numbers in (case.lesions or case.masks).values():
        digest.update(np.packbits(numbers > 0).tobytes() if case.lesions is None else numbers.data)
    return digest.hexdigest()


def _is_complete(root: Path, name: str, digest: str) -> bool:
    try:
        facts = json.loads((root / name / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("digest") == digest


def _write(root: Path, case: Case, digest: str) -> None:
    """Write a case, and its record when everything else is there."""
    record = root / case.name / _RECORD
    record.unlink(missing_ok=True)
    (root / case.name / LESIONS).unlink(missing_ok=True)
    write_case(root, case, PANEL)
    with replacing(record) as part:
        part.write_text(json.dumps({"digest": digest}) + "\n", encoding="utf-8")
