"""LIDC-IDRI's XML: the four reading sessions of a CT scan, from a file that anybody may have made.

Read with expat alone: a document type is refused, so that there are no entities to expand and
nothing is fetched; size, depth and numbers are bounded.

    LidcReadMessage
      ResponseHeader: SeriesInstanceUid, ...
      readingSession (4): unblindedReadNodule (any): noduleID, characteristics, roi (any):
                            imageZposition, imageSOP_UID, inclusion, edgeMap (any): xCoord, yCoord
                          nonNodule (any): nonNoduleID, imageZposition, locus: xCoord, yCoord

A nodule under 3 mm is an unblindedReadNodule of single points: its centre, not its outline.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from ..errors import InputError
from .lidc_readings import RATINGS, SESSIONS, Outline, Reading, ScanReadings

_LARGEST = 2**25  # bytes; the largest file of LIDC-IDRI has a few million
_DEEPEST = 32
_LARGEST_NUMBER = 10**6
_SERIES = re.compile(rb"<(?:\w+:)?SeriesInstanceU[Ii][Dd]\s*>\s*([\d.]{3,64})\s*<")


def read_lidc_xml(path: Path) -> ScanReadings | None:
    """Return what a file says of its CT scan; None where it is XML of something else.

    Raises:
        InputError: the file cannot be read, is too large, no XML, or says what cannot be.
    """
    root = _parsed(path)
    if root.tag != "LidcReadMessage":
        return None
    try:
        return _message(root)
    except ValueError as error:
        raise InputError(f"{path.name} is damaged: {error}.") from None


def series_named_in(path: Path) -> str:
    """Return the series that a damaged file seems to be about; "" where that cannot be told."""
    try:
        with path.open("rb") as file:
            found = _SERIES.search(file.read(2**16))
    except OSError:
        return ""
    return found[1].decode() if found else ""


def _parsed(path: Path) -> Element:
    """Return the tree of a file, its names without namespaces."""
    builder = TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("its elements are nested too deeply")
        builder.start(name.rpartition(":")[2], {})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition(":")[2])

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type, which LIDC-IDRI's files never do")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large for a reading of one scan")
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}).") from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(f"{path.name} is damaged: {error}.") from None


def _message(root: Element) -> ScanReadings:
    header = _child(root, "ResponseHeader")
    series = next((e for e in header if e.tag.lower() == "seriesinstanceuid"), None)
    if series is None or not (series.text or "").strip():
        raise ValueError("it does not say which series was read")
    sessions = root.findall("readingSession")
    if len(sessions) != SESSIONS:
        raise ValueError(f"it holds {len(sessions)} reading sessions instead of {SESSIONS}")
    readings: list[Reading] = []
    small = 0
    for number, session in enumerate(sessions, 1):
        for nodule in session.findall("unblindedReadNodule"):
            reading = _reading(nodule, number)
            if all(len(outline.points) == 1 for outline in reading.outlines):
                small += 1
            else:
                readings.append(reading)
    return ScanReadings(
        series=(series.text or "").strip(),
        source="XML",
        readings=tuple(readings),
        small=small,
        non_nodules=sum(len(session.findall("nonNodule")) for session in sessions),
    )


def _reading(nodule: Element, session: int) -> Reading:
    outlines = tuple(_outline(roi) for roi in nodule.findall("roi"))
    if not outlines:
        raise ValueError(f"a nodule of session {session} has no outline")
    return Reading(session, _text(nodule, "noduleID"), outlines, dict(_ratings(nodule)))


def _outline(roi: Element) -> Outline:
    said = _text(roi, "inclusion").upper()
    if said not in ("TRUE", "FALSE"):
        raise ValueError(f"an outline's inclusion is {said!r:.20}")
    points = [
        (_whole(_text(edge, "xCoord")), _whole(_text(edge, "yCoord")))
        for edge in roi.findall("edgeMap")
    ]
    if not points:
        raise ValueError("an outline has no points")
    z = float(_text(roi, "imageZposition"))
    if not math.isfinite(z):
        raise ValueError("a slice's place is no number")
    uid = roi.find("imageSOP_UID")
    image = "" if uid is None else (uid.text or "").strip()
    return Outline(z, image, said == "TRUE", np.array(points))


def _ratings(nodule: Element) -> Iterator[tuple[str, int]]:
    said = nodule.find("characteristics")
    for rating in () if said is None else said:
        if rating.tag in RATINGS and (rating.text or "").strip():
            yield rating.tag, _whole(rating.text or "")


def _whole(text: str) -> int:
    number = float(text)
    if not number.is_integer() or abs(number) > _LARGEST_NUMBER:
        raise ValueError(f"{text.strip()!r:.20} stands where a whole number should")
    return int(number)


def _text(parent: Element, name: str) -> str:
    return (_child(parent, name).text or "").strip()


def _child(parent: Element, name: str) -> Element:
    found = parent.find(name)
    if found is None:
        raise ValueError(f"its {parent.tag} has no {name}")
    return found
