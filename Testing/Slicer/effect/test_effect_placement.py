"""The answer on other grids and under transforms, and the preview that shows it."""

import time

import numpy as np
import pytest
import slicer
import vtk
from effect_stage import (
    REPOSITORY,
    SHAPE,
    START,
    Stage,
    addScan,
    blob,
    box,
    ijkToRas,
    inScan,
    previews,
    previewVoxels,
)

import SlicerHost

RESULT = inScan(blob() > 0.5)
SHARES = np.round(blob() * 8) / 8  # of eight drawings: many are the threshold itself
SHARED = inScan(SHARES > 0.5)


@pytest.fixture
def makeStage(scene):
    import SlicerHost

    SlicerHost.loadModule(REPOSITORY / "SegmentEditorDiffOSeg" / "SegmentEditorDiffOSeg.py")
    stages = []

    def make(**options):
        stages.append(Stage(**options))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


def rotation(degrees):
    angle = np.radians(degrees)
    return np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )


def addTransform(matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def moved(degrees=0.0, shift=(0.0, 0.0, 0.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees)
    matrix[:3, 3] = shift
    return matrix


def interpolated(probability, points):
    """Return the linear interpolation at index points (N, 3), as (i, j, k); NaN outside.

    Another route than the effect's: eight corners and their weights, written out.
    """
    size = np.array(probability.shape[::-1])
    outside = np.any((points < -0.5 - 1e-9) | (points > size - 0.5 + 1e-9), axis=1)
    p = np.clip(points, 0, size - 1)
    low = np.minimum(np.floor(p).astype(int), np.maximum(size - 2, 0))
    result = np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        at = np.minimum(low + corner, size - 1)
        weight = np.prod(np.where(corner, p - low, 1 - (p - low)), axis=1)
        result += weight * probability[at[:, 2], at[:, 1], at[:, 0]]
    result[outside] = np.nan
    return result


def expectedOn(referenceNode, scanToReference, probability, scan):
    """Return the probability at every voxel of a reference volume; NaN outside the region."""
    shape = slicer.util.arrayFromVolume(referenceNode).shape
    index = np.stack(np.meshgrid(*map(range, shape), indexing="ij"), -1).reshape(-1, 3)[:, ::-1]
    world = np.column_stack([index, np.ones(len(index))]) @ ijkToRas(referenceNode).T
    own = world @ np.linalg.inv(scanToReference @ ijkToRas(scan)).T
    return interpolated(probability, own[:, :3] - START).reshape(shape)


def test_on_the_scans_own_grid_the_preview_is_the_mask_exactly(makeStage):
    stage = makeStage()
    stage.offer(blob())
    assert np.array_equal(previewVoxels(stage.scan), RESULT)


@pytest.mark.parametrize(
    "directions",
    [np.diag([-1.0, 1, 1]), np.diag([1.0, -1, -1]), np.eye(3)[[1, 2, 0]], rotation(17)],
)
def test_flipped_permuted_and_oblique_scans_are_copied_exactly(makeStage, directions):
    scan = addScan(spacing=(0.7, 0.9, 2.5), origin=(13.7, -41.2, 1008.9), directions=directions)
    stage = makeStage(scan=scan)
    stage.offer(SHARES)
    stage.apply("replace")
    assert np.array_equal(stage.voxels(), SHARED)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_a_segmentation_on_the_same_points_in_another_order_is_copied_exactly(makeStage, axes):
    """The reference grid runs against the scan's, or along other axes, on the same centres."""
    scan = addScan(spacing=(0.7, 0.9, 2.5), directions=rotation(17))
    shape = tuple(np.array(SHAPE)[::-1][list(axes)][::-1])
    matrix = ijkToRas(scan)[:, [*axes, 3]]
    matrix[:3, 3] += matrix[:3, 1] * (shape[1] - 1)
    matrix[:3, 1] *= -1
    reference = slicer.util.addVolumeFromArray(np.zeros(shape, np.int16), matrix)
    stage = makeStage(scan=scan, geometryNode=reference)

    stage.offer(SHARES)
    stage.apply("replace")

    wanted = SHARED.transpose([2 - axes[2 - n] for n in range(3)])[:, ::-1]
    assert np.array_equal(stage.voxels(reference=reference), wanted)


def test_a_grid_that_a_file_has_rounded_is_still_the_same(makeStage):
    reference = addScan(origin=(1e-4, -2e-4, 1e-4))
    stage = makeStage(geometryNode=reference)
    stage.offer(SHARES)
    stage.apply("replace")
    assert np.array_equal(stage.voxels(reference=reference), SHARED)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 1.5), (1.7, 1.3, 0.8)])
