"""Which kind of drawing a model's kind of network needs."""

from ..model.model import Model
from .drawing import Drawing
from .fast import FastDrawing
from .paper import PaperDrawing


def drawing_for(model: Model) -> type[Drawing]:
    """Return the kind of drawing that a model's kind of network needs."""
    return PaperDrawing if model.fast is None else FastDrawing
