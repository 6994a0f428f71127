"""Plot views: a chart node's series drawn by VTK's charts, as qMRMLPlotView does."""

from pathlib import Path
from typing import Any

import slicer
import vtk

from .Views import SIZE, pictureOf, writePng

_PENS = {
    slicer.vtkMRMLPlotSeriesNode.LineStyleNone: vtk.vtkPen.NO_PEN,
    slicer.vtkMRMLPlotSeriesNode.LineStyleSolid: vtk.vtkPen.SOLID_LINE,
    slicer.vtkMRMLPlotSeriesNode.LineStyleDash: vtk.vtkPen.DASH_LINE,
    slicer.vtkMRMLPlotSeriesNode.LineStyleDot: vtk.vtkPen.DOT_LINE,
    slicer.vtkMRMLPlotSeriesNode.LineStyleDashDot: vtk.vtkPen.DASH_DOT_LINE,
    slicer.vtkMRMLPlotSeriesNode.LineStyleDashDotDot: vtk.vtkPen.DASH_DOT_DOT_LINE,
}


class PlotView:
    """The chart that a plot view node names; scatter and line series with a numeric x column."""

    def __init__(self, node: Any, scene: Any) -> None:
        self.node, self._scene = node, scene
        self._size = SIZE

    def mrmlPlotViewNode(self) -> Any:
        return self.node

    def chartNode(self) -> Any:
        """Return the vtkMRMLPlotChartNode that is shown; None for an empty view."""
        return self._scene.GetNodeByID(self.node.GetPlotChartNodeID() or "")

    def setSize(self, size: tuple[int, int]) -> None:
        self._size = size

    def chart(self) -> Any:
        """Return a vtkChartXY of what the nodes hold now."""
        chart, node = vtk.vtkChartXY(), self.chartNode()
        if node is None:
            return chart
        for index in range(node.GetNumberOfPlotSeriesNodes()):
            series = node.GetNthPlotSeriesNode(index)
            if _canBeDrawn(series):
                chart.AddPlot(_plotOf(series))
        chart.SetTitle(node.GetTitle() or "" if node.GetTitleVisibility() else "")
        chart.GetTitleProperties().SetFontSize(node.GetTitleFontSize())
        chart.SetShowLegend(node.GetLegendVisibility())
        chart.GetLegend().GetLabelProperties().SetFontSize(node.GetLegendFontSize())
        _setAxis(chart.GetAxis(vtk.vtkAxis.BOTTOM), node, "X")
        _setAxis(chart.GetAxis(vtk.vtkAxis.LEFT), node, "Y")
        return chart

    def savePng(self, path: Path | str) -> Path:
        view = vtk.vtkContextView()
        window = view.GetRenderWindow()
        window.SetOffScreenRendering(1)
        window.SetMultiSamples(0)
        window.SetSize(*self._size)
        view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
        view.GetScene().AddItem(self.chart())
        return writePng(pictureOf(window), path)

    def scheduleRender(self) -> None:
        """Answer module code; this host renders when a picture is wanted."""


def _canBeDrawn(series: Any) -> bool:
    table = series.GetTableNode().GetTable() if series and series.GetTableNode() else None
    names = (series.GetXColumnName(), series.GetYColumnName()) if series else ()
    columns = [table.GetColumnByName(name) for name in names] if table else [None]
    return all(c is not None and not c.IsA("vtkStringArray") for c in columns)


def _plotOf(series: Any) -> Any:
    table, plot = series.GetTableNode().GetTable(), vtk.vtkPlotLine()
    plot.SetWidth(series.GetLineWidth())
    plot.SetColorF(*series.GetColor())
    plot.GetPen().SetOpacityF(series.GetOpacity())
    plot.GetPen().SetLineType(_PENS[series.GetLineStyle()])
    plot.SetMarkerSize(series.GetMarkerSize())
    plot.SetMarkerStyle(series.GetMarkerStyle())  # the same numbers as VTK's
    plot.SetInputData(table, series.GetXColumnName(), series.GetYColumnName())
    plot.SetLabel(series.GetName() or series.GetYColumnName())
    return plot


def _setAxis(axis: Any, node: Any, which: str) -> None:
    def of(name: str) -> Any:
        return getattr(node, f"Get{which}Axis{name}")()

    axis.SetTitle(of("Title") or "" if of("TitleVisibility") else "")
    axis.GetTitleProperties().SetFontSize(node.GetAxisTitleFontSize())
    axis.GetLabelProperties().SetFontSize(node.GetAxisLabelFontSize())
    axis.SetGridVisible(node.GetGridVisibility())
    if not of("RangeAuto"):
        axis.SetBehavior(vtk.vtkAxis.FIXED)
        axis.SetUnscaledRange(*of("Range"))
