"""A local expert: one that a frozen fast network was taught, as a file of its own.

All that such an expert has is a code, where the base model keeps one of each of its own experts,
and a number that is added to the logit that anything is marked at all. The file is a safetensors
file, which cannot run code, with the tensors "code" and "presence_bias" and the text map

    format, format_version   "diffoseg-expert", "1"
    expert                   JSON: {name, description, color}
    base                     JSON: {hash, title, kind} of the model it was taught to
    training                 JSON: how it was taught and how good it was on held-out cases
    code_version             the version of the engine that made it
    content_hash             SHA-256 of the two tensors and the base's hash
    checksum                 SHA-256 of content_hash and everything above

It is read and written by hand here, since Slicer's own process does so too, which has numpy from
the start and safetensors only later. As with weights, a hash finds damage, not malice: sizes are
bounded before anything is read, and values before anything is computed with them.
"""

import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from ..errors import InputError, WeightsError
from ..files.atomic import write_whole
from ..files.header import changed, parsed
from ..files.values import is_number, one_line
from ..version import __version__
from .panel import Expert, check_name

SUFFIX = ".expert.safetensors"
EXPERT_FORMAT = "diffoseg-expert"
"""What an expert's file says that it is."""
FORMAT_VERSION = 1

_LARGEST_FILE = 1024**2
_WIDEST_CODE = 4096
_GREATEST = 1000.0  # any code or bias that is of use is far smaller
_MOST_CASES = 10**6  # that are told of in a sentence; a file may say anything
_HASH = re.compile("[0-9a-f]{64}")
_PARTS = ("expert", "base", "training", "code_version")


@dataclass(frozen=True, eq=False)
class LocalExpert:
    """An expert that was taught to one base model, complete.

    Attributes:
        expert: name, description and colour.
        base_hash: ``weights.content_hash`` of the model it was taught to, the only one it fits.
        base_title: that model's title, for people.
        kind: that model's kind of network.
        code: where it lies among the experts, float32 (W,), 1 <= W <= 4096, read only.
        presence_bias: what is added to its logit of marking anything, a float32 number.
        training: JSON-able; see ``training.expert``. Numbers that are none become None.
        code_version: the version of the engine that made it.

    Raises InputError where one of them is impossible.
    """

    expert: Expert
    base_hash: str
    base_title: str
    kind: str
    code: np.ndarray
    presence_bias: float
    training: Mapping[str, Any] = field(default_factory=dict)
    code_version: str = __version__

    def __post_init__(self) -> None:
        check_name(self.expert.name)
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused
            code, bias = np.array(self.code, np.float32), float(np.float32(self.presence_bias))
        code.flags.writeable = False
        if code.ndim != 1 or not 1 <= len(code) <= _WIDEST_CODE:
            raise InputError(f"An expert's code is a row of 1 to {_WIDEST_CODE} numbers.")
        if not (np.abs(code).max() <= _GREATEST and abs(bias) <= _GREATEST):  # NaN is neither
            raise InputError("An expert's numbers are finite and of moderate size.")
        if not _HASH.fullmatch(self.base_hash):
            raise InputError("An expert names its base model by a SHA-256 in hexadecimal.")
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "presence_bias", bias)
        object.__setattr__(self, "training", _plain(self.training))

    @property
    def name(self) -> str:
        """The expert's name."""
        return self.expert.name

    @property
    def parameter_count(self) -> int:
        """How many numbers were trained, and are stored."""
        return len(self.code) + 1

    @property
    def hash(self) -> str:
        """The SHA-256, in hexadecimal, of what this expert computes: code, bias and base model."""
        return hashlib.sha256(_tensor_bytes(self) + self.base_hash.encode()).hexdigest()


def save_expert(expert: LocalExpert, path: str | Path) -> None:
    """Write an expert as one file, whole or not at all.

    Raises InputError where the file cannot be written, or what it says of its training is longer
    than such a file may be.
    """
    path, width = Path(path), len(expert.code)
    about, bytes_of_code = expert.expert, 4 * width
    texts = {
        "format": EXPERT_FORMAT,
        "format_version": str(FORMAT_VERSION),
        "expert": _canonical(
            {"name": about.name, "description": about.description, "color": about.color}
        ),
        "base": _canonical(
            {"hash": expert.base_hash, "title": expert.base_title, "kind": expert.kind}
        ),
        "training": _canonical(expert.training),
        "code_version": expert.code_version,
        "content_hash": expert.hash,
    }
    header = {
        "__metadata__": {**texts, "checksum": _checksum(texts)},
        "code": _entry(width, 0),
        "presence_bias": _entry(1, bytes_of_code),
    }
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    payload = struct.pack("<Q", len(written)) + written + _tensor_bytes(expert)
    if len(payload) > _LARGEST_FILE:
        raise InputError("What is told of this expert's training is too long for its file.")
    write_whole(path, payload)


