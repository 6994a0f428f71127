"""Outlines over one slice, the disagreement in the foreground, one drawing alone, where to look."""

import numpy as np
import pytest
import slicer
from a_reading import aPhantomReading, aSegmentationOf, near, pixelsOf
from a_scan import aLinearTransform, aScan

YELLOW = (1.0, 0.84, 0.0)


@pytest.fixture
def views(scene):
    from DiffOSegLib.views.ComparisonViews import ComparisonViews

    made = ComparisonViews()
    yield made
    made.cleanup()


@pytest.fixture
def reading(scene):
    return aPhantomReading(index=3)


def composites():
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def foregrounds():
    return [
        (c.GetForegroundVolumeID(), c.GetForegroundOpacity(), c.GetCompositing())
        for c in composites()
    ]


def red():
    return slicer.app.layoutManager().sliceWidget("Red")


# --- outlines ------------------------------------------------------------------------------------


def test_outlines_lie_over_the_scan_and_leave_their_inside_as_it_was(views, reading):
    slicer.util.setSliceViewerLayers(background=reading.volume, fit=True)
    reading.segmentation.GetDisplayNode().SetVisibility(False)
    views.centerOn(reading.segmentation)
    bare = pixelsOf("Red")

    assert views.showOutlines(reading.segmentation, reading.volume)
    drawn = pixelsOf("Red")

    colored = np.ptp(drawn, axis=-1) > 40
    assert colored.sum() > 100
    assert (drawn == bare)[~colored].mean() > 0.99
    assert (drawn[120, 120] == bare[120, 120]).all()  # inside the lesion


def test_every_expert_is_drawn_in_his_colour(views, reading):
    views.showOutlines(reading.segmentation, reading.volume)
    views.centerOn(reading.segmentation)

    pixels = pixelsOf("Red", (700, 700))
    for name in reading.masks:
        color = reading.segmentation.GetSegmentation().GetSegment(name).GetColor()
        assert near(pixels, color, within=60) > 15, name


def test_the_consensus_is_drawn_thicker_than_an_expert(views, scene):
    volume = aScan()
    mask = np.zeros((12, 36, 40), bool)
    mask[3:9, 10:26, 12:30] = True
    segmentation = aSegmentationOf(volume, {"Consensus": mask})
    views.showOutlines(segmentation, volume)
    views.centerOn(segmentation)
    consensus = (np.ptp(pixelsOf("Red"), axis=-1) > 20).sum()

    segmentation.GetSegmentation().GetSegment("Consensus").SetName("Zoe")
    views.showOutlines(segmentation, volume)
    expert = (np.ptp(pixelsOf("Red"), axis=-1) > 20).sum()

    assert consensus > 1.8 * expert > 0


def test_hiding_the_consensus_hides_its_thick_line_too(views, reading):
    views.showOutlines(reading.segmentation, reading.volume)
    views.centerOn(reading.segmentation)
    display = reading.segmentation.GetDisplayNode()
    assert near(pixelsOf("Red"), YELLOW, within=60) > 20

    display.SetSegmentVisibility("Consensus", False)
    assert near(pixelsOf("Red"), YELLOW, within=60) == 0
    display.SetSegmentVisibility("Consensus", True)
    assert near(pixelsOf("Red"), YELLOW, within=60) > 20
    display.SetVisibility(False)
    assert (np.ptp(pixelsOf("Red"), axis=-1) == 0).all()


def test_the_thick_line_goes_where_the_segmentation_goes(views, reading):
    views.showOutlines(reading.segmentation, reading.volume)

    transform = aLinearTransform()
    reading.segmentation.SetAndObserveTransformNodeID(transform.GetID())

    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert {node.GetTransformNodeID() for node in nodes} == {transform.GetID()}


def test_the_thick_line_follows_an_edit_and_never_reports_one_of_its_own(views, reading):
    """Slicer logs an error for each event of a segmentation that it does not list."""
    views.showOutlines(reading.segmentation, reading.volume)
    views.centerOn(reading.segmentation)
    shadow = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[1]
    heard = []
    for event in ("SegmentAdded", "SegmentModified", "SegmentRemoved"):
        shadow.AddObserver(getattr(slicer.vtkSegmentation, event), lambda *_: heard.append(1))
    before = pixelsOf("Red")

    wider = np.roll(reading.masks["Consensus"], 9, axis=2).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        wider, reading.segmentation, "Consensus", reading.volume
    )
    reading.segmentation.GetSegmentation().AddEmptySegment("late")
    reading.segmentation.GetSegmentation().RemoveSegment("late")
    after = pixelsOf("Red")

    thick = [near(p[:, 60:], YELLOW, within=60) for p in (before, after)]
    assert min(thick) > 50
    assert (before != after).any(axis=-1).sum() > 100
    assert not heard


