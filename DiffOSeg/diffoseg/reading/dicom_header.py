"""What the header of a DICOM file says of its images: read by pydicom, a file at a time.

An enhanced multi-frame file says it for each frame in functional groups (DICOM PS3.3 C.7.6.16),
others for their one image at the top.
"""

import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files.values import one_line

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # and label map
_RT_DOSE, _PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.481.2", "1.2.840.10008.5.1.4.1.1.30"
_IMAGES_BY_OTHER_NAMES = (*SEGMENTATIONS, _RT_DOSE, _PARAMETRIC_MAP)
_ROOT = "1.2.840.10008."  # of all UIDs of the standard's own
_SERIES = 0x0020000E
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "SeriesNumber",
    "Modality",
    "ImageType",
    "ConvolutionKernel",
    "Rows",
    "Columns",
    "PixelSpacing",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    _SHARED,
    _PER_FRAME,
]


class HeaderError(InputError):
    """A file that looks like DICOM has a header that cannot be read.

    Attributes:
        path: of the file.
        reason: what is wrong with it, as it follows its name in a sentence.
        series: the UID of its series, "" where nobody can know.
    """

    def __init__(self, path: Path, reason: str, series: str = ""):
        super().__init__(f"{one_line(path.name)} {reason}. Copy or export it again.")
        self.path, self.reason, self.series = path, reason, series


@dataclass(frozen=True)
class SliceHeader:
    """What a header says of one image, or of one frame."""

    path: Path
    uid: str  # of this image
    series: str
    patient: str
    number: str
    modality: str
    scout: bool
    flat: bool  # one grey value per pixel, in one plane
    shape: tuple[int, int]  # rows, columns
    spacing: tuple[float, ...]  # mm between rows, between columns
    thickness: float
    position: np.ndarray
    orientation: np.ndarray  # (2, 3): along a row, along a column
    frame: int = 0
    kernel: str = ""  # of a CT's reconstruction

    @property
    def placed(self) -> bool:
        """Whether the header says where the slice is in the patient."""
        lengths = (self.position.size, self.orientation.size, len(self.spacing))
        return lengths == (3, 6, 2) and bool(np.isfinite([*self.position, *self.spacing]).all())

    @property
    def normal(self) -> np.ndarray:
        """The direction across the slice, (3,)."""
        return np.cross(*self.orientation)


def read_header(path: Path) -> SliceHeader | None:
    """Return what a file says of its first image, or None where it holds none that can be read."""
    try:
        return next(iter(read_frames(path)), None)
    except HeaderError:
        return None


def read_frames(path: Path) -> list[SliceHeader]:
    """Return what a file says of its images, one for each frame that has a place of its own.

    Returns:
        None at all for an object that is no image, such as a report or a plan.

    Raises:
        HeaderError: the file is cut short, damaged, or states no number where one belongs.
    """
    series = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags, has_pixels = _tags(path)
            series = _series_of(tags)
            if "Rows" not in tags and _is_no_image(tags):
                return []
            if not has_pixels or "Rows" not in tags or "Columns" not in tags:
                raise HeaderError(
                    path, "is empty" if _is_empty(path) else "ends before its pixels", series
                )
            return _frames(path, tags, series)
    except HeaderError:
        raise
    except OSError as error:
        raise HeaderError(path, f"cannot be opened ({error.strerror})") from None
    except _NoNumberError as error:
        raise HeaderError(path, f"does not state {error} as a clear number", series) from None
    except Exception:  # a forged header can make pydicom raise nearly anything
        raise HeaderError(path, "has a damaged header", series) from None


