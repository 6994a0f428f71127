"""What the panel shows beside its table of cases, as typed fields of the module's scene node."""

from typing import Annotated, Any

from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from DiffOSegLib.run.Parameters import DEVICES, MAXIMUM_SEED, correct

from .CaseRows import ROWS


@parameterNodeWrapper
class _Fields:
    expertName: str = ""
    description: str = ""
    model: str = ""
    corrects: str = ""
    device: Annotated[str, Choice(DEVICES)] = "auto"
    seed: Annotated[int, WithinRange(0, MAXIMUM_SEED)] = 0


class TrainingParameterNode(_Fields):
    """The panel's settings on a ``vtkMRMLScriptedModuleNode``; its cases are in ``CaseRows``.

    Attributes:
        expertName: who drew the segments, where a case names nobody itself.
        description: a line for people about this expert.
        model: name of the base model; empty is the default one.
        corrects: an expert of the base model to begin with; empty is the mean of those it knows.
        device, seed: how it is computed.
        corrections: sentences on what this scene held and this version cannot use.
    """

    # What the wrapper adds.
    parameterNode: Any
    connectParametersToGui: Any
    disconnectGui: Any
    allParameters: Any

    def __init__(self, node: Any, *args: Any):
        wrapped = getattr(node, "parameterNode", node)
        self.corrections: tuple[str, ...] = correct(wrapped, _Fields, others=(ROWS,))
        super().__init__(wrapped, *args)  # type: ignore[call-arg]  # the wrapper adds it
