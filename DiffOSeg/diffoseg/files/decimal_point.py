"""Numbers with a point in what ITK reads and writes, whatever the process's locale says."""

import locale
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def decimal_point() -> Iterator[None]:
    """Have numbers parted by a point: where a comma does, ITK reads 1.5 as 1 and writes "1,5".

    It holds for the whole process, so the block should be short.
    """
    before = locale.setlocale(locale.LC_NUMERIC)
    locale.setlocale(locale.LC_NUMERIC, "C")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
