import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from a_scan import (
    TURN,
    aBendingTransform,
    aLinearTransform,
    aScan,
    aSegmentation,
    directions,
)

from diffoseg.errors import InputError
from diffoseg.space.geometry import Geometry

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def inputs(host):
    from DiffOSegLib.scene import SceneInputs

    return SceneInputs


def written(inputs, volumeNode, start, size, path):
    steps = sum(1 for _ in inputs.writeImage(volumeNode, start, size, path))
    return np.load(path), steps


def anRoi(center, size, transform=None):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    if transform is not None:
        node.SetAndObserveTransformNodeID(transform.GetID())
    node.SetCenter(*center)
    node.SetSize(*size)
    return node


def indices(geometry: Geometry, box) -> np.ndarray:
    """Return the box's corners as indices of voxels, the smaller first."""
    corners = geometry.point_to_index(np.array([box.lower, box.upper]))
    return np.sort(corners, axis=0)


class TestTheGrid:
    @pytest.mark.parametrize("name", directions())
    def test_puts_each_voxel_where_simpleitk_reads_it_from_the_same_file(
        self, inputs, tmp_path, name
    ):
        image = sitk.GetImageFromArray(np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7))
        image.SetSpacing((0.71, 0.93, 2.5))
        image.SetOrigin((-101.25, 33.7, 12.1))
        image.SetDirection(directions()[name].ravel())
        sitk.WriteImage(image, str(tmp_path / "v.nrrd"))

        volumeNode = loaded(tmp_path / "v.nrrd")
        geometry = inputs.geometryOf(volumeNode)

        truth = sitk.ReadImage(str(tmp_path / "v.nrrd"))
        voxels = slicer.util.arrayFromVolume(volumeNode)  # Slicer turns left-handed ones around
        for k, j, i in np.ndindex(voxels.shape):
            point = [float(v) for v in geometry.index_to_point((i, j, k))]
            ijk = truth.TransformPhysicalPointToContinuousIndex(point)
            np.testing.assert_allclose(ijk, np.round(ijk), atol=1e-9)
            assert truth[tuple(round(v) for v in ijk)] == voxels[k, j, i]

    def test_is_the_very_one_that_simpleitk_reads(self, inputs, tmp_path):
        image = sitk.Image((7, 6, 5), sitk.sitkInt16)
        image.SetSpacing((0.7109375, 0.7109375, 1.25))
        image.SetOrigin((-101.25, 33.7, 12.1))
        image.SetDirection(directions()["oblique"].ravel())
        sitk.WriteImage(image, str(tmp_path / "v.nrrd"))
        geometry = inputs.geometryOf(loaded(tmp_path / "v.nrrd"))
        truth = sitk.ReadImage(str(tmp_path / "v.nrrd"))
        assert geometry.size == truth.GetSize()
        np.testing.assert_allclose(geometry.spacing, truth.GetSpacing(), rtol=1e-12)
        np.testing.assert_allclose(geometry.origin, truth.GetOrigin(), rtol=1e-12)
        np.testing.assert_allclose(geometry.direction, truth.GetDirection(), atol=1e-12)

    @pytest.mark.parametrize("size", [(7, 6, 1), (1, 6, 7), (1, 1, 1)])
    def test_of_a_volume_one_voxel_thin_is_read_too(self, inputs, tmp_path, size):
        image = sitk.Image(size, sitk.sitkInt16)
        image.SetSpacing((0.7, 0.8, 5.0))
        sitk.WriteImage(image, str(tmp_path / "v.nrrd"))
        geometry = inputs.geometryOf(loaded(tmp_path / "v.nrrd"))
        assert geometry.size == size
        np.testing.assert_allclose(geometry.spacing, (0.7, 0.8, 5.0))

    def test_leaves_out_the_transform_above_the_volume(self, inputs):
        volumeNode = aScan()
        alone = inputs.geometryOf(volumeNode)
        volumeNode.SetAndObserveTransformNodeID(aLinearTransform().GetID())
        assert inputs.geometryOf(volumeNode) == alone


