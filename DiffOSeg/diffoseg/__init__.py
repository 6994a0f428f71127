"""Consensus and named experts from one categorical diffusion model.

Names load on first use (PEP 562), so that ``diffoseg.job`` can be imported by a process that has
no torch, such as Slicer itself.
"""

from importlib import import_module
from typing import Any

from .version import __version__

__all__ = ["Model", "Segmenter", "__version__", "load_model"]

_HOMES = {
    "Model": "model",
    "Segmenter": "segmentation",
    "load_model": "weights",
    "diffusion": None,
    "experts": None,
    "job": None,
    "metrics": None,
    "sampling": None,
    "weights": None,
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'diffoseg' has no attribute {name!r}")
    home = _HOMES[name]
    if home is None:
        return import_module(f".{name}", __name__)
    return getattr(import_module(f".{home}", __name__), name)
