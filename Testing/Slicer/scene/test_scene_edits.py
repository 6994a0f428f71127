import numpy as np
import pytest
import slicer
from a_finished_run import EXPERTS, FinishedRun, aCard
from a_scan import aLinearTransform, aScan, aSegmentation
from an_editor import AUTOMATIC, EDITED, SEMIAUTOMATIC, UNTOUCHED, Editor, drawnBy


@pytest.fixture
def results(scene):
    from DiffOSegLib.scene import SceneResults, SegmentTags

    SegmentTags.observeResults(scene)
    return SceneResults


@pytest.fixture
def run(tmp_path):
    return FinishedRun(tmp_path)


@pytest.fixture
def volumeNode(results):
    return aScan()


@pytest.fixture
def answer(results, run, volumeNode):
    """Return the segmentation of a finished run."""
    sink = results.SceneResults(volumeNode, results.OutputOptions(), aCard())
    return run.into(sink).segmentationNode


class TestEditingVoxelsIsNoticed:
    @pytest.mark.parametrize(("place", "value"), [((0, 0, 0), 1), ((6, 19, 19), 0)])
    def test_with_the_segment_editor(self, answer, volumeNode, place, value):
        Editor(answer, volumeNode).paint(*place, value)
        assert drawnBy(answer) == EDITED

    def test_until_it_is_undone(self, answer, volumeNode):
        editor = Editor(answer, volumeNode)
        editor.paint(0, 0, 0)
        editor.logic.Undo()
        assert drawnBy(answer) == UNTOUCHED
        editor.logic.Redo()
        assert drawnBy(answer) == EDITED

    def test_but_not_where_the_voxels_were_marked_before(self, answer, volumeNode):
        Editor(answer, volumeNode).paint(6, 19, 19)
        assert drawnBy(answer) == UNTOUCHED

    def test_with_an_array(self, answer, volumeNode):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(answer, "dr-m-ller", volumeNode)
        mask[0, 0, 0] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, answer, "dr-m-ller", volumeNode)
        assert drawnBy(answer) == EDITED

    def test_with_the_internal_array(self, answer):
        voxels = slicer.util.arrayFromSegmentInternalBinaryLabelmap(answer, "dr-m-ller")
        voxels[tuple(n // 2 for n in voxels.shape)] = 0
        answer.GetSegmentation().GetSegment("dr-m-ller").Modified()
        assert drawnBy(answer) == EDITED

    def test_where_the_segment_is_only_moved(self, answer, volumeNode):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(answer, "dr-m-ller", volumeNode)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            np.roll(mask, 1, axis=2), answer, "dr-m-ller", volumeNode
        )
        assert drawnBy(answer) == EDITED

    def test_where_the_segment_is_emptied(self, answer, volumeNode):
        empty = np.zeros((12, 36, 40), np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(empty, answer, "dr-m-ller", volumeNode)
        assert drawnBy(answer) == EDITED

    def test_where_an_empty_answer_is_drawn(self, results, tmp_path, volumeNode):
        nothing = dict.fromkeys(("consensus", *EXPERTS), np.zeros((7, 20, 24), np.float32))
        run = FinishedRun(tmp_path, probability=nothing)
        sink = results.SceneResults(volumeNode, results.OutputOptions(), aCard())
        node = run.into(sink).segmentationNode
        assert drawnBy(node) == UNTOUCHED
        Editor(node, volumeNode).paint(5, 5, 5)
        assert drawnBy(node) == EDITED

    def test_in_a_copy_in_another_segmentation(self, answer, volumeNode):
        other = aSegmentation(volumeNode, np.zeros((12, 36, 40), bool))
        segmentation = other.GetSegmentation()
        segmentation.CopySegmentFromSegmentation(answer.GetSegmentation(), "dr-m-ller")
        assert drawnBy(other) == {"mine": "", "dr-m-ller": AUTOMATIC}
        Editor(other, volumeNode).paint(0, 0, 0)
        assert drawnBy(other) == {"mine": "", "dr-m-ller": SEMIAUTOMATIC}
        assert drawnBy(answer) == UNTOUCHED

    def test_in_a_chosen_segmentation(self, results, run, volumeNode):
        chosen = aSegmentation(volumeNode, np.zeros((12, 36, 40), bool))
        options = results.OutputOptions(segmentationNode=chosen)
        run.into(results.SceneResults(volumeNode, options, aCard()))
        Editor(chosen, volumeNode).paint(0, 0, 0)
        assert drawnBy(chosen) == EDITED | {"mine": ""}

    def test_in_a_segmentation_that_was_there_before_the_watch(self, host, run):
        from DiffOSegLib.scene import SceneResults, SegmentTags

        volumeNode = aScan()
        sink = SceneResults.SceneResults(volumeNode, SceneResults.OutputOptions(), aCard())
        node = run.into(sink).segmentationNode
        SegmentTags._watches.clear()  # as in an application that has just been started
        SegmentTags.observeResults(slicer.mrmlScene)
        Editor(node, volumeNode).paint(0, 0, 0)
        assert drawnBy(node) == EDITED


class TestNothingElseCountsAsEditing:
    def test_display(self, answer):
        display = answer.GetDisplayNode()
        display.SetSegmentVisibility("dr-m-ller", False)
        display.SetSegmentOpacity2DFill("dr-m-ller", 0.1)
        display.SetVisibility(False)
        assert drawnBy(answer) == UNTOUCHED

    def test_name_and_colour(self, answer):
        segment = answer.GetSegmentation().GetSegment("dr-m-ller")
        segment.SetName("renamed")
        segment.SetColor(1, 0, 0)
        assert drawnBy(answer) == UNTOUCHED

    def test_a_closed_surface(self, answer):
        answer.CreateClosedSurfaceRepresentation()
        answer.RemoveClosedSurfaceRepresentation()
        assert drawnBy(answer) == UNTOUCHED

    def test_layers_that_are_merged_and_parted(self, answer):
        answer.GetSegmentation().CollapseBinaryLabelmaps(False)
        answer.GetSegmentation().SeparateSegmentLabelmap("dr-m-ller")
        assert drawnBy(answer) == UNTOUCHED

    def test_layers_that_share_a_labelmap(self, results, tmp_path, volumeNode):
        parts = np.zeros((3, 7, 20, 24), np.float32)
        for n, part in enumerate(parts):
            part[:, 6 * n : 6 * n + 4] = 1
        run = FinishedRun(
            tmp_path, probability=dict(zip(("consensus", *EXPERTS), parts, strict=True))
        )
        sink = results.SceneResults(volumeNode, results.OutputOptions(), aCard())
        node = run.into(sink).segmentationNode
        node.GetSegmentation().CollapseBinaryLabelmaps(False)
        assert node.GetSegmentation().GetNumberOfLayers() == 1
        node.GetSegmentation().GetSegment("expert").Modified()
        assert drawnBy(node) == UNTOUCHED
        Editor(node, volumeNode).paint(0, 0, 0)
        assert drawnBy(node) == EDITED

    def test_a_neighbour_that_is_edited(self, answer, volumeNode):
        Editor(answer, volumeNode, "expert").paint(0, 0, 0)
        assert drawnBy(answer) == UNTOUCHED | {"expert": SEMIAUTOMATIC}

    def test_a_stroke_has_only_the_segment_that_it_changed_looked_at(
        self, answer, volumeNode, monkeypatch
    ):
        from DiffOSegLib.scene import SegmentTags

        looked = []

        def fingerprint(segmentation, segment):
            looked.append(segment.GetName())
            return own(segmentation, segment)

        own = SegmentTags.fingerprint
        editor = Editor(answer, volumeNode)
        monkeypatch.setattr(SegmentTags, "fingerprint", fingerprint)
        editor.paint(0, 0, 0)
        assert len(set(looked)) == 1
        assert answer.GetSegmentation().GetNumberOfSegments() > 1
        assert drawnBy(answer) == EDITED

    def test_saving(self, answer, tmp_path):
        assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "scene.mrb"))
        assert drawnBy(answer) == UNTOUCHED

    @pytest.mark.parametrize("linear", [None, np.eye(3)])
    def test_a_transform_even_a_hardened_one(self, answer, linear):
        answer.SetAndObserveTransformNodeID(aLinearTransform(linear).GetID())
        assert drawnBy(answer) == UNTOUCHED
        answer.HardenTransform()
        answer.GetSegmentation().GetSegment("dr-m-ller").Modified()
        assert drawnBy(answer) == UNTOUCHED

    def test_another_reference_grid(self, answer):
        other = aScan(origin=(3.25, 4.5, 5.75))
        answer.SetReferenceImageGeometryParameterFromVolumeNode(other)
        answer.GetSegmentation().GetSegment("dr-m-ller").Modified()
        assert drawnBy(answer) == UNTOUCHED


