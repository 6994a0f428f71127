"""Measuring a model on a cohort of readers, case by case, so that memory does not grow with it.

What was scored is kept in a file, a line a case: an evaluation that was stopped goes on from there.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cohorts.folder import FolderCohort
from ..drawing.segmenter import Segmenter
from ..errors import InputError
from ..files.atomic import replacing
from ..model.presets import STANDARD
from ..model.stored import content_hash
from .page import Section, as_html, as_markdown
from .readers import CaseScores, scored

SCORES, CASES, SLICES = "scores.jsonl", "cases.csv", "slices.csv"
MARKDOWN, HTML = "evaluation.md", "evaluation.html"

_FORMAT = 2

Progress = Callable[[int, int, str], None]


def evaluate_cohort(
    segmenter: Segmenter,
    cohort: FolderCohort,
    *,
    samples: int,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress | None = None,
    steps: int | None = None,
    preset: str = STANDARD,
    renewal: float = 0.0,
) -> list[CaseScores]:
    """Return the scores of every case; a case that nobody marked has no slices.

    Args:
        segmenter: with the model.
        cohort: of two readers or more a case.
        samples: of each answer, 2 or more.
        seed: of the samples.
        folder: where what was scored is kept, so that a run that was stopped goes on; None keeps
            nothing.
        progress: told (cases done, cases in all, the case's name).
        steps, preset, renewal: as for ``Segmenter.segment``.

    Raises:
        InputError: too few samples or readers, a model without a consensus, or the folder holds
            another evaluation.
    """
    if samples < 2 or len(cohort.experts) < 2:
        raise InputError("An evaluation needs two samples and two readers at the least.")
    if not segmenter.model.has_consensus:
        raise InputError("These weights hold no consensus, which is what is compared with readers.")
    options = {
        "samples": samples,
        "seed": seed,
        "steps": steps,
        "preset": preset,
        "renewal": renewal,
    }
    asked = {"format": _FORMAT, "model": content_hash(segmenter.model), **options}
    known = {} if folder is None else _known(folder / SCORES, asked)
    found = []
    for number, entry in enumerate(cohort.entries):
        if progress is not None:
            progress(number, len(cohort), entry.name)
        key = "" if folder is None else cohort.fingerprint(number)
        scores = known.get(key)
        if scores is None:
            scores = _case(segmenter, cohort, number, options)
            if folder is not None:
                _append(folder / SCORES, {"files": key, "scores": scores.values()})
        found.append(scores)
    return found


def write_page(
    folder: Path,
    title: str,
    lead: Sequence[str],
    cases: Sequence[CaseScores],
    sections: Sequence[Section],
) -> None:
    """Write the page as Markdown and HTML, and the numbers as CSV.

    Raises InputError where the folder cannot be written.
    """
    for name, text in (
        (MARKDOWN, as_markdown(title, lead, sections)),
        (HTML, as_html(title, lead, sections)),
    ):
        with replacing(folder / name) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    about = [{"case": case.case, "patient": case.patient} for case in cases]
    whole: list[dict[str, Any]] = [
        a
        | {f"tag {tag}": value for tag, value in c.tags.items()}
        | dict(c.numbers)
        | _flat(c.persons)
        for a, c in zip(about, cases, strict=True)
    ]
    _write_rows(folder / CASES, whole)
    rows = [a | dict(row) for a, c in zip(about, cases, strict=True) for row in c.slices]
    _write_rows(folder / SLICES, rows)


def _flat(persons: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{name}: {what}": x for name, row in persons.items() for what, x in row.items()}


def _case(
    segmenter: Segmenter, cohort: FolderCohort, number: int, options: Mapping[str, Any]
) -> CaseScores:
    case = cohort[number]
    comparison = segmenter.segment(case.volume, case.region, **options)
    return scored(case, comparison, persistent=cohort.persistent_experts)


def _known(path: Path, asked: Mapping[str, Any]) -> dict[str, CaseScores]:
    """Return what was scored before by the same model; begin the file where there is none.

    It is known by the files of the case, so that another case of that name is scored anew.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            _require_free(path.parent)
            _append(path, asked)
            return {}
        first, *lines = _lines(path)
        known = {line["files"]: CaseScores.from_values(line["scores"]) for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be used. Give another folder.") from error
    if first != asked:
        raise InputError(
            f"{path.parent.name} holds an evaluation of another model or other settings. Give"
            " another folder."
        )
    return known


def _require_free(folder: Path) -> None:
    """Refuse a folder with files of our names that no evaluation there has made."""
    for name in (CASES, SLICES, MARKDOWN, HTML):
        if (folder / name).exists():
            raise InputError(
                f"{folder.name} holds a file {name} that no evaluation there has made. Give another"
                " folder."
            )


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON; a last one that was cut off is taken out of it."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        with replacing(path) as part:
            part.write_text(whole, encoding="utf-8", newline="\n")
    return [json.loads(line) for line in whole.splitlines()]


def _append(path: Path, values: Mapping[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}).") from error


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    heads = list(dict.fromkeys(head for row in rows for head in row))
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, heads, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {head: f"{cell:.6g}" if isinstance(cell, float) else cell for head, cell in row.items()}
            for row in rows
        )