class TestAVolumeIsRefused:
    def test_where_none_is_chosen_or_it_was_removed(self, inputs):
        volumeNode = aScan()
        slicer.mrmlScene.RemoveNode(volumeNode)
        for node in (None, volumeNode):
            with pytest.raises(InputError, match="Choose the scan"):
                inputs.checkVolume(node)

    def test_where_it_is_a_label_map(self, inputs):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "L")
        slicer.util.updateVolumeFromArray(node, np.zeros((2, 3, 4), np.int16))
        with pytest.raises(InputError, match="label map"):
            inputs.checkVolume(node)

    @pytest.mark.parametrize(
        "className",
        [
            "vtkMRMLVectorVolumeNode",
            "vtkMRMLDiffusionTensorVolumeNode",
        ],
    )
    def test_where_its_voxels_are_vectors_or_tensors(self, inputs, className):
        node = slicer.mrmlScene.AddNewNodeByClass(className, "V")
        with pytest.raises(InputError, match="colours, vectors or tensors"):
            inputs.checkVolume(node)

    def test_where_a_scalar_volume_holds_several_numbers_a_voxel(self, inputs):
        node = aScan()
        node.GetImageData().AllocateScalars(10, 3)
        with pytest.raises(InputError, match="3 values"):
            inputs.checkVolume(node)

    def test_where_it_is_a_map_of_a_former_run(self, inputs):
        node = aScan()  # the scan's selector goes on to it when the scan is deleted
        node.SetAttribute("DiffOSeg.Map", "probability")
        with pytest.raises(InputError, match="a map that DiffOSeg has made"):
            inputs.checkVolume(node)

    def test_where_it_has_no_voxels(self, inputs):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        with pytest.raises(InputError, match="holds no voxels"):
            inputs.checkVolume(node)

    def test_where_a_transform_bends_it(self, inputs):
        node = aScan()
        node.SetAndObserveTransformNodeID(aBendingTransform().GetID())
        with pytest.raises(InputError, match="Harden the transform"):
            inputs.checkVolume(node)

    def test_where_a_bending_transform_is_further_up(self, inputs):
        node, inner = aScan(), aLinearTransform()
        inner.SetAndObserveTransformNodeID(aBendingTransform().GetID())
        node.SetAndObserveTransformNodeID(inner.GetID())
        with pytest.raises(InputError, match="Harden the transform"):
            inputs.checkVolume(node)

    def test_where_its_own_axes_are_sheared(self, inputs):
        node = aScan(direction=np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]))
        with pytest.raises(InputError, match="not perpendicular"):
            inputs.checkVolume(node)


class TestAVolumeIsTaken:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
    def test_whatever_its_type(self, inputs, dtype):
        inputs.checkVolume(aScan(dtype=dtype))

    def test_under_a_transform_that_shears_or_stretches(self, inputs):
        node = aScan()
        shear = aLinearTransform(np.array([[1, 0.3, 0], [0, 1.2, 0], [0, 0, 1.0]]))
        node.SetAndObserveTransformNodeID(shear.GetID())
        inputs.checkVolume(node)


class TestTheModality:
    def test_is_unknown_where_the_scene_does_not_tell(self, inputs):
        assert inputs.modalityOf(aScan()) == ""

    def test_comes_from_the_dicom_series(self, inputs):
        node = aScan()
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(
            hierarchy.GetSceneItemID(), node
        )
        hierarchy.SetItemAttribute(item, "DICOM.Modality", "mr")
        assert inputs.modalityOf(node) == "MR"

    def test_is_ct_where_voxels_are_hounsfield_units(self, inputs):
        node = aScan()
        units = slicer.vtkCodedEntry()
        units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
        node.SetVoxelValueUnits(units)
        assert inputs.modalityOf(node) == "CT"


