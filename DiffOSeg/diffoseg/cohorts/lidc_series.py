"""What a download of LIDC-IDRI from TCIA holds: CT series and the XML of each, at any depth.

Which XML belongs to which series only their SeriesInstanceUID says; folders are named in many ways.
What cannot be used is told with its reason and never stops the rest.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..reading.dicom_files import is_dicom
from ..reading.dicom_header import SliceHeader, read_header
from .lidc_readings import ScanReadings
from .lidc_xml import read_lidc_xml, series_named_in

CHUNK = 256
"""Files whose headers are read in one piece of work."""

_MOST_FILES = 2_000_000
_PUBLIC = re.compile(r"LIDC-IDRI-\d{4}")


@dataclass(frozen=True)
class Headers:
    """What the headers of some files say.

    Attributes:
        slices: of CT, placed in the patient.
        damaged: files that are DICOM and cannot be read so far, each with its series or "".
    """

    slices: tuple[SliceHeader, ...]
    damaged: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class Refused:
    """Something that was not imported; the sentence names no folder."""

    series: str
    patient: str
    reason: str


@dataclass(frozen=True)
class Series:
    """One CT series with what was said of it, not looked at any further.

    Attributes:
        uid: SeriesInstanceUID.
        patient: LIDC-IDRI's public number of the patient.
        slices: in no order.
        readings: None where there is no XML.
    """

    uid: str
    patient: str
    slices: tuple[SliceHeader, ...]
    readings: ScanReadings | None


def files_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return (files that may be DICOM, XML files) below a folder, in one order on every machine."""
    images: list[Path] = []
    texts: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.startswith("."):  # as macOS leaves beside each file on a foreign disk
                continue
            (texts if name.lower().endswith(".xml") else images).append(Path(parent, name))
        if len(images) > _MOST_FILES:
            raise InputError(f"{folder.name} holds more than {_MOST_FILES} files. Give less.")
    return images, texts


def headers_of(paths: Sequence[Path]) -> Headers:
    """Return what the headers of files say; those that are no DICOM, or no CT, are left out."""
    slices: list[SliceHeader] = []
    damaged: list[tuple[Path, str]] = []
    for path in paths:
        if path.name.upper() == "DICOMDIR" or not is_dicom(path):
            continue
        header = read_header(path)
        if header is None or not header.series or not header.modality:
            damaged += _damaged(path)
        elif header.modality == "CT" and not header.scout:
            slices.append(header)
    return Headers(tuple(slices), tuple(damaged))


def series_in(
    headers: Iterable[Headers], texts: Sequence[Path]
) -> tuple[list[Series], list[Refused]]:
    """Return the series that can be tried, by UID, and what is refused already."""
    slices: dict[str, list[SliceHeader]] = {}
    damaged: list[tuple[Path, str]] = []
    for part in headers:
        damaged += part.damaged
        for header in part.slices:
            slices.setdefault(header.series, []).append(header)
    said, spoiled = _readings_in(texts)
    found: list[Series] = []
    refused: list[Refused] = []
    told: set[Path] = set()
    for uid, members in sorted(slices.items()):
        folders = {header.path.parent for header in members}
        bad = [path for path, series in damaged if series == uid or _lies_in(path, series, folders)]
        told.update(bad)
        spoiled_text = _spoiled_of(uid, folders, spoiled)
        reason = _fault_of(members, bad, said.get(uid, []), spoiled_text)
        patient = public_patient(members[0].patient)
        if reason:
            refused.append(Refused(uid, patient, reason))
        else:
            readings = said[uid][0] if uid in said else None
            found.append(Series(uid, patient, tuple(members), readings))
    for path, uid in damaged:
        if path not in told:
            refused.append(Refused(uid, "", f"{path.name} is damaged. Download its series again."))
    refused += [Refused(text.series, "", text.reason) for text in spoiled if not text.told]
    return found, refused


def public_patient(name: str) -> str:
    """Return LIDC-IDRI's public number of a patient; any other name becomes a number of ours."""
    if _PUBLIC.fullmatch(name):
        return name
    return f"patient-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _lies_in(path: Path, series: str, folders: set[Path]) -> bool:
    return not series and path.parent in folders


@dataclass
class _Spoiled:
    """An XML file that could not be used, and whether its series was told so."""

    path: Path
    series: str
    reason: str
    told: bool = False


def _readings_in(texts: Sequence[Path]) -> tuple[dict[str, list[ScanReadings]], list[_Spoiled]]:
    """Return what XML files say by series, copies of one file once, and those that are spoiled."""
    said: dict[str, dict[bytes, ScanReadings]] = {}
    spoiled: list[_Spoiled] = []
    for path in texts:
        try:
            readings = read_lidc_xml(path)
            if readings is not None:
                digest = hashlib.sha256(path.read_bytes()).digest()
                said.setdefault(readings.series, {})[digest] = readings
        except InputError as error:
            spoiled.append(_Spoiled(path, series_named_in(path), str(error)))
    return {series: list(copies.values()) for series, copies in said.items()}, spoiled


def _spoiled_of(uid: str, folders: set[Path], spoiled: Sequence[_Spoiled]) -> str:
    """Return what is wrong with a series' own XML; "" where nothing is."""
    for text in spoiled:
        if text.series == uid or (not text.series and text.path.parent in folders):
            text.told = True
            return text.reason
    return ""


def _fault_of(
    slices: Sequence[SliceHeader],
    damaged: Sequence[Path],
    readings: Sequence[ScanReadings],
    spoiled: str,
) -> str:
    """Return why a series cannot be used; "" where nothing speaks against it so far."""
    uids = [header.uid for header in slices]
    if damaged:
        return f"{damaged[0].name} is damaged. Download the series again."
    if not all(uids) or len(set(uids)) != len(uids):
        return "Two of its images have one SOPInstanceUID. Download the series again."
    if len({header.patient for header in slices}) != 1:
        return "Its images name different patients."
    if spoiled:
        return spoiled
    if len(readings) > 1:
        return "Two different XML files speak of it. Keep the right one."
    return ""


def _damaged(path: Path) -> list[tuple[Path, str]]:
    """Return a DICOM file without an image, with its series, where it should hold one of a CT."""
    import pydicom

    try:
        tags = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        series = str(tags.get("SeriesInstanceUID", ""))
        return [(path, series)] if str(tags.get("Modality") or "CT") == "CT" else []
    except Exception:  # a forged header can make pydicom raise nearly anything
        return [(path, "")]
