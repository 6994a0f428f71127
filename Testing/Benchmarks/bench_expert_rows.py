"""The measurements, one line of JSON each, so that a run that was killed goes on where it was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Record = dict[str, Any]


class Key(NamedTuple):
    """What was measured: a method, on an expert, from k cases of one random draw."""

    method: str
    expert: int
    k: int
    draw: int


class Rows:
    """What has been measured so far, in files that several processes may add to, each to its own.

    A file begins with what all of its rows depend on. Files of other weights, settings or cohorts
    lie beside it and are left alone.

    Args:
        folder: where the files are.
        identity: what every row depends on, JSON.
        part: names the file that this process adds to.
    """

    def __init__(self, folder: Path, identity: Record, part: str = "1-of-1"):
        self._folder, self._identity = folder, json.loads(json.dumps(identity))
        self._path = folder / f"expert-{identity['weights'][:8]}-{identity['of'][:8]}-{part}.jsonl"

    def read(self) -> dict[Key, Record]:
        """Return every row of every file of this identity; one that is there twice counts once."""
        found: dict[Key, Record] = {}
        for path in sorted(self._folder.glob("expert-*.jsonl")):
            lines = _whole_lines(path)
            if next(lines, None) == self._identity:
                for row in lines:
                    found.setdefault(Key(*row["key"]), row)
        return found

    def add(self, key: Key, row: Record) -> None:
        """Append a row to this process's file, whole."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [] if self._begun() else [self._identity]
        lines.append({"key": list(key), **row})
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def _begun(self) -> bool:
        """Return whether the file has its first line; what a kill has left of a line is cut off."""
        if not self._path.exists():
            return False
        with self._path.open("rb+") as file:
            text = file.read()
            file.truncate(text.rfind(b"\n") + 1)
        return b"\n" in text


def _whole_lines(path: Path) -> Iterator[Record]:
    """Yield the lines of a file but for one that was cut off."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