class TestTheRegionOfAnRoi:
    def test_is_its_box_in_lps(self, inputs):
        box = inputs.roiRegion(anRoi((-26, 20, 18), (10, 12, 14)), aScan())
        np.testing.assert_allclose(box.lower, (21, -26, 11), atol=1e-5)
        np.testing.assert_allclose(box.upper, (31, -14, 25), atol=1e-5)

    def test_lands_on_the_same_voxels_where_both_lie_under_a_transform(self, inputs):
        volumeNode, transform = aScan(), aLinearTransform()
        geometry = inputs.geometryOf(volumeNode)
        before = inputs.roiRegion(anRoi((-26, 20, 18), (10, 12, 14)), volumeNode)
        volumeNode.SetAndObserveTransformNodeID(transform.GetID())
        after = inputs.roiRegion(anRoi((-26, 20, 18), (10, 12, 14), transform), volumeNode)
        np.testing.assert_allclose(indices(geometry, after), indices(geometry, before), atol=1e-5)

    def test_follows_the_roi_in_the_world_where_only_the_volume_is_moved(self, inputs):
        volumeNode, transform = aScan(), aLinearTransform(np.eye(3))  # a shift of 17, -23, 5
        volumeNode.SetAndObserveTransformNodeID(transform.GetID())
        box = inputs.roiRegion(anRoi((-26 + 17, 20 - 23, 18 + 5), (10, 12, 14)), volumeNode)
        np.testing.assert_allclose(box.lower, (21, -26, 11), atol=1e-5)

    def test_of_a_turned_roi_is_the_box_around_its_corners(self, inputs):
        roiNode = anRoi((0, 0, 0), (10, 12, 14))
        matrix = np.eye(4)
        matrix[:3, :3] = TURN
        matrix[:3, 3] = (-26, 20, 18)
        roiNode.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
        box = inputs.roiRegion(roiNode, aScan())
        half = np.abs(TURN) @ (5, 6, 7)
        np.testing.assert_allclose(box.lower, np.array((26, -20, 18)) - half, atol=1e-4)
        np.testing.assert_allclose(box.upper, np.array((26, -20, 18)) + half, atol=1e-4)

    def test_is_refused_where_there_is_none_or_it_is_empty(self, inputs):
        volumeNode = aScan()
        undrawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
        with pytest.raises(InputError, match="No region is chosen"):
            inputs.roiRegion(None, volumeNode)
        for roiNode in (undrawn, anRoi((0, 0, 0), (10, 0, 10))):
            with pytest.raises(InputError, match="box is empty"):
                inputs.roiRegion(roiNode, volumeNode)

    def test_is_refused_outside_the_volume(self, inputs):
        roiNode, volumeNode = anRoi((500, 0, 0), (10, 10, 10)), aScan()
        with pytest.raises(InputError) as caught:
            inputs.roiRegion(roiNode, volumeNode)
        names = f"The box {roiNode.GetName()} lies outside {volumeNode.GetName()}. Drag it"
        assert str(caught.value).startswith(names)
        assert "LPS" not in str(caught.value)

    def test_is_refused_under_a_transform_that_bends_it(self, inputs):
        with pytest.raises(InputError, match="bends"):
            inputs.roiRegion(anRoi((-26, 20, 18), (9, 9, 9), aBendingTransform()), aScan())

    def test_is_refused_where_the_volume_is_flattened(self, inputs):
        volumeNode = aScan()
        volumeNode.SetAndObserveTransformNodeID(aLinearTransform(np.diag([1, 1, 0.0])).GetID())
        with pytest.raises(InputError, match="flattens"):
            inputs.roiRegion(anRoi((-26, 20, 18), (10, 12, 14)), volumeNode)


@pytest.fixture
def mask():
    mask = np.zeros((12, 36, 40), bool)
    mask[3:6, 10:15, 20:27] = True
    mask[4, 12, 22] = False
    return mask


