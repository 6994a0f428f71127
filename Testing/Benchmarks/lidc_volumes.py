"""Write LIDC-IDRI's nodules of held-out patients as a cohort of readers, to be judged on.

python Testing/Benchmarks/lidc_volumes.py STRIPS OUT [--every N] [--margin MM] [--all]

then:   diffoseg evaluate diffoseg-lidc OUT --out somewhere

Folds 0 and 1 only, which no training has seen. OUT must lie outside the repository: no pixel of
LIDC-IDRI enters it. A region is what the readers marked, with a margin, as somebody points at it.

Volumes are exact and go on beyond a nodule's ends, but nearly all of them are of nodules that three
or four readers marked: judge borders and volumes on them. With --all every nodule is there, one
that a single reader marked too, as the slices of its strip alone, partly of an estimated grey
scale: judge presence on those.
"""

import argparse
import io
import sys
import zipfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from lidc_readers import SEEN_BY_NO_TRAINING
from lidc_strips import READERS, nodules, rows_of

from diffoseg.cohorts.case import Case
from diffoseg.cohorts.folder import write_case, write_index
from diffoseg.experts.panel import ExpertPanel
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.marked import marked_box
from diffoseg.space.volume import Volume

PANEL = ExpertPanel.of(*(f"Reader {number}" for number in range(1, READERS + 1)))
REPOSITORY = Path(__file__).resolve().parents[2]
_SOFT = 3.5  # mean rating of margin or texture below which it is poor, or not solid


def main() -> int:
    """Write the cohort."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("strips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1, help="every how many nodules (default: 1)")
    parser.add_argument("--margin", type=float, default=10.0, help="mm around what was marked")
    parser.add_argument("--all", action="store_true", help="every nodule, as its strip shows it")
    arguments = parser.parse_args()
    if arguments.out.resolve().is_relative_to(REPOSITORY):
        parser.error("OUT lies in the repository, where no pixel of LIDC-IDRI may be.")
    found = (strips_as_cases if arguments.all else volumes_as_cases)(
        arguments.strips, arguments.margin
    )
    chosen = islice(found, 0, None, arguments.every)
    entries = [write_case(arguments.out, case, PANEL) for case in chosen]
    write_index(arguments.out, entries, PANEL, persistent_experts=False)
    print(f"{len(entries)} nodules of {len({entry.patient for entry in entries})} patients")
    return 0


def volumes_as_cases(folder: Path, margin_mm: float) -> Iterator[Case]:
    """Yield every nodule of the held-out folds that is there as a volume."""
    with zipfile.ZipFile(folder / "volumes.zip") as volumes:
        for row in rows_of(folder / "nodules.csv"):
            name = f"{row['nodule']}.npz"
            if int(row["fold"]) in SEEN_BY_NO_TRAINING and name in volumes.NameToInfo:
                stored = np.load(io.BytesIO(volumes.read(name)))
                drawings = np.stack([stored["masks"] >> m & 1 for m in range(READERS)]) > 0
                spacing = stored["spacing_mm"]
                yield _case(row, stored["hu"], drawings, spacing, margin_mm, exact=True)


def strips_as_cases(folder: Path, margin_mm: float) -> Iterator[Case]:
    """Yield every nodule of the held-out folds as its strip shows it."""
    rows = {row["nodule"]: row for row in rows_of(folder / "nodules.csv")}
    for nodule in nodules(folder, SEEN_BY_NO_TRAINING):
        spacing = np.array([nodule.slice_mm, nodule.spacing_mm, nodule.spacing_mm])
        exact = bool(nodule.exact.all())
        row, hu = rows[nodule.name], nodule.hu.round()
        yield _case(row, hu, nodule.drawings, spacing, margin_mm, exact=exact)


def _case(
    row: Mapping[str, str],
    hu: np.ndarray,
    drawings: np.ndarray,
    spacing: np.ndarray,
    margin_mm: float,
    *,
    exact: bool,
) -> Case:
    """Return a case; drawings (READERS, K, H, W) bool, spacing (z, y, x) mm."""
    steps = tuple(spacing[::-1].astype(float).tolist())
    geometry = Geometry(hu.shape[::-1], steps, (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    box = marked_box(geometry, drawings.any(0))
    assert box is not None
    return Case(
        patient=row["patient"],
        name=row["nodule"],
        volume=Volume(hu.astype(np.float32), geometry, "CT", row["nodule"]),
        masks=dict(zip(PANEL.names, drawings, strict=True)),
        region=_within(box, margin_mm, geometry),
        tags={
            "readers": row["readers"],
            "margin": "poor" if float(row["mean_margin"]) < _SOFT else "sharp",
            "texture": "solid" if float(row["mean_texture"]) >= _SOFT else "part-solid or less",
            "grey scale": "exact" if exact else "estimated",
        },
    )


def _within(box: Box, margin_mm: float, geometry: Geometry) -> Box:
    whole = geometry.bounding_box()
    lower = np.maximum(np.subtract(box.lower, margin_mm), whole.lower)
    upper = np.minimum(np.add(box.upper, margin_mm), whole.upper)
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


if __name__ == "__main__":
    sys.exit(main())
