"""The comparison views as pictures, for the pages and for looking at them as a person would.

With DIFFOSEG_SCREENSHOTS=1 they are written to Resources/Screenshots.
"""

import os
from pathlib import Path

import pytest
import slicer
from a_reading import aPhantomReading
from PySide6.QtGui import QImage

import SlicerHost


@pytest.fixture
def folder(tmp_path):
    if os.environ.get("DIFFOSEG_SCREENSHOTS") == "1":
        return Path(__file__).parents[3] / "Resources" / "Screenshots"
    return tmp_path


@pytest.fixture
def views(scene):
    from DiffOSegLib.views.ComparisonViews import ComparisonViews

    made = ComparisonViews()
    yield made
    made.cleanup()


@pytest.fixture
def reading(scene):
    return aPhantomReading((24, 160, 160), index=3)


def zoomIn(views, reading, factor):
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        x, y, z = view.GetFieldOfView()
        view.SetFieldOfView(x / factor, y / factor, z)
    views.centerOn(reading.segmentation)


def colorsIn(path):
    """Return how many pixels have each colour."""
    image = QImage(str(path))
    counts = {}
    for y in range(image.height()):
        for x in range(image.width()):
            rgb = image.pixelColor(x, y).getRgb()[:3]
            counts[rgb] = counts.get(rgb, 0) + 1
    return counts


def test_picture_of_the_outlines(views, reading, folder):
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    views.showOutlines(reading.segmentation, reading.volume)
    zoomIn(views, reading, 2.2)

    path = SlicerHost.saveLayoutPng(folder / "views_outlines.png", (720, 640))

    counts = colorsIn(path)
    blue = (87, 181, 232)  # Expert 1
    assert sum(n for rgb, n in counts.items() if _isNear(rgb, blue)) > 50


def test_picture_of_the_grid_with_a_label_over_each_view(views, reading, folder):
    views.showGrid(reading.segmentation, reading.volume)

    path = SlicerHost.saveLayoutPng(folder / "views_grid.png", (1080, 740))

    image = QImage(str(path))
    bars = [image.pixelColor(x, y).getRgb()[:3] for y in (3, 373) for x in (350, 710, 1070)]
    segmentation = reading.segmentation.GetSegmentation()
    for bar, name in zip(bars, reading.masks, strict=False):
        color = tuple(round(255 * v) for v in segmentation.GetSegment(name).GetColor())
        assert _isNear(bar, color, 3), name
    label = [image.pixelColor(x, y) for x in range(4, 80) for y in range(3, 18)]
    assert min(color.lightness() for color in label) < 80  # dark letters on the bar


def test_picture_of_the_disagreement_with_its_legend(views, reading, folder):
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    views.showOutlines(reading.segmentation, reading.volume)
    views.isolate(reading.segmentation, "Consensus")
    slicer.app.layoutManager().sliceWidget("Red").sliceView().forceRender()  # opens the view
    views.showDisagreement(reading.disagreement)
    zoomIn(views, reading, 2.2)

    path = SlicerHost.saveLayoutPng(folder / "views_disagreement.png", (720, 640))

    image = QImage(str(path))
    edge = {image.pixelColor(x, y).getRgb()[:3] for x in range(640, 715) for y in range(200, 460)}
    assert sum(max(rgb) - min(rgb) > 80 for rgb in edge) > 50  # the bar's many colours
    assert any(min(rgb) > 240 for rgb in edge)  # its white numbers


def _isNear(rgb, other, within=40):
    return all(abs(a - b) <= within for a, b in zip(rgb, other, strict=True))
