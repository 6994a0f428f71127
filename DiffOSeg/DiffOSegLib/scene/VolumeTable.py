"""The table of a run: one row an answer, numbers as text with their units in the titles."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import slicer
import vtk
from slicer.i18n import tr as _

from diffoseg.experts.panel import display_name

from .Presence import columnTitle

Row = Mapping[str, Any]

_NAME, _VOLUME, _LOW, _HIGH, _DICE = 0, 1, 2, 3, 10  # columns, in the order of _columns()


class Line(NamedTuple):
    """One answer's numbers as they stand in a table, in words; "" where there is none."""

    volume: str
    samplesRange: str
    dice: str


def makeTable(
    rows: Sequence[Row], name: str, modality: str, presenceMeans: str
) -> slicer.vtkMRMLTableNode:
    """Add a table node to the scene; a cell is empty where there is no number.

    Args:
        rows: the worker's rows, which hold the fields of the engine's ``ExpertRow``.
        name: of the node.
        modality: "CT" gives the mean intensity its unit.
        presenceMeans: what the presence is, as ``Presence.meaning`` returns it.
    """
    columns = _columns(rows, modality, presenceMeans)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    for title, cells in columns.items():
        column = vtk.vtkStringArray()
        column.SetName(title)
        for cell in cells:
            column.InsertNextValue(cell)
        node.AddColumn(column)
    node.SetLocked(True)  # a result is read and copied, not typed over
    return node


def linesOf(tableNode: slicer.vtkMRMLTableNode | None) -> dict[str, Line]:
    """Return a table's lines by the expert's shown name; none without a table."""
    lines: dict[str, Line] = {}
    if tableNode is None:
        return lines
    for row in range(tableNode.GetNumberOfRows()):
        name, volume, low, high, dice = (
            str(tableNode.GetCellText(row, column) or "")
            for column in (_NAME, _VOLUME, _LOW, _HIGH, _DICE)
        )
        samplesRange = _("{low} to {high}").format(low=low, high=high) if low else ""
        lines[name] = Line(_("{n} ml").format(n=volume), samplesRange, dice or "\u2013")
    return lines


def _columns(rows: Sequence[Row], modality: str, presenceMeans: str) -> dict[str, list[str]]:
    """Return cells by title, in the order of the engine's volumes.csv."""

    def cells(text: Callable[[Row], str]) -> list[str]:
        return [text(row) for row in rows]

    unit = " [HU]" if modality == "CT" else ""
    return {
        _("Expert"): cells(lambda row: display_name(row["name"])),
        _("Volume [ml]"): cells(lambda row: _number(row["volume_ml"], 3)),
        _("Volume from [ml]"): cells(lambda row: _end(row, "low")),
        _("Volume to [ml]"): cells(lambda row: _end(row, "high")),
        _("From and to are"): cells(lambda row: (row["interval"] or {}).get("label", "")),
        _("Difference from consensus [ml]"): cells(lambda row: _number(row["difference_ml"], 3)),
        _("Difference from consensus [%]"): cells(
            lambda row: _number(row["difference_percent"], 1)
        ),
        _("Largest diameter in a slice [mm]"): cells(lambda row: _number(row["diameter_mm"], 1)),
        _("Mean intensity") + unit: cells(lambda row: _number(row["mean_intensity"], 1)),
        columnTitle(presenceMeans): cells(lambda row: _number(row["presence"], 2)),
        _("Dice with consensus [0 to 1]"): cells(lambda row: _number(row["dice"], 3)),
        _("Mean surface distance [mm]"): cells(lambda row: _number(row["surface_mm"], 2)),
        _("95 % surface distance [mm]"): cells(lambda row: _number(row["surface_95_mm"], 2)),
    }


def _end(row: Row, end: str) -> str:
    interval = row["interval"]
    return _number(interval[end], 3) if interval else ""


def _number(value: float | str | None, decimals: int) -> str:
    """Return a rounded number, "" for None; words, such as "both empty", stay as they are."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.{decimals}f}"
