import json

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from a_scan import aLinearTransform, directions
from a_training import PATIENCE, a_case, a_mask, a_segmentation, a_volume, looked_at, training_logic

from diffoseg.cohorts.datalist import read_datalist
from diffoseg.errors import InputError

pytestmark = pytest.mark.usefixtures("scene", "experts")


@pytest.fixture
def logic(scene):
    made = training_logic()
    yield made
    made.shutdown()


class Heard(list):
    """What was told of files."""

    @property
    def end(self):
        assert [event.isLast for event in self] == [False] * (len(self) - 1) + [True]
        return self[-1]

    @property
    def notes(self):
        return [event.sentence for event in self if event.kind == "note"]


def done(logic, begin, *arguments):
    heard = Heard()
    begin(*arguments, heard.append)
    assert logic.busy
    assert logic.waitForFiles(PATIENCE) is heard.end
    return heard


def exported(logic, folder):
    return done(logic, logic.exportList, folder / "list.json")


def write_image(path, array, spacing=(0.7, 0.7, 2.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def a_scan_file(path):
    return write_image(path, np.random.default_rng(0).normal(-500, 99, (6, 20, 24)).astype("int16"))


def a_mask_file(path):
    mask = np.zeros((6, 20, 24), np.uint8)
    mask[2:4, 5:12, 6:16] = 1
    return write_image(path, mask)


# Out and in again


@pytest.mark.parametrize("direction", ["axes 012 signs --+", "axes 120 signs +--", "oblique"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
def test_exported_cases_are_the_cases(logic, tmp_path, direction, dtype):
    volume = a_volume("Scan", dtype=np.int16)
    slicer.util.updateVolumeFromArray(
        volume, (slicer.util.arrayFromVolume(volume) % 200).astype(dtype)
    )
    volume.SetIJKToRASDirections(directions()[direction])
    logic.addRow(volume, a_segmentation(volume, {"Lesion": a_mask()}), expertName="Ann")

    assert exported(logic, tmp_path).end.kind == "done"

    from DiffOSegLib.scene.SceneInputs import geometryOf

    (case,) = read_datalist(tmp_path / "list.json").cohort("Ann")
    np.testing.assert_array_equal(case.volume.array, slicer.util.arrayFromVolume(volume))
    np.testing.assert_array_equal(case.masks["Ann"], a_mask())
    found, wanted = case.volume.geometry, geometryOf(volume)
    assert found.size == wanted.size
    for part in ("spacing", "origin", "direction"):
        np.testing.assert_allclose(getattr(found, part), getattr(wanted, part), atol=1e-6)


def test_slicer_opens_exported_scans_where_they_were(logic, tmp_path):
    from DiffOSegLib.scene.Matrices import ijkToRas

    volume, drawn = a_case(1)
    volume.SetIJKToRASDirections(directions()["oblique"])
    logic.addRow(volume, drawn, expertName="Ann")
    exported(logic, tmp_path)

    opened = slicer.util.loadVolume(str(tmp_path / "list-cases" / "case-0001.nrrd"))

    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(opened), slicer.util.arrayFromVolume(volume)
    )
    np.testing.assert_allclose(ijkToRas(opened), ijkToRas(volume), atol=1e-5)


def test_a_list_comes_back_as_it_went(logic, tmp_path, scene):
    a_case(1, {"A/|B": a_mask(), "C": a_mask(shrink=4)})
    logic.getParameterNode().expertName = "Dr Ä"
    logic.addAllPairs()
    logic.assign("C", "Ben")
    logic.setRow(logic.rows()[0].id, patient="Mr Smith")
    before = looked_at(logic)
    exported(logic, tmp_path)
    text = (tmp_path / "list.json").read_text()
    assert "Smith" not in text
    assert "Scan 1" not in text
    scene.Clear(False)

    heard = done(logic, logic.addFromList, tmp_path / "list.json")

    assert heard.end.sentence == "2 cases were added."
    assert [(row.segmentName, row.expertName) for row in logic.rows()] == [
        ("A/|B", "Dr Ä"),
        ("C", "Ben"),
    ]
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    assert looked_at(logic) == before
    assert done(logic, logic.addFromList, tmp_path / "list.json").end.sentence == (
        "0 cases were added."
    )


def test_a_region_comes_back_as_a_box_at_its_place(logic, tmp_path, scene):
    volume, drawn = a_case(1, {"Nothing": a_mask() & False})
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    roi.SetCenter(-7, -34, 41)
    roi.SetSize(20, 16, 10)
    logic.addRow(volume, drawn, "Nothing", roi, "Ann")
    assert looked_at(logic) == [[]]
    exported(logic, tmp_path)
    assert json.loads((tmp_path / "list.json").read_text())["training"][0]["region"] == (
        pytest.approx([-3, 17, 26, 42, 36, 46])
    )
    scene.Clear(False)

    done(logic, logic.addFromList, tmp_path / "list.json")

    (row,) = logic.rows()
    np.testing.assert_allclose(row.roi.GetCenter(), (-7, -34, 41), atol=1e-4)
    np.testing.assert_allclose(row.roi.GetSize(), (20, 16, 10), atol=1e-4)
    assert looked_at(logic) == [[]]


def test_what_was_drawn_on_other_voxels_or_under_a_transform_is_exported_on_the_scans(
    logic, tmp_path
):
    volume = a_volume("Scan")
    fine = a_volume("Fine", (96, 80, 12), (0.35, 0.35, 2.0))
    drawn = a_segmentation(fine, {"Lesion": a_mask((96, 80, 12))})
    for node in (volume, drawn):
        node.SetAndObserveTransformNodeID(aLinearTransform().GetID())
    logic.addRow(volume, drawn, expertName="Ann")

    exported(logic, tmp_path)

    (case,) = read_datalist(tmp_path / "list.json").cohort("Ann")
    assert case.masks["Ann"].sum() == pytest.approx(a_mask().sum(), rel=0.1)


def test_a_row_that_cannot_be_exported_is_named(logic, tmp_path):
    a_case(1)
    logic.addAllPairs()
    logic.addRow(a_volume("Lonely"))

    heard = exported(logic, tmp_path)

    assert heard.end.kind == "error"
    assert heard.end.sentence.startswith("Case 2: No segmentation is chosen.")


def test_a_row_without_a_volume_is_named_too(logic, tmp_path):
    logic.addRow()

    assert exported(logic, tmp_path).end.sentence.startswith("Case 1: No volume is chosen.")


def test_there_must_be_something_to_export(logic, tmp_path):
    with pytest.raises(InputError, match="no cases"):
        logic.exportList(tmp_path / "list.json")


def test_a_folder_that_takes_no_files_is_told_of(logic, tmp_path):
    a_case(1)
    logic.addAllPairs()
    (tmp_path / "list-cases").write_text("in the way")

    heard = exported(logic, tmp_path)

    assert heard.end.kind == "error"
    assert str(tmp_path) not in heard.end.sentence


def test_export_can_be_stopped_and_leaves_no_half_file(logic, tmp_path):
    for number in range(3):
        a_case(number)
    logic.addAllPairs()
    heard = Heard()

    def listen(event):
        heard.append(event)
        if event.done == 1 and logic.filesBusy:
            logic.cancelFiles()

    logic.exportList(tmp_path / "list.json", listen)
    logic.waitForFiles(PATIENCE)

    assert heard.end.kind == "cancelled"
    names = sorted(path.name for path in (tmp_path / "list-cases").iterdir())
    assert names == ["case-0001.nrrd", "case-0001.seg.nrrd"]
    assert not (tmp_path / "list.json").exists()


def test_one_thing_at_a_time(logic, tmp_path):
    a_case(1)
    logic.addAllPairs()
    logic.exportList(tmp_path / "list.json")

    with pytest.raises(InputError, match="Wait for the end"):
        logic.addFromFolder(tmp_path)
    logic.waitForFiles(20)


# A folder of files


def test_files_that_are_named_alike_are_a_case(logic, tmp_path):
    a_scan_file(tmp_path / "one.nrrd")
    a_mask_file(tmp_path / "one-seg.nii.gz")
    a_scan_file(tmp_path / "two.nii.gz")
    a_mask_file(tmp_path / "two_mask.nrrd")
    a_scan_file(tmp_path / "lonely.mha")

    heard = done(logic, logic.addFromFolder, tmp_path)

    assert heard.end.sentence == "2 cases were added."
    assert ["lonely.mha" in note for note in heard.notes] == [True]
    assert [row.volumeName for row in logic.rows()] == ["one", "two"]
    marked = [slicer.util.arrayFromVolume(row.volume).shape for row in logic.rows()]
    assert marked == [(6, 20, 24)] * 2
    assert looked_at(logic) == [[], []]
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 2


def test_a_mask_file_becomes_a_segment_of_its_voxels(logic, tmp_path):
    a_scan_file(tmp_path / "one.nrrd")
    a_mask_file(tmp_path / "one_label.nrrd")

    done(logic, logic.addFromFolder, tmp_path)

    (row,) = logic.rows()
    array = slicer.util.arrayFromSegmentBinaryLabelmap(row.segmentation, row.segmentID, row.volume)
    assert array.sum() == 2 * 7 * 10


def test_fractions_of_a_mask_file_are_cut_at_one_half_and_that_is_told(logic, tmp_path):
    a_scan_file(tmp_path / "one.nrrd")
    mask = np.full((6, 20, 24), 0.02, np.float32)
    mask[2:4, 5:12, 6:16] = 0.9
    write_image(tmp_path / "one_label.nrrd", mask)

    heard = done(logic, logic.addFromFolder, tmp_path)

    (row,) = logic.rows()
    array = slicer.util.arrayFromSegmentBinaryLabelmap(row.segmentation, row.segmentID, row.volume)
    assert array.sum() == 2 * 7 * 10
    assert ["one_label.nrrd holds fractions" in note for note in heard.notes] == [True]


def test_a_mask_file_of_several_labels_is_left_out_with_the_values(logic, tmp_path):
    a_scan_file(tmp_path / "one.nrrd")
    mask = np.zeros((6, 20, 24), np.uint8)
    mask[1:5, 3:15, 3:20] = 1
    mask[2:4, 5:12, 6:16] = 2
    write_image(tmp_path / "one_label.nrrd", mask)

    heard = done(logic, logic.addFromFolder, tmp_path)

    assert not logic.rows()
    assert ["holds the values 0, 1, 2" in note for note in heard.notes] == [True]


@pytest.mark.parametrize(
    ("files", "pairs"),
    [
        ("a.nrrd a.seg.nrrd", "a.nrrd+a.seg.nrrd"),
        ("a/image.nrrd a/experts.seg.nrrd", "a/image.nrrd+a/experts.seg.nrrd"),
        ("a/ct.nrrd a/x.seg.nrrd a/y.seg.nrrd", "a/ct.nrrd+a/x.seg.nrrd a/ct.nrrd+a/y.seg.nrrd"),
        ("imagesTr/x_001_0000.nii.gz labelsTr/x_001.nii.gz",
         "imagesTr/x_001_0000.nii.gz+labelsTr/x_001.nii.gz"),
        ("x1.nii x1_DrA_seg.nii x10.nii x10_DrA_seg.nii",
         "x10.nii+x10_DrA_seg.nii x1.nii+x1_DrA_seg.nii"),
        ("scan_1.nrrd scan_1_late.nrrd scan_1_late_mask.nrrd",
         "scan_1_late.nrrd+scan_1_late_mask.nrrd"),
        ("mask/a.nrrd a.nrrd b.nrrd", "a.nrrd+mask/a.nrrd"),
        # TotalSegmentator
        ("s1/ct.nii.gz s1/segmentations/liver.nii.gz s2/ct.nii.gz s2/segmentations/lung.nii.gz",
         "s1/ct.nii.gz+s1/segmentations/liver.nii.gz s2/ct.nii.gz+s2/segmentations/lung.nii.gz"),
        # MONAI Label
        ("a.nii b.nii labels/final/a.nii labels/original/a.nii labels/original/b.nii",
         "a.nii+labels/final/a.nii b.nii+labels/original/b.nii"),
        # QUBIQ
        ("c1/image.nii c1/task01_seg01.nii c1/task01_seg02.nii",
         "c1/image.nii+c1/task01_seg01.nii c1/image.nii+c1/task01_seg02.nii"),
        # BraTS
        ("X-1-000/X-1-000-t1c.nii.gz X-1-000/X-1-000-t1n.nii.gz X-1-000/X-1-000-seg.nii.gz",
         "X-1-000/X-1-000-t1c.nii.gz+X-1-000/X-1-000-seg.nii.gz"),
        ("B20_1/B20_1_t1ce.nii B20_1/B20_1_flair.nii B20_1/B20_1_t2.nii B20_1/B20_1_seg.nii",
         "B20_1/B20_1_t1ce.nii+B20_1/B20_1_seg.nii"),
        # the Medical Segmentation Decathlon, nnU-Net with two channels
        ("imagesTr/l_1.nii.gz imagesTr/l_2.nii.gz labelsTr/l_1.nii.gz labelsTr/l_2.nii.gz",
         "imagesTr/l_1.nii.gz+labelsTr/l_1.nii.gz imagesTr/l_2.nii.gz+labelsTr/l_2.nii.gz"),
        ("imagesTr/x_1_0000.nii.gz imagesTr/x_1_0001.nii.gz labelsTr/x_1.nii.gz",
         "imagesTr/x_1_0000.nii.gz+labelsTr/x_1.nii.gz"),
        ("segments/p1/ct.nrrd segments/p1/mask.nrrd",
         "segments/p1/ct.nrrd+segments/p1/mask.nrrd"),
        ("p1/ct.nrrd p1/pet.nrrd p1/labels/x.nrrd", ""),
        ("a.nrrd b.nrrd c.seg.nrrd d.seg.nrrd", ""),
        ("a.nrrd a.txt notes.seg.txt", ""),
        (".hidden/a.nrrd .hidden/a.seg.nrrd", ""),
    ],
)  # fmt: skip
def test_pairs_are_told_by_their_names(tmp_path, scene, files, pairs):
    from DiffOSegTrainingLib.cases.FolderCases import casesIn

    for name in files.split():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()

    if not pairs:
        with pytest.raises(InputError, match="holds no scan with a segmentation"):
            casesIn(tmp_path)
        return
    found = [
        "+".join(path.relative_to(tmp_path).as_posix() for path in (entry.image, entry.label))
        for entry in casesIn(tmp_path).entries
    ]
    assert sorted(found) == sorted(pairs.split())


def test_files_that_cannot_be_read_are_left_out_in_words(logic, tmp_path):
    a_scan_file(tmp_path / "one.nrrd")
    a_mask_file(tmp_path / "one_seg.nrrd")
    (tmp_path / "two.nrrd").write_bytes(b"NRRD0004\nrubbish")
    a_mask_file(tmp_path / "two_seg.nrrd")

    heard = done(logic, logic.addFromFolder, tmp_path)

    assert heard.end.sentence == "1 case was added. Left out: 1."
    (note,) = heard.notes
    assert note.startswith("two.nrrd was left out: ")
    assert str(tmp_path) not in note


@pytest.mark.parametrize("key", ["image", "label"])
def test_a_dicom_file_in_a_list_is_to_be_imported_first(logic, tmp_path, key):
    a_scan_file(tmp_path / "one.nrrd")
    a_mask_file(tmp_path / "mask.nrrd")
    (tmp_path / "seg.dcm").write_bytes(bytes(128) + b"DICM")
    entry = {"image": "one.nrrd", "label": "mask.nrrd"} | {key: "seg.dcm"}
    (tmp_path / "list.json").write_text(json.dumps({"expert": "Ann", "training": [entry]}))

    heard = done(logic, logic.addFromList, tmp_path / "list.json")

    assert not logic.rows()
    assert "seg.dcm is DICOM. Import it in Slicer's DICOM module first." in heard.notes[0]


def test_each_lesion_of_a_mask_is_a_case_and_no_list_makes_it_twice(logic, tmp_path):
    a_scan_file(tmp_path / "one.nrrd")
    a_mask_file(tmp_path / "mask.nrrd")
    entry = {"image": "one.nrrd", "label": "mask.nrrd"}
    regions = [[0, 9, 0, 9, 2, 6], [8, 16, 0, 9, 2, 6]]
    (tmp_path / "list.json").write_text(
        json.dumps({"expert": "Ann", "training": [entry | {"region": box} for box in regions]})
    )

    for added in ("2 cases were added.", "0 cases were added."):
        heard = done(logic, logic.addFromList, tmp_path / "list.json")
        assert heard.end.sentence == added
    assert logic.addAllPairs() == 0

    first, second = logic.rows()
    assert first.segmentation is second.segmentation
    assert first.roi is not second.roi
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")) == 2


def test_a_list_that_names_no_segment_of_several_is_told_of(logic, tmp_path):
    a_case(1, {"A": a_mask(), "B": a_mask(shrink=4)})
    logic.addAllPairs()
    logic.getParameterNode().expertName = "Ann"
    exported(logic, tmp_path)
    facts = json.loads((tmp_path / "list.json").read_text())
    entry = {key: facts["training"][0][key] for key in ("image", "label")}
    (tmp_path / "list.json").write_text(
        json.dumps({"training": [entry, entry | {"segment": "Z"}, entry | {"segment": "B"}]})
    )
    slicer.mrmlScene.Clear(False)

    heard = done(logic, logic.addFromList, tmp_path / "list.json")

    assert heard.end.sentence == "1 case was added. Left out: 2."
    assert "holds several segments" in heard.notes[0]
    assert "has no segment Z" in heard.notes[1]


def test_a_list_with_faults_is_refused_at_once(logic, tmp_path):
    (tmp_path / "list.json").write_text('{"training": [{"image": "gone.nrrd", "label": "x"}]}')

    with pytest.raises(InputError, match=r"gone\.nrrd"):
        logic.addFromList(tmp_path / "list.json")
    assert not logic.filesBusy
