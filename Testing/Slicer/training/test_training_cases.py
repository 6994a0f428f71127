import json
import time

import numpy as np
import pytest
import slicer
import vtk
from a_scan import aBendingTransform, aLinearTransform, directions
from a_training import a_case, a_mask, a_segmentation, a_volume, block, looked_at, training_logic

from diffoseg.errors import InputError

pytestmark = pytest.mark.usefixtures("scene", "experts")


@pytest.fixture
def logic(scene):
    made = training_logic()
    yield made
    made.shutdown()


def names(logic):
    return [(row.volumeName, row.segmentationName, row.segmentName) for row in logic.rows()]


def in_words(logic):
    """Return the only row's findings."""
    (found,) = looked_at(logic)
    return found


# The table


def test_every_visible_segment_of_the_scene_comes_with_the_volume_it_was_drawn_on(logic):
    _, drawn = a_case(1, {"Ann": a_mask(), "Ben": a_mask(), "Hidden": a_mask()})
    drawn.GetDisplayNode().SetSegmentVisibility("Hidden", False)
    a_case(2)

    assert logic.addAllPairs() == 3

    assert names(logic) == [
        ("Scan 1", "Drawn 1", "Ann"),
        ("Scan 1", "Drawn 1", "Ben"),
        ("Scan 2", "Drawn 2", "Lesion"),
    ]


def test_pairs_that_are_in_the_table_do_not_come_twice(logic):
    a_case(1)
    logic.addAllPairs()
    a_case(2)

    assert logic.addAllPairs() == 1
    assert len(logic.rows()) == 2


def test_what_the_model_drew_is_no_case_unless_somebody_has_edited_it(logic):
    from DiffOSegLib.scene.SegmentTags import EXPERT

    _, drawn = a_case(1, {"Tightest of four": a_mask(), "Corrected": a_mask()})
    for segmentID, kind in (("Tightest of four", "AUTOMATIC"), ("Corrected", "SEMIAUTOMATIC")):
        segment = drawn.GetSegmentation().GetSegment(segmentID)
        segment.SetTag(EXPERT, "Tightest of four")
        segment.SetTag("DICOM.SegmentAlgorithmType", kind)

    logic.addAllPairs()

    assert names(logic) == [("Scan 1", "Drawn 1", "Corrected")]


def test_without_a_reference_the_only_volume_with_the_same_voxels_is_taken(logic):
    volume, drawn = a_case(1)
    other = a_volume("Elsewhere", spacing=(1, 1, 1))
    drawn.SetNodeReferenceID(drawn.GetReferenceImageGeometryReferenceRole(), None)

    logic.addAllPairs()

    assert [row.volume for row in logic.rows()] == [volume]
    assert other.GetScene() is not None


def test_of_two_volumes_with_the_same_voxels_people_choose(logic):
    _, drawn = a_case(1)
    a_volume("The same place")
    drawn.SetNodeReferenceID(drawn.GetReferenceImageGeometryReferenceRole(), None)

    assert logic.addAllPairs() == 0
    assert logic.addNode(drawn) == 1
    assert in_words(logic) == ["No volume is chosen. Choose the scan that was drawn on."]


def test_what_is_dropped_becomes_rows_once(logic):
    volume, drawn = a_case(1, {"Ann": a_mask(), "Ben": a_mask()})

    assert logic.addNode(drawn) == 2
    assert logic.addNode(drawn) == 0
    assert logic.addNode(volume) == 1
    assert names(logic)[-1] == ("Scan 1", "", "")


def test_other_nodes_cannot_be_dropped(logic):
    text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "Report")

    with pytest.raises(InputError, match="Report is neither a volume nor a segmentation"):
        logic.addNode(text)


def test_rows_are_changed_and_removed_and_keep_their_order(logic):
    cases = [a_case(n) for n in range(4)]
    logic.addAllPairs()
    first, second, third, fourth = (row.id for row in logic.rows())

    logic.setRow(second, volume=cases[3][0], patient="7", expertName="Dr Ä")
    logic.removeRows([first, fourth])

    changed, left = logic.rows()
    assert (changed.id, changed.volumeName, changed.segmentName) == (second, "Scan 3", "Lesion")
    assert (changed.patient, changed.expertName) == ("7", "Dr Ä")
    assert left.id == third


def test_a_segments_name_says_who_drew_it(logic):
    for number in range(2):
        a_case(number, {"A.B.": a_mask(), "C.D.": a_mask(shrink=4)})
    logic.addAllPairs()
    logic.getParameterNode().expertName = "Whoever"

    assert logic.segmentNames() == ("A.B.", "C.D.")
    assert logic.assign("C.D.", "Dr Čapek") == 2

    assert [row.expertName for row in logic.rows()] == ["", "Dr Čapek"] * 2
    assert logic.expertNames() == ("Whoever", "Dr Čapek")


