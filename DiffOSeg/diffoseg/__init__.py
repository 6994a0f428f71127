"""Consensus and named experts from one categorical diffusion model.

Names load on first use (PEP 562), so that ``diffoseg.worker.job`` can be imported by a process that
has no torch, such as Slicer itself.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .version import __version__

__all__ = ["Model", "Segmenter", "__version__", "import_research_checkpoint", "load_model"]

_HOMES = {
    "Model": "model.model",
    "Segmenter": "drawing.segmenter",
    "import_research_checkpoint": "model.research_checkpoint",
    "load_model": "model.model",
}
_ROOMS = ("diffusion", "experts", "metrics", "weights")
_PUBLIC_MODULES = {
    f"{__name__}.metrics": "evaluation.metrics",
    f"{__name__}.weights": "model.weights",
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'diffoseg' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


class _PublicModules(MetaPathFinder, Loader):
    """Lets ``diffoseg.metrics`` and ``diffoseg.weights`` be imported though they live in rooms."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in _PUBLIC_MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(f".{_PUBLIC_MODULES[spec.name]}", __name__)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state  # its own again, by which it imports


sys.meta_path.append(_PublicModules())
