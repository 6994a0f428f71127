"""Slice and 3D views: arrangements, linking, and pictures that are right to the pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer

import SlicerHost

TWO = """<layout type="horizontal">
 <item><view class="vtkMRMLSliceNode" singletontag="{0}">
  <property name="orientation" action="default">Coronal</property>
  <property name="viewlabel" action="default">A</property></view></item>
 <item><view class="vtkMRMLSliceNode" singletontag="{1}">
  <property name="orientation" action="default">Axial</property></view></item></layout>"""


@pytest.fixture
def volume(scene: Any) -> Any:
    """Return a block of 64^3 voxels of 1 mm, all in the middle of the window."""
    node = slicer.util.addVolumeFromArray(np.full((64, 64, 64), 128, np.int16), name="CT")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevel(255, 127.5)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


@pytest.fixture
def segmentation(scene: Any, volume: Any) -> Any:
    """Return one red segment, a cube in the middle, filled by half."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("A", "A", (1, 0, 0))
    mask = np.zeros((64, 64, 64), np.uint8)
    mask[16:48, 16:48, 16:48] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "A", volume)
    node.GetDisplayNode().SetOpacity2DFill(0.5)
    return node


def manager() -> Any:
    return slicer.app.layoutManager()


def pixel(path: Path, x: float, y: float) -> tuple[int, int, int]:
    """Return the colour at a place given in parts of the picture."""
    image = qt.QImage(str(path))
    color = image.pixelColor(int(x * image.width()), int(y * image.height()))
    return color.red(), color.green(), color.blue()


def test_segments_blend_with_the_image_under_them(segmentation: Any, tmp_path: Path) -> None:
    picture = SlicerHost.savePng(manager().sliceWidget("Red"), tmp_path / "red.png", (300, 300))
    assert pixel(picture, 0.1, 0.1) == pytest.approx((128,) * 3, abs=2)
    assert pixel(picture, 0.5, 0.5) == pytest.approx((192, 64, 64), abs=5)


def test_the_same_scene_gives_the_same_bytes(segmentation: Any, tmp_path: Path) -> None:
    view = manager().sliceWidget("Green").sliceView()
    first = SlicerHost.savePng(view, tmp_path / "1.png").read_bytes()
    assert SlicerHost.savePng(view, tmp_path / "2.png").read_bytes() == first


def test_a_closed_surface_is_drawn_in_3d(segmentation: Any, tmp_path: Path) -> None:
    segmentation.CreateClosedSurfaceRepresentation()
    manager().resetThreeDViews()
    picture = SlicerHost.savePng(manager().threeDWidget(0), tmp_path / "3d.png", (300, 300))
    red, green, blue = pixel(picture, 0.5, 0.5)
    assert red > 150
    assert max(green, blue) < 60


def test_the_default_arrangement_is_four_up(scene: Any) -> None:
    assert manager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert {"Red", "Green", "Yellow"} <= set(manager().sliceViewNames())
    assert manager().threeDViewCount == 1
    orientations = [
        manager().sliceWidget(name).mrmlSliceNode().GetOrientation()
        for name in ("Red", "Green", "Yellow")
    ]
    assert orientations == ["Axial", "Coronal", "Sagittal"]


def test_an_own_arrangement_makes_the_views_it_names(scene: Any) -> None:
    changes: list[int] = []
    manager().connect("layoutChanged(int)", changes.append)
    node = manager().layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(901, TWO.format("Left901", "Right901"))
    node.SetViewArrangement(901)
    manager().disconnect("layoutChanged(int)", changes.append)

    assert manager().layout == 901
    assert changes == [901]
    left = manager().sliceWidget("Left901").mrmlSliceNode()
    assert (left.GetOrientation(), left.GetLayoutLabel()) == ("Coronal", "A")
    assert left.IsMappedInLayout()
    assert not manager().sliceWidget("Red").mrmlSliceNode().IsMappedInLayout()
    assert len(manager().shownViews()) == 2


