"""The grid shows each expert alone in linked views, and leaves the reader's views as they were."""

import itertools

import numpy as np
import pytest
import slicer
from a_reading import aPhantomReading, aSegmentationOf, near, pixelsOf
from a_scan import TURN, aLinearTransform, aScan

import SlicerHost

NAMES = ("Consensus", "Expert 1", "Expert 2", "Expert 3", "Expert 4")


@pytest.fixture
def views(scene):
    from DiffOSegLib.ComparisonViews import ComparisonViews

    made = ComparisonViews()
    yield made
    made.cleanup()


@pytest.fixture
def reading(scene):
    return aPhantomReading()


@pytest.fixture
def boxes(scene):
    """A scan and a function that makes segments of blocks in it, names to (k, j, i) slices."""
    volume = aScan((40, 36, 12), origin=(0, 0, 0))

    def make(**blocks):
        masks = {}
        for name, block in blocks.items():
            masks[name] = np.zeros((12, 36, 40), bool)
            if block is not None:
                masks[name][block] = True
        return volume, aSegmentationOf(volume, masks)

    return make


def cells():
    """Return the slice nodes that are shown, row by row."""
    return [view.node for view in slicer.app.layoutManager().shownViews()]


def titles():
    return [node.GetLayoutLabel() for node in cells()]


def names():
    return [title.split(":")[0] for title in titles()]


def shadows():
    """Return what the views have put into the scene that is not the reader's."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetHideFromEditors()]


def readersState():
    """Return all of the reader's that a grid could touch, as something to compare."""
    state = [slicer.app.layoutManager().layout]
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode"):
        if node.GetDisplayableNode().GetHideFromEditors():
            continue
        ids = node.GetDisplayableNode().GetSegmentation().GetSegmentIDs()
        shown = [node.GetSegmentVisibility(one) for one in ids]
        state.append((node.GetID(), node.GetViewNodeIDs(), node.GetVisibility(), shown))
        state.append((node.GetAttributeNames(), node.GetSliceIntersectionThickness()))
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if not node.GetLayoutName().startswith("DiffOSeg"):
            links = node.GetLinkedControl(), node.GetHotLinkedControl()
            state.append((node.GetID(), node.GetBackgroundVolumeID(), links))
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        if not node.GetLayoutName().startswith("DiffOSeg"):
            place = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()).round(6).tolist()
            state.append((node.GetID(), place, node.GetFieldOfView(), node.GetLayoutLabel()))
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if not node.GetHideFromEditors():
            state.append((node.GetID(), node.GetNumberOfDisplayNodes()))
    return state


# --- what is shown -------------------------------------------------------------------------------


def test_there_is_a_view_for_each_drawing_consensus_first_and_one_for_all(views, reading):
    assert views.showGrid(reading.segmentation, reading.volume)

    assert views.gridShown
    assert names() == [*NAMES, "All"]


def test_each_view_shows_its_expert_alone_over_the_scan(views, reading):
    views.showGrid(reading.segmentation, reading.volume)

    segmentation = reading.segmentation.GetSegmentation()
    colors = {name: segmentation.GetSegment(name).GetColor() for name in NAMES}
    drawn = [name for name in NAMES if reading.masks[name].any()]
    assert len(drawn) == 4  # one of the phantom's experts saw nothing here
    for number, name in enumerate(NAMES):
        pixels = pixelsOf(f"DiffOSeg{number + 1}")
        seen = [other for other in NAMES if near(pixels, colors[other]) > 20]
        assert seen == ([name] if name in drawn else [])
        grey = np.ptp(pixels, axis=-1) == 0
        assert (grey & (pixels[..., 0] > 20)).mean() > 0.8  # the scan, not black


def test_the_light_fill_lies_over_the_scan_and_not_over_black(views, boxes):
    volume, segmentation = boxes(Consensus=np.s_[3:9, 10:26, 12:30])
    slicer.util.updateVolumeFromArray(volume, np.full((12, 36, 40), 100, np.int16))
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(200, 100)
    segmentation.GetSegmentation().GetSegment("Consensus").SetColor(1.0, 0.0, 0.0)

    views.showGrid(segmentation, volume)
    middle = pixelsOf("DiffOSeg1")[120, 120]

    np.testing.assert_allclose(middle, 0.8 * 127.5 + 0.2 * np.array([255, 0, 0]), atol=3)


