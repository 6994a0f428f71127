"""Widgets and views as PNG files."""

import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import qt
import slicer

from .PlotView import PlotView
from .Views import SliceView, View

BAR = 20  # pixels of the coloured bar above each view
GAP = 3  # pixels between views


def savePng(shown: Any, path: Path, size: tuple[int, int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for inner in ("sliceView", "threeDView", "plotView"):
        if hasattr(shown, inner):
            shown = getattr(shown, inner)()
    if isinstance(shown, View | PlotView):
        if size is not None:
            shown.setSize(size)
        return shown.savePng(path)
    if size is not None:
        shown.resize(*size)
    shown.show()
    slicer.app.processEvents()
    shown.grab().save(str(path))
    return path


def saveLayoutPng(path: Path, size: tuple[int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    manager = slicer.app.layoutManager()
    image = qt.QImage(*size, qt.QImage.Format_RGB32)
    image.fill(qt.QColor(60, 60, 60))
    painter = qt.QPainter(image)
    for element, area in _areas(manager.description(), (0, 0, *size)):
        view = manager.viewOf(element)
        if view is not None:
            _drawView(painter, view, area)
    painter.end()
    image.save(str(path))
    return path


Area = tuple[int, int, int, int]  # x, y, width, height in pixels


def _areas(element: ElementTree.Element, area: Area) -> list[tuple[ElementTree.Element, Area]]:
    """Return each <view> of a layout description with its place."""
    if element.tag == "view":
        return [(element, area)]
    if element.tag == "viewports":
        return _areas(element[0], area)
    if element.tag == "item":
        return [found for child in element for found in _areas(child, area)]
    items = [child for child in element if child.tag == "item"]
    kind = element.get("type", "horizontal")
    if kind == "tab":
        items = items[:1]
    places = _gridPlaces(items) if kind == "grid" else _linePlaces(items, kind)
    return [
        found
        for item, place in zip(items, places, strict=True)
        for found in _areas(item, _part(area, place))
    ]


Part = tuple[float, float, float, float]  # x, y, width, height as parts of one


def _linePlaces(items: list[ElementTree.Element], kind: str) -> list[Part]:
    sizes = [float(item.get("splitSize") or 1) for item in items]
    starts = [sum(sizes[:i]) / sum(sizes) for i in range(len(sizes))]
    shares = [size / sum(sizes) for size in sizes]
    if kind == "vertical":
        return [(0, start, 1, share) for start, share in zip(starts, shares, strict=True)]
    return [(start, 0, share, 1) for start, share in zip(starts, shares, strict=True)]


def _gridPlaces(items: list[ElementTree.Element]) -> list[Part]:
    def of(item: ElementTree.Element, name: str, otherwise: int) -> int:
        return int(item.get(name) or otherwise)

    cells = [
        (of(i, "column", 0), of(i, "row", 0), of(i, "colspan", 1), of(i, "rowspan", 1))
        for i in items
    ]
    columns, rows = max(x + w for x, _, w, _ in cells), max(y + h for _, y, _, h in cells)
    return [(x / columns, y / rows, w / columns, h / rows) for x, y, w, h in cells]


def _part(area: Area, place: Part) -> Area:
    x, y, width, height = area
    left, top = round(width * place[0]), round(height * place[1])
    right, bottom = round(width * (place[0] + place[2])), round(height * (place[1] + place[3]))
    return x + left, y + top, right - left, bottom - top


def _drawView(painter: Any, view: View | PlotView, area: Area) -> None:
    x, y, width, height = area
    width, height = width - GAP, height - GAP
    color = qt.QColor.fromRgbF(*view.node.GetLayoutColor())
    painter.fillRect(x, y, width, BAR, color)
    painter.setPen(qt.QColor("black"))
    painter.drawText(x + 6, y + BAR - 5, _title(view))
    view.setSize((width, height - BAR))
    with tempfile.TemporaryDirectory() as folder:
        picture = qt.QImage(str(view.savePng(Path(folder) / "view.png")))
    painter.drawImage(x, y + BAR, picture)


def _title(view: View | PlotView) -> str:
    label = view.node.GetLayoutLabel() or view.node.GetLayoutName()
    if not isinstance(view, SliceView):
        return label
    offset = view.logic.GetSliceOffset()
    return f"{label}    {view.node.GetOrientation()}  {offset:.1f} mm"