class TestTheRegionOfASegment:
    @pytest.mark.parametrize("transformed", [False, True])
    @pytest.mark.parametrize("name", ["axes 012 signs --+", "axes 201 signs +-+"])
    def test_is_the_outer_faces_of_its_voxels(self, inputs, mask, name, transformed):
        volumeNode = aScan(direction=directions()[name])
        if transformed:
            volumeNode.SetAndObserveTransformNodeID(aLinearTransform().GetID())
        segmentationNode = aSegmentation(volumeNode, mask)
        box = inputs.segmentRegion(segmentationNode, "mine", volumeNode, 0.0)
        found = indices(inputs.geometryOf(volumeNode), box)
        np.testing.assert_allclose(found, [(19.5, 9.5, 2.5), (26.5, 14.5, 5.5)], atol=1e-6)

    def test_follows_the_segment_in_the_world_where_only_the_volume_is_moved(self, inputs, mask):
        volumeNode = aScan()
        segmentationNode = aSegmentation(volumeNode, mask)
        before = inputs.segmentRegion(segmentationNode, "mine", volumeNode, 0.0)
        shift = np.eye(4)
        shift[:3, 3] = (1.5, -2, 3)
        transform = aLinearTransform()
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
        volumeNode.SetAndObserveTransformNodeID(transform.GetID())
        after = inputs.segmentRegion(segmentationNode, "mine", volumeNode, 0.0)
        np.testing.assert_allclose(np.subtract(after.lower, before.lower), (1.5, -2, -3))

    def test_grows_by_the_margin(self, inputs, mask):
        volumeNode = aScan()
        segmentationNode = aSegmentation(volumeNode, mask)
        tight, wide = (
            inputs.segmentRegion(segmentationNode, "mine", volumeNode, mm) for mm in (0.0, 7.5)
        )
        np.testing.assert_allclose(np.subtract(tight.lower, wide.lower), 7.5)
        np.testing.assert_allclose(np.subtract(wide.upper, tight.upper), 7.5)

    def test_of_one_segment_leaves_out_those_that_share_its_labelmap(self, inputs, mask):
        volumeNode = aScan()
        segmentationNode = aSegmentation(volumeNode, mask)
        other = np.zeros_like(mask)
        other[0, 0, 0] = True
        segmentationNode.GetSegmentation().AddEmptySegment("other", "other", (1, 0, 0))
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            other.astype(np.uint8), segmentationNode, "other", volumeNode
        )
        segmentationNode.GetSegmentation().CollapseBinaryLabelmaps(False)
        box = inputs.segmentRegion(segmentationNode, "mine", volumeNode, 0.0)
        found = indices(inputs.geometryOf(volumeNode), box)
        np.testing.assert_allclose(found, [(19.5, 9.5, 2.5), (26.5, 14.5, 5.5)], atol=1e-6)

    def test_of_a_surface_is_the_box_around_it(self, inputs, mask):
        volumeNode = aScan()
        segmentationNode = aSegmentation(volumeNode, mask)
        voxels = inputs.segmentRegion(segmentationNode, "mine", volumeNode, 0.0)
        segmentationNode.CreateClosedSurfaceRepresentation()
        segmentationNode.SetSourceRepresentationToClosedSurface()
        segmentationNode.RemoveBinaryLabelmapRepresentation()
        surface = inputs.segmentRegion(segmentationNode, "mine", volumeNode, 0.0)
        np.testing.assert_allclose(surface.lower, voxels.lower, atol=3)
        np.testing.assert_allclose(surface.upper, voxels.upper, atol=3)

    def test_is_refused_where_it_is_missing_or_empty(self, inputs, mask):
        volumeNode = aScan()
        empty = aSegmentation(volumeNode, np.zeros_like(mask))
        for node, segmentID in ((None, "mine"), (empty, "gone")):
            with pytest.raises(InputError, match="No segment is chosen"):
                inputs.segmentRegion(node, segmentID, volumeNode, 0.0)
        with pytest.raises(InputError, match="mine is empty"):
            inputs.segmentRegion(empty, "mine", volumeNode, 0.0)

    def test_is_refused_where_it_lies_on_another_scan(self, inputs, mask):
        segmentationNode = aSegmentation(aScan(origin=(900, 0, 0)), mask)
        with pytest.raises(InputError, match=r"The segment .* lies outside .* drawn on it\."):
            inputs.segmentRegion(segmentationNode, "mine", aScan(), 5.0)


class TestTheDefaultRoi:
    def at(self, place):
        node = slicer.mrmlScene.GetSingletonNode("default", "vtkMRMLCrosshairNode")
        node.SetCrosshairRAS(place)

    @pytest.fixture
    def large(self):
        return aScan(size=(200, 180, 60), spacing=(0.7, 0.7, 2.5), origin=(70, 63, -75))

    def test_is_a_64_mm_cube_in_the_middle(self, inputs, large):
        self.at((0, 0, 0))
        box = inputs.roiRegion(inputs.defaultRoi(large), large)
        middle = (np.array(box.lower) + box.upper) / 2
        around = inputs.geometryOf(large).bounding_box()
        np.testing.assert_allclose(np.subtract(box.upper, box.lower), 64, atol=1e-4)
        np.testing.assert_allclose(middle, (np.array(around.lower) + around.upper) / 2, atol=1e-4)

    def test_takes_a_volumes_name_that_looks_like_a_format(self, inputs, large):
        large.SetName("5 %s %n {0}")
        roiNode = inputs.defaultRoi(large)  # Slicer's own label for its point would read "%s"
        assert roiNode.GetName() == "5 %s %n {0} region"
        assert "%N" not in roiNode.GetControlPointLabelFormat()
        assert roiNode.GetNthControlPointLabel(0) == "1"

    def test_is_at_the_crosshair(self, inputs, large):
        self.at((5, -6, 7))
        box = inputs.roiRegion(inputs.defaultRoi(large), large)
        middle = (np.array(box.lower) + box.upper) / 2
        np.testing.assert_allclose(middle, (-5, 6, 7), atol=1e-4)

    def test_is_at_the_crosshair_of_a_volume_under_a_transform(self, inputs, large):
        large.SetAndObserveTransformNodeID(aLinearTransform(np.eye(3)).GetID())
        self.at((5 + 17, -6 - 23, 7 + 5))
        box = inputs.roiRegion(inputs.defaultRoi(large), large)
        middle = (np.array(box.lower) + box.upper) / 2
        np.testing.assert_allclose(middle, (-5, 6, 7), atol=1e-4)

    def test_is_moved_into_the_volume_at_its_edge(self, inputs, large):
        around = inputs.geometryOf(large).bounding_box()
        self.at((-around.lower[0] - 2, 0, 0))
        box = inputs.roiRegion(inputs.defaultRoi(large), large)
        np.testing.assert_allclose(box.lower[0], around.lower[0], atol=1e-4)
        np.testing.assert_allclose(np.subtract(box.upper, box.lower), 64, atol=1e-4)

    def test_is_as_large_as_a_small_volume_along_each_axis(self, inputs):
        small = aScan(direction=np.eye(3))
        self.at((500, 500, 500))
        box = inputs.roiRegion(inputs.defaultRoi(small), small)
        np.testing.assert_allclose(
            np.subtract(box.upper, box.lower), (40 * 0.8, 36 * 0.9, 12 * 2.5), atol=1e-4
        )

    def test_is_shown(self, inputs, large):
        assert inputs.defaultRoi(large).GetDisplayVisibility()


