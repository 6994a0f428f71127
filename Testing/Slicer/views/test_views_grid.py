"""The grid shows each expert alone, where the drawings are, in views that move together."""

import numpy as np
import pytest
import slicer
from a_grid import NAMES, blocksInAScan, cells, comparisonViews, names, titles
from a_reading import aPhantomReading, aSegmentationOf, near, pixelsOf
from a_scan import TURN, aLinearTransform, aScan


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
    from DiffOSegLib.views.GridLayout import arrangement

    assert arrangement(count) == shape


@pytest.mark.parametrize("count", [n for n in range(1, 13) if n != 10])
def test_at_most_one_place_is_left_for_the_view_of_all(count):
    from DiffOSegLib.views.GridLayout import arrangement

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