def load_expert(path: str | Path) -> LocalExpert:
    """Read what ``save_expert`` wrote, from whoever made the file.

    Raises:
        WeightsError: there is no such file, it is no expert file, damaged, of a newer format, or
            holds what no expert has.
    """
    path = Path(path)
    texts, header, tensors = _opened(path)
    _check_format(path.name, texts)
    described, base, training = (
        parsed(path.name, texts, part) for part in ("expert", "base", "training")
    )
    code, bias = _values(path.name, header, tensors)
    try:
        expert = LocalExpert(
            _expert(described),
            base_hash=_text(base["hash"]),
            base_title=one_line(_text(base["title"])),
            kind=one_line(_text(base["kind"])),
            code=code,
            presence_bias=bias,
            training=training,
            code_version=one_line(texts["code_version"]),
        )
    except (LookupError, TypeError, ValueError, InputError) as error:
        raise WeightsError(
            f"{path.name}: does not describe an expert as this version knows it."
            " Update the extension or get the file again."
        ) from error
    if (texts.get("content_hash"), texts.get("checksum")) != (expert.hash, _checksum(texts)):
        raise changed(path.name)
    return expert


def renamed(expert: LocalExpert, name: str) -> LocalExpert:
    """Return the same expert by another name; raises InputError where it cannot be one."""
    return replace(expert, expert=replace(expert.expert, name=name))


def summary_of(training: Mapping[str, Any]) -> str:
    """Return in plain words how good an expert was on held-out cases; "" where it is not said."""
    cases, validation = training.get("cases"), training.get("validation")
    if type(cases) is not int or not 1 <= cases <= _MOST_CASES:
        return ""
    if not isinstance(validation, Mapping):
        return ""
    some = f"With {cases} case{'s' if cases > 1 else ''}"
    verdict = validation.get("verdict")
    if verdict == "unproven":
        more = "Add a second case" if cases == 1 else "Add a case of another patient"
        return f"{some} there is none left to check it on. {more} before you rely on it."
    dice, consensus = validation.get("dice"), validation.get("consensus")
    if verdict not in ("use", "like consensus") or not (_is_share(dice) and _is_share(consensus)):
        return ""
    found = f"{some}: Dice {dice:.2f} on held-out cases; consensus {consensus:.2f}."
    if verdict == "use":
        return f"{found} Use it.{_nearer(validation, dice)}"
    return (
        f"{found} No better than the consensus: not enough cases, or this expert draws like the"
        " consensus."
    )


def _nearer(validation: Mapping[str, Any], dice: float) -> str:
    """Return a sentence on an expert of the model who comes nearer; "" where there is none."""
    name, best = validation.get("best_name"), validation.get("best")
    if not (isinstance(name, str) and _is_share(best) and round(best, 2) > round(dice, 2)):
        return ""
    return f" The model's own {one_line(name)} comes nearer ({best:.2f}): compare the two."


def _opened(path: Path) -> tuple[dict[str, str], dict[str, Any], bytes]:
    """Return the text map, the whole header and the bytes behind it of a safetensors file."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise WeightsError(f"{path.name}: cannot be read ({error.strerror}).") from error
    length = int.from_bytes(content[:8], "little")
    if len(content) > _LARGEST_FILE or not 0 < length <= len(content) - 8:
        raise _no_expert(path.name)
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise _no_expert(path.name) from error
    texts = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise _no_expert(path.name)
    return texts, header, content[8 + length :]


def _check_format(file: str, texts: Mapping[str, str]) -> None:
    if texts.get("format") != EXPERT_FORMAT:
        raise _no_expert(file)
    version = texts.get("format_version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise _no_expert(file)
    if int(version) > FORMAT_VERSION:
        raise WeightsError(
            f"{file}: made by a newer DiffOSeg (format {version}, this one reads"
            f" {FORMAT_VERSION}): update the extension."
        )


def _values(file: str, header: Mapping[str, Any], tensors: bytes) -> tuple[np.ndarray, float]:
    """Return code and bias, once the header tells of these two and nothing else."""
    width = len(tensors) // 4 - 1
    if width < 1 or len(tensors) % 4:
        raise _no_expert(file)
    expected = {"code": _entry(width, 0), "presence_bias": _entry(1, 4 * width)}
    found = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if found != expected:
        raise _no_expert(file)
    *code, bias = np.frombuffer(tensors, "<f4")
    return np.array(code, np.float32), float(bias)


def _entry(count: int, start: int) -> dict[str, Any]:
    """Return how a header of safetensors describes a row of float32 numbers."""
    return {"dtype": "F32", "shape": [count], "data_offsets": [start, start + 4 * count]}


def _tensor_bytes(expert: LocalExpert) -> bytes:
    return np.append(expert.code, np.float32(expert.presence_bias)).astype("<f4").tobytes()


def _expert(described: Mapping[str, Any]) -> Expert:
    color = described["color"]
    if color is not None:
        red, green, blue = color
        if not all(map(is_number, color)):
            raise TypeError
        color = (float(red), float(green), float(blue))
    return Expert(_text(described["name"]), one_line(_text(described["description"])), color)


def _is_share(value: Any) -> TypeGuard[float]:
    return is_number(value) and 0 <= value <= 1


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _plain(training: Any) -> dict[str, Any]:
    """Return a summary as JSON holds it, in dictionaries and lists of its own."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        return value

    if not isinstance(training, Mapping):
        raise InputError("What is told of an expert's training is a table of fields.")
    try:
        return dict(json.loads(json.dumps(plain(training), allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("What is told of an expert's training has no place in a file.") from error


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _checksum(texts: Mapping[str, str]) -> str:
    told = [texts.get(part, "") for part in ("content_hash", *_PARTS)]
    return hashlib.sha256(_canonical(told).encode()).hexdigest()


def _no_expert(file: str) -> WeightsError:
    return WeightsError(
        f"{file}: is not an expert file of DiffOSeg, or it is cut short. Get the file again."
    )
