"""A download of LIDC-IDRI in TCIA's layout, from made-up scans and made-up outlines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pydicom

from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.cohorts.lidc_readings import RATINGS
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume

SIZE = (48, 40, 14)  # i, j, k
SPACING = (0.8, 0.8, 2.0)
ORIGIN = (-20.0, 10.0, -60.0)

Chain = tuple[int, bool, Sequence[tuple[int, int]]]
"""Slice, inclusion, and pixels (column, row)."""


@dataclass(frozen=True)
class Nodule:
    """What a session outlined: as it calls it, and its chains."""

    name: str
    chains: tuple[Chain, ...]
    rating: int = 0  # the same for all nine; 0 gives none


@dataclass(frozen=True)
class Session:
    """A reading session: nodules, and where it pointed at what is no nodule, (slice, x, y)."""

    nodules: tuple[Nodule, ...] = ()
    non_nodules: tuple[tuple[int, int, int], ...] = ()


def a_disk(x: float, y: float, radius: float) -> list[tuple[int, int]]:
    """Return the corners of a chain whose centre and radius are in pixels."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    corners = [(round(x + radius * np.cos(a)), round(y + radius * np.sin(a))) for a in angles]
    return list(dict.fromkeys(corners))


def a_ball(name: str, x: float, y: float, slices: range, radius: float, rating: int = 3) -> Nodule:
    """Return a nodule that is a disk on each of some slices."""
    return Nodule(name, tuple((k, True, a_disk(x, y, radius)) for k in slices), rating)


def a_point(name: str, x: int, y: int, k: int) -> Nodule:
    """Return a nodule under 3 mm: its centre alone."""
    return Nodule(name, ((k, True, [(x, y)]),))


FOUR = (
    Session((a_ball("Nodule 001", 20, 18, range(5, 9), 5), a_point("Nodule 002", 40, 30, 3))),
    Session((a_ball("IL057_1273", 20, 18, range(5, 9), 7, 5),), ((2, 9, 9), (11, 30, 9))),
    Session((a_ball("MI014_121", 21, 18, range(6, 8), 4),)),
    Session(),
)
"""One nodule that three of four sessions outlined."""


def a_ct(patient: str, root: Path, seed: int = 0, size: tuple[int, int, int] = SIZE) -> Path:
    """Write a CT series as TCIA does; returns its folder."""
    random = np.random.default_rng(seed)
    values = random.normal(-850, 30, size[::-1])
    k, j, i = np.mgrid[: size[2], : size[1], : size[0]]
    inside = np.hypot((i - 20) * 0.8, (j - 18) * 0.8) < 5
    values[inside & (k >= 5) & (k < 9)] = 30
    folder = root / patient / "01-01-2000-NA-NA-30178" / f"300056{seed}.000000-NA-03192"
    volume = Volume(values.astype(np.float32), Geometry(size, SPACING, ORIGIN), "CT")
    write_dicom_series(volume, folder, series_description="", patient_id=patient)
    return folder


def series_of(folder: Path) -> str:
    return str(pydicom.dcmread(next(folder.glob("*.dcm"))).SeriesInstanceUID)


def images_of(folder: Path) -> dict[int, str]:
    """Return the SOPInstanceUID of each slice by its index."""
    found = {}
    for path in folder.glob("*.dcm"):
        tags = pydicom.dcmread(path, stop_before_pixels=True)
        place = (tags.ImagePositionPatient[2] - ORIGIN[2]) / SPACING[2]
        found[round(place)] = str(tags.SOPInstanceUID)
    return found


def an_xml(
    path: Path,
    series: str,
    sessions: Sequence[Session] = FOUR,
    images: dict[int, str] | None = None,
) -> Path:
    """Write what four sessions said as LIDC-IDRI does."""
    names = images or {}
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<LidcReadMessage uid="1.3.6.1.4.1.14519.5.2.1.6279.6001.1307390687803.0"'
        ' xmlns="http://www.nih.gov" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:schemaLocation="http://www.nih.gov'
        ' http://troll.rad.med.umich.edu/lidc/LidcReadMessage.xsd">\n'
        "  <ResponseHeader><Version>1.8.1</Version><MessageId>-421198203</MessageId>"
        "<DateRequest>2005-11-03</DateRequest><TimeRequest>12:25:15</TimeRequest>"
        "<RequestingSite>removed</RequestingSite><ServicingSite>removed</ServicingSite>"
        "<TaskDescription>Second unblinded read</TaskDescription>"
        f"<SeriesInstanceUid>{series}</SeriesInstanceUid>"
        "<StudyInstanceUID>1.3.6.1</StudyInstanceUID><ResponseComments></ResponseComments>"
        "</ResponseHeader>\n"
        + "".join(_session(session, names) for session in sessions)
        + "</LidcReadMessage>\n",
        encoding="utf-8",
    )
    return path


def a_scan_with_xml(
    patient: str, root: Path, sessions: Sequence[Session] = FOUR, seed: int = 0
) -> Path:
    """Write a CT series and its XML beside the slices, as TCIA does; returns the folder."""
    folder = a_ct(patient, root, seed)
    an_xml(folder / "069.xml", series_of(folder), sessions, images_of(folder))
    return folder


def _session(session: Session, images: dict[int, str]) -> str:
    return (
        "  <readingSession><annotationVersion>3.12</annotationVersion>"
        "<servicingRadiologistID>540461523</servicingRadiologistID>\n"
        + "".join(_nodule(nodule, images) for nodule in session.nodules)
        + "".join(
            f"    <nonNodule><nonNoduleID>{number}</nonNoduleID>"
            f"<imageZposition>{_z(k)}</imageZposition>"
            f"<imageSOP_UID>{images.get(k, '')}</imageSOP_UID>"
            f"<locus><xCoord>{x}</xCoord><yCoord>{y}</yCoord></locus></nonNodule>\n"
            for number, (k, x, y) in enumerate(session.non_nodules)
        )
        + "  </readingSession>\n"
    )


def _nodule(nodule: Nodule, images: dict[int, str]) -> str:
    said = "".join(f"<{name}>{nodule.rating}</{name}>" for name in RATINGS)
    rois = "".join(
        f"      <roi><imageZposition>{_z(k)}</imageZposition>"
        f"<imageSOP_UID>{images.get(k, '')}</imageSOP_UID>"
        f"<inclusion>{'TRUE' if inclusion else 'FALSE'}</inclusion>\n"
        + "".join(
            f"        <edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>\n"
            for x, y in (*points, points[0])
        )
        + "      </roi>\n"
        if len(points) > 1
        else f"      <roi><imageZposition>{_z(k)}</imageZposition>"
        f"<imageSOP_UID>{images.get(k, '')}</imageSOP_UID><inclusion>TRUE</inclusion>"
        f"<edgeMap><xCoord>{points[0][0]}</xCoord><yCoord>{points[0][1]}</yCoord></edgeMap></roi>\n"
        for k, inclusion, points in nodule.chains
    )
    return (
        f"    <unblindedReadNodule><noduleID>{escape(nodule.name)}</noduleID>\n"
        + (f"      <characteristics>{said}</characteristics>\n" if nodule.rating else "")
        + f"{rois}    </unblindedReadNodule>\n"
    )


def _z(k: int) -> str:
    return f"{ORIGIN[2] + SPACING[2] * k:.6f}"
