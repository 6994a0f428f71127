from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from PySide6.QtGui import QImage

import SlicerHost

pytestmark = pytest.mark.usefixtures("scene")

PLOT_ONLY = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpPlotView


@pytest.fixture
def chart(scene):
    """A chart of one red line that rises from 0 to 1, in the one view of the layout."""
    node = slicer.util.plot(np.array([[0.0, 0.0], [10.0, 1.0]]), 0, show=False)
    node.GetNthPlotSeriesNode(0).SetColor(1.0, 0.0, 0.0)
    node.GetNthPlotSeriesNode(0).SetLineWidth(4)
    slicer.app.layoutManager().setLayout(PLOT_ONLY)
    slicer.modules.plots.logic().ShowChartInLayout(node)
    return node


def view():
    return slicer.app.layoutManager().plotWidget(0).plotView()


def isRed(image, x, y):
    red, green, blue, _ = image.pixelColor(x, y).getRgb()
    return red > 200 and green < 90 and blue < 90


def test_a_chart_shown_in_the_layout_is_the_views(chart):
    assert slicer.app.layoutManager().plotViewCount == 1
    assert view().chartNode() is chart
    assert view().chart().GetNumberOfPlots() == 1


def test_the_line_is_drawn_from_the_lower_left_to_the_upper_right(chart, tmp_path):
    chart.SetLegendVisibility(False)
    image = QImage(str(SlicerHost.savePng(view(), tmp_path / "plot.png", (400, 300))))
    points = [(x, y) for x in range(400) for y in range(300) if isRed(image, x, y)]
    left, right = min(points), max(points)
    assert left[0] < 100
    assert right[0] > 330
    assert left[1] - right[1] > 150  # y grows downwards


def test_axes_follow_the_chart_node(chart):
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 2.0)
    chart.SetYAxisTitle("Dice")
    axis = view().chart().GetAxis(0)
    assert axis.GetTitle() == "Dice"
    assert (axis.GetMinimum(), axis.GetMaximum()) == (0.0, 2.0)


def test_a_series_whose_column_is_missing_is_left_out_as_in_slicer(chart):
    chart.GetNthPlotSeriesNode(0).SetYColumnName("nothing")
    assert view().chart().GetNumberOfPlots() == 0


def test_the_layouts_picture_has_the_plot_in_it(chart, tmp_path):
    image = QImage(str(SlicerHost.saveLayoutPng(tmp_path / "layout.png", (400, 300))))
    assert any(isRed(image, x, y) for x in range(400) for y in range(300))


def test_a_view_whose_node_is_removed_is_no_longer_there(chart):
    node = view().mrmlPlotViewNode()
    slicer.app.layoutManager().restore()
    slicer.mrmlScene.RemoveNode(node)
    assert slicer.app.layoutManager().plotViewCount == 0


# --- dragging and file dialogs


class Watching(qt.QWidget):
    """Takes what is dragged onto it, as a move where it is told so."""

    def __init__(self, asMove=False):
        super().__init__()
        self.target, self.asMove, self.urls = qt.QWidget(), asMove, []
        self.target.setAcceptDrops(True)
        self.target.installEventFilter(self)

    def eventFilter(self, _watched, event):
        if event.type() not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        event.setDropAction(qt.Qt.MoveAction if self.asMove else qt.Qt.CopyAction)
        event.accept()
        if event.type() == qt.QEvent.Drop:
            self.urls += [url.toString() for url in event.mimeData().urls()]
        return True


def test_a_dropped_node_is_named_as_slicers_tree_names_it():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scan")
    item = slicer.mrmlScene.GetSubjectHierarchyNode().GetItemByDataNode(node)
    watching = Watching()
    assert SlicerHost.drop(watching.target, [node, Path("/tmp")])
    assert watching.urls == [f"mrml://scene/subjecthierarchy/item?id={item}", "file:///tmp"]


def test_a_drop_that_is_taken_as_a_move_takes_the_node_out_of_slicers_tree():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scan")
    assert SlicerHost.drop(Watching(asMove=True).target, [node])
    assert node.GetScene() is None


def test_what_nobody_takes_is_told():
    assert not SlicerHost.drop(qt.QWidget(), [1])


def test_file_dialogs_answer_a_plain_path_or_nothing_after_cancel():
    SlicerHost.answers.append(Path("/tmp/a.json"))
    assert qt.QFileDialog.getOpenFileName(None, "Which?", "", "*.json") == "/tmp/a.json"
    assert qt.QFileDialog.getSaveFileName(None, "Which?") == ""
    assert SlicerHost.messages == ["Which?", "Which?"]
