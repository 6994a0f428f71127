"""The grid leaves the reader's views as they were, and takes up what changes while it is shown."""

import re

import numpy as np
import pytest
import slicer
from a_grid import (
    NAMES,
    blocksInAScan,
    cells,
    comparisonViews,
    names,
    readersState,
    shadows,
    titles,
)
from a_reading import aPhantomReading, aSegmentationOf, near, pixelsOf

import SlicerHost


@pytest.fixture
def views(scene):
    with comparisonViews() as made:
        yield made


@pytest.fixture
def reading(scene):
    return aPhantomReading()


@pytest.fixture
def boxes(scene):
    return blocksInAScan()


# --- leaving -------------------------------------------------------------------------------------


@pytest.fixture
def arranged(views, reading):
    """Views that the reader has set up in a way of his own, and their state."""
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    aSegmentationOf(reading.volume, {"mine": reading.masks["Expert 2"]}, name="Readings")
    display = reading.segmentation.GetDisplayNode()
    display.SetSegmentVisibility("Expert 3", False)
    restricted = slicer.util.getNode("Readings").GetDisplayNode()
    restricted.AddViewNodeID("vtkMRMLSliceNodeRed")
    composite = manager.sliceWidget("Red").mrmlSliceCompositeNode()
    composite.SetBackgroundVolumeID(reading.volume.GetID())
    composite.SetLinkedControl(True)
    manager.sliceWidget("Red").sliceLogic().SetSliceOffset(-101.5)
    return readersState()


def test_leaving_puts_everything_back(views, reading, arranged):
    views.showGrid(reading.segmentation, reading.volume)
    assert readersState() != arranged

    views.leaveGrid()

    assert readersState() == arranged
    assert not views.gridShown
    assert not shadows()


def test_leaving_with_outlines_on_puts_them_back_too(views, reading):
    views.showOutlines(reading.segmentation, reading.volume)
    before = readersState()

    views.showGrid(reading.segmentation, reading.volume)
    assert near(pixelsOf("DiffOSeg2"), (1.0, 0.84, 0.0)) == 0  # no thick consensus in Expert 1's
    views.leaveGrid()

    assert readersState() == before


def test_leaving_twice_or_without_a_grid_is_harmless(views, reading, arranged):
    views.leaveGrid()
    views.showGrid(reading.segmentation, reading.volume)
    views.leaveGrid()
    views.leaveGrid()

    assert readersState() == arranged


def test_choosing_another_layout_leaves_the_grid_and_keeps_that_layout(views, reading, arranged):
    views.showGrid(reading.segmentation, reading.volume)

    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    assert readersState() == [slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView, *arranged[1:]]


def test_what_the_reader_restricts_meanwhile_stays_so(views, reading):
    display = reading.segmentation.GetDisplayNode()
    views.showGrid(reading.segmentation, reading.volume)

    display.SetViewNodeIDs(["vtkMRMLSliceNodeGreen"])
    views.leaveGrid()

    assert list(display.GetViewNodeIDs()) == ["vtkMRMLSliceNodeGreen"]


@pytest.mark.parametrize("what", ["segmentation", "volume"])
def test_deleting_what_is_shown_leaves_the_grid(views, reading, what):
    layout = slicer.app.layoutManager().layout
    views.showGrid(reading.segmentation, reading.volume)

    slicer.mrmlScene.RemoveNode(getattr(reading, what))

    assert not views.gridShown
    assert slicer.app.layoutManager().layout == layout
    assert not shadows()


def test_closing_the_scene_leaves_the_grid(views, reading):
    layout = slicer.app.layoutManager().layout
    views.showGrid(reading.segmentation, reading.volume)

    slicer.mrmlScene.Clear(False)

    assert not views.gridShown
    assert slicer.app.layoutManager().layout == layout
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")


