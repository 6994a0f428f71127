"""All that the panel shows and a saved scene must bring back, as typed fields of one scene node."""

import re
from collections.abc import Collection, Iterator
from typing import Annotated, Any, get_args, get_type_hints

import slicer
from slicer import (
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from diffoseg.model.presets import PRESETS, STANDARD

SAMPLES, MOST_SAMPLES = 8, 64
MARGIN_MM, LARGEST_MARGIN_MM = 10.0, 100.0
REGION_KINDS = ("roi", "segment", "whole")
DEVICES = ("auto", "cpu", "cuda", "mps")
MAXIMUM_SEED = 2**31 - 1  # what a spin box can hold


@parameterNodeWrapper
class _Fields:
    inputVolume: vtkMRMLScalarVolumeNode
    regionKind: Annotated[str, Choice(REGION_KINDS)] = "roi"
    regionRoi: vtkMRMLMarkupsROINode
    regionSegmentation: vtkMRMLSegmentationNode
    regionSegmentID: str = ""
    regionMarginMm: Annotated[float, WithinRange(0.0, LARGEST_MARGIN_MM)] = MARGIN_MM
    model: str = ""
    experts: list[str]
    samples: Annotated[int, WithinRange(1, MOST_SAMPLES)] = SAMPLES
    preset: Annotated[str, Choice(PRESETS)] = STANDARD
    steps: Annotated[int, WithinRange(0, 250)] = 0
    presence: Annotated[float, WithinRange(0.0, 1.0)] = 0.0
    seed: Annotated[int, WithinRange(0, MAXIMUM_SEED)] = 0
    device: Annotated[str, Choice(DEVICES)] = "auto"
    outputSegmentation: vtkMRMLSegmentationNode
    probabilityMaps: bool = False  # else each answer is one volume more in every selector
    disagreementMap: bool = True
    table: bool = True
    resultSegmentation: vtkMRMLSegmentationNode
    resultDisagreement: vtkMRMLScalarVolumeNode
    resultTable: vtkMRMLTableNode


class DiffOSegParameterNode(_Fields):
    """The panel's whole state on a ``vtkMRMLScriptedModuleNode``.

    Attributes:
        inputVolume: the scan.
        regionKind: "roi", "segment" (around a segment, with a margin) or "whole".
        regionRoi, regionSegmentation, regionSegmentID, regionMarginMm: the region of that kind.
        model: name of a model; empty is the default one.
        experts: who is asked for, "consensus" among them; empty is everyone the model knows.
        samples, preset, steps, seed, device: how it is sampled; 0 steps are those of the preset.
        presence: what the chance that an expert marks anything is set to; 0 is as predicted, 1
            given that something is marked.
        outputSegmentation: where segments are added; None is a new node for each run.
        probabilityMaps, disagreementMap, table: what else a run leaves in the scene.
        resultSegmentation, resultDisagreement, resultTable: what the last run left.
        corrections: sentences on what this scene held and this version cannot use.

    A scene that another version made opens: what is impossible gets its default back, what is not
    known stays where it is, and ``corrections`` says so.
    """

    # What the wrapper adds.
    parameterNode: Any
    connectParametersToGui: Any
    disconnectGui: Any
    allParameters: Any

    def __init__(self, node: Any, *args: Any):
        wrapped = getattr(node, "parameterNode", node)
        self.corrections: tuple[str, ...] = correct(wrapped, _Fields)
        super().__init__(wrapped, *args)  # type: ignore[call-arg]  # the wrapper adds it


def correct(
    node: "slicer.vtkMRMLScriptedModuleNode", fields: type, others: Collection[str] = ()
) -> tuple[str, ...]:
    """Remove values from the node that no field can hold; return a sentence on each kind found.

    Args:
        node: of a scene that somebody else may have made.
        fields: the annotated class whose fields it holds.
        others: names of what else the module keeps on it.
    """
    declared = get_type_hints(fields, include_extras=True)
    impossible = [name for name, kind in declared.items() if not _isPossible(node, name, kind)]
    sentences = []
    if impossible:
        sentences.append(
            _(
                "This scene holds settings that cannot be used ({names}). They have their defaults"
                " again; check them before you go on."
            ).format(names=", ".join(impossible))
        )
    for name in impossible:
        for stored in _storedNames(node, name, declared[name]):
            node.UnsetParameter(stored)
    known = {stored for name, kind in declared.items() for stored in _storedNames(node, name, kind)}
    unknown = sorted(set(node.GetParameterNames()) - known - set(others))
    if unknown:
        sentences.append(
            _(
                "This scene was saved by another version of DiffOSeg. Settings that this version"
                " does not know are left as they are: {names}."
            ).format(names=", ".join(unknown))
        )
    return tuple(sentences)


def _storedNames(
    node: "slicer.vtkMRMLScriptedModuleNode", name: str, declared: Any
) -> Iterator[str]:
    """Yield the node's own names for one field.

    A list is stored item by item: "experts_len", "experts_0", with a dot in some versions.
    """
    pattern = re.compile(rf"{name}([._](len|\d+))?" if declared == list[str] else name)
    return filter(pattern.fullmatch, list(node.GetParameterNames()))


def _isPossible(node: "slicer.vtkMRMLScriptedModuleNode", name: str, declared: Any) -> bool:
    """Whether the field is absent, or holds text that its type and its range can read."""
    if declared == list[str]:
        stored = _storedNames(node, name, declared)
        lengths = [node.GetParameter(n) for n in stored if n.endswith("len")]
        return all(n.isdecimal() and int(n) <= node.GetParameterCount() for n in lengths)
    if not node.HasParameter(name) or not hasattr(declared, "__metadata__"):
        return True
    kind, rule = get_args(declared)
    try:
        rule.validate(kind(node.GetParameter(name)))
    except (ValueError, TypeError):
        return False
    return True
