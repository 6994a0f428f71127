"""The stand-in for slicer.parameterNodeWrapper keeps, checks and ties fields as Slicer's does."""

import enum
import operator
import os
from pathlib import Path
from typing import Annotated, Any

import ctk
import pytest
import qt
import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    Minimum,
    WithinRange,
    parameterNodeWrapper,
)


class Kind(enum.Enum):
    ROI = 1
    WHOLE = 2


@parameterNodeWrapper
class Parameters:
    volume: vtkMRMLScalarVolumeNode
    samples: Annotated[int, WithinRange(1, 64)] = 8
    margin: Annotated[float, Minimum(0.0), Default(10.0)]
    device: Annotated[str, Choice(["auto", "cpu"])] = "auto"
    experts: list[str]
    kind: Kind
    table: bool = True
    folder: Path = Path("results")


@pytest.fixture
def parameters(scene: Any) -> Any:
    return Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


def test_fields_begin_with_their_defaults(parameters: Any) -> None:
    assert (parameters.volume, parameters.samples, parameters.margin) == (None, 8, 10.0)
    assert (parameters.device, parameters.experts) == ("auto", [])
    assert (parameters.kind, parameters.table) == (Kind.ROI, True)
    assert parameters.folder == Path("results")


def test_fields_are_kept_by_the_node(scene: Any, parameters: Any) -> None:
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.volume, parameters.samples = volume, 3
    parameters.experts, parameters.kind, parameters.table = ["a", "b"], Kind.WHOLE, False
    again = Parameters(parameters.parameterNode)
    assert (again.volume, again.samples, again.experts) == (volume, 3, ["a", "b"])
    assert (again.kind, again.table) == (Kind.WHOLE, False)


@pytest.mark.parametrize(("name", "value"), [("samples", 65), ("margin", -1.0), ("device", "tpu")])
def test_values_outside_the_annotation_are_refused(parameters: Any, name: str, value: Any) -> None:
    before = getattr(parameters, name)
    with pytest.raises(ValueError, match=r"must be|greater"):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_values_of_another_type_are_refused(scene: Any, parameters: Any) -> None:
    with pytest.raises(TypeError):
        parameters.samples = "many"
    with pytest.raises(TypeError):
        parameters.volume = scene.AddNewNodeByClass("vtkMRMLTableNode")


def test_a_list_is_kept_when_changed_but_cannot_be_added(parameters: Any) -> None:
    parameters.experts = ("a", "b")
    parameters.experts.append("c")
    assert parameters.experts == ["a", "b", "c"]
    assert not isinstance(parameters.experts, list)
    with pytest.raises(NotImplementedError):
        operator.add(parameters.experts, ["d"])
    with pytest.raises(TypeError):
        parameters.experts = [1]


def test_a_default_outside_the_annotation_is_refused(scene: Any) -> None:
    @parameterNodeWrapper
    class Wrong:
        device: Annotated[str, Choice(["auto", "cpu"])]

    with pytest.raises(ValueError, match="must be"):
        Wrong(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


def test_a_singletons_fields_begin_anew_in_the_next_scene(scene: Any) -> None:
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetSingletonTag("HostParameters")
    node = scene.AddNode(node)
    Parameters(node).samples = 3
    scene.Clear(False)
    assert Parameters(node).samples == 8
    scene.RemoveNode(node)


def test_widgets_and_fields_follow_each_other(scene: Any, parameters: Any) -> None:
    panel = qt.QFrame()
    widgets = {
        "samples": ctk.ctkSliderWidget(panel),
        "margin": qt.QDoubleSpinBox(panel),
        "device": qt.QComboBox(panel),
        "kind": qt.QComboBox(panel),
        "table": qt.QCheckBox(panel),
        "volume": slicer.qMRMLNodeComboBox(panel),
    }
    widgets["volume"].setMRMLScene(scene)
    for name, widget in widgets.items():
        widget.setProperty("SlicerParameterName", name)
    tag = parameters.connectGui(panel)

    assert (widgets["samples"].value, widgets["samples"].maximum) == (8, 64)
    widgets["samples"].value = 5
    widgets["device"].currentText = "cpu"
    widgets["kind"].currentIndex = 1
    widgets["table"].checked = False
    assert (parameters.samples, parameters.device) == (5, "cpu")
    assert (parameters.kind, parameters.table) == (Kind.WHOLE, False)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert parameters.volume is volume
    parameters.margin = 2.5
    assert widgets["margin"].value == 2.5

    parameters.disconnectGui(tag)
    widgets["samples"].value = 7
    parameters.margin = 3.5
    assert (parameters.samples, widgets["margin"].value) == (5, 2.5)


def test_gui_tags_are_not_used_twice(parameters: Any) -> None:
    first, second = (parameters.connectGui(qt.QFrame()) for _ in range(2))
    parameters.disconnectGui(first)
    assert parameters.connectGui(qt.QFrame()) not in (first, second)


def test_a_field_that_does_not_exist_is_refused(parameters: Any) -> None:
    panel = qt.QFrame()
    qt.QCheckBox(panel).setProperty("SlicerParameterName", "tables")
    with pytest.raises(ValueError, match="tables"):
        parameters.connectGui(panel)


@pytest.mark.parametrize(
    ("widget", "name"), [("QLineEdit", "samples"), ("QSpinBox", "margin"), ("QComboBox", "experts")]
)
def test_widgets_slicer_has_no_connector_for_are_refused(
    parameters: Any, widget: str, name: str
) -> None:
    panel = qt.QFrame()
    getattr(qt, widget)(panel).setProperty("SlicerParameterName", name)
    with pytest.raises(RuntimeError, match=r"Cannot tie|Unable to create GUI connector"):
        parameters.connectGui(panel)


@pytest.mark.skipif("SLICER_SOURCE" in os.environ, reason="the host is stricter than Slicer")
def test_a_parameter_node_used_after_the_scene_was_closed_is_caught(
    scene: Any, parameters: Any
) -> None:
    parameters.samples = 3
    scene.Clear(False)
    with pytest.raises(RuntimeError, match="after the scene was closed"):
        parameters.samples = 4