def test_a_grid_saved_with_the_scene_is_taken_away_after_loading(views, reading, tmp_path):
    layout = slicer.app.layoutManager().layout
    views.showGrid(reading.segmentation, reading.volume)
    file = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(file))
    slicer.mrmlScene.Clear(False)

    assert slicer.mrmlScene.ReadFromMRB(str(file))

    assert slicer.app.layoutManager().layout == layout
    [node] = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert node.GetNumberOfDisplayNodes() == 1
    assert not node.GetDisplayNode().GetViewNodeIDs()
    assert not node.GetDisplayNode().GetAttributeNames()
    assert not shadows()


# --- shown again, and changed --------------------------------------------------------------------


def test_shown_again_it_is_the_same_and_stays_where_it_is(views, reading, arranged):
    views.showGrid(reading.segmentation, reading.volume)
    node = cells()[0]
    node.SetSliceOffset(node.GetSliceOffset() + 2)
    offset = node.GetSliceOffset()

    assert views.showGrid(reading.segmentation, reading.volume)

    assert names() == [*NAMES, "All"]
    assert {round(cell.GetSliceOffset(), 4) for cell in cells()} == {round(offset, 4)}
    assert len(shadows()) == 1
    views.leaveGrid()
    assert readersState() == arranged


def test_another_segmentation_takes_the_place_of_the_first(views, reading, arranged):
    views.showGrid(reading.segmentation, reading.volume)
    other = slicer.util.getNode("Readings")

    views.showGrid(other, reading.volume)

    assert titles() == ["mine"]
    assert reading.segmentation.GetNumberOfDisplayNodes() == 1
    views.leaveGrid()
    assert readersState() == arranged


def test_a_drawing_that_comes_later_gets_its_view(views, boxes):
    block = np.s_[3:9, 10:26, 12:30]
    volume, segmentation = boxes(Consensus=block)
    views.showGrid(segmentation, volume)
    cells()[0].SetSliceOffset(17.5)

    segmentation.GetSegmentation().AddEmptySegment("Zoe", "Zoe", (0, 0, 1))
    segmentation.GetSegmentation().AddEmptySegment("Kim", "Kim", (0, 1, 1))

    assert names() == ["Consensus", "Zoe", "Kim", "All"]
    assert {cell.GetSliceOffset() for cell in cells()} == {17.5}


def test_an_edit_is_seen_at_once(views, boxes):
    volume, segmentation = boxes(Consensus=np.s_[3:9, 10:26, 12:30])
    segmentation.GetSegmentation().GetSegment("Consensus").SetColor(1.0, 0.0, 0.0)
    views.showGrid(segmentation, volume)
    before = near(pixelsOf("DiffOSeg1"), (1, 0, 0))

    mask = np.zeros((12, 36, 40), np.uint8)
    mask[3:9, 16:20, 18:22] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "Consensus", volume)

    assert 0 < near(pixelsOf("DiffOSeg1"), (1, 0, 0)) < before / 2


def test_a_name_that_changes_and_a_drawing_that_begins_are_told(views, boxes):
    volume, segmentation = boxes(Consensus=np.s_[3:9, 10:26, 12:30], Zoe=None)
    views.showGrid(segmentation, volume)

    segmentation.GetSegmentation().GetSegment("Zoe").SetName("Kim")
    assert titles() == ["Consensus", "Kim: nothing marked"]
    mask = np.ones((12, 36, 40), np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "Zoe", volume)
    assert titles() == ["Consensus", "Kim"]


def test_a_drawing_that_is_deleted_loses_its_view_and_the_last_one_the_grid(views, boxes):
    block = np.s_[3:9, 10:26, 12:30]
    volume, segmentation = boxes(Consensus=block, Zoe=block)
    views.showGrid(segmentation, volume)

    segmentation.GetSegmentation().RemoveSegment("Zoe")
    assert titles() == ["Consensus"]
    segmentation.GetSegmentation().RemoveSegment("Consensus")
    assert not views.gridShown


