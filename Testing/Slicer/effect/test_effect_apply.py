"""What Apply does to the segments, voxel by voxel."""

import numpy as np
import pytest
import slicer
from effect_stage import INSIDE, REPOSITORY, Stage, blob, box, inScan, previews

TUMOR = box(4, 16, 3, 13, 2, 9)  # half inside the answered region
ORGAN = box(12, 24, 5, 14, 3, 10)


@pytest.fixture
def aStage(scene):
    import SlicerHost

    SlicerHost.loadModule(REPOSITORY / "SegmentEditorDiffOSeg" / "SegmentEditorDiffOSeg.py")
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def aDrawnStage(aStage):
    """Tumor and organ are drawn, overlapping, and an answer is previewed."""
    aStage.draw("tumor", TUMOR)
    aStage.draw("organ", ORGAN)
    aStage.offer(blob())
    return aStage


def expected(operation, segment, result, region):
    """Return what set algebra says of three masks on the scan."""
    if operation == "replace":
        return (segment & ~region) | result
    if operation == "add":
        return segment | result
    if operation == "subtract":
        return segment & ~result
    return segment & (~region | result)


REGION = inScan(np.ones(blob().shape, bool))
RESULT = inScan(blob() > 0.5)
OPERATIONS = ("replace", "add", "subtract", "intersect")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_is_what_set_algebra_says_and_stays_in_the_region(aDrawnStage, operation):
    aDrawnStage.apply(operation)

    result = aDrawnStage.voxels("tumor")
    assert np.array_equal(result, expected(operation, TUMOR, RESULT, REGION))
    assert np.array_equal(result[~REGION], TUMOR[~REGION])
    assert not np.array_equal(result, TUMOR)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_other_segments_stay_bit_for_bit_where_overlap_is_allowed(aDrawnStage, operation):
    aDrawnStage.apply(operation)
    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_one_undo_takes_apply_back_and_redo_brings_it_again(aDrawnStage, operation):
    aDrawnStage.apply(operation)
    applied = aDrawnStage.voxels("tumor")

    aDrawnStage.editor.undo()
    assert np.array_equal(aDrawnStage.voxels("tumor"), TUMOR)
    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN)
    aDrawnStage.editor.redo()
    assert np.array_equal(aDrawnStage.voxels("tumor"), applied)
    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN)


def test_voxels_of_just_the_threshold_are_out_as_in_the_engines_own_masks(aStage):
    values = np.zeros(blob().shape)
    values[0, 0, :3] = 0.5, 0.625, 0.375  # shares of eight drawings
    aStage.offer(values)

    aStage.apply("add")

    assert aStage.voxels().sum() == 1


def test_an_overwriting_mode_takes_the_added_voxels_from_others_and_no_more(aDrawnStage):
    aDrawnStage.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments)

    aDrawnStage.apply("replace")

    assert np.array_equal(aDrawnStage.voxels("tumor"), expected("replace", TUMOR, RESULT, REGION))
    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN & ~RESULT)


def test_overwriting_visible_segments_leaves_hidden_ones(aDrawnStage):
    aDrawnStage.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments)
    aDrawnStage.segmentation.GetDisplayNode().SetSegmentVisibility("organ", False)

    aDrawnStage.apply("add")

    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN)


@pytest.mark.parametrize("overwrite", ["OverwriteAllSegments", "OverwriteNone"])
@pytest.mark.parametrize("operation", ["subtract", "intersect"])
def test_operations_that_only_remove_change_no_other_segment(aDrawnStage, operation, overwrite):
    aDrawnStage.node.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, overwrite))
    aDrawnStage.apply(operation)
    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_editable_intensity_range_is_respected(aDrawnStage, operation):
    aDrawnStage.node.SourceVolumeIntensityMaskOn()
    aDrawnStage.node.SetSourceVolumeIntensityMaskRange(11, 14)  # the columns of that number

    aDrawnStage.apply(operation)

    editable = box(11, 15, 0, 24, 0, 16)
    wanted = expected(operation, TUMOR, RESULT, REGION)
    assert np.array_equal(aDrawnStage.voxels(), np.where(editable, wanted, TUMOR))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_inside_one_segment_nothing_outside_it_changes_and_it_stays(aDrawnStage, operation):
    aDrawnStage.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    aDrawnStage.node.SetMaskSegmentID("organ")

    aDrawnStage.apply(operation)

    wanted = expected(operation, TUMOR, RESULT, REGION)
    assert np.array_equal(aDrawnStage.voxels("tumor"), np.where(ORGAN, wanted, TUMOR))
    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN)