def test_outlines_twice_are_the_same_as_once(views, reading):
    views.showOutlines(reading.segmentation, reading.volume)
    count = slicer.mrmlScene.GetNumberOfNodes()

    views.showOutlines(reading.segmentation, reading.volume)

    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert reading.segmentation.GetNumberOfDisplayNodes() == 1


def test_nothing_of_the_thick_line_is_listed_or_saved(views, reading, tmp_path):
    views.showOutlines(reading.segmentation, reading.volume)
    shadow = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[1]
    assert shadow.GetHideFromEditors()

    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"))

    [node] = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert node.GetNumberOfDisplayNodes() == 1
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")) == 1


def test_deleting_the_segmentation_takes_its_thick_line_along(views, reading):
    views.showOutlines(reading.segmentation, reading.volume)

    slicer.mrmlScene.RemoveNode(reading.segmentation)

    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_a_view_that_shows_the_scan_already_keeps_its_zoom(views, reading):
    slicer.util.setSliceViewerLayers(background=reading.volume, fit=True)
    node = red().mrmlSliceNode()
    node.SetFieldOfView(20, 20, 1)

    views.showOutlines(reading.segmentation, reading.volume)

    assert node.GetFieldOfView()[:2] == (20, 20)


def test_without_a_segmentation_or_a_scan_there_are_no_outlines(views, reading):
    assert not views.showOutlines(None, reading.volume)
    assert not views.showOutlines(reading.segmentation, None)


# --- disagreement --------------------------------------------------------------------------------


@pytest.fixture
def scanShown(reading):
    """The scan in all views, nothing over it."""
    reading.segmentation.GetDisplayNode().SetVisibility(False)
    slicer.util.setSliceViewerLayers(background=reading.volume, fit=True)
    return reading


def test_the_map_is_blended_over_the_scan_and_is_nothing_where_experts_agree(views, scanShown):
    views.centerOn(scanShown.segmentation)
    bare = pixelsOf("Red", (400, 400))

    assert views.showDisagreement(scanShown.disagreement)
    slicer.util.getNode("vtkMRMLColorLegendDisplayNode*").SetVisibility(False)
    shown = pixelsOf("Red", (400, 400))

    covered = (shown != bare).any(axis=-1)
    assert (np.ptp(shown[covered], axis=-1) > 20).mean() > 0.6
    assert 100 < covered.sum() < 0.2 * covered.size
    through = shown[covered] - 0.4 * bare[covered]  # what the map adds at an opacity of 0.6
    assert through.min() >= -2
    assert through.max() <= 0.6 * 255 + 2


def test_a_legend_with_its_title_comes_and_goes_with_the_map(views, scanShown):
    bare = pixelsOf("Red", (600, 600))

    views.showDisagreement(scanShown.disagreement)
    [legend] = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    assert legend.GetTitleText() == "Disagreement between experts\n(standard deviation)"
    changed = (pixelsOf("Red", (600, 600)) != bare).any(axis=-1)
    assert changed[:, 520:].sum() > 300  # the bar and its numbers at the right edge
    assert not changed[:, 597:].any()  # and nothing cut off

    views.showDisagreement(None)
    assert not slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    np.testing.assert_array_equal(pixelsOf("Red", (600, 600)), bare)


def test_the_former_foreground_comes_back_exactly(views, scanShown):
    pet = aScan(name="PET")
    for number, composite in enumerate(composites()):
        composite.SetForegroundVolumeID(pet.GetID() if number else None)
        composite.SetForegroundOpacity(0.1 * number)
        composite.SetCompositing(composite.Add)
    before = foregrounds()

    views.showDisagreement(scanShown.disagreement)
    assert foregrounds() != before
    views.showDisagreement(None)

    assert foregrounds() == before


def test_a_foreground_that_the_reader_chose_meanwhile_stays(views, scanShown):
    pet = aScan(name="PET")
    views.showDisagreement(scanShown.disagreement)

    red().mrmlSliceCompositeNode().SetForegroundVolumeID(pet.GetID())
    views.showDisagreement(None)

    assert red().mrmlSliceCompositeNode().GetForegroundVolumeID() == pet.GetID()


def test_showing_it_twice_does_not_make_it_its_own_former_foreground(views, scanShown):
    before = foregrounds()

    views.showDisagreement(scanShown.disagreement)
    views.showDisagreement(scanShown.disagreement)
    views.showDisagreement(None)

    assert foregrounds() == before