def test_segments_can_be_edited_after_the_views_were_left(views, reading):
    """Slicer's slice views crash at this where a display node of the segmentation was removed."""
    slicer.util.setSliceViewerLayers(background=reading.volume)
    for shift in range(4):
        views.showOutlines(reading.segmentation, reading.volume)
        views.showGrid(reading.segmentation, reading.volume)
        pixelsOf("DiffOSeg2")
        views.leaveGrid()
        moved = np.roll(reading.masks["Expert 2"], shift, axis=2).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            moved, reading.segmentation, "Expert 2", reading.volume
        )
        reading.segmentation.GetSegmentation().AddEmptySegment(f"late {shift}")
        pixelsOf("Red")
    assert reading.segmentation.GetNumberOfDisplayNodes() == 1


# --- nothing to show -----------------------------------------------------------------------------


def test_without_nodes_or_segments_nothing_happens(views, boxes):
    volume, segmentation = boxes()
    before = readersState()

    assert not views.showGrid(None, volume)
    assert not views.showGrid(segmentation, None)
    assert not views.showGrid(segmentation, volume)  # no segment
    assert readersState() == before


def test_without_a_main_window_nothing_happens(views, reading, monkeypatch):
    monkeypatch.setattr(type(slicer.app), "layoutManager", lambda self: None)

    assert not views.showGrid(reading.segmentation, reading.volume)
    assert not views.showTable(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode"))
    assert not views.gridShown
    views.leaveGrid()


def test_a_scene_saved_with_the_grid_opens_as_before_it_where_the_extension_is_missing(
    views, reading, tmp_path
):
    layout = slicer.app.layoutManager().layout
    views.showGrid(reading.segmentation, reading.volume)
    shown = seen()
    file = tmp_path / "scene.mrml"

    SlicerHost.saveScene(file)

    text = file.read_text(encoding="utf-8")
    assert f'currentViewArrangement="{layout}"' in text
    assert "KeptOutOfGrid" not in text
    assert "FormerLayout" not in text
    listed = re.findall(r'dataNode="([^"]+)"', text)
    assert listed
    assert set(listed) <= set(re.findall(r'\sid="([^"]+)"', text))  # no item without its node
    assert views.gridShown
    assert seen() == shown
    views.leaveGrid()
    assert slicer.app.layoutManager().layout == layout
    assert not reading.segmentation.GetDisplayNode().GetViewNodeIDs()


def test_the_box_is_not_drawn_over_the_lesion_in_the_cells(views, reading):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    roi.CreateDefaultDisplayNodes()
    views.showGrid(reading.segmentation, reading.volume)

    shown = [
        view.GetID() for view in cells() if roi.GetDisplayNode().IsDisplayableInView(view.GetID())
    ]

    assert not shown
    views.leaveGrid()
    assert not roi.GetDisplayNode().GetViewNodeIDs()


# --- a maximised view ------------------------------------------------------------------------


@pytest.fixture
def maximized(scene):
    """Slicer's button in a view's bar, which a change of the arrangement alone does not undo."""
    manager = slicer.app.layoutManager()
    manager.layoutLogic().GetLayoutNode().AddMaximizedViewNode(
        manager.sliceWidget("Red").mrmlSliceNode()
    )


def seen():
    return [view.node.GetLayoutName() for view in slicer.app.layoutManager().shownViews()]


def test_the_grid_is_seen_also_where_a_view_was_maximised(views, reading, maximized):
    views.showGrid(reading.segmentation, reading.volume)

    assert all(name.startswith("DiffOSeg") for name in seen())


def test_leaving_the_grid_is_seen_also_where_a_cell_was_maximised(views, reading):
    views.showGrid(reading.segmentation, reading.volume)
    manager = slicer.app.layoutManager()
    manager.layoutLogic().GetLayoutNode().AddMaximizedViewNode(
        manager.sliceWidget("DiffOSeg1").mrmlSliceNode()
    )

    views.leaveGrid()

    assert not any(name.startswith("DiffOSeg") for name in seen())


def test_the_table_is_seen_also_where_a_view_was_maximised(views, reading, maximized):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")

    views.showTable(table)

    assert len(seen()) > 1