def test_inside_one_segment_and_an_intensity_range_both_hold(aDrawnStage):
    aDrawnStage.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    aDrawnStage.node.SetMaskSegmentID("organ")
    aDrawnStage.node.SourceVolumeIntensityMaskOn()
    aDrawnStage.node.SetSourceVolumeIntensityMaskRange(0, 13)

    aDrawnStage.apply("replace")

    editable = ORGAN & box(0, 14, 0, 24, 0, 16)
    wanted = expected("replace", TUMOR, RESULT, REGION)
    assert np.array_equal(aDrawnStage.voxels("tumor"), np.where(editable, wanted, TUMOR))
    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN)


def test_outside_all_segments_nothing_is_added_where_another_one_is(aDrawnStage):
    aDrawnStage.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)

    aDrawnStage.apply("add")

    assert np.array_equal(aDrawnStage.voxels("tumor"), TUMOR | (RESULT & ~ORGAN))
    assert np.array_equal(aDrawnStage.voxels("organ"), ORGAN)


def test_an_empty_result_clears_the_region_only_and_says_so_before(aDrawnStage):
    aDrawnStage.offer(np.zeros(blob().shape))
    assert "draws nothing here" in aDrawnStage.status

    aDrawnStage.apply("replace")

    assert np.array_equal(aDrawnStage.voxels(), TUMOR & ~REGION)


def test_where_nothing_would_change_there_is_a_sentence_and_no_undo_step(aDrawnStage):
    aDrawnStage.offer(np.zeros(blob().shape))
    aDrawnStage.apply("add")
    assert "Nothing would change" in aDrawnStage.status
    assert not aDrawnStage.editor.logic().CanUndo()
    assert previews()


def test_apply_says_in_the_segment_that_the_model_had_a_hand_in_it(aDrawnStage):
    from DiffOSegLib.scene.SegmentTags import tagOf

    segmentation = aDrawnStage.segmentation.GetSegmentation()

    aDrawnStage.apply("add")

    segment = segmentation.GetSegment("tumor")
    assert tagOf(segment, "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC"
    assert tagOf(segment, "DICOM.SegmentAlgorithmName").startswith("DiffOSeg ")
    assert tagOf(segment, "DICOM.SegmentAlgorithmName").endswith(" Tighter of four")
    assert tagOf(segmentation.GetSegment("organ"), "DICOM.SegmentAlgorithmType") == ""
    aDrawnStage.editor.undo()
    assert tagOf(segmentation.GetSegment("tumor"), "DICOM.SegmentAlgorithmType") == ""


def test_a_hidden_segment_that_the_reader_does_not_confirm_is_not_changed(aDrawnStage):
    effect = aDrawnStage.editor.activeEffect()
    vars(effect)["confirmCurrentSegmentVisible"] = lambda: 0

    aDrawnStage.apply("replace")

    assert np.array_equal(aDrawnStage.voxels(), TUMOR)
    assert len(previews()) == 1


def test_apply_and_discard_take_the_preview_away(aDrawnStage):
    aDrawnStage.options.discardButton.click()
    assert not previews()
    assert np.array_equal(aDrawnStage.voxels(), TUMOR)
    assert not aDrawnStage.options.applyButton.enabled

    aDrawnStage.offer(blob())
    aDrawnStage.apply("add")
    assert not previews()
    assert "Undo" in aDrawnStage.status


def test_a_segmentation_whose_layers_are_shared_keeps_the_neighbour(aStage):
    """Segments without overlap share one labelmap: an edit must not reach the other's labels."""
    left, right = box(4, 12, 3, 13, 2, 9), box(12, 20, 3, 13, 2, 9)
    aStage.draw("tumor", left)
    aStage.draw("organ", right)
    aStage.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    aStage.offer(blob())

    aStage.apply("replace")

    assert np.array_equal(aStage.voxels("tumor"), expected("replace", left, RESULT, REGION))
    assert np.array_equal(aStage.voxels("organ"), right)


def test_the_modules_own_test_passes(aStage):
    slicer.selfTests["SegmentEditorDiffOSeg"]()


def test_the_region_of_these_tests_holds_all_that_is_drawn():
    assert RESULT[INSIDE].sum() == RESULT.sum() > 0


def test_the_help_says_what_becomes_of_other_segments_by_slicers_default(aDrawnStage):
    stage = aDrawnStage
    stage.node.SetOverwriteMode(stage.node.OverwriteAllSegments)
    before = stage.voxels("organ").sum()

    stage.apply("replace")

    assert stage.voxels("organ").sum() < before
    assert "Overwrite all" in stage.effect.helpText()
