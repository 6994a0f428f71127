"""Model files: both networks, experts and metadata in one safetensors file, which cannot run code.

Tensors are named "<network>.<state name>", the network being "consensus", "personal" or "fast".
The header's text map holds

    format, format_version   "diffoseg-model", "1"
    metadata, schedule       JSON: ModelMetadata, CategoricalSchedule
    networks                 JSON: a UNetConfig or FastConfig for each network
    experts                  JSON: a list of {name, description}
    calibration              JSON: a Calibration, where there is one
    content_hash             SHA-256 of the tensors, metadata, networks and schedule
    checksum                 SHA-256 of content_hash, experts and calibration

A hash finds damage, not malice: whoever changes a file on purpose can write a fitting hash. So
nothing in a file is trusted for being intact: sizes are bounded and compared before anything of
that size is allocated.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from ..diffusion.schedule import CategoricalSchedule
from ..errors import InputError, WeightsError
from ..experts.local_expert import LocalExpert
from ..experts.panel import Expert, ExpertPanel
from ..files.atomic import write_whole
from ..files.header import changed, damaged, header_length, parsed
from ..files.names import readable_name
from ..networks.config import UNetConfig
from ..networks.fast import FastConfig
from .calibration import IDENTITY, Calibration
from .cards import (
    FORMAT,
    FORMAT_VERSION,
    NETWORKS,
    check_format,
    find_model,
)
from .metadata import ModelMetadata
from .parts import ModelParts
from .restore import (
    Config,
    Network,
    Shape,
    WeightsNamesError,
    check_finite,
    check_tensors,
    read_config,
    restore_network,
    shown,
)

_KINDS = ("paper", "fast")
_CONFIGS = {"consensus": UNetConfig, "personal": UNetConfig, "fast": FastConfig}
_DESCRIBED = ("metadata", "networks", "schedule")
_MOST_STEPS = 100_000
_STORED_TYPES = ("F16", "F32", "I64")


def save_model(model: ModelParts, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a model as one file, whole or not at all; without its local experts.

    The file appears under its name only when it is complete and on the disk; one that was there
    before stays until then.

    Args:
        model: what to write.
        path: the file to write or replace, commonly *.safetensors.
        dtype: torch.float32, or torch.float16 for half the size: 11 bits of precision, so the
            stored model is another one (and has another hash) than the one in memory.

    Raises:
        WeightsError: a value is not finite, or not any more in float16.
        InputError: the file cannot be written (folder, permission, full disk), or another dtype.
    """
    path = Path(path)
    if dtype not in (torch.float32, torch.float16):
        raise InputError(f"Weights are stored as float32 or float16, not as {dtype}.")
    tensors = {name: _as_stored(tensor, dtype) for name, tensor in _tensors(model).items()}
    check_finite(path.name, tensors)
    description = _description(model)
    experts = [{"name": e.name, "description": e.description} for e in model.panel[: model.known]]
    calibration = None if model.calibration == IDENTITY else model.calibration.to_values()
    identity = _hash(tensors, description)
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        **{part: _canonical(description[part]) for part in _DESCRIBED},
        "experts": _canonical(experts),
        **({} if calibration is None else {"calibration": _canonical(calibration)}),
        "content_hash": identity,
        "checksum": _checksum(identity, experts, calibration),
    }
    write_whole(path, to_safetensors(tensors, metadata=header))


def read_parts(path_or_name: str | Path | None = None) -> ModelParts:
    """Return what the model of a file is made of: float32, on the CPU, in eval mode.

    Args:
        path_or_name: a file, or the name of a model that comes with the program
            (``cards.available_models``); None is the default one.

    Raises:
        WeightsError: there is no such file, or it is damaged, of a newer format, or of a network
            that this version does not know. WeightsNamesError and WeightsShapeError say which
            tensor is wrong.
    """
    path = find_model(path_or_name)
    header_length(path)
    try:
        with readable_name(path) as name, safe_open(name, framework="pt") as stored:
            return _read(path.name, stored)
    except (OSError, SafetensorError) as error:
        raise damaged(path.name) from error


def content_hash(model: ModelParts | str | Path) -> str:
    """Return the SHA-256, in hexadecimal, of what a model computes and how it is to be used.

    Over all tensors (names, shapes, values as little-endian float32 or int64), the metadata, the
    sizes of the networks and the schedule; not over the experts' names and the calibration.
    Stored precision does not enter: a model has the hash of the file it was loaded from. The hash
    finds damage and mistaken files, not malice.
    """
    if not isinstance(model, ModelParts):
        model = read_parts(model)
    return _hash(_tensors(model), _description(model))


def check_base(model: ModelParts, local: Sequence[LocalExpert]) -> None:
    """Raise an error, in words, unless all of these experts were taught to this model.

    InputError where the model is of the kind "paper", which cannot be taught any; WeightsError
    where an expert belongs to other weights.
    """
    if local and model.fast is None:
        raise InputError(
            "Local experts need weights of the fast kind; these are of the paper's. Choose other"
            " weights, or leave the local experts out."
        )
    base = (model.metadata.kind, content_hash(model)) if local else None
    for expert in local:
        if (expert.kind, expert.base_hash) != base:
            raise WeightsError(
                f"The expert {expert.name!r:.80} was taught to other weights than these"
                f" ({expert.base_title:.80}). Choose those, or teach the expert anew."
            )
        if model.fast is not None and len(expert.code) != model.fast.config.code_width:
            raise WeightsError(
                f"The expert {expert.name!r:.80} has {len(expert.code)} numbers where these weights"
                f" use {model.fast.config.code_width}. Get its file again."
            )