def class_of(tags: Any) -> str:
    """Return the UID of the kind of object that a file holds, "" where it does not say."""
    meta = getattr(tags, "file_meta", {})
    return str(tags.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")


def macro(tags: Any, frame: int, name: str) -> Any:
    """Return what holds one group of facts on a frame: its own, the shared, or the image's."""
    for groups, index in ((_PER_FRAME, frame), (_SHARED, 0)):
        if len(tags.get(groups) or ()) > index and (found := tags[groups].value[index].get(name)):
            return found[0]
    return tags


def numbers(tags: Any, name: str) -> np.ndarray:
    """Return the numbers of a decimal string, with a comma or a point; empty where there are none.

    Raises ValueError, naming the tag, for what is no number or can be read as two of them.
    """
    element = tags.get_item(name)
    value = None if element is None else element.value
    if isinstance(value, bytes) and element.VR not in ("FD", "FL"):
        texts = value.decode("ascii", "replace").strip("\0 ").split("\\")
    else:
        value = tags.get(name)
        texts = [] if value is None else [str(part) for part in np.atleast_1d(value)]
    return np.array([_number(text.strip(), name) for text in texts if text.strip()])


class _NoNumberError(ValueError):
    """A tag, named by the message, does not hold the number that belongs there."""


def _number(text: str, name: str) -> float:
    if not _NUMBER.fullmatch(text) or _THOUSANDS.fullmatch(text):
        raise _NoNumberError(name)
    number = float(text.replace(",", "."))
    if not np.isfinite(number):
        raise _NoNumberError(name)
    return number


def _tags(path: Path) -> tuple[Any, bool]:
    """Return the tags of a file that are looked at, and whether pixels follow them."""
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    found: list[int] = []

    def at_pixels(tag: int, _vr: str | None, _length: int) -> bool:
        if tag in _PIXELS:
            found.append(tag)
        return tag in _PIXELS

    with path.open("rb") as file:
        tags = read_partial(file, at_pixels, force=True, specific_tags=[Tag(t) for t in _TAGS])
    return tags, bool(found)


def _series_of(tags: Any) -> str:
    """Return the UID of the series, or "" where the file may end in the middle of it."""
    goes_on = any(tag > _SERIES for tag in tags.keys())  # noqa: SIM118  # a Dataset's elements else
    return one_line(str(tags.get("SeriesInstanceUID") or "")) if goes_on else ""


def _is_no_image(tags: Any) -> bool:
    """Return whether an object is of a kind without pixels, as far as the file says twice."""
    meta = getattr(tags, "file_meta", {})
    stated = {tags.get("SOPClassUID"), meta.get("MediaStorageSOPClassUID")} - {None, ""}
    return bool(stated) and all(_lacks_pixels(str(uid)) for uid in stated)


def _lacks_pixels(uid: str) -> bool:
    """Return whether a kind of object has none; one of nobody's may be an image's, cut short."""
    from pydicom.uid import UID

    name = UID(uid).name
    if name == uid:  # of a maker, or no kind at all
        return UID(uid).is_valid and not uid.startswith(_ROOT) and not _ROOT.startswith(uid)
    return uid not in _IMAGES_BY_OTHER_NAMES and "Image Storage" not in name


def _is_empty(path: Path) -> bool:
    return path.stat().st_size == 0


def _frames(path: Path, tags: Any, series: str) -> list[SliceHeader]:
    count = int(tags.get("NumberOfFrames") or 1)
    if _PER_FRAME not in tags or class_of(tags) in SEGMENTATIONS:
        header = frame_header(path, tags, 0)
        single = count == 1 and class_of(tags) not in SEGMENTATIONS
        return [replace(header, flat=header.flat and single)]
    if len(tags[_PER_FRAME].value) != count:
        raise HeaderError(path, "describes fewer or more frames than it has", series)
    return [frame_header(path, tags, frame) for frame in range(count)]


def frame_header(path: Path, tags: Any, frame: int) -> SliceHeader:
    """Return what a file's tags say of one frame; raises nearly anything where they are forged."""
    series = one_line(str(tags.get("SeriesInstanceUID") or ""))
    measures = macro(tags, frame, "PixelMeasuresSequence")
    orientation = numbers(macro(tags, frame, "PlaneOrientationSequence"), "ImageOrientationPatient")
    color = str(tags.get("PhotometricInterpretation") or "").strip()
    return SliceHeader(
        path=path,
        uid=str(tags.get("SOPInstanceUID", "")),
        series=series,
        patient=str(tags.get("PatientID") or ""),
        number=one_line(str(tags.get("SeriesNumber") or series or "without a number")),
        modality=one_line(str(tags.get("Modality") or "")),
        scout="LOCALIZER" in (tags.get("ImageType") or ()),
        flat=int(tags.get("SamplesPerPixel") or 1) == 1
        and color in ("", "MONOCHROME1", "MONOCHROME2"),
        shape=(int(tags.Rows), int(tags.Columns)),
        spacing=tuple(numbers(measures, "PixelSpacing")),
        thickness=_thickness(measures),
        position=numbers(macro(tags, frame, "PlanePositionSequence"), "ImagePositionPatient"),
        orientation=orientation.reshape(2, 3) if orientation.size == 6 else orientation,
        frame=frame,
        kernel=one_line(str(tags.get("ConvolutionKernel") or ""))[:16],
    )


def _thickness(measures: Any) -> float:
    """Return mm, or 0 where none is stated: a stack of several slices can do without."""
    try:
        found = numbers(measures, "SliceThickness")
    except _NoNumberError:
        return 0.0
    return float(found[0]) if len(found) == 1 else 0.0
