"""Headers that are lines of text, as NRRD and MetaImage files have them."""

import re
from pathlib import Path, PureWindowsPath

from ..errors import InputError
from ..files.values import one_line

_HEADER_BYTES = 2**20
_MILLIMETRES = {"", "?", "mm", "millimeter", "millimeters", "s", "sec", "unknown"}


class TextHeader:
    """The fields of a header by their names in small letters without spaces.

    Attributes:
        name: of the file.
        length: bytes of the header.
        text: all of it.
        sound: whether every line has a name of its own and a value.
    """

    def __init__(self, path: Path, separator: str, end: bytes):
        """Read the header of a file, with what is between name and value, up to its end."""
        self.name = path.name
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
        found = re.search(end, start, re.IGNORECASE | re.MULTILINE)
        self.length = found.end() if found else len(start)
        self.text = start[: self.length].decode("utf-8", "replace")
        self._fields: dict[str, str] = {}
        self.sound = found is not None
        for line in self.text.splitlines():
            name, *value = re.split(separator, line, maxsplit=1)
            key = name.strip().lower().replace(" ", "")
            if value and key not in self._fields:
                self._fields[key] = value[0].strip()
            else:
                self.sound = self.sound and key[:1] in ("", "#")

    def get(self, *names: str) -> str:
        """Return the value under the first of the names that is there, or ""."""
        return next((self._fields[name] for name in names if name in self._fields), "")

    def require_points(self, *names: str) -> None:
        """Refuse numbers with commas, as programs write them in some languages."""
        for name in names:
            if found := re.search(r"-?\d+,\d+", self.get(name)):
                raise InputError(
                    f"{self.name} writes its numbers with commas ({found[0]}). Save it with points."
                )

    def require_millimetres(self, units: set[str]) -> None:
        """Refuse other units, in which a lesion would be of another size."""
        if not {unit.lower() for unit in units} <= _MILLIMETRES:
            listed = ", ".join(map(one_line, sorted(units)))
            raise InputError(f"{self.name} measures in {listed}. Save it with spacings in mm.")

    def require_own(self, data: str) -> None:
        """Refuse a name of voxels that lie in another folder, as only a forged header has one."""
        named = PureWindowsPath(data)  # knows both kinds of slashes
        if named.anchor or ".." in named.parts:
            raise InputError(f"{self.name} takes its voxels from another folder. Save it anew.")
