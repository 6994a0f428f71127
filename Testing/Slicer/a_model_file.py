"""Model files of either kind that can be listed and chosen, but not run: they have no tensors."""

import json
import struct
from dataclasses import asdict, replace
from pathlib import Path

from diffoseg.model.cards import read_card

FAST, PAPER = "a-fast-one", "a-paper-one"
"""The names of the models."""

_STEPS = {"fast": 8, "paper": 16}
_NETWORKS = {"fast": {"fast": {}}, "paper": {"consensus": {}, "personal": {}}}


def aFastAndAPaperOne(folder: Path) -> None:
    """Write both files into a folder; but for kind and steps they describe the default model."""
    for name, kind in ((FAST, "fast"), (PAPER, "paper")):
        _write(folder / f"{name}.safetensors", kind)


def _write(path: Path, kind: str) -> None:
    card = read_card()
    changes = {"kind": kind, "title": path.stem, "sampler": "ddim", "steps": _STEPS[kind]}
    texts = {
        "format": "diffoseg-model",
        "format_version": "1",
        "content_hash": "0" * 64,
        "networks": json.dumps(_NETWORKS[kind]),
        "metadata": json.dumps(asdict(replace(card.metadata, **changes))),
        "experts": json.dumps([{"name": e.name, "description": ""} for e in card.panel]),
    }
    header = json.dumps({"__metadata__": texts}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