def test_the_consensus_comes_first_wherever_it_stands(views, boxes):
    block = np.s_[3:9, 10:26, 12:30]
    volume, segmentation = boxes(Zoe=block, Consensus=block)

    views.showGrid(segmentation, volume)

    assert titles() == ["Consensus", "Zoe"]


@pytest.mark.parametrize(
    ("count", "shape"),
    [(1, (1, 1)), (2, (1, 2)), (3, (2, 2)), (5, (2, 3)), (7, (2, 4)), (9, (3, 3)), (12, (3, 4))],
)
def test_the_grid_is_near_square(count, shape):
    from DiffOSegLib.GridLayout import arrangement

    assert arrangement(count) == shape


@pytest.mark.parametrize("count", [n for n in range(1, 13) if n != 10])
def test_at_most_one_place_is_left_for_the_view_of_all(count):
    from DiffOSegLib.GridLayout import arrangement

    rows, columns = arrangement(count)
    assert rows * columns - count in (0, 1)


def test_of_many_drawings_the_first_twelve_are_shown(views, boxes):
    volume, segmentation = boxes(**{f"Expert {n}": np.s_[3:6, 4:9, 4:9] for n in range(14)})

    views.showGrid(segmentation, volume)

    assert titles() == [f"Expert {n}" for n in range(12)]


def test_names_may_hold_anything(views, boxes):
    block = np.s_[3:9, 10:26, 12:30]
    volume, segmentation = boxes(**{"<Müller> & 'Söhne'": block, "医師 2": block})

    views.showGrid(segmentation, volume)

    assert titles() == ["<Müller> & 'Söhne'", "医師 2"]


def test_who_marked_nothing_is_said_to_have(views, boxes):
    volume, segmentation = boxes(Consensus=np.s_[3:9, 10:26, 12:30], Zoe=None)

    views.showGrid(segmentation, volume)

    assert titles() == ["Consensus", "Zoe: nothing marked"]


def test_the_readers_other_segmentations_stay_out_of_the_grid(views, reading):
    other = aSegmentationOf(
        reading.volume, {"mine": np.ones((12, 96, 96), bool)}, {"mine": (1, 0, 1)}
    )

    views.showGrid(reading.segmentation, reading.volume)

    display = other.GetDisplayNode()
    assert not any(display.IsDisplayableInView(node.GetID()) for node in cells())
    assert display.IsDisplayableInView("vtkMRMLSliceNodeRed")


# --- where it begins -----------------------------------------------------------------------------


def inTheMiddle(node):
    """Return the point of RAS in the middle of a view."""
    columns, rows, _ = node.GetDimensions()
    return np.array(node.GetXYToRAS().MultiplyPoint((columns / 2, rows / 2, 0, 1))[:3])


def test_it_begins_at_the_largest_section_of_the_consensus(views, boxes):
    volume, segmentation = boxes(Consensus=(np.s_[2:4, 10:12, 10:12]), Zoe=np.s_[8:12, 4:30, 4:30])
    mask = np.zeros((12, 36, 40), np.uint8)
    mask[2:7, 10:12, 10:12] = 1
    mask[5, 8:16, 20:30] = 1  # the largest, around (k, j, i) = (5, 11.5, 24.5), and the rest of it
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "Consensus", volume)

    views.showGrid(segmentation, volume)

    index = np.argwhere(mask[5]).mean(axis=0)[::-1]
    ras = [-0.8 * index[0], -0.9 * index[1], 2.5 * 5]
    for node in cells():
        assert node.GetOrientation() == "Axial"
        np.testing.assert_allclose(inTheMiddle(node), ras, atol=0.5)


