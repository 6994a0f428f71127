"""Files that are there whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` when the block succeeds.

    The name ends as ``path`` does, since libraries choose the format by it. Raises InputError where
    writing fails; ITK says so by a RuntimeError.
    """
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        part.replace(path)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path.name} could not be written."
            " Check that the output folder is writable and the disk has free space."
        ) from error
    finally:
        with suppress(OSError):  # gone already, or its folder never was
            part.unlink()


def write_whole(path: Path, payload: bytes) -> None:
    """Write beside the goal, force it to the disk, then rename; leave nothing half-written.

    Raises InputError where the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise InputError(
            f"{path.name}: cannot be written ({error.strerror}). Nothing was changed;"
            " choose another folder or free some space."
        ) from error
