"""Model files: read, write, name by content, import; public as ``diffoseg.weights``."""

from .model import load_model
from .research_checkpoint import import_research_checkpoint
from .stored import content_hash, save_model

__all__ = ["content_hash", "import_research_checkpoint", "load_model", "save_model"]
