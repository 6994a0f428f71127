import math

import numpy as np
import pytest
import slicer
from PySide6.QtGui import QImage
from vtk.util.numpy_support import vtk_to_numpy

import SlicerHost
from diffoseg.experts.panel import CONSENSUS_COLOR

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def plot(scene):
    from DiffOSegTrainingLib.panel.CurvePlot import CurvePlot

    made = CurvePlot()
    made.begin("Reader A")
    return made


def a_point(step, loss=0.5, dice=0.8, consensus=0.79, best=0.81, best_name="Wider of four"):
    return {"step": step, "loss": loss, "dice": dice, "consensus": consensus, "best": best,
            "best_name": best_name}  # fmt: skip


def lossOnly(step, loss):
    return a_point(step, loss, None, None, None, "")


def chartNode():
    (node,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    return node


def series():
    nodes = [chartNode().GetNthPlotSeriesNode(n) for n in range(4)]
    return {node.GetName(): node for node in nodes if node is not None}


def drawn(node):
    """Return what a series draws, (x, y)."""
    table = node.GetTableNode().GetTable()
    names = (node.GetXColumnName(), node.GetYColumnName())
    return tuple(vtk_to_numpy(table.GetColumnByName(name)).tolist() for name in names)


def layout():
    return slicer.app.layoutManager().layout


def test_the_experts_dice_the_loss_and_two_flat_lines_are_drawn_over_the_steps(plot):
    plot.add(a_point(0, loss=0.4, dice=0.79))
    plot.add(a_point(10, loss=0.1, dice=0.85))

    curves = series()

    assert drawn(curves["Reader A"]) == ([0, 10], [0.79, 0.85])
    assert drawn(curves["Consensus"]) == ([0, 10], [0.79, 0.79])
    assert drawn(curves["Wider of four, the best of the known"]) == ([0, 10], [0.81, 0.81])
    assert drawn(curves["Loss, 1 at its highest"]) == ([0, 10], [1, 0.25])
    assert curves["Consensus"].GetColor() == pytest.approx(CONSENSUS_COLOR)
    assert chartNode().GetTitle() == "Teaching Reader A"


def test_the_table_holds_the_loss_itself_too(plot):
    plot.add(a_point(5, loss=0.4))
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert slicer.util.arrayFromTableColumn(table, "Loss").tolist() == [0.4]


def test_with_one_case_there_is_only_the_loss(plot):
    plot.add(lossOnly(0, 2.0))
    plot.add(lossOnly(5, 1.0))
    assert {name: drawn(node) for name, node in series().items()} == {
        "Loss, 1 at its highest": ([0, 5], [1, 0.5])
    }


def test_dice_that_is_not_measured_at_every_step_leaves_gaps(plot):
    plot.add(lossOnly(0, 2.0))
    plot.add(a_point(5, loss=1.0))
    x, y = drawn(series()["Reader A"])
    assert x == [0, 5]
    assert math.isnan(y[0])
    assert y[1] == 0.8


def test_a_loss_that_rises_stays_below_the_legend(plot):
    for step, loss in enumerate((0.2, 0.5, 0.1)):
        plot.add(lossOnly(step, loss))
    assert drawn(series()["Loss, 1 at its highest"])[1] == pytest.approx([0.4, 1, 0.2])


def test_a_loss_that_is_no_number_does_no_harm(plot):
    for loss in (math.nan, 0.0, 0.5):
        plot.add(a_point(1, loss=loss))
    assert drawn(series()["Loss, 1 at its highest"])[1][2] == 1


def test_the_next_expert_begins_anew_with_the_same_nodes(plot):
    plot.add(a_point(0))
    before = slicer.mrmlScene.GetNumberOfNodes()
    plot.begin("Reader B")
    assert plot.empty

    plot.add(a_point(3, best_name="Tightest of four"))

    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert drawn(series()["Reader B"]) == ([3], [0.8])
    assert "Reader A" not in series()


def test_curves_whose_nodes_were_deleted_come_back(plot):
    plot.add(a_point(0))
    slicer.mrmlScene.Clear(False)
    plot.add(a_point(5))
    assert drawn(series()["Reader A"])[0] == [0, 5]


def test_they_are_shown_beside_the_slices_and_the_former_layout_comes_back(plot):
    before = layout()
    plot.add(a_point(0))
    assert not plot.shown

    plot.show()

    assert plot.shown
    assert slicer.app.layoutManager().plotViewCount == 1
    assert slicer.app.layoutManager().plotWidget(0).plotView().chartNode() is chartNode()
    plot.hide()
    assert not plot.shown
    assert layout() == before


def test_a_layout_that_was_chosen_meanwhile_stays(plot):
    plot.add(a_point(0))
    plot.show()
    other = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    slicer.app.layoutManager().setLayout(other)
    assert not plot.shown
    plot.hide()
    assert layout() == other


def test_they_are_seen_and_left_also_where_a_view_was_maximised(plot):
    manager = slicer.app.layoutManager()
    node = manager.layoutLogic().GetLayoutNode()
    plot.add(a_point(0))
    node.AddMaximizedViewNode(manager.sliceWidget("Red").mrmlSliceNode())
    plot.show()
    assert node.GetNumberOfMaximizedViewNodes() == 0

    node.AddMaximizedViewNode(manager.plotWidget(0).mrmlPlotViewNode())
    plot.hide()
    assert node.GetNumberOfMaximizedViewNodes() == 0


def test_without_a_main_window_nothing_is_shown_and_nothing_fails(plot, monkeypatch):
    monkeypatch.setattr(type(slicer.app), "layoutManager", lambda self: None)
    plot.add(a_point(0))
    plot.show()
    assert not plot.shown
    plot.hide()


def test_before_the_first_point_there_is_nothing_to_show(plot):
    before = layout()
    plot.show()
    assert layout() == before
    assert not slicer.util.getNodesByClass("vtkMRMLPlotChartNode")


def test_a_point_is_drawn_within_a_frame_of_the_screen_after_a_thousand(plot):
    import time

    for step in range(1000):
        plot._points.append(a_point(step))
    plot.show()
    begun = time.thread_time()
    plot.add(a_point(1000))
    assert time.thread_time() - begun < 0.1


def test_the_picture_has_all_four_lines_in_their_colours(plot, tmp_path):
    for step in range(0, 200, 5):
        plot.add(a_point(step, loss=0.3 * math.exp(-step / 80), dice=0.79 + 0.0004 * step))
    plot.show()

    view = slicer.app.layoutManager().plotWidget(0)
    image = QImage(str(SlicerHost.savePng(view, tmp_path / "curves.png", (560, 400))))

    assert image.pixelColor(2, 2).getRgb()[:3] == (255, 255, 255)
    pixels = np.array(
        [[image.pixelColor(x, y).getRgb()[:3] for x in range(560)] for y in range(400)]
    )
    for node in series().values():
        color = np.array([round(255 * channel) for channel in node.GetColor()])
        assert (np.abs(pixels - color).max(-1) < 12).sum() > 100, node.GetName()
