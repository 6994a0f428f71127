"""A model file of the fast kind that can be listed, but not run: it has no tensors."""

import json
import struct
from dataclasses import asdict, replace
from pathlib import Path

from diffoseg.catalog import read_card

NAME = "fast"


def aFastModel(folder: Path) -> Path:
    """Write the file into a folder; but for its kind and steps it describes the default model."""
    card = read_card()
    metadata = replace(card.metadata, kind="fast", title="Fast", sampler="ddim", steps=8)
    texts = {
        "format": "diffoseg-model",
        "format_version": "1",
        "content_hash": "0" * 64,
        "networks": json.dumps({"fast": {}}),
        "metadata": json.dumps(asdict(metadata)),
        "experts": json.dumps([{"name": e.name, "description": ""} for e in card.panel]),
    }
    header = json.dumps({"__metadata__": texts}).encode()
    path = folder / f"{NAME}.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path