class TestTheWrittenImage:
    @pytest.mark.parametrize(
        "dtype",
        [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64],
    )
    def test_holds_the_same_voxels_of_the_same_type(self, inputs, tmp_path, dtype):
        volumeNode = aScan(dtype=dtype)
        array, _ = written(inputs, volumeNode, (3, 5, 2), (20, 18, 7), tmp_path / "image.npy")
        truth = slicer.util.arrayFromVolume(volumeNode)[2:9, 5:23, 3:23]
        assert array.dtype == truth.dtype
        np.testing.assert_array_equal(array, truth)

    @pytest.mark.parametrize(
        ("start", "size"),
        [((0, 0, 0), (40, 36, 12)), ((39, 35, 11), (1, 1, 1)), ((0, 10, 3), (40, 1, 9))],
    )
    def test_holds_exactly_the_voxels_asked_for(self, inputs, tmp_path, start, size):
        volumeNode = aScan()
        array, _ = written(inputs, volumeNode, start, size, tmp_path / "image.npy")
        i, j, k = (slice(a, a + n) for a, n in zip(start, size, strict=True))
        np.testing.assert_array_equal(array, slicer.util.arrayFromVolume(volumeNode)[k, j, i])

    def test_is_written_in_pieces_of_at_most_4_mb(self, inputs, tmp_path):
        volumeNode = aScan(size=(512, 512, 40))  # 20 MB
        array, steps = written(inputs, volumeNode, (0, 0, 0), (512, 512, 40), tmp_path / "i.npy")
        assert steps == 5
        np.testing.assert_array_equal(array, slicer.util.arrayFromVolume(volumeNode))

    def test_parts_even_a_single_plane_that_is_larger(self, inputs, tmp_path, monkeypatch):
        monkeypatch.setattr(inputs, "_SLAB_BYTES", 1000)
        volumeNode = aScan()
        array, steps = written(inputs, volumeNode, (1, 1, 1), (39, 35, 11), tmp_path / "i.npy")
        assert steps == 11 * 3  # rows of 78 bytes, 12 at a time
        np.testing.assert_array_equal(array, slicer.util.arrayFromVolume(volumeNode)[1:, 1:, 1:])

    def test_is_complete_even_where_the_volume_is_removed_meanwhile(self, inputs, tmp_path):
        volumeNode = aScan(size=(512, 512, 20))
        truth = slicer.util.arrayFromVolume(volumeNode).copy()
        steps = inputs.writeImage(volumeNode, (0, 0, 0), (512, 512, 20), tmp_path / "i.npy")
        next(steps)
        slicer.mrmlScene.RemoveNode(volumeNode)
        del volumeNode
        list(steps)
        np.testing.assert_array_equal(np.load(tmp_path / "i.npy"), truth)

    def test_is_refused_where_the_volume_has_become_smaller(self, inputs, tmp_path):
        with pytest.raises(InputError, match="changed"):
            list(inputs.writeImage(aScan(), (0, 0, 0), (41, 36, 12), tmp_path / "i.npy"))


def loaded(path):
    """Return a volume node as Slicer reads it from a file."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", path.stem)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node
