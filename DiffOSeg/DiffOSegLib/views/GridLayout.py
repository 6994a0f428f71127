"""The layout of the grid: which drawing stands in which cell, and Slicer's description of it."""

from dataclasses import dataclass
from math import ceil, sqrt
from xml.sax.saxutils import escape

import slicer
from slicer.i18n import tr as _

from ..scene.SegmentPlaces import consensusFirst, isEmpty

LAYOUT = 64301  # any number that no other extension's layout has
TAGS = "DiffOSeg"  # the cells' layout names begin with it
MOST = 12

_VIEW_GROUP = 64301  # links reach only views of one group, so not the reader's own
_GREY = (0.75, 0.75, 0.75)


@dataclass(frozen=True)
class Cell:
    """One slice view of the grid.

    Attributes:
        tag: Slicer's layout name of the view.
        title: shown in the view's bar.
        color: of the bar, RGB in 0..1.
        segmentIDs: what is drawn in it.
    """

    tag: str
    title: str
    color: tuple[float, float, float]
    segmentIDs: tuple[str, ...]


def rowsOf(segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[list[Cell]]:
    """Return the grid's rows: a cell for each segment, the consensus first, MOST at the most.

    Where the last row has room left, one more cell shows all of them.
    """
    segmentation = segmentationNode.GetSegmentation()
    ids = consensusFirst(segmentationNode)[:MOST]
    cells: list[Cell] = []
    for segmentID in ids:
        segment = segmentation.GetSegment(segmentID)
        title = segment.GetName()
        if isEmpty(segment):
            title = _("{name}: nothing marked").format(name=title)
        cells.append(Cell(_tag(len(cells)), title, segment.GetColor(), (segmentID,)))
    rows, columns = arrangement(len(ids))
    if len(ids) < rows * columns:
        cells.append(Cell(_tag(len(cells)), _("All"), _GREY, tuple(ids)))
    return [cells[first : first + columns] for first in range(0, len(cells), columns)]


def arrangement(count: int) -> tuple[int, int]:
    """Return (rows, columns) for so many cells: near-square, wide rather than high, few gaps."""
    fewest = max(1, int(sqrt(count)))
    candidates = [(rows, ceil(count / rows)) for rows in (fewest, fewest + 1)]
    return min(
        candidates,
        key=lambda shape: (shape[0] * shape[1] - count > 1, abs(shape[1] - shape[0])),
    )


def description(rows: list[list[Cell]]) -> str:
    """Return Slicer's XML of the layout."""
    return _layout("vertical", [_layout("horizontal", [_view(c) for c in row]) for row in rows])


def _layout(kind: str, items: list[str]) -> str:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f'<layout type="{kind}">{inside}</layout>'


def _view(cell: Cell) -> str:
    color = "#" + "".join(f"{round(255 * channel):02x}" for channel in cell.color)
    properties = {
        "orientation": "Axial",
        "viewlabel": escape(cell.title),
        "viewcolor": color,
        "viewgroup": str(_VIEW_GROUP),
    }
    inside = "".join(
        f'<property name="{name}" action="default">{value}</property>'
        for name, value in properties.items()
    )
    return f'<view class="vtkMRMLSliceNode" singletontag="{cell.tag}">{inside}</view>'


def _tag(index: int) -> str:
    return f"{TAGS}{index + 1}"