def test_an_arrangement_is_drawn_as_one_picture(volume: Any, tmp_path: Path) -> None:
    node = manager().layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(902, TWO.format("Left902", "Right902"))
    manager().setLayout(902)
    for name in ("Left902", "Right902"):
        composite = manager().sliceWidget(name).mrmlSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID() if name == "Left902" else None)
    manager().resetSliceViews()
    picture = SlicerHost.saveLayoutPng(tmp_path / "layout.png", (600, 300))
    assert qt.QImage(str(picture)).width() == 600
    assert pixel(picture, 0.25, 0.5) == pytest.approx((128,) * 3, abs=2)
    assert pixel(picture, 0.75, 0.5) == (0, 0, 0)


def test_a_grid_arrangement_is_drawn_row_by_row(volume: Any, tmp_path: Path) -> None:
    cells = "".join(
        f'<item row="{r}" column="{c}"><view class="vtkMRMLSliceNode" singletontag="G{r}{c}">'
        '<property name="orientation" action="default">Axial</property></view></item>'
        for r in range(2)
        for c in range(2)
    )
    manager().layoutLogic().GetLayoutNode().AddLayoutDescription(
        903, f'<layout type="grid">{cells}</layout>'
    )
    manager().setLayout(903)
    corner = manager().sliceWidget("G10")
    corner.mrmlSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    corner.fitSliceToBackground()
    picture = SlicerHost.saveLayoutPng(tmp_path / "grid.png", (400, 400))
    assert pixel(picture, 0.25, 0.75) == pytest.approx((128,) * 3, abs=2)
    assert pixel(picture, 0.75, 0.25) == (0, 0, 0)


def test_clearing_goes_back_to_the_default_arrangement(scene: Any) -> None:
    manager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert len(manager().shownViews()) == 1
    manager().sliceWidget("Red").mrmlSliceNode().SetOrientation("Coronal")
    node = manager().layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(906, TWO.format("Left906", "Right906"))
    manager().setLayout(906)

    SlicerHost.clear()

    assert len(manager().shownViews()) == 4
    assert sorted(manager().sliceViewNames()) == ["Green", "Red", "Yellow"]
    assert manager().sliceWidget("Red").mrmlSliceNode().GetOrientation() == "Axial"


def test_a_view_goes_with_its_node(scene: Any) -> None:
    node = manager().layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(905, TWO.format("Left905", "Right905"))
    manager().setLayout(905)
    kept = slicer.app.applicationLogic().GetSliceLogics().GetNumberOfItems()
    left = manager().sliceWidget("Left905").mrmlSliceNode()
    manager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    scene.RemoveNode(left)
    assert "Left905" not in manager().sliceViewNames()
    assert slicer.app.applicationLogic().GetSliceLogics().GetNumberOfItems() == kept - 1


def test_linked_views_of_one_orientation_move_together(volume: Any) -> None:
    node = manager().layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(904, TWO.format("Left904", "Right904").replace("Coronal", "Axial"))
    manager().setLayout(904)
    for name in ("Left904", "Right904"):
        composite = manager().sliceWidget(name).mrmlSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetLinkedControl(True)
    manager().resetSliceViews()
    manager().sliceWidget("Left904").sliceController().setSliceOffsetValue(20.5)
    assert manager().sliceWidget("Right904").sliceLogic().GetSliceOffset() == pytest.approx(20.5)


def test_unlinked_views_stay(volume: Any) -> None:
    before = manager().sliceWidget("Green").sliceLogic().GetSliceOffset()
    manager().sliceWidget("Red").sliceController().setSliceOffsetValue(11.5)
    assert manager().sliceWidget("Green").sliceLogic().GetSliceOffset() == before


def test_a_colour_legend_is_drawn_where_it_is_asked_for(volume: Any, tmp_path: Path) -> None:
    def bright(path: Path) -> int:
        image = qt.QImage(str(path))
        return sum(
            image.pixelColor(x, y).red() > 200
            for x in range(0, image.width(), 2)
            for y in range(0, image.height(), 2)
        )

    red = manager().sliceWidget("Red")
    without = SlicerHost.savePng(red, tmp_path / "without.png", (300, 300))
    slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(volume)
    drawn = SlicerHost.savePng(red, tmp_path / "with.png", (300, 300))
    assert bright(drawn) > bright(without) + 20


def test_a_panel_is_drawn(scene: Any, tmp_path: Path) -> None:
    label = qt.QLabel("Experts")
    picture = SlicerHost.savePng(label, tmp_path / "panel.png", (200, 80))
    assert qt.QImage(str(picture)).width() == 200
