"""All files of one result, written so that a folder holds a whole result or none.

Everything is made in a hidden folder inside the output folder, on the same disk, and moved into
place at the end; ``result.json`` says which files belong to the result.
"""

import csv
import errno
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from ..comparison.measures import ExpertRow, crop_to_region, disagreement, table
from ..comparison.result import Comparison
from ..errors import InputError
from ..experts.panel import display_name
from ..files.atomic import replacing
from ..space.geometry import Geometry
from ..space.volume import Volume, image_of, write_image
from . import wording
from .picture import draw_comparison
from .report import write_report
from .seg_nrrd import write_seg_nrrd
from .segment_tags import (
    ALGORITHM_NAME,
    ALGORITHM_TYPE,
    AUTOMATIC,
    MODEL,
    MODEL_HASH,
    PRESENCE_GIVEN,
    PRESET,
    TERMINOLOGY,
    algorithm_name,
)

RESULT = "result.json"
_FORMAT = "diffoseg-result"
_FORMAT_VERSION = 1
_PROBE_BYTES = 1 << 20
_NAMES = (  # of the files of a result
    *("segmentation.seg.nrrd", "probability_*.nrrd", "disagreement.nrrd", "volumes.csv"),
    *("comparison.png", "report.html", "timings.json", RESULT),
)


def prepare_folder(folder: Path) -> None:
    """Check, before a long run, that a result can be written; leaves nothing behind.

    Raises InputError where the folder cannot be made or written, its disk is full, or a file that
    no former result lists is in the way.
    """
    with _made(folder):
        _require_ours(folder)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()


def write_results(comparison: Comparison, volume: Volume, folder: Path) -> tuple[ExpertRow, ...]:
    """Write every file of a result and return its table.

    A former result in the folder is replaced once all new files are complete; no other file in it
    ever is. The same comparison gives the same bytes, but for ``timings.json``.

    Args:
        comparison: what is written.
        volume: the scan that was segmented.
        folder: made where it does not exist.

    Raises:
        InputError: the folder cannot be written, its disk is full, or a file that no former result
            lists is in the way; it is then as it was before.
    """
    rows = table(comparison, volume)
    with _made(folder):
        _require_ours(folder)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as hidden:
            part = Path(hidden) / "result"
            part.mkdir()
            _write_all(comparison, volume, rows, part)
            _move_in(part, folder)
    return rows


def _write_all(
    comparison: Comparison, volume: Volume, rows: Sequence[ExpertRow], folder: Path
) -> None:
    """Write all files into an empty folder."""
    _write_segmentation(comparison, folder / "segmentation.seg.nrrd")
    for name, result in comparison.results.items():
        _write_map(comparison, result.probability, folder / _probability_file(comparison, name))
    between = disagreement(comparison)
    if between is not None:
        _write_map(comparison, between, folder / "disagreement.nrrd")
    _write_table(rows, comparison, folder / "volumes.csv")
    draw_comparison(comparison, volume, rows, folder / "comparison.png")
    write_report(comparison, volume, rows, folder / "comparison.png", folder / "report.html")
    _write_json(comparison.timings, folder / "timings.json")
    files = sorted(path.name for path in folder.iterdir())
    _write_json(_description(comparison, [*files, RESULT]), folder / RESULT)


def _write_segmentation(comparison: Comparison, path: Path) -> None:
    """Write all masks as segments on the input's whole grid."""
    results = comparison.results
    write_seg_nrrd(
        path,
        {display_name(n): _on_whole_grid(comparison, r.mask) for n, r in results.items()},
        comparison.geometry,
        colors={display_name(name): comparison.colors[name] for name in results},
        tags={
            display_name(name): {
                ALGORITHM_TYPE: AUTOMATIC,
                ALGORITHM_NAME: algorithm_name(name),
                "TerminologyEntry": TERMINOLOGY,
                **_asked(comparison.provenance),
                **_model(comparison.provenance),
            }
            for name in results
        },
    )


