"""ITK without its own words on the terminal, and with a point in its numbers, wherever it runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..files.decimal_point import decimal_point


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Send the process's standard error to nowhere: MetaIO, GDCM and NIfTI print to it directly.

    ITK's exceptions are not affected. Other threads are silent for as long, so the block should
    hold nothing but the reading of one file.
    """
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with decimal_point():
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
