"""Annotated cases as a MONAI-style data list: a .json file beside the images or far from them.

    {"expert": "Dr Ä", "training": [{"image": "ct.nrrd", "label": "drawn.seg.nrrd",
      "segment": "Lesion", "region": [x0, x1, y0, y1, z0, z1], "patient": "7", "name": "left lung"},
      {"image": "ct2.nii.gz", "label": "all.seg.nrrd", "experts": {"Segment 1": "Ann", ...}}]}

Only "image" and "label" are needed; paths are relative to the list's folder; regions are LPS mm.
Cases under "validation" are cases as those under "training": what is held out, a training decides
itself, by patient. Other keys are left to other programs that read the list.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..experts.panel import check_name
from ..files.atomic import replacing
from ..files.json_text import JsonError, parse_json
from ..files.values import is_number, one_line
from ..space.geometry import Box
from .drawn import DataCohort, DataEntry

_KEYS = ("training", "validation")
_LARGEST_LIST = 2**24  # bytes
_MOST_ENTRIES = 20_000
_MOST_LISTED = 8
_LONGEST_NAME = 200


class DataList:
    """The cases of a data list; made by :func:`read_datalist`.

    Attributes:
        entries: in the list's order; each has a name of its own and a patient.
    """

    def __init__(self, entries: Iterable[DataEntry]):
        self.entries = _named(list(entries))

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the experts that the list speaks of, in its order."""
        names = (name for entry in self.entries for name in entry.drawn.values() if name)
        return tuple(dict.fromkeys(names))

    def cohort(self, expert: str | None = None) -> DataCohort:
        """Return the cases, which are read when one is asked for.

        What is drawn on one image within the same region is one case, whichever entries it is
        spread over; what one expert drew there in several segments is one mask.

        Args:
            expert: whose masks to take, and only the cases that have one; None takes everyone's.

        Raises:
            InputError: the expert drew none of them; or, for None, an entry names no expert.
        """
        if expert is None:
            entries = list(self.entries)
            if nameless := [entry.name for entry in entries if "" in entry.drawn.values()]:
                raise InputError(
                    f"The data list does not say who drew case {nameless[0]}. Add"
                    ' "expert": "NAME" to it or to the whole list.'
                )
        else:
            entries = [_by(entry, expert) for entry in self.entries]
            entries = [entry for entry in entries if entry.drawn]
            if not entries:
                known = ", ".join(self.experts[:_MOST_LISTED])
                raise InputError(f"{expert} drew no case of the data list. It names: {known}.")
        groups: dict[tuple[str, Box | None], list[DataEntry]] = {}
        for entry in entries:
            groups.setdefault((_identity(entry.image), entry.region), []).append(entry)
        return DataCohort(list(groups.values()))


def read_datalist(path: Path) -> DataList:
    """Return what a data list says; reads no image, but sees that all files are there.

    Raises:
        InputError: no such file, no data list, an entry that is none, or a file that is missing;
            the sentence says which entry.
    """
    values = _json_of(path)
    default = _expert_of(values, "", f"The data list {path.name}")
    entries: list[DataEntry] = []
    drawings: dict[Any, str] = {}
    patients: dict[str, tuple[str, str]] = {}
    for where, facts in _listed(values, path.name):
        entry = _entry_of(facts, default, path.parent, where)
        image, label = _identity(entry.image), _identity(entry.label)
        for drawn in entry.drawn.items():
            first = drawings.setdefault((image, label, *drawn, entry.region), where)
            if first != where:
                raise InputError(f"{where} repeats {_inside(first)}. Remove one of the two.")
        if entry.patient:
            patient, first = patients.setdefault(image, (entry.patient, where))
            if patient != entry.patient:
                raise InputError(
                    f"{where} gives the image of {_inside(first)} to another patient. Correct it."
                )
        entries.append(entry)
    return DataList(entries)