def _asked(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of what was asked that the model would not have done by itself."""
    tags = {PRESET: provenance.get("preset"), PRESENCE_GIVEN: provenance.get("presence")}
    return {tag: str(value) for tag, value in tags.items() if value is not None}


def _model(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of which model it was."""
    tags = {MODEL: provenance.get("weights_title"), MODEL_HASH: provenance.get("weights_hash")}
    return {tag: str(value) for tag, value in tags.items() if value}


def _write_map(comparison: Comparison, array: np.ndarray, path: Path) -> None:
    """Write a map of the region as float32 on the input's whole grid, 0 outside the region."""
    whole = _on_whole_grid(comparison, array.astype(np.float32, copy=False))
    image = image_of(whole, comparison.geometry)
    with replacing(path) as part:
        write_image(image, part)


def _on_whole_grid(comparison: Comparison, array: np.ndarray) -> np.ndarray:
    """Return an array on the region's grid on the input's whole grid, 0 elsewhere."""
    whole = np.zeros(comparison.geometry.size[::-1], array.dtype)
    crop_to_region(whole, comparison)[:] = array
    return whole


def _write_table(rows: Sequence[ExpertRow], comparison: Comparison, path: Path) -> None:
    presence_is = wording.presence_is(comparison)
    model = _no_formula(str(comparison.provenance.get("weights_title", "")))
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = [_line(row, presence_is) | {"model": model} for row in rows]
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _line(row: ExpertRow, presence_is: str) -> dict[str, str]:
    """Return one line of the table; a cell is empty where there is no number."""
    interval = row.interval
    cells: dict[str, float | str | None] = {
        "expert": _no_formula(row.name),
        "volume_ml": row.volume_ml,
        "volume_low_ml": interval.low if interval else None,
        "volume_high_ml": interval.high if interval else None,
        "low_to_high_is": interval.label if interval else None,
        "difference_from_consensus_ml": row.difference_ml,
        "difference_from_consensus_percent": row.difference_percent,
        "largest_diameter_in_a_slice_mm": row.diameter_mm,
        "mean_intensity": row.mean_intensity,
        "presence": row.presence,
        "presence_is": presence_is,
        "dice_with_consensus": row.dice,
        "mean_surface_distance_mm": row.surface_mm,
        "surface_distance_95_mm": row.surface_95_mm,
    }
    return {
        head: f"{cell:.6g}" if isinstance(cell, float) else str("" if cell is None else cell)
        for head, cell in cells.items()
    }


def _no_formula(name: str) -> str:
    """Return a name, from whoever's file, that a spreadsheet shows and does not compute."""
    return f"'{name}" if name.lstrip().startswith(("=", "+", "-", "@")) else name


def _description(comparison: Comparison, files: Sequence[str]) -> dict[str, Any]:
    """Return what ``result.json`` says: nothing of the patient, no paths and no times."""
    return {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "title": wording.title(comparison),
        "conditions": wording.conditions(comparison.provenance),
        "presence_is": wording.presence_is(comparison),
        "experts": [
            {
                "name": name,
                "slug": comparison.slugs[name],
                "color": list(comparison.colors[name]),
                "presence": result.presence,
                "outline_level": result.level,
                "probability": _probability_file(comparison, name),
            }
            for name, result in comparison.results.items()
        ],
        "geometry": _geometry(comparison.geometry),
        "region": {
            "start": list(comparison.region_start),
            **_geometry(comparison.region_geometry),
        },
        "warnings": list(comparison.warnings),
        "provenance": comparison.provenance,
        "files": list(files),
    }


def _geometry(geometry: Geometry) -> dict[str, list[float]]:
    """Return a grid as lists, i first, LPS, mm."""
    return {
        "size": list(geometry.size),
        "spacing": list(geometry.spacing),
        "origin": list(geometry.origin),
        "direction": list(geometry.direction),
    }


def _probability_file(comparison: Comparison, name: str) -> str:
    return f"probability_{comparison.slugs[name]}.nrrd"


def _write_json(content: Mapping[str, Any], path: Path) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, default=dict)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def _move_in(part: Path, folder: Path) -> None:
    """Put new files in the place of a former result; on failure the former one is put back."""
    new = [path.name for path in part.iterdir()]
    former = part.with_name("former")
    former.mkdir()
    placed: list[str] = []
    try:
        for name in {*new, *_files_of(folder)}:
            if (folder / name).exists():
                (folder / name).replace(former / name)
        for name in new:
            (part / name).replace(folder / name)
            placed.append(name)
    except OSError:
        for name in placed:
            (folder / name).unlink()
        for path in former.iterdir():
            path.replace(folder / path.name)
        raise


def _require_ours(folder: Path) -> None:
    """Refuse a folder where a file that is not of a former result has the name of one of ours.

    Names that differ in case alone are one name on Windows and macOS.
    """
    ours = {name.casefold() for name in _files_of(folder)}
    for path in sorted(folder.iterdir()):
        name = path.name.casefold()
        if name not in ours and any(fnmatch(name, pattern) for pattern in _NAMES):
            raise InputError(
                f"The output folder holds {path.name}, which is of no earlier result and would be"
                " replaced. Choose another folder, or move it away."
            )


def _files_of(folder: Path) -> list[str]:
    """Return the names of a former result's files in a folder, none where there is none."""
    try:
        content = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        ours = content["format"] == _FORMAT
        names = [RESULT, *(str(name) for name in content["files"])] if ours else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if Path(name).name == name]


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder for the block, and remove what was made and is still empty at its end.

    Raises InputError, naming the folder by its own name, where it or the block cannot write.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(_reason(error, folder)) from error
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()


def _reason(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The output folder's disk is full. Free some space, or choose another folder."
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"The output folder {folder.name!r} is or lies in a file. Choose another folder."
    return f"The output folder {folder.name!r} cannot be written. Choose another folder."
