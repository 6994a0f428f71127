"""The application stand-in: scene, files, hierarchy, messages."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer

import SlicerHost


@pytest.fixture
def volume(scene: Any) -> Any:
    return slicer.util.addVolumeFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5), name="CT")


def hierarchy() -> Any:
    return slicer.mrmlScene.GetSubjectHierarchyNode()


def test_booting_twice_gives_the_same_application(host: Any) -> None:
    assert SlicerHost.boot() is host is slicer.app


def test_application_answers_as_slicer_does(scene: Any, host: Any) -> None:
    assert (host.majorVersion, host.minorVersion) == (5, 12)
    assert host.mrmlScene() is scene is slicer.mrmlScene
    assert Path(host.temporaryPath).is_dir()
    assert host.testingEnabled()
    assert slicer.util.settingsValue("Nothing/Such", 3, converter=int) == 3


def test_settings_are_kept_and_forgotten_with_the_test(scene: Any, host: Any) -> None:
    qt.QSettings().setValue("DiffOSeg/Device", "cpu")
    assert slicer.util.settingsValue("DiffOSeg/Device", "auto") == "cpu"
    assert host.userSettings().value("DiffOSeg/Device") == "cpu"
    SlicerHost.clear()
    assert slicer.util.settingsValue("DiffOSeg/Device", "auto") == "auto"


def test_main_window_has_a_status_bar(scene: Any) -> None:
    assert slicer.util.showStatusMessage("Ready")
    assert slicer.util.mainWindow().statusBar().currentMessage() == "Ready"


def test_data_nodes_get_a_hierarchy_item_and_lose_it(scene: Any, volume: Any) -> None:
    item = hierarchy().GetItemByDataNode(volume)
    assert hierarchy().GetItemName(item) == "CT"
    assert hierarchy().GetItemOwnerPluginName(item) == "Volumes"
    children = hierarchy().GetNumberOfItems()

    scene.RemoveNode(volume)

    assert hierarchy().GetNumberOfItems() == children - 1


def test_hidden_nodes_get_no_hierarchy_item(scene: Any) -> None:
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetHideFromEditors(True)
    scene.AddNode(node)
    assert hierarchy().GetItemByDataNode(node) == 0


def test_nodes_added_in_a_batch_have_an_item_afterwards(scene: Any) -> None:
    scene.StartState(scene.BatchProcessState)
    node = scene.AddNewNodeByClass("vtkMRMLTableNode")
    scene.EndState(scene.BatchProcessState)
    assert hierarchy().GetItemByDataNode(node)


def test_a_scene_survives_its_file(scene: Any, volume: Any, tmp_path: Path) -> None:
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Readings")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.GetSegmentation().AddEmptySegment("A", "Reader A", (1, 0, 0))
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1, 1:3, 2:4] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "A", volume)
    folder = hierarchy().CreateFolderItem(hierarchy().GetSceneItemID(), "Case")
    hierarchy().SetItemParent(hierarchy().GetItemByDataNode(segmentation), folder)

    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(False)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)

    loaded, read = slicer.util.getNode("CT"), slicer.util.getNode("Readings")
    assert (slicer.util.arrayFromVolume(loaded) == np.arange(60).reshape(3, 4, 5)).all()
    assert (slicer.util.arrayFromSegmentBinaryLabelmap(read, "A", loaded) == mask).all()
    parent = hierarchy().GetItemParent(hierarchy().GetItemByDataNode(read))
    assert hierarchy().GetItemName(parent) == "Case"


def test_volumes_are_saved_and_loaded(volume: Any, tmp_path: Path) -> None:
    assert slicer.util.saveNode(volume, str(tmp_path / "ct.nrrd"))
    loaded = slicer.util.loadVolume(str(tmp_path / "ct.nrrd"))
    assert (slicer.util.arrayFromVolume(loaded) == slicer.util.arrayFromVolume(volume)).all()


def test_messages_are_kept_and_questions_answered_by_the_test(scene: Any) -> None:
    SlicerHost.answers[:] = [True, False, True]
    slicer.util.infoDisplay("Done.")
    slicer.util.errorDisplay("No volume.")
    assert slicer.util.confirmYesNoDisplay("Install?")
    assert not slicer.util.confirmOkCancelDisplay("Sure?")
    assert slicer.util.confirmRetryCloseDisplay("Again?")
    assert SlicerHost.messages == ["Done.", "No volume.", "Install?", "Sure?", "Again?"]


def test_unanswered_questions_are_denied_as_in_slicers_testing_mode(scene: Any) -> None:
    assert not slicer.util.confirmYesNoDisplay("Install?")


def test_errors_are_shown_at_the_users_desk_only(scene: Any, host: Any) -> None:
    def fail() -> None:
        with slicer.util.tryWithErrorDisplay("It failed."):
            raise ValueError("Because.")

    with pytest.raises(ValueError, match="Because"):
        fail()
    host.setTestingEnabled(False)
    with pytest.raises(ValueError, match="Because"):
        fail()
    assert SlicerHost.messages == ["It failed.\n\nBecause."]


def test_errors_in_slots_and_observers_are_kept(scene: Any, capfd: pytest.CaptureFixture) -> None:
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    tag = scene.AddObserver("UserEvent", lambda *_: [][0])
    button.click()
    scene.InvokeEvent("UserEvent")
    scene.RemoveObserver(tag)
    kept, SlicerHost.uncaught[:] = list(SlicerHost.uncaught), []
    assert "ZeroDivisionError" in kept[0]
    assert "IndexError" in kept[1]


@pytest.fixture
def requirements(tmp_path: Path) -> Any:
    """Return one requirement that is met and one that never will be."""
    from slicer import packaging

    text = "# What we need\nnumpy>=1\n--index-url x\nno-such-package-anywhere>=2\n"
    (tmp_path / "requirements.txt").write_text(text)
    return packaging.load_requirements(tmp_path / "requirements.txt")


def test_packaging_says_what_is_missing(requirements: Any) -> None:
    from slicer import packaging

    assert packaging.pip_check("numpy>=1")
    assert packaging.pip_check(["torch; sys_platform == 'nowhere'"])
    assert not packaging.pip_check(requirements)


def test_a_remark_after_a_requirement_is_refused_as_in_slicer(scene: Any, tmp_path: Path) -> None:
    from packaging.requirements import InvalidRequirement
    from slicer import packaging

    (tmp_path / "requirements.txt").write_text("numpy>=1  # why\n")
    with pytest.raises(InvalidRequirement):
        packaging.load_requirements(tmp_path / "requirements.txt")


def test_nothing_is_installed_in_testing_mode(scene: Any, requirements: Any) -> None:
    slicer.packaging.pip_ensure(requirements)
    assert SlicerHost.pipCalls == []


@pytest.mark.skipif("SLICER_SOURCE" in os.environ, reason="would really install")
def test_installing_is_asked_for_and_kept(scene: Any, host: Any, requirements: Any) -> None:
    host.setTestingEnabled(False)
    SlicerHost.answers[:] = [False, True]
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure(requirements)
    slicer.packaging.pip_ensure(requirements)
    assert SlicerHost.pipCalls == [["no-such-package-anywhere>=2"]]