class TestOtherSegments:
    def test_are_left_alone(self, results, volumeNode):
        mask = np.zeros((12, 36, 40), bool)
        mask[3, 4, 5] = True
        node = aSegmentation(volumeNode, mask)
        Editor(node, volumeNode, "mine").paint(0, 0, 0)
        assert drawnBy(node) == {"mine": ""}

    def test_that_a_reader_declared_manual_stay_so(self, answer, volumeNode):
        segment = answer.GetSegmentation().GetSegment("dr-m-ller")
        segment.SetTag("DICOM.SegmentAlgorithmType", "MANUAL")
        Editor(answer, volumeNode).paint(0, 0, 0)
        assert drawnBy(answer)["dr-m-ller"] == "MANUAL"


class TestTheWatch:
    def test_may_be_set_up_again_and_again(self, results, scene):
        before = scene.HasObserver(scene.NodeAddedEvent)
        from DiffOSegLib.scene.SegmentTags import _watches, observeResults

        watch = _watches[scene]
        observeResults(scene)
        assert before
        assert _watches[scene] is watch

    def test_survives_that_the_scene_is_closed(self, results, run):
        slicer.mrmlScene.Clear(False)
        volumeNode = aScan()
        sink = results.SceneResults(volumeNode, results.OutputOptions(), aCard())
        node = run.into(sink).segmentationNode
        Editor(node, volumeNode).paint(0, 0, 0)
        assert drawnBy(node) == EDITED
