"""Stand-ins for Slicer's widgets follow the scene as the real ones do."""

from pathlib import Path
from typing import Any

import ctk
import numpy as np
import pytest
import qt
import slicer

PANEL = """<?xml version="1.0" encoding="UTF-8"?><ui version="4.0"><class>Panel</class>
<widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout" name="column">
 <item><widget class="qMRMLNodeComboBox" name="inputSelector">
  <property name="nodeTypes"><stringlist notr="true">
   <string>vtkMRMLScalarVolumeNode</string></stringlist></property></widget></item>
 <item><widget class="ctkCollapsibleButton" name="advanced">
  <property name="text"><string>Advanced</string></property>
  <property name="collapsed"><bool>true</bool></property></widget></item>
 <item><widget class="ctkSliderWidget" name="slider">
  <property name="maximum"><double>5.0</double></property>
  <property name="SlicerParameterName" stdset="0"><string>spread</string></property></widget></item>
</layout></widget>
<customwidgets>
 <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>q.h</header>
  <container>1</container></customwidget>
 <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>q.h</header>
 </customwidget>
 <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><header>c.h</header>
  <container>1</container></customwidget>
 <customwidget><class>ctkSliderWidget</class><extends>QWidget</extends><header>c.h</header>
 </customwidget>
</customwidgets>{connections}</ui>"""
CONNECTIONS = """<connections><connection><sender>Panel</sender>
 <signal>mrmlSceneChanged(vtkMRMLScene*)</signal><receiver>inputSelector</receiver>
 <slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections>"""


@pytest.fixture
def volume(scene: Any) -> Any:
    return scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")


@pytest.fixture
def combo(scene: Any) -> Any:
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.setMRMLScene(scene)
    return combo


@pytest.fixture
def segmentation(scene: Any) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Readings")
    for name in ("A", "B"):
        node.GetSegmentation().AddEmptySegment(name, f"Reader {name}", (1, 0, 0))
    return node


def load(tmp_path: Path, connections: str) -> Any:
    (tmp_path / "Panel.ui").write_text(PANEL.format(connections=connections))
    return slicer.util.loadUI(str(tmp_path / "Panel.ui"))


def test_a_ui_file_gives_its_widgets_the_scene(scene: Any, volume: Any, tmp_path: Path) -> None:
    panel = load(tmp_path, CONNECTIONS)
    ui = slicer.util.childWidgetVariables(panel)
    panel.setMRMLScene(scene)
    assert ui.inputSelector.currentNode() is volume
    assert ui.advanced.collapsed
    assert ui.advanced.text == "Advanced"
    assert ui.slider.maximum == 5
    assert ui.slider.SlicerParameterName == "spread"


def test_a_forgotten_scene_connection_leaves_the_selector_empty(
    scene: Any, volume: Any, tmp_path: Path
) -> None:
    panel = load(tmp_path, "")
    panel.setMRMLScene(scene)
    selector = slicer.util.childWidgetVariables(panel).inputSelector
    assert selector.currentNode() is None
    assert selector.nodeCount() == 0


def test_a_selector_follows_the_scene(scene: Any, combo: Any) -> None:
    heard: list[Any] = []
    combo.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    first = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Readings")
    assert (combo.count, combo.currentText) == (1, "CT")
    first.SetName("Chest")
    assert combo.currentText == "Chest"
    scene.RemoveNode(first)
    assert combo.currentNode() is None
    assert heard == [first, None]


def test_a_selector_tells_validity_too(scene: Any, combo: Any) -> None:
    heard: list[bool] = []
    combo.connect("currentNodeChanged(bool)", heard.append)
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert heard == [True]


def test_a_selector_may_offer_none(scene: Any, volume: Any, combo: Any) -> None:
    combo.noneEnabled = True
    combo.setCurrentNode(None)
    assert combo.currentNode() is None
    combo.setCurrentNodeID(volume.GetID())
    assert combo.currentNode() is volume


def test_labelmaps_are_hidden_where_child_types_are(scene: Any, combo: Any) -> None:
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert combo.nodeCount() == 1
    combo.showChildNodeTypes = False
    assert combo.nodeCount() == 0


def test_several_nodes_can_be_checked(scene: Any, volume: Any) -> None:
    combo = slicer.qMRMLCheckableNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.setMRMLScene(scene)
    assert combo.checkedNodes() == []
    combo.setCheckState(volume, qt.Qt.Checked)
    assert combo.checkedNodes() == [volume]


def test_a_segment_is_selected(scene: Any, segmentation: Any) -> None:
    heard: list[str] = []
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.connect("currentSegmentChanged(QString)", heard.append)
    selector.setMRMLScene(scene)
    assert selector.currentNode() is segmentation
    assert selector.currentNodeID() == segmentation.GetID()
    assert selector.currentSegmentID() == "A"
    selector.setCurrentSegmentID("B")
    segmentation.GetSegmentation().RemoveSegment("B")
    assert selector.currentSegmentID() == "A"
    assert heard == ["A", "B", "A"]


def test_a_collapsible_button_hides_its_contents(scene: Any) -> None:
    button = ctk.ctkCollapsibleButton()
    inner = qt.QLabel("inner", button)
    button.show()
    heard: list[bool] = []
    button.connect("contentsCollapsed(bool)", heard.append)
    button.collapsed = True
    assert not inner.visible
    button.collapsed = False
    assert inner.visible
    assert heard == [True, False]


def test_a_colour_button_tells_its_colour(scene: Any) -> None:
    button = ctk.ctkColorPickerButton()
    heard: list[Any] = []
    button.connect("colorChanged(QColor)", heard.append)
    button.color = qt.QColor(255, 0, 0)
    assert [color.name() for color in heard] == ["#ff0000"]


def test_a_table_is_shown_and_follows_its_node(scene: Any) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLTableNode")
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(node)
    assert view.rowCount == 0
    slicer.util.updateTableFromArray(node, np.ones((2, 2)), ["a", "b"])
    assert (view.rowCount, view.columnCount) == (2, 2)
    assert view.item(1, 0).text() == node.GetCellText(1, 0)
