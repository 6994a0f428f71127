"""The header of a safetensors file, read without safetensors and without trust.

It is a length and JSON in front of the tensors, of which the text map ``__metadata__`` is ours. The
file may be anybody's: the length is bounded before anything is read.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import WeightsError

# The header of the published networks is 0.1 MB; its length is whatever the file says it is.
_LARGEST_HEADER = 16 * 1024**2


def header_length(path: Path) -> int:
    """Return the length of a file's header, its first eight bytes, once it is known to be sane."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise WeightsError(f"{path.name}: cannot be read ({error.strerror}).") from error
    if not 0 < length <= min(_LARGEST_HEADER, size - 8):
        raise damaged(path.name)
    return length


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins as a safetensors file does: a length, then JSON."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return False
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= size - 8


def parsed(file: str, header: Mapping[str, str], part: str) -> Any:
    """Return one part of a header's text map, which is JSON; raises WeightsError if it is not."""
    try:
        return json.loads(header[part], parse_constant=_refuse_constant, parse_float=_finite_number)
    except (KeyError, ValueError, RecursionError) as error:
        raise changed(file) from error


def damaged(file: str) -> WeightsError:
    """Return the error of a file that is no model at all."""
    return WeightsError(
        f"{file}: is not a DiffOSeg weights file, or it is cut short. Get the file again."
    )


def changed(file: str) -> WeightsError:
    """Return the error of a model file that is not as it was written."""
    return WeightsError(
        f"{file}: damaged or changed since it was made (its hash does not fit). Get the file again."
    )


def header_bytes(path: Path) -> bytes:
    """Return the header of a safetensors file as it is written."""
    length = header_length(path)
    try:
        with path.open("rb") as file:
            file.seek(8)
            return file.read(length)
    except OSError as error:
        raise WeightsError(f"{path.name}: cannot be read ({error.strerror}).") from error


def texts_of(file: str, header: bytes) -> dict[str, str]:
    """Return the text map in a header; raises WeightsError, naming the file, if there is none."""
    try:
        content = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise damaged(file) from error
    texts = content.get("__metadata__", {}) if isinstance(content, dict) else None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise damaged(file)
    return texts


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        _refuse_constant(digits)
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