def test_names_that_differ_in_case_and_spaces_are_one_experts(logic):
    for number, name in enumerate(("dr. A", "DR. A ", " ", "B")):
        logic.addRow(*a_case(number), expertName=name)
    logic.getParameterNode().expertName = " Dr. a"

    assert logic.expertNames() == ("dr. A", "B")


def test_whoever_watches_hears_of_each_change_once(logic):
    a_case(1)
    a_case(2)
    heard = []
    stop = logic.observe(lambda: heard.append(len(logic.rows())))

    logic.addAllPairs()
    looked_at(logic)
    logic.removeRow(logic.rows()[0].id)
    stop()
    logic.addAllPairs()

    assert heard[0] == 2
    assert heard[-1] == 1
    assert len(heard) <= 4  # rows, what was found of them in one or two steps, rows


# Saved and gone


def saved_and_opened(path):
    assert slicer.mrmlScene.WriteToMRB(str(path))
    slicer.mrmlScene.Clear(False)
    slicer.mrmlScene.ReadFromMRB(str(path), False)


def test_a_saved_scene_brings_the_rows_back(logic, tmp_path):
    volume, _ = a_case(1, {"Läsion 1": a_mask()})
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    roi.SetCenter(-7, -34, 41)
    roi.SetSize(40, 40, 40)
    logic.addAllPairs()
    row = logic.rows()[0]
    logic.setRow(row.id, expertName="Dr 肺", patient="4", roi=roi)
    parameters = logic.getParameterNode()
    parameters.expertName, parameters.seed = "Ann", 5
    before = looked_at(logic)

    saved_and_opened(tmp_path / "scene.mrb")

    (back,) = logic.rows()
    assert (back.id, back.expertName, back.patient) == (row.id, "Dr 肺", "4")
    assert (back.volumeName, back.segmentName, back.roiName) == ("Scan 1", "Läsion 1", "Box")
    assert back.volume is not volume
    assert looked_at(logic) == before
    assert (logic.getParameterNode().expertName, logic.getParameterNode().seed) == ("Ann", 5)


def test_a_closed_scene_leaves_no_rows(logic):
    a_case(1)
    logic.addAllPairs()

    slicer.mrmlScene.Clear(False)

    assert logic.rows() == ()
    assert logic.checks() == []
    logic.tick()


@pytest.mark.parametrize(
    ("what", "name"), [("volume", "Scan 1"), ("segmentation", "Drawn 1"), ("roi", "Box")]
)
def test_a_deleted_node_shows_in_words(logic, what, name):
    a_case(1)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    roi.SetCenter(-7, -34, 41)
    roi.SetSize(40, 40, 40)
    logic.addAllPairs()
    logic.setRow(logic.rows()[0].id, roi=roi)
    assert in_words(logic) == []

    slicer.mrmlScene.RemoveNode(getattr(logic.rows()[0], what))

    assert in_words(logic) == [
        f"{name} is no longer in the scene. Choose another, or remove this case."
    ]
    assert getattr(logic.rows()[0], f"{what}Name") == name


def test_a_deleted_segment_shows_in_words(logic):
    _, drawn = a_case(1, {"Ann": a_mask(), "Ben": a_mask()})
    logic.addRow(segmentation=drawn, segmentID="Ben")
    looked_at(logic)

    drawn.GetSegmentation().RemoveSegment("Ben")

    assert in_words(logic) == [
        "Ben is no longer in the scene. Choose another, or remove this case."
    ]


DAMAGED = {"id": "a b", "segment": "", "expert": "", "patient": "", "names": {}}


@pytest.mark.parametrize(
    "text",
    ["{", "7", "[1, {}]", "[" * 100_000, json.dumps([DAMAGED]), json.dumps([{"id": "a"}])],
    ids=["no JSON", "a number", "no rows", "deep", "an impossible ID", "half a row"],
)
def test_a_scene_with_damaged_rows_opens(logic, text):
    logic.getParameterNode().parameterNode.SetParameter("cases", text)

    assert logic.rows() == ()
    logic.tick()


def test_a_row_that_names_a_node_of_another_kind_has_none(logic):
    logic.addRow()
    text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "Report")
    row = logic.rows()[0]
    node = logic.getParameterNode().parameterNode
    node.SetNodeReferenceID(f"case.{row.id}.segmentation", text.GetID())

    assert logic.rows()[0].segmentation is None


