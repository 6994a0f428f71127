"""The curves of a training in a plot view of Slicer: a table, its series and one chart.

One chart holds both, so that one view is enough: the loss is drawn as a share of its highest value,
beside Dice, which also lies between 0 and 1. The table has the loss itself too.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk

from diffoseg.experts.panel import CONSENSUS_COLOR

Point = Mapping[str, Any]
"""A worker's point: step, loss, dice, consensus, best (None where there is none), best_name."""

_MARK = "DiffOSegTraining.Curves"  # the attribute that our nodes are found again by
_ALL = "all"
_STEP, _LOSS, _SHARE = "Step", "Loss", "Loss share"
_DICE, _CONSENSUS, _BEST = "Dice", "Consensus", "Best existing expert"
_HIGHEST = 1.3  # of the axis: the legend stands above a Dice of 1
_SERIES = {  # what is drawn: colour, width in pixels, style of the line
    _SHARE: ((0.55, 0.55, 0.55), 2.0, "Solid"),
    _DICE: ((0.0, 0.45, 0.70), 4.0, "Solid"),
    _CONSENSUS: (CONSENSUS_COLOR, 3.0, "Dash"),
    _BEST: ((0.84, 0.37, 0.0), 2.0, "DashDot"),
}


class CurvePlot:
    """What one training told so far, drawn; begins anew with each expert."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        self._expertName = ""
        self._points: list[Point] = []
        self._formerLayout: int | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be seen."""
        return not self._points

    def begin(self, expertName: str) -> None:
        """Forget the last training's curves: from now on this expert is taught."""
        self._expertName, self._points = expertName, []

    def add(self, point: Point) -> None:
        """Take in one point; nodes that were deleted meanwhile come back."""
        self._points.append(point)
        self._draw()

    # --- the view --------------------------------------------------------------------------------

    @property
    def shown(self) -> bool:
        """Whether the curves are in a plot view of the current layout."""
        chart, manager = _found("vtkMRMLPlotChartNode"), slicer.app.layoutManager()
        if chart is None or manager is None:
            return False
        views = manager.layoutLogic().GetViewNodes()
        nodes = [views.GetItemAsObject(n) for n in range(views.GetNumberOfItems())]
        plots = [node for node in nodes if node.IsA("vtkMRMLPlotViewNode")]
        return any(node.GetPlotChartNodeID() == chart.GetID() for node in plots)

    def show(self) -> None:
        """Show the curves beside the slices; without a main window nothing happens."""
        manager = slicer.app.layoutManager()
        if self.empty or manager is None:
            return
        self._draw()
        before = manager.layoutLogic().GetLayoutNode().GetViewArrangement()
        manager.layoutLogic().GetLayoutNode().RemoveAllMaximizedViewNodes()
        slicer.modules.plots.logic().ShowChartInLayout(_found("vtkMRMLPlotChartNode"))
        if manager.layoutLogic().GetLayoutNode().GetViewArrangement() != before:
            self._formerLayout = before

    def hide(self) -> None:
        """Go back to the layout that there was before ``show``, unless another was chosen since."""
        if self.shown and self._formerLayout is not None:
            slicer.app.layoutManager().setLayout(self._formerLayout)
        self._formerLayout = None

    # --- the nodes -------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Bring the nodes up to what is known; they are made where they are missing."""
        table = _node("vtkMRMLTableNode", _("Training curves"))
        columns = self._columns()
        wasModifying = table.StartModify()
        table.RemoveAllColumns()
        for name, values in columns.items():
            column = numpy_to_vtk(np.asarray(values), deep=True)
            column.SetName(name)
            table.AddColumn(column)
        table.EndModify(wasModifying)
        self._fillChart(table, columns)

    def _columns(self) -> dict[str, list[float]]:
        """Return the table's columns; NaN where a point has no such number."""
        columns = {_STEP: [float(point["step"]) for point in self._points]}
        keys = {_LOSS: "loss", _DICE: "dice", _CONSENSUS: "consensus", _BEST: "best"}
        for name, key in keys.items():
            columns[name] = [_number(point.get(key)) for point in self._points]
        highest = max((loss for loss in columns[_LOSS] if loss > 0), default=math.nan)
        columns[_SHARE] = [loss / highest for loss in columns[_LOSS]]
        return columns

    def _fillChart(self, table: Any, columns: Mapping[str, list[float]]) -> None:
        """Put in the chart the series that there are numbers for, and say what they are."""
        chart = _node("vtkMRMLPlotChartNode", _("Training curves"))
        names = self._seriesNames()
        wanted = [name for name in _SERIES if any(map(math.isfinite, columns[name]))]
        series = [_series(name, names[name], table) for name in wanted]
        shown = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
        wasModifying = chart.StartModify()
        if shown != series:
            chart.RemoveAllPlotSeriesNodeIDs()
            for node in series:
                chart.AddAndObservePlotSeriesNodeID(node.GetID())
        chart.SetTitle(_("Teaching {name}").format(name=self._expertName))
        chart.SetXAxisTitle(_("Step"))
        chart.SetYAxisTitle(_("Dice on held-out cases; loss") if _DICE in wanted else _("Loss"))
        chart.SetXAxisRangeAuto(True)
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(0.0, _HIGHEST)
        chart.SetTitleFontSize(16)
        chart.SetAxisTitleFontSize(14)
        chart.SetAxisLabelFontSize(12)
        chart.SetLegendFontSize(12)
        chart.EndModify(wasModifying)

    def _seriesNames(self) -> dict[str, str]:
        best = next((p["best_name"] for p in self._points if p.get("best_name")), "")
        return {
            _SHARE: _("Loss, 1 at its highest"),
            _DICE: self._expertName,
            _CONSENSUS: _("Consensus"),
            _BEST: _("{name}, the best of the known").format(name=best) if best else _BEST,
        }


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _found(className: str, part: str = _ALL) -> Any:
    """Return our node of a class in the scene, None where there is none."""
    nodes = slicer.util.getNodesByClass(className)
    return next((node for node in nodes if node.GetAttribute(_MARK) == part), None)


def _node(className: str, name: str, part: str = _ALL) -> Any:
    node = _found(className, part)
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass(className, name)
        node.SetAttribute(_MARK, part)
    return node


def _series(column: str, name: str, table: Any) -> "slicer.vtkMRMLPlotSeriesNode":
    """Return the series that draws one column of the table over the steps."""
    node = _node("vtkMRMLPlotSeriesNode", name, column)
    color, width, style = _SERIES[column]
    wasModifying = node.StartModify()
    node.SetName(name)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName(_STEP)
    node.SetYColumnName(column)
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    node.SetLineStyle(getattr(slicer.vtkMRMLPlotSeriesNode, f"LineStyle{style}"))
    node.SetLineWidth(width)
    node.SetColor(*color)
    node.EndModify(wasModifying)
    return node