def write_datalist(path: Path, entries: Iterable[DataEntry]) -> None:
    """Write cases as a data list, all under "training", with paths relative to its folder.

    Raises:
        InputError: the file cannot be written.
    """
    values = {"training": [_facts_of(entry, path.parent) for entry in entries]}
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # a file's name that is not text to this system
        data = json.dumps(values, indent=1, allow_nan=False).encode("ascii")
    with replacing(path) as part:
        part.write_bytes(data + b"\n")


def _json_of(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_LIST:
            raise InputError(f"{path.name} is too large for a data list. Give another file.")
        values = parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"The data list {path.name} cannot be read ({error.strerror}). Check the name."
        ) from None
    except JsonError as error:
        raise InputError(
            f"{path.name} is not JSON: {error}. Correct it, or export the list again."
        ) from None
    if not isinstance(values, dict):
        raise InputError(f'{path.name} is no data list. Give one with "training": a list of cases.')
    return values


def _listed(values: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    """Return what is listed as a case, each with the words for where that is."""
    found = []
    for key in _KEYS:
        listed = values.get(key, [])
        if not isinstance(listed, list):
            raise InputError(f'"{key}" in {name} is no list of cases. Correct it.')
        found += [
            (f'Entry {number} under "{key}" in {name}', facts)
            for number, facts in enumerate(listed, 1)
        ]
    if len(found) > _MOST_ENTRIES:
        raise InputError(f"{name} lists more than {_MOST_ENTRIES} cases. Split it.")
    if not found:
        raise InputError(
            f'{name} lists no case. Give a data list with "training": [{{"image": "ct.nrrd",'
            ' "label": "mask.seg.nrrd"}].'
        )
    return found


def _inside(where: str) -> str:
    """Return the words for a place as they stand within a sentence."""
    return where[0].lower() + where[1:]


def _entry_of(values: Any, default: str, folder: Path, where: str) -> DataEntry:
    if not isinstance(values, dict):
        raise InputError(f'{where} is no case. Give {{"image": ..., "label": ...}}.')
    region, patient = values.get("region"), values.get("patient", "")
    entry = DataEntry(
        image=_path_of(values, "image", folder, where),
        label=_path_of(values, "label", folder, where),
        drawn=_drawn_of(values, default, where),
        region=None if region is None else _box_of(region, where),
        patient=_text_of(
            {"patient": str(patient)} if type(patient) is int else values, "patient", where
        ),
        name=_text_of(values, "name", where),
    )
    for path in (entry.image, entry.label):
        if not os.path.exists(path):  # noqa: PTH110  # Path.exists raises on names too long
            known = "Check its folder."
            if any(ord(sign) < ord(" ") for sign in path.name):  # "C:\\temp" with one backslash
                known = "Write each backslash twice, or slashes in their place."
            raise InputError(f"{where}: there is no file {one_line(path.name)}. {known}")
    return entry


def _path_of(values: Mapping[str, Any], key: str, folder: Path, where: str) -> Path:
    text = values.get(key)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InputError(f'{where} needs "{key}", the name of one file. Correct it.')
    return folder / text


def _text_of(values: Mapping[str, Any], key: str, where: str) -> str:
    text = values.get(key)
    if text is None:
        return ""
    if not isinstance(text, str) or not text.isprintable() or len(text) > _LONGEST_NAME:
        raise InputError(f'"{key}" of {_inside(where)} is no short text. Correct or remove it.')
    return text.strip()


def _drawn_of(values: Mapping[str, Any], default: str, where: str) -> dict[str, str]:
    """Return who drew which segment."""
    if "experts" not in values:
        return {_segment_of(values, where): _expert_of(values, default, where)}
    drawn = values["experts"]
    if not isinstance(drawn, dict) or not drawn or "expert" in values or "segment" in values:
        raise InputError(
            f'{where} needs "experts" as {{"segment\'s name": "expert\'s name"}}, without "expert"'
            ' or "segment" beside it. Correct it.'
        )
    return {segment: _checked_expert(expert, where) for segment, expert in drawn.items()}


def _segment_of(values: Mapping[str, Any], where: str) -> str:
    """Return a segment's name as it is in its file, any text, or a label's number."""
    segment = values.get("segment")
    if segment is None:
        return ""
    if type(segment) is int:
        return str(segment)
    if not isinstance(segment, str):
        raise InputError(f'"segment" of {_inside(where)} is no text. Correct or remove it.')
    return segment


def _expert_of(values: Mapping[str, Any], default: str, where: str) -> str:
    """Return the expert that is named, or who it is where nobody is."""
    expert = values.get("expert")
    return default if expert in (None, "") else _checked_expert(expert, where)


def _checked_expert(name: Any, where: str) -> str:
    try:
        check_name(name if isinstance(name, str) else "")
    except InputError:
        raise InputError(
            f"{where}: {name!r:.80} cannot be an expert's name. Choose another one."
        ) from None
    return str(name).strip()


def _box_of(values: Any, where: str) -> Box:
    if not isinstance(values, list) or len(values) != 6 or not all(map(is_number, values)):
        raise InputError(f'{where} needs "region" as [x0, x1, y0, y1, z0, z1] in LPS mm.')
    try:
        x0, x1, y0, y1, z0, z1 = values
        return Box((x0, y0, z0), (x1, y1, z1))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _facts_of(entry: DataEntry, folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "image": _relative(entry.image, folder),
        "label": _relative(entry.label, folder),
    }
    if len(entry.drawn) == 1:
        ((segment, expert),) = entry.drawn.items()
        facts |= {key: text for key, text in (("segment", segment), ("expert", expert)) if text}
    else:
        facts["experts"] = dict(entry.drawn)
    if entry.region is not None:
        pairs = zip(entry.region.lower, entry.region.upper, strict=True)
        facts["region"] = [end for pair in pairs for end in pair]
    return facts | {
        key: text for key, text in (("patient", entry.patient), ("name", entry.name)) if text
    }


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return str(path)


def _identity(path: Path) -> str:
    """Return what two spellings of one file's path share."""
    return os.path.normcase(path.resolve())


def _named(entries: Sequence[DataEntry]) -> tuple[DataEntry, ...]:
    """Return the entries with what they did not say themselves: a name, and whose the image is."""
    images = {_identity(entry.image): entry.image for entry in entries}
    stems = [_stem(path) for path in images.values()]
    own = [
        stem if stems.count(stem) == 1 else f"{path.absolute().parent.name}-{stem}"
        for stem, path in zip(stems, images.values(), strict=True)
    ]
    names = dict(zip(images, _unique(own), strict=True))
    patients = names | {
        _identity(entry.image): entry.patient for entry in reversed(entries) if entry.patient
    }
    called = _unique([_safe(entry.name) or names[_identity(entry.image)] for entry in entries])
    return tuple(
        replace(entry, name=name, patient=entry.patient or patients[_identity(entry.image)])
        for entry, name in zip(entries, called, strict=True)
    )


def _stem(path: Path) -> str:
    name = re.sub(r"(\.seg)?\.(nrrd|nhdr|nii|nii\.gz|mha|mhd|dcm)$", "", path.name, flags=re.I)
    return _safe("".join(sign if sign.isprintable() else "_" for sign in name)) or "case"


def _safe(name: str) -> str:
    """Return a name as it can be a folder's on every system."""
    return re.sub(r'[/\\:*?"<>|]', "-", name).strip(". ")[:_LONGEST_NAME]


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, those that occurred before with a number; capital letters do not count."""
    taken: set[str] = set()
    counts: dict[str, int] = {}
    result = []
    for name in names:
        key = name.casefold()
        found = name
        while found.casefold() in taken:
            counts[key] = counts.get(key, 1) + 1
            found = f"{name}-{counts[key]}"
        taken.add(found.casefold())
        result.append(found)
    return result


def _by(entry: DataEntry, expert: str) -> DataEntry:
    """Return an entry with what one expert drew, or whoever the list is read for."""
    drawn = {segment: expert for segment, name in entry.drawn.items() if name in ("", expert)}
    return replace(entry, drawn=drawn)