def test_deleting_the_map_puts_the_foreground_back_and_leaves_no_legend(views, scanShown):
    pet = aScan(name="PET")
    slicer.util.setSliceViewerLayers(foreground=pet, foregroundOpacity=0.3)
    before = foregrounds()
    views.showDisagreement(scanShown.disagreement)

    slicer.mrmlScene.RemoveNode(scanShown.disagreement)

    assert foregrounds() == before
    assert not slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")


def test_a_former_foreground_that_was_deleted_is_not_missed(views, scanShown):
    pet = aScan(name="PET")
    slicer.util.setSliceViewerLayers(foreground=pet, foregroundOpacity=0.3)
    views.showDisagreement(scanShown.disagreement)

    slicer.mrmlScene.RemoveNode(pet)
    views.showDisagreement(None)

    assert {volumeID for volumeID, _, _ in foregrounds()} == {None}


def test_a_map_that_came_shown_with_a_saved_scene_can_be_hidden(views, scanShown, tmp_path):
    from DiffOSegLib.views.ComparisonViews import ComparisonViews

    views.showDisagreement(scanShown.disagreement)
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert red().mrmlSliceCompositeNode().GetForegroundVolumeID()

    later = ComparisonViews()
    later.showDisagreement(None)
    later.cleanup()

    assert {volumeID for volumeID, _, _ in foregrounds()} == {None}
    assert not slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")


def test_in_the_grid_one_legend_is_enough(views, scanShown):
    views.showGrid(scanShown.segmentation, scanShown.volume)
    views.showDisagreement(scanShown.disagreement)

    [legend] = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    cells = [view.node.GetID() for view in slicer.app.layoutManager().shownViews()]
    assert [legend.IsDisplayableInView(cell) for cell in cells] == [True] + 5 * [False]


# --- one alone, where to look, the table ---------------------------------------------------------


def visible(node):
    return list(node.GetDisplayNode().GetVisibleSegmentIDs())


def test_one_is_shown_alone_and_then_what_was_visible_before(views, reading):
    reading.segmentation.GetDisplayNode().SetSegmentVisibility("Expert 4", False)

    views.isolate(reading.segmentation, "Expert 1")
    assert visible(reading.segmentation) == ["Expert 1"]
    views.isolate(reading.segmentation, "Consensus")
    assert visible(reading.segmentation) == ["Consensus"]
    views.isolate(reading.segmentation, None)
    assert visible(reading.segmentation) == ["Consensus", "Expert 1", "Expert 2", "Expert 3"]


def test_all_are_shown_where_none_was_alone_before(views, reading):
    reading.segmentation.GetDisplayNode().SetSegmentVisibility("Expert 4", False)

    views.isolate(reading.segmentation, None)

    assert len(visible(reading.segmentation)) == 5


def test_the_views_move_to_the_consensus_or_the_first_that_is_not_empty(views, scene):
    volume = aScan(origin=(0, 0, 0))
    empty, full = np.zeros((12, 36, 40), bool), np.zeros((12, 36, 40), bool)
    full[6, 10:21, 20:31] = True
    segmentation = aSegmentationOf(volume, {"Consensus": empty, "Zoe": full})
    views.showOutlines(segmentation, volume)

    assert views.centerOn(segmentation)

    manager = slicer.app.layoutManager()
    offsets = [
        manager.sliceWidget(n).sliceLogic().GetSliceOffset() for n in ("Red", "Yellow", "Green")
    ]
    expected = [2.5 * 6, 0.8 * 25, -0.9 * 15]  # Yellow looks from the left: its axis is -R
    np.testing.assert_allclose(offsets, expected, atol=0.5)


def test_where_nothing_is_marked_the_views_stay(views, scene):
    volume = aScan()
    segmentation = aSegmentationOf(volume, {"Consensus": np.zeros((12, 36, 40), bool)})
    red().sliceLogic().SetSliceOffset(12.0)

    assert not views.centerOn(segmentation)
    assert not views.centerOn(None)
    assert red().sliceLogic().GetSliceOffset() == 12.0


def test_the_table_is_shown_in_slicers_own_layout_for_it(views, reading):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")
    views.showGrid(reading.segmentation, reading.volume)

    assert views.showTable(table)

    layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView
    assert slicer.app.layoutManager().layout == layout
    selected = slicer.app.applicationLogic().GetSelectionNode().GetActiveTableID()
    assert selected == table.GetID()
    assert not views.gridShown


def test_the_table_is_in_its_view_also_the_first_time(views, reading):
    for view in slicer.util.getNodesByClass("vtkMRMLTableViewNode"):
        slicer.mrmlScene.RemoveNode(view)  # as in a Slicer that has just started
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")

    assert views.showTable(table)

    [view] = slicer.util.getNodesByClass("vtkMRMLTableViewNode")
    assert view.GetTableNodeID() == table.GetID()