def test_on_another_grid_probabilities_are_linear_between_voxel_centres(makeStage, spacing):
    scan = addScan(spacing=(1.0, 1.2, 2.0))
    reference = addScan((26, 40, 50), spacing, origin=(3.1, 2.2, 4.3), directions=rotation(8))
    stage = makeStage(scan=scan, geometryNode=reference)
    stage.offer(blob())

    wanted = expectedOn(reference, np.eye(4), blob(), scan)
    placed = stage.proposal._place()
    i0, i1, j0, j1, k0, k1 = placed.geometry.GetExtent()
    whole = np.full(wanted.shape, -1.0, np.float32)
    whole[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = placed.probability
    np.testing.assert_allclose(whole, np.nan_to_num(wanted, nan=-1), atol=1e-5)

    stage.apply("replace")
    sure = np.abs(np.nan_to_num(wanted) - 0.5) > 1e-5
    assert np.array_equal(stage.voxels(reference=reference)[sure], (wanted > 0.5)[sure])
    assert stage.voxels(reference=reference).sum() > 50


def test_scan_and_segmentation_may_stand_under_different_transforms(makeStage):
    scan, reference = addScan(), addScan((30, 40, 50), (0.8, 0.8, 0.8), (-6.0, -5.0, -4.0))
    stage = makeStage(scan=scan, geometryNode=reference)
    ofScan, ofSegmentation = moved(25, (30, 5, -2)), moved(20, (28, 4, -3))
    scan.SetAndObserveTransformNodeID(addTransform(ofScan).GetID())
    stage.segmentation.SetAndObserveTransformNodeID(addTransform(ofSegmentation).GetID())

    stage.offer(blob())
    stage.apply("replace")

    wanted = expectedOn(reference, np.linalg.inv(ofSegmentation) @ ofScan, blob(), scan)
    sure = np.abs(np.nan_to_num(wanted) - 0.5) > 1e-4
    labelmap = slicer.util.arrayFromSegmentInternalBinaryLabelmap(stage.segmentation, "tumor")
    assert labelmap.sum() > 50
    reference.SetAndObserveTransformNodeID(stage.segmentation.GetTransformNodeID())
    assert np.array_equal(stage.voxels(reference=reference)[sure], (wanted > 0.5)[sure])


def test_the_preview_stands_under_the_segmentations_transform_and_follows_it(makeStage):
    stage = makeStage()
    stage.offer(blob())
    both = addTransform(moved(10, (5, 0, 0)))
    for node in (stage.scan, stage.segmentation):
        node.SetAndObserveTransformNodeID(both.GetID())
    (preview,) = previews()
    assert preview.GetParentTransformNode() is both

    alone = addTransform(moved(0, (3.0, 0, 0)))
    alone.SetAndObserveTransformNodeID(both.GetID())
    stage.scan.SetAndObserveTransformNodeID(alone.GetID())
    shifted = np.roll(RESULT, 3, axis=2)
    stage.apply("replace")
    reference = addScan()
    reference.SetAndObserveTransformNodeID(both.GetID())
    assert np.array_equal(stage.voxels(reference=reference), shifted)


def test_the_volume_told_is_that_in_the_world(makeStage):
    stage = makeStage()
    stage.offer(blob())
    before = stage.proposal.drawnMl
    assert before == pytest.approx(RESULT.sum() / 1000)
    larger = addTransform(np.diag([2.0, 2, 2, 1]))
    for node in (stage.scan, stage.segmentation):
        node.SetAndObserveTransformNodeID(larger.GetID())
    assert stage.proposal.drawnMl == pytest.approx(8 * before)


def test_under_a_transform_that_bends_there_is_a_sentence(makeStage):
    from diffoseg.errors import InputError

    stage = makeStage()
    bending = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point in np.random.default_rng(0).random((6, 3)) * 20:
        source.InsertNextPoint(point)
        target.InsertNextPoint(point + np.array([0, np.sin(point[0]), 0]))
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    bending.SetAndObserveTransformToParent(spline)
    stage.segmentation.SetAndObserveTransformNodeID(bending.GetID())

    with pytest.raises(InputError, match="transform"):
        stage.offer(blob())


def test_an_answer_outside_the_segmentations_grid_is_explained(makeStage):
    from diffoseg.errors import InputError

    stage = makeStage(geometryNode=addScan((4, 4, 4), origin=(500, 0, 0)))
    with pytest.raises(InputError, match="outside the segmentation's grid"):
        stage.offer(blob())


def test_an_answer_that_reaches_beyond_the_segmentations_grid_is_cut_there(makeStage):
    small = addScan((16, 24, 13))  # ends at i = 12, in the middle of the region
    stage = makeStage(geometryNode=small)
    stage.offer(blob())
    stage.apply("add")
    assert np.array_equal(stage.voxels(), RESULT & box(0, 13, 0, 24, 0, 16))


@pytest.mark.parametrize("hardened", [("scan",), ("segmentation",), ("scan", "segmentation")])
def test_a_preview_stays_in_its_place_when_a_transform_is_hardened(makeStage, hardened):
    stage = makeStage()
    transform = addTransform(moved(90, (100, 7, -3)))
    for node in (stage.scan, stage.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    stage.offer(blob())
    for name in hardened:
        getattr(stage, name).HardenTransform()
    assert np.array_equal(previewVoxels(stage.scan), RESULT)
    stage.apply("add")
    assert np.array_equal(stage.voxels(), RESULT)


def test_a_preview_follows_a_scan_that_is_given_another_place(makeStage):
    stage = makeStage()
    stage.offer(blob())
    stage.scan.SetOrigin(3, 0, 0)
    assert np.array_equal(previewVoxels(stage.scan), RESULT)
    stage.apply("add")
    assert np.array_equal(stage.voxels(), RESULT)


def test_one_slice_is_placed_as_it_is(makeStage):
    stage = makeStage(scan=addScan((1, 24, 30), spacing=(1, 1, 5)))
    stage.offer(blob((12, 10, 3))[1:2], start=(8, 6, 0))
    stage.apply("add")
    assert stage.voxels().sum() == (blob((12, 10, 3))[1] > 0.5).sum()


def test_the_preview_is_in_no_list_and_in_no_saved_scene(makeStage, tmp_path):
    stage = makeStage()
    stage.offer(blob())
    (preview,) = previews()

    assert preview.GetHideFromEditors()
    assert preview.GetSegmentation().GetSegment("Preview").GetColor() == (0.0, 0.6, 0.5)
    SlicerHost.saveScene(tmp_path / "scene.mrml")
    text = (tmp_path / "scene.mrml").read_text(encoding="utf-8")
    assert "DiffOSeg preview" not in text
    assert text.count("<SegmentationDisplay") == 1
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert hierarchy.GetItemByDataNode(preview)  # again, once it is saved


def test_dragging_the_threshold_redraws_the_preview(makeStage):
    stage = makeStage()
    stage.offer(blob())
    (before,) = previews()
    for threshold in (0.8, 0.31, 0.02, 0.5):
        stage.options.thresholdSlider.value = threshold
        shown = previewVoxels(stage.scan)
        assert np.array_equal(shown, inScan(blob() > np.float32(threshold)))
    assert previews() == [before]


def test_a_threshold_set_in_the_parameters_redraws_the_preview_and_moves_the_slider(makeStage):
    stage = makeStage()
    stage.offer(blob())
    stage.setParameter("Threshold", 0.8)
    assert np.array_equal(previewVoxels(stage.scan), inScan(blob() > np.float32(0.8)))
    assert stage.options.thresholdSlider.value == pytest.approx(0.8)


@pytest.mark.alone
def test_a_drag_takes_less_than_50_ms_for_92_voxels_cubed(makeStage):
    stage = makeStage(scan=addScan((128, 128, 128)))
    stage.offer(blob((92, 92, 92)), start=(10, 20, 30))
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    view.forceRender()
    times = []
    for threshold in np.linspace(0.3, 0.7, 9):
        begun = time.perf_counter()
        stage.options.thresholdSlider.value = float(threshold)
        times.append(time.perf_counter() - begun)
        view.forceRender()
    assert np.median(times) < 0.05


def test_another_editors_preview_takes_the_place_of_this_one(makeStage):
    stage, other = makeStage(), makeStage()
    stage.offer(blob())
    other.offer(blob())
    assert len(previews()) == 1
    assert other.proposal.answer is not None
    assert stage.proposal.answer is None
    assert not stage.options.applyButton.enabled


def test_the_preview_is_drawn_over_the_slice_in_the_experts_colour(makeStage):
    from vtk.util.numpy_support import vtk_to_numpy

    stage = makeStage()
    stage.scan.GetDisplayNode().AutoWindowLevelOff()
    stage.scan.GetDisplayNode().SetWindowLevel(30, 15)
    slicer.util.setSliceViewerLayers(background=stage.scan, fit=True)
    widget = slicer.app.layoutManager().sliceWidget("Red")
    widget.sliceController().setSliceOffsetValue(START[2] + 4)

    def pixels():
        image = widget.sliceView().pixels()
        scalars = vtk_to_numpy(image.GetPointData().GetScalars())
        return scalars.reshape(*image.GetDimensions()[1::-1], 3).astype(int)

    bare = pixels()
    stage.offer(blob())
    covered = pixels()

    height, width = bare.shape[:2]
    xyToIjk = np.linalg.inv(ijkToRas(stage.scan)) @ slicer.util.arrayFromVTKMatrix(
        widget.mrmlSliceNode().GetXYToRAS()
    )
    x, y, _, _ = np.linalg.inv(xyToIjk) @ [START[0] + 6, START[1] + 5, START[2] + 4, 1]
    inside, outside = (round(y), round(x)), (height - 5, width // 2)
    grey = bare[inside]
    assert np.array_equal(bare[outside], covered[outside])
    opacity = 0.35
    expected = (1 - opacity) * grey + opacity * 255 * np.array([0.0, 0.6, 0.5])
    np.testing.assert_allclose(covered[inside], expected, atol=6)