# What is wrong with a case


def test_a_good_case_has_nothing_wrong(logic):
    a_case(1)
    logic.addAllPairs()

    assert logic.checks() == [None]
    assert logic.busy
    assert in_words(logic) == []
    logic.tick()
    assert not logic.checking


def test_a_segment_that_is_drawn_on_is_looked_at_again(logic):
    volume, drawn = a_case(1, {"Lesion": a_mask() & False})
    logic.addRow(volume, drawn, "Lesion")
    assert in_words(logic)[0].startswith("The segment is empty.")

    slicer.util.updateSegmentBinaryLabelmapFromArray(
        a_mask().astype(np.uint8), drawn, "Lesion", volume
    )

    assert logic.checks() == [None]
    assert in_words(logic) == []


def test_nothing_marked_in_a_region_is_a_case_too(logic):
    volume, drawn = a_case(1, {"Lesion": a_mask() & False})
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    roi.SetCenter(-7, -34, 41)
    roi.SetSize(20, 20, 10)

    logic.addRow(volume, drawn, "Lesion", roi)

    assert in_words(logic) == []


def test_voxels_that_are_no_numbers_are_found_where_they_matter(logic):
    volume, drawn = a_case(1, dtype=np.float32)
    voxels = slicer.util.arrayFromVolume(volume)
    voxels[block()][0, 0, 0] = np.nan
    slicer.util.arrayFromVolumeModified(volume)
    logic.addRow(volume, drawn)

    assert "no numbers" in in_words(logic)[0]


def test_a_segment_beside_the_volume_is_found(logic):
    volume, drawn = a_case(1)
    volume.SetOrigin(1000, 0, 0)
    logic.addRow(volume, drawn)

    assert in_words(logic) == [
        "The segment lies outside the volume. Choose the volume that it was drawn on."
    ]


def test_intensities_that_the_model_never_saw_are_found(logic):
    volume, drawn = a_case(1)
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume) + 5000)
    logic.addRow(volume, drawn)

    assert "lies outside the intensities" in in_words(logic)[0]


def test_a_case_that_is_there_twice_is_found_also_in_another_segmentation(logic):
    volume, drawn = a_case(1)
    again = a_segmentation(volume, {"Copy": a_mask()}, "Again")
    logic.addRow(volume, drawn)
    logic.addRow(volume, again)

    first, second = looked_at(logic)
    assert first == []
    assert "case 1 once more" in second[0]

    logic.setRow(logic.rows()[1].id, expertName="Somebody else")
    assert looked_at(logic) == [[], []]


def test_an_impossible_name_is_found(logic):
    logic.addRow(*a_case(1), expertName="consensus")

    assert "cannot be an expert's name" in in_words(logic)[0]


def test_a_volume_that_holds_colours_is_found(logic):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    slicer.util.updateVolumeFromArray(volume, np.zeros((4, 5, 6, 3), np.uint8))
    logic.addRow(volume)

    assert "Photo holds" in in_words(logic)[0]


def test_a_bending_transform_is_found(logic):
    volume, drawn = a_case(1)
    drawn.SetAndObserveTransformNodeID(aBendingTransform().GetID())
    logic.addRow(volume, drawn)

    assert "Harden" in in_words(logic)[0]


def test_other_voxels_are_told_of_and_do_no_harm(logic):
    volume, _ = a_case(1)
    fine = a_volume("Fine", (96, 80, 12), (0.35, 0.35, 2.0))
    drawn = a_segmentation(fine, {"Lesion": a_mask((96, 80, 12))})
    logic.addRow(volume, drawn)

    (found,) = in_words(logic)
    assert "other voxels" in found
    assert logic.checks()[0][0].kind == "warning"


# A segment on the volume's voxels


def mask_of(volume, drawn, segmentID="Lesion"):
    from DiffOSegTrainingLib.cases.SegmentMask import segmentMask

    found = segmentMask(volume, drawn, segmentID)
    return found.within((0, 0, 0), volume.GetImageData().GetDimensions())


def as_slicer_has_it(volume, drawn, segmentID="Lesion"):
    return slicer.util.arrayFromSegmentBinaryLabelmap(drawn, segmentID, volume) != 0


def test_a_segment_is_the_voxels_that_were_drawn(logic):
    mask = np.random.default_rng(0).random(a_mask().shape) > 0.5
    volume, drawn = a_case(1, {"Lesion": mask})

    np.testing.assert_array_equal(mask_of(volume, drawn), mask)


