"""JSON that people write and edit, read with the cause where it cannot be."""

import codecs
import json
from typing import Any

_QUOTES = "'\u2018\u2019\u201c\u201d"


class JsonError(ValueError):
    """A text is no JSON; as a string it says where and why, as the end of a sentence."""


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8, or in UTF-16 as old editors save it.

    Raises JsonError.
    """
    text = _decoded(data)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise JsonError(_cause(text, error)) from None
    except RecursionError:
        raise JsonError("its lists lie too deep in each other") from None


def _decoded(data: bytes) -> str:
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise JsonError(f"line {line} holds letters that are not UTF-8") from None


def _cause(text: str, error: json.JSONDecodeError) -> str:
    """Return what is wrong at the place where reading stopped."""
    rest, before = text[error.pos :].lstrip(), text[: error.pos].rstrip()
    where = f"line {error.lineno}"
    if not text.strip():
        return "it is empty"
    if "escape" in error.msg:
        return f"a backslash in {where} must be written twice"
    if rest.startswith(("//", "/*", "#")):
        return f"{where} has a comment"
    if rest[:1] and rest[0] in _QUOTES:
        return f'{where} has {rest[0]} in place of "'
    if (before.endswith(",") and rest[:1] in ("}", "]", "")) or rest.startswith(","):
        return f"{where} has a comma too many"
    if not rest:
        return f"it ends in {where} before it is whole"
    return f"{where} is not as JSON has it ({error.msg[0].lower()}{error.msg[1:]})"
