import json

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from a_finished_run import EXPERTS, FinishedRun, aCard
from a_scan import aLinearTransform, aScan, directions
from an_editor import EDITED, UNTOUCHED, Editor, drawnBy

from diffoseg.experts.panel import CONSENSUS
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.output.segment_tags import TERMINOLOGY, algorithm_name


@pytest.fixture
def results(scene):
    from DiffOSegLib.scene import SceneResults, SegmentTags

    SegmentTags.observeResults(scene)
    return SceneResults


@pytest.fixture
def run(tmp_path):
    return FinishedRun(tmp_path)


def geometryOf(volumeNode):
    from DiffOSegLib.scene.SceneInputs import geometryOf

    return geometryOf(volumeNode)


def reopened(path):
    """Save the scene, close it and open it again."""
    assert slicer.mrmlScene.WriteToMRB(str(path))
    slicer.mrmlScene.Clear(False)
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    slicer.mrmlScene.ReadFromMRB(str(path), False)


def content(volumeNode, node):
    """Return all that a segmentation says, as plain values."""
    segmentation = node.GetSegmentation()
    found = {}
    for segmentID in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentID)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentID, volumeNode)
        found[segmentID] = (segment.GetName(), tuple(segment.GetColor()), allTags(segment), array)
    return found


def allTags(segment):
    from DiffOSegLib.scene.SegmentTags import tagOf

    keys = (
        *("DICOM.SegmentAlgorithmType", "DICOM.SegmentAlgorithmName", "DiffOSeg.Expert"),
        *("DiffOSeg.WeightsHash", "DiffOSeg.Seed", "DiffOSeg.RegionLpsMm", "DiffOSeg.Notice"),
        slicer.vtkSegment.GetTerminologyEntryTagName(),
    )
    return {key: tagOf(segment, key) for key in keys}


def cells(tableNode):
    table = tableNode.GetTable()
    return [
        [
            table.GetColumnName(c),
            *(table.GetValue(r, c).ToString() for r in range(table.GetNumberOfRows())),
        ]
        for c in range(table.GetNumberOfColumns())
    ]


@pytest.mark.parametrize("direction", ["axes 012 signs --+", "oblique"])
def test_a_saved_scene_brings_everything_back(results, run, tmp_path, direction):
    volumeNode = aScan(name="Höhle 肺", direction=directions()[direction])
    volumeNode.SetAndObserveTransformNodeID(aLinearTransform().GetID())
    sink = run.into(results.SceneResults(volumeNode, results.OutputOptions(), aCard()))
    before = content(volumeNode, sink.segmentationNode)
    tableBefore = cells(sink.tableNode)

    reopened(tmp_path / "scene.mrb")

    volumeNode = slicer.util.getNode("Höhle 肺")
    node = slicer.util.getNode("Höhle 肺 DiffOSeg")
    after = content(volumeNode, node)
    assert list(after) == list(before)
    for segmentID, (name, color, tags, array) in after.items():
        assert (name, tags) == (before[segmentID][0], before[segmentID][2])
        np.testing.assert_allclose(color, before[segmentID][1], atol=1e-6)
        np.testing.assert_array_equal(array, before[segmentID][3])
    assert node.GetParentTransformNode().GetName() == "registration"
    assert json.loads(node.GetAttribute("DiffOSeg.Provenance")) == run.done["provenance"]

    assert cells(slicer.util.getNode("Höhle 肺 DiffOSeg volumes")) == tableBefore
    for expert in EXPERTS:
        map_ = slicer.util.getNode(f"Höhle 肺 DiffOSeg {expert} probability")
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(map_), run.probability[expert])
        assert map_.GetAttribute("DiffOSeg.Expert") == expert
    assert drawnBy(node) == UNTOUCHED


def test_maps_come_back_in_their_colours(results, run, tmp_path):
    sink = run.into(results.SceneResults(aScan(), results.OutputOptions(), aCard()))
    before = colors(sink.disagreementNode)
    reopened(tmp_path / "scene.mrb")
    node = slicer.util.getNode("CT DiffOSeg disagreement")
    np.testing.assert_allclose(colors(node), before, atol=0.003)
    display = node.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 0.5)
    assert display.GetApplyThreshold()


