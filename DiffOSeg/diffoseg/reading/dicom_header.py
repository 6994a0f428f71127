"""What the header of a DICOM file says of its image, frame by frame.

Read with pydicom. Positions come from ImagePositionPatient and ImageOrientationPatient alone (DICOM
PS3.3 C.7.6.2), which an enhanced multi-frame image has in its functional groups (C.7.6.16).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "SeriesNumber",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "PixelSpacing",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_MOST_FRAMES = 20_000
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of a file without preamble


@dataclass(frozen=True)
class SliceHeader:
    """What the header of one image, or of one frame of it, says.

    Attributes:
        path: of its file.
        uid: of this image.
        series, patient, number, modality: as stated, "" where not.
        scout: whether it only shows where slices lie.
        flat: one plane of one value per pixel.
        inverted: shown bright where the values are low, which changes no value.
        shape: rows, columns.
        spacing: mm between rows, between columns.
        thickness: mm, 0 where it is not said.
        position: (3,) of the first pixel, mm.
        orientation: (2, 3): along a row, along a column.
        scale: slope and intercept of the stored values.
        frame: its place in the file; None where that has one plane.
        segmentation: whether its values are segments and no scan.
    """

    path: Path
    uid: str
    series: str
    patient: str
    number: str
    modality: str
    scout: bool
    flat: bool
    inverted: bool
    shape: tuple[int, int]
    spacing: tuple[float, ...]
    thickness: float
    position: np.ndarray
    orientation: np.ndarray
    scale: tuple[float, float] = (1.0, 0.0)
    frame: int | None = None
    segmentation: bool = False

    @property
    def placed(self) -> bool:
        """Whether the header says where the slice is in the patient."""
        lengths = (self.position.size, self.orientation.size, len(self.spacing))
        return lengths == (3, 6, 2) and bool(np.isfinite([*self.position, *self.spacing]).all())

    @property
    def normal(self) -> np.ndarray:
        """The direction across the slice, (3,)."""
        return np.cross(*self.orientation)


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM files do, or is called one."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or path.suffix.lower() == ".dcm" or _begins_with_a_group(start)


def _begins_with_a_group(start: bytes) -> bool:
    """Return whether bytes are a first data element, as in files without a preamble."""
    if start[:2] not in _FIRST_GROUPS or len(start) < 12:
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or int.from_bytes(start[4:8], "little") <= 64


def read_headers(path: Path) -> list[SliceHeader]:
    """Return what a file says of its image, or of each frame; nothing where it holds none.

    Raises:
        InputError: the header cannot be read, or its numbers are none.
    """
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            if "Rows" not in tags or "Columns" not in tags:
                _require_no_image(tags)
                return []
            return list(_frames(path, tags))
    except Exception:  # a forged header can make pydicom raise nearly anything
        raise InputError(f"The header of {path.name} cannot be read. Copy it again.") from None


def _require_no_image(tags: Any) -> None:
    """Raise ValueError where a header without rows is an image's, cut short, or nobody's."""
    from pydicom.uid import UID

    stated = {tags.get("SOPClassUID"), tags.file_meta.get("MediaStorageSOPClassUID")} - {None, ""}
    if not stated or any("Image Storage" in UID(str(uid)).name for uid in stated):
        raise ValueError


def _frames(path: Path, tags: Any) -> Iterator[SliceHeader]:
    whole = _slice(path, tags)
    count = int(tags.get("NumberOfFrames") or 1)
    each = tags.get("PerFrameFunctionalGroupsSequence") or ()
    shared = (tags.get("SharedFunctionalGroupsSequence") or [None])[0]
    if whole.segmentation or not each:
        yield replace(whole, flat=whole.flat and count == 1)
        return
    if len(each) != count or count > _MOST_FRAMES:
        raise ValueError
    for frame, groups in enumerate(each):
        yield _of_groups(whole, frame, groups, shared)


def _slice(path: Path, tags: Any) -> SliceHeader:
    orientation = _numbers(tags, "ImageOrientationPatient")
    series = str(tags.get("SeriesInstanceUID", ""))
    return SliceHeader(
        path=path,
        uid=str(tags.get("SOPInstanceUID", "")),
        series=series,
        patient=str(tags.get("PatientID") or ""),
        number=str(tags.get("SeriesNumber") or series or "without a number"),
        modality=str(tags.get("Modality") or ""),
        scout="LOCALIZER" in (tags.get("ImageType") or ()),
        flat=int(tags.get("SamplesPerPixel") or 1) == 1,
        inverted=str(tags.get("PhotometricInterpretation") or "").strip() == "MONOCHROME1",
        shape=(int(tags.Rows), int(tags.Columns)),
        spacing=tuple(_numbers(tags, "PixelSpacing")),
        thickness=float([*_numbers(tags, "SliceThickness"), 0.0][0]),
        position=_numbers(tags, "ImagePositionPatient"),
        orientation=orientation.reshape(2, 3) if orientation.size == 6 else orientation,
        scale=_scale(tags, (1.0, 0.0)),
        segmentation=str(tags.get("Modality") or "") == "SEG",
    )


def _of_groups(whole: SliceHeader, frame: int, groups: Any, shared: Any) -> SliceHeader:
    """Return what the functional groups say of one frame."""

    def macro(name: str) -> Any:
        for place in (groups, shared):
            found = place.get(name) if place is not None else None
            if found:
                return found[0]
        return {}

    measures, plane = macro("PixelMeasuresSequence"), macro("PlaneOrientationSequence")
    orientation = _numbers(plane, "ImageOrientationPatient")
    spacing, thickness = (_numbers(measures, name) for name in ("PixelSpacing", "SliceThickness"))
    return replace(
        whole,
        frame=frame,
        spacing=tuple(spacing) or whole.spacing,
        thickness=float(thickness[0]) if thickness.size else whole.thickness,
        position=_numbers(macro("PlanePositionSequence"), "ImagePositionPatient"),
        orientation=orientation.reshape(2, 3) if orientation.size == 6 else orientation,
        scale=_scale(macro("PixelValueTransformationSequence"), whole.scale),
    )


def _scale(tags: Any, default: tuple[float, float]) -> tuple[float, float]:
    slope, intercept = (_numbers(tags, f"Rescale{word}") for word in ("Slope", "Intercept"))
    scale = (
        float(slope[0]) if slope.size else default[0],
        float(intercept[0]) if intercept.size else default[1],
    )
    if not scale[0] or not np.isfinite(scale).all():
        raise ValueError
    return scale


def _numbers(tags: Any, name: str) -> np.ndarray:
    """Return the numbers of an element, also where they have commas for points."""
    value = tags[name].value if name in tags else None
    if value in (None, ""):
        return np.array([])
    parts = [value] if isinstance(value, str | float | int) else value
    return np.array([float(str(part).replace(",", ".")) for part in parts])
