"""Names of files that a library can take, where the real one is not UTF-8.

Disks of old systems and archives hold names in other encodings; Python keeps their bytes, but a C++
library that is handed such a string ends the process.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError


@contextmanager
def readable_name(path: Path) -> Iterator[str]:
    """Yield a name under which any library can read a file: its own, or one through a link.

    Where its own name is plain the link is to its folder, so that what lies beside it is found.
    Raises InputError where a link would be needed and none can be made.
    """
    if _is_plain(path.absolute()):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="diffoseg-") as folder:
        beside = _is_plain(Path(path.name))
        link = Path(folder, "folder" if beside else f"file{_plain_suffix(path)}")
        try:
            link.symlink_to(path.absolute().parent if beside else path.absolute())
        except OSError:
            raise InputError(
                f"The name or folder of {shown_name(path)} holds signs that cannot be read. Rename"
                " it with plain letters."
            ) from None
        yield str(link / path.name if beside else link)


@contextmanager
def writable_name(path: Path) -> Iterator[str]:
    """Yield a name under which any library can write what is then at ``path``."""
    if _is_plain(path.absolute()):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="diffoseg-") as folder:
        written = Path(folder, f"file{_plain_suffix(path)}")
        yield str(written)
        shutil.copyfile(written, path)


def shown_name(path: Path) -> str:
    """Return a file's name as it can be shown anywhere: bytes that are no letters as numbers."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


def _is_plain(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _plain_suffix(path: Path) -> str:
    whole = "".join(path.suffixes[-2:])
    return whole if whole.isascii() else ""