def test_both_may_lie_under_one_transform(logic):
    volume, drawn = a_case(1)
    for node in (volume, drawn):
        node.SetAndObserveTransformNodeID(aLinearTransform().GetID())
    logic.addRow(volume, drawn)

    np.testing.assert_array_equal(mask_of(volume, drawn), a_mask())
    assert in_words(logic) == []


@pytest.mark.parametrize("direction", ["axes 201 signs +-+", "oblique"])
def test_a_segment_on_a_turned_grid_is_what_slicer_resamples(logic, direction):
    volume, _ = a_case(1)
    other = a_volume("Turned", (40, 36, 30), (0.9, 1.1, 1.0))
    other.SetIJKToRASDirections(directions()[direction])
    centre = np.add(volume.GetOrigin(), (-16, -14, 11))
    other.SetOrigin(centre - directions()[direction] @ (18, 20, 15))
    drawn = a_segmentation(other, {"Lesion": a_mask((40, 36, 30))})

    mine, slicers = mask_of(volume, drawn), as_slicer_has_it(volume, drawn)

    assert mine.sum() > 200
    assert np.count_nonzero(mine ^ slicers) <= 0.02 * slicers.sum()


def test_a_transform_on_the_segmentation_alone_moves_it(logic):
    volume, drawn = a_case(1)
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = (-2 * 0.7, -3 * 0.7, 2.0)  # RAS; i and j run against R and A
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    drawn.SetAndObserveTransformNodeID(moved.GetID())

    np.testing.assert_array_equal(mask_of(volume, drawn), np.roll(a_mask(), (1, 3, 2), (0, 1, 2)))


def test_what_lies_beyond_the_volume_is_cut(logic):
    large = a_volume("Large", (60, 52, 16))
    drawn = a_segmentation(large, {"Lesion": np.ones((16, 52, 60), bool)})
    volume = a_volume("Small")
    volume.SetOrigin(10 - 4 * 0.7, -20 - 4 * 0.7, 32)

    assert mask_of(volume, drawn).all()
    assert mask_of(large, drawn).all()


def test_a_surface_is_a_case_and_stays_a_surface(logic):
    volume, drawn = a_case(1)
    segmentation = drawn.GetSegmentation()
    assert segmentation.CreateRepresentation("Closed surface")
    before = as_slicer_has_it(volume, drawn)
    segmentation.SetSourceRepresentationName("Closed surface")
    segmentation.RemoveRepresentation("Binary labelmap")

    mine = mask_of(volume, drawn)

    assert np.count_nonzero(mine ^ before) <= 0.3 * before.sum()
    assert not segmentation.ContainsRepresentation("Binary labelmap")


def test_contours_that_slicer_cannot_fill_are_told_of(logic):
    volume, drawn = a_case(1, {"Lesion": a_mask() & False})
    segment = drawn.GetSegmentation().GetSegment("Lesion")
    segment.RemoveAllRepresentations()
    segment.AddRepresentation("Planar contour", vtk.vtkPolyData())
    logic.addRow(volume, drawn, "Lesion")

    (found,) = in_words(logic)
    assert found.startswith("Lesion holds a planar contour that Slicer cannot turn into voxels")


def test_a_small_turn_of_a_large_grid_is_no_shift(logic):
    volume = a_volume("Scan", (800, 800, 2))
    turned = a_volume("Turned", (800, 800, 2))
    angle = 9e-4
    turned.SetIJKToRASDirections(
        -np.cos(angle), np.sin(angle), 0, -np.sin(angle), -np.cos(angle), 0, 0, 0, 1
    )
    mask = np.zeros((2, 800, 800), bool)
    mask[:, :, 780:] = True
    drawn = a_segmentation(turned, {"Lesion": mask})

    mine, slicers = mask_of(volume, drawn), as_slicer_has_it(volume, drawn)

    assert np.count_nonzero(mine ^ mask) > 0
    assert np.count_nonzero(mine ^ slicers) <= 8


# Many


@pytest.mark.slow
def test_two_hundred_rows_are_quick(logic):
    _, drawn = a_case(0, {f"S{n}": a_mask() for n in range(200)})
    ticks = []

    begun = time.thread_time()  # whatever else the computer does
    assert logic.addNode(drawn) == 200
    added = time.thread_time() - begun
    while logic.busy:
        begun = time.thread_time()
        logic.tick()
        ticks.append(time.thread_time() - begun)

    assert None not in logic.checks()
    assert added < 1
    assert np.median(ticks) < 0.05
    begun = time.thread_time()
    logic.tick()
    assert not logic.busy
    assert time.thread_time() - begun < 0.01
