"""Files that are there whole or not at all."""

import os
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