def _read(file: str, stored: Any) -> ModelParts:
    """Check the open file from the outside in: header, names and shapes, hash, values."""
    header: dict[str, str] = stored.metadata() or {}
    check_format(file, header)
    description = {part: parsed(file, header, part) for part in _DESCRIBED}
    experts = parsed(file, header, "experts")
    calibration = parsed(file, header, "calibration") if "calibration" in header else None
    names = list(stored.keys())
    for name in names:
        if stored.get_slice(name).get_dtype() not in _STORED_TYPES:
            raise WeightsError(f"{file}: tensor {shown(name)} has a type that no model has.")
    shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in names}
    configs = _checked_configs(file, description["networks"], shapes)
    tensors = {name: _as_stored(stored.get_tensor(name), torch.float32) for name in names}
    _check_hash(file, header, tensors, description, experts, calibration)
    networks = {
        network: restore_network(file, config, _part(tensors, network), f"{network}.")
        for network, config in configs.items()
    }
    return _assemble(file, networks, description, experts, calibration)


def _checked_configs(file: str, described: Any, shapes: Mapping[str, Shape]) -> dict[str, Config]:
    """Return each network's configuration, once the file's tensors are exactly what it needs."""
    if not isinstance(described, dict) or not described or described.keys() - set(NETWORKS):
        raise changed(file)
    strangers = {name for name in shapes if name.partition(".")[0] not in described}
    if strangers:
        raise WeightsNamesError(file, set(), strangers)
    configs: dict[str, Config] = {}
    for network, values in described.items():
        found = _part(shapes, network)
        kind: Any = _CONFIGS[network]
        configs[network] = read_config(file, kind, values, len(found))
        check_tensors(file, configs[network], found, f"{network}.")
    return configs


def _part(named: Mapping[str, Any], network: str) -> dict[str, Any]:
    """Return what is named "<network>.<name>", by <name>."""
    start = f"{network}."
    return {name[len(start) :]: value for name, value in named.items() if name.startswith(start)}


def _check_hash(
    file: str,
    header: Mapping[str, str],
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    experts: Any,
    calibration: Any,
) -> None:
    # Over the JSON as it stands in the file: a later version's new fields must not change it.
    identity = _hash(tensors, description)
    checksum = _checksum(identity, experts, calibration)
    if (header.get("content_hash"), header.get("checksum")) != (identity, checksum):
        raise changed(file)


def _assemble(
    file: str,
    networks: Mapping[str, Network],
    description: Mapping[str, Any],
    experts: Any,
    calibration: Any,
) -> ModelParts:
    try:
        panel = ExpertPanel([Expert(str(e["name"]), str(e["description"])) for e in experts])
        metadata = ModelMetadata.from_json(_canonical(description["metadata"]))
        if metadata.kind not in _KINDS:
            raise InputError(f"it holds networks of the kind {metadata.kind!r}")
        restored: Any = {part: networks.get(part) for part in NETWORKS}
        return ModelParts(
            schedule=_schedule(description["schedule"]),
            panel=panel,
            metadata=metadata,
            calibration=IDENTITY if calibration is None else Calibration.from_values(calibration),
            **restored,
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, InputError) as error:
        raise WeightsError(
            f"{file}: does not describe a model that this version knows ({error})."
            " Update the extension or get the file again."
        ) from error


def _networks(model: ModelParts) -> dict[str, Network | None]:
    return {"consensus": model.consensus, "personal": model.personal, "fast": model.fast}


def _schedule(described: Mapping[str, Any]) -> CategoricalSchedule:
    if not (type(described["T"]) is int and described["T"] <= _MOST_STEPS):
        raise InputError(f"its schedule has {described['T']!r:.20} steps")
    return CategoricalSchedule.from_description(described)


def _tensors(model: ModelParts) -> dict[str, Tensor]:
    networks = _networks(model)
    return {
        f"{part}.{name}": tensor
        for part, network in networks.items()
        if network is not None
        for name, tensor in network.state_dict().items()
    }


def _description(model: ModelParts) -> dict[str, Any]:
    networks = _networks(model)
    # Read back once, so that 400 and 400.0 are the same metadata before and after a file.
    metadata = ModelMetadata.from_json(model.metadata.to_json())
    return {
        "metadata": json.loads(metadata.to_json()),
        "networks": {
            part: network.config.to_dict() for part, network in networks.items() if network
        },
        "schedule": model.schedule.description,
    }


def _as_stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an own, contiguous copy on the CPU; counters stay integers."""
    kept = dtype if tensor.is_floating_point() else torch.int64
    return tensor.detach().to("cpu", kept, copy=True).contiguous()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _hash(tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = _as_stored(tensor, torch.float32).numpy()
        stored = values.astype(np.dtype(values.dtype).newbyteorder("<"), copy=False)
        digest.update(_canonical([name, str(values.dtype), list(values.shape)]).encode())
        digest.update(stored.tobytes())
    digest.update(_canonical(description).encode())
    return digest.hexdigest()


def _checksum(identity: str, experts: Any, calibration: Any = None) -> str:
    """Return the hash of all parts, the same as ever where there is no calibration."""
    corrected = "" if calibration is None else _canonical(calibration)
    return hashlib.sha256((identity + _canonical(experts) + corrected).encode()).hexdigest()