def test_the_next_run_in_a_reopened_scene_is_numbered_on(results, run, tmp_path):
    run.into(results.SceneResults(aScan(), results.OutputOptions(), aCard()))
    reopened(tmp_path / "scene.mrb")
    volumeNode = slicer.util.getNode("CT")
    sink = run.into(results.SceneResults(volumeNode, results.OutputOptions(), aCard()))
    assert sink.segmentationNode.GetName() == "CT DiffOSeg 2"
    assert len(slicer.util.getNodesByClass("vtkMRMLColorTableNode")) == len(
        {n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLColorTableNode")}
    )


def test_an_edit_is_noticed_in_a_reopened_scene(results, run, tmp_path):
    run.into(results.SceneResults(aScan(), results.OutputOptions(), aCard()))
    reopened(tmp_path / "scene.mrb")
    node = slicer.util.getNode("CT DiffOSeg")
    assert drawnBy(node) == UNTOUCHED
    Editor(node, slicer.util.getNode("CT")).paint(0, 0, 0)
    assert drawnBy(node) == EDITED


def test_an_edit_is_still_known_after_reopening(results, run, tmp_path):
    volumeNode = aScan()
    sink = run.into(results.SceneResults(volumeNode, results.OutputOptions(), aCard()))
    Editor(sink.segmentationNode, volumeNode).paint(0, 0, 0)
    reopened(tmp_path / "scene.mrb")
    assert drawnBy(slicer.util.getNode("CT DiffOSeg")) == EDITED


def test_an_edit_made_without_this_extension_is_found_on_opening(results, run, tmp_path):
    volumeNode = aScan()
    sink = run.into(results.SceneResults(volumeNode, results.OutputOptions(), aCard()))
    node = sink.segmentationNode
    with slicer.util.NodeModify(node):  # nobody is told
        voxels = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, "dr-m-ller")
        voxels[tuple(n // 2 for n in voxels.shape)] = 0
    assert drawnBy(node) == UNTOUCHED
    reopened(tmp_path / "scene.mrb")
    assert drawnBy(slicer.util.getNode("CT DiffOSeg")) == EDITED


def test_a_segmentation_file_that_is_loaded_alone_is_watched(results, run, tmp_path):
    volumeNode = aScan()
    sink = run.into(results.SceneResults(volumeNode, results.OutputOptions(), aCard()))
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "answers.seg.nrrd"))
    assert storage.WriteData(sink.segmentationNode)
    node = readSegmentation(tmp_path / "answers.seg.nrrd")
    assert drawnBy(node) == UNTOUCHED
    Editor(node, volumeNode).paint(0, 0, 0)
    assert drawnBy(node) == EDITED


def test_the_command_lines_file_says_the_same_as_the_scene(results, run, tmp_path):
    volumeNode = aScan()
    scenes = run.into(results.SceneResults(volumeNode, results.OutputOptions(), aCard()))
    shown = {name: "Consensus" if name == CONSENSUS else name for name in run.probability}
    write_seg_nrrd(
        tmp_path / "engine.seg.nrrd",
        {shown[name]: run.maskOf(name, volumeNode) for name in run.probability},
        geometryOf(volumeNode),
        colors={shown[name]: run.card.panel.color_of(name) for name in run.probability},
        tags={
            shown[name]: {
                "DICOM.SegmentAlgorithmType": "AUTOMATIC",
                "DICOM.SegmentAlgorithmName": algorithm_name(name),
                "TerminologyEntry": TERMINOLOGY,
            }
            for name in run.probability
        },
    )
    engines = readSegmentation(tmp_path / "engine.seg.nrrd")

    dicom = ("DICOM.SegmentAlgorithmType", "DICOM.SegmentAlgorithmName", "TerminologyEntry")
    pairs = zip(
        content(volumeNode, scenes.segmentationNode).values(),
        content(volumeNode, engines).values(),
        strict=True,
    )
    for (name, color, tags, array), (itsName, itsColor, itsTags, itsArray) in pairs:
        assert name == itsName
        np.testing.assert_allclose(color, itsColor, atol=1e-6)
        assert [tags[key] for key in dicom] == [itsTags[key] for key in dicom]
        np.testing.assert_array_equal(array, itsArray)


def test_a_segmentation_under_a_transform_is_written_on_the_volumes_own_grid(
    results, run, tmp_path
):
    volumeNode = aScan(direction=directions()["oblique"])
    volumeNode.SetAndObserveTransformNodeID(aLinearTransform().GetID())
    sink = run.into(results.SceneResults(volumeNode, results.OutputOptions(), aCard()))
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "answers.seg.nrrd"))
    assert storage.WriteData(sink.segmentationNode)
    image, geometry = sitk.ReadImage(str(tmp_path / "answers.seg.nrrd")), geometryOf(volumeNode)
    np.testing.assert_allclose(image.GetDirection(), geometry.direction, atol=1e-9)
    np.testing.assert_allclose(image.GetSpacing(), geometry.spacing)
    corner = geometry.point_to_index(image.GetOrigin())
    np.testing.assert_allclose(corner, np.round(corner), atol=1e-6)


def readSegmentation(path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", path.stem)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


def colors(node):
    table = node.GetDisplayNode().GetColorNode().GetLookupTable()
    assert isinstance(table, vtk.vtkLookupTable)
    return [table.GetTableValue(n) for n in range(256)]
