"""A training run's whole state in one safetensors file, replaced atomically.

Because every random draw is keyed by (seed, iteration), the network, its average, the optimiser's
moments and the iteration number are all there is to a run. Nothing is pickled.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import InputError
from ..files.names import readable_name

_FORMAT = "diffoseg-training-1"


def write_checkpoint(path: Path, groups: dict[str, dict[str, torch.Tensor]], facts: Any) -> None:
    """Write named groups of tensors and JSON-able facts; the old file stays whole until then."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group, members in groups.items()
        for name, tensor in members.items()
    }
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as stream:  # safetensors' own writer makes files for the owner alone
            stream.write(save(tensors, {"format": _FORMAT, "facts": json.dumps(facts)}))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"The checkpoint {path.name} could not be written ({error}); the one before it is"
            " whole. Free some disk space and start the same command again."
        ) from error


def read_checkpoint(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], Any]:
    """Return (groups, facts) as ``write_checkpoint`` got them; raises InputError when damaged."""
    groups: dict[str, dict[str, torch.Tensor]] = {}
    try:
        with readable_name(path) as name, safe_open(name, framework="pt") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise InputError(f"{path.name} is not a training checkpoint of this version.")
            for key in stored.keys():  # noqa: SIM118  # safe_open is no mapping
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = stored.get_tensor(key)
            return groups, json.loads(metadata["facts"])
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(
            f"The checkpoint {path.name} is damaged; delete it to start the training anew."
        ) from error