@pytest.mark.parametrize(
    ("spacing", "plane"),
    [((4.0, 1.0, 1.0), "Sagittal"), ((1.0, 4.0, 1.0), "Coronal"), ((1.0, 1.0, 1.2), "Axial")],
)
def test_it_shows_the_slices_that_the_scan_is_read_in(views, scene, spacing, plane):
    volume = aScan((20, 20, 20), spacing=spacing)
    mask = np.zeros((20, 20, 20), bool)
    mask[8:12, 8:12, 8:12] = True
    segmentation = aSegmentationOf(volume, {"Consensus": mask})

    views.showGrid(segmentation, volume)

    assert cells()[0].GetOrientation() == plane


def test_an_oblique_scan_is_cut_along_its_own_slices(views, scene):
    volume = aScan(direction=TURN)
    mask = np.zeros((12, 36, 40), bool)
    mask[6, 10:20, 10:20] = True
    segmentation = aSegmentationOf(volume, {"Consensus": mask})

    views.showGrid(segmentation, volume)

    normal = slicer.util.arrayFromVTKMatrix(cells()[0].GetSliceToRAS())[:3, 2]
    assert abs(normal @ TURN[:, 2]) == pytest.approx(1)


def test_a_scan_under_a_transform_is_shown_where_it_has_gone(views, scene):
    volume = aScan()
    mask = np.zeros((12, 36, 40), bool)
    mask[6, 10:21, 10:21] = True
    segmentation = aSegmentationOf(volume, {"Consensus": mask})
    transform = aLinearTransform()
    for node in (volume, segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())

    views.showGrid(segmentation, volume)

    own = np.add([-12.5, 30.25, 7.125], [-0.8 * 15, -0.9 * 15, 2.5 * 6])
    world = slicer.util.arrayFromTransformMatrix(transform) @ [*own, 1]
    np.testing.assert_allclose(inTheMiddle(cells()[0]), world[:3], atol=0.5)


def test_the_drawings_fill_a_good_part_of_each_view(views, scene):
    """In a scan of 400 mm, a lesion of 18 mm is not to be looked for."""
    volume = aScan((200, 200, 12), spacing=(2.0, 2.0, 4.0))
    mask = np.zeros((12, 200, 200), bool)
    mask[5:7, 30:39, 30:39] = True
    segmentation = aSegmentationOf(volume, {"Consensus": mask})

    views.showGrid(segmentation, volume)

    assert 36 <= min(cells()[0].GetFieldOfView()[:2]) <= 50


def test_without_any_voxel_the_scan_is_shown(views, boxes):
    volume, segmentation = boxes(Consensus=None)

    assert views.showGrid(segmentation, volume)

    assert (pixelsOf("DiffOSeg1") > 20).mean() > 0.3


# --- links ---------------------------------------------------------------------------------------


def test_scrolling_one_view_scrolls_all_of_them_and_not_the_readers(views, reading):
    views.showGrid(reading.segmentation, reading.volume)
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    before = red.GetSliceOffset()
    logic = slicer.app.layoutManager().sliceWidget("DiffOSeg3").sliceLogic()

    logic.StartSliceOffsetInteraction()
    logic.SetSliceOffset(logic.GetSliceOffset() + 4)
    logic.EndSliceOffsetInteraction()

    assert len({round(node.GetSliceOffset(), 4) for node in cells()}) == 1
    assert cells()[0].GetSliceOffset() == pytest.approx(logic.GetSliceOffset())
    assert red.GetSliceOffset() == before


def test_zooming_one_view_zooms_all_of_them(views, reading):
    views.showGrid(reading.segmentation, reading.volume)
    first = cells()[0]
    logic = slicer.app.applicationLogic().GetSliceLogic(first)

    logic.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.FieldOfViewFlag)
    x, y, z = first.GetFieldOfView()
    first.SetFieldOfView(x / 2, y / 2, z)
    logic.EndSliceNodeInteraction()

    assert len({round(node.GetFieldOfView()[0], 4) for node in cells()}) == 1


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


def test_nothing_was_raised_where_nobody_hears_it(views, reading):
    """Observers' errors are only printed; the host keeps them."""
    for _ in itertools.repeat(None, 2):
        views.showGrid(reading.segmentation, reading.volume)
        views.leaveGrid()
    assert not SlicerHost.uncaught
