"""The stand-in's Segment Editor: real edits, Slicer's order of calls, its catch of mistakes."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from vtk.util.numpy_support import vtk_to_numpy

import SlicerHost

SOURCE = """
import qt, slicer
from SegmentEditorEffects import *
from vtk.util.numpy_support import vtk_to_numpy

calls = []


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    def __init__(self, scriptedEffect):
        scriptedEffect.name = "HostThreshold"
        scriptedEffect.title = "Host threshold"
        scriptedEffect.perSegment = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects
        cloned = effects.qSlicerSegmentEditorScriptedEffect(None)
        cloned.setPythonSource(__file__.replace("\\\\", "/"))
        return cloned

    def setupOptionsFrame(self):
        calls.append("setupOptionsFrame")
        self.slider = slicer.qMRMLSliderWidget()
        self.slider.maximum = 500
        self.scriptedEffect.addLabeledOptionsWidget("Threshold:", self.slider)
        self.slider.connect("valueChanged(double)", self.updateMRMLFromGUI)
        self.button = qt.QPushButton("Apply")
        self.scriptedEffect.addOptionsWidget(self.button)
        self.button.connect("clicked()", self.onApply)

    def setMRMLDefaults(self):
        calls.append("setMRMLDefaults")
        self.scriptedEffect.setParameterDefault("Threshold", 75.0)

    def updateGUIFromMRML(self):
        calls.append("updateGUIFromMRML")
        self.slider.value = self.scriptedEffect.doubleParameter("Threshold")

    def updateMRMLFromGUI(self):
        self.scriptedEffect.setParameter("Threshold", self.slider.value)

    def activate(self):
        calls.append("activate")

    def deactivate(self):
        calls.append("deactivate")

    def sourceVolumeNodeChanged(self):
        calls.append("sourceVolumeNodeChanged")

    def cleanup(self):
        calls.append("cleanup")

    def onApply(self):
        self.scriptedEffect.saveStateForUndo()
        labelmap = self.scriptedEffect.defaultModifierLabelmap()
        image = self.scriptedEffect.sourceVolumeImageData()
        source = vtk_to_numpy(image.GetPointData().GetScalars())
        voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars())
        voxels[:] = source > self.scriptedEffect.doubleParameter("Threshold")
        labelmap.Modified()
        self.scriptedEffect.modifySelectedSegmentByLabelmap(
            labelmap, slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeSet)
"""


@pytest.fixture(scope="session")
def registered(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the effect's module; the effect stays registered, as in Slicer."""
    import sys

    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    folder = tmp_path_factory.mktemp("lib") / "SegmentEditorHostLib"
    folder.mkdir()
    (folder / "SegmentEditorEffect.py").write_text(SOURCE)
    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(str(folder / "SegmentEditorEffect.py"))
    effect.self().register()
    return sys.modules["SegmentEditorHostLib"]


@pytest.fixture
def volume(scene: Any) -> Any:
    array = np.zeros((8, 10, 12), np.int16)
    array[2:6, 3:7, 4:9] = 100
    array[3, 4, 5] = 400
    return slicer.util.addVolumeFromArray(array, name="CT")


@pytest.fixture
def segmentation(scene: Any, volume: Any) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Edited")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("A", "B"):
        node.GetSegmentation().AddEmptySegment(name, name, (1, 1, 0))
    return node


@pytest.fixture
def editor(scene: Any, registered: Any, segmentation: Any) -> Iterator[Any]:
    """Return an editor with a segmentation, its volume and segment A, and no effect yet."""
    registered.calls.clear()
    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setMRMLScene(scene)
    widget.setMRMLSegmentEditorNode(scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    widget.setSegmentationNode(segmentation)
    yield widget
    widget.delete()


def effect(editor: Any) -> Any:
    editor.setActiveEffectByName("HostThreshold")
    return editor.activeEffect()


def count(segmentation: Any, segment: str, volume: Any) -> int:
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume).sum())


def test_an_editor_takes_the_segmentations_volume_and_first_segment(
    editor: Any, volume: Any
) -> None:
    assert editor.sourceVolumeNode() is volume
    assert editor.currentSegmentID() == "A"
    assert "HostThreshold" in editor.availableEffectNames()
    assert editor.activeEffect() is None


def test_an_effect_edits_and_is_undone(editor: Any, segmentation: Any, volume: Any) -> None:
    effect(editor).self().button.click()
    assert count(segmentation, "A", volume) == 80
    editor.undo()
    assert count(segmentation, "A", volume) == 0
    editor.redo()
    assert count(segmentation, "A", volume) == 80


def test_editing_keeps_to_the_intensity_mask(editor: Any, segmentation: Any, volume: Any) -> None:
    node = editor.mrmlSegmentEditorNode()
    node.SetSourceVolumeIntensityMask(True)
    node.SetSourceVolumeIntensityMaskRange(200, 500)
    effect(editor).self().button.click()
    assert count(segmentation, "A", volume) == 1


def test_editing_takes_over_from_other_segments_only_where_allowed(
    editor: Any, segmentation: Any, volume: Any
) -> None:
    effect(editor).self().button.click()
    editor.setCurrentSegmentID("B")
    editor.activeEffect().self().slider.value = 200
    editor.mrmlSegmentEditorNode().SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    editor.activeEffect().self().button.click()
    assert (count(segmentation, "A", volume), count(segmentation, "B", volume)) == (80, 1)
    mode = slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments
    editor.mrmlSegmentEditorNode().SetOverwriteMode(mode)
    editor.activeEffect().self().button.click()
    assert (count(segmentation, "A", volume), count(segmentation, "B", volume)) == (79, 1)


def test_parameters_are_attributes_of_the_editors_node(editor: Any) -> None:
    node = editor.mrmlSegmentEditorNode()
    assert node.GetAttribute("HostThreshold.Threshold") == "75"
    effect(editor).self().slider.value = 85
    assert node.GetAttribute("HostThreshold.Threshold") == "85"
    editor.activeEffect().setParameter("Threshold", 90.5)
    assert editor.activeEffect().self().slider.value == 90.5


def test_calls_come_in_slicers_order(editor: Any, registered: Any) -> None:
    registered.calls.clear()
    active = effect(editor)
    assert active.active()
    assert registered.calls == ["updateGUIFromMRML", "activate"]
    editor.setActiveEffect(None)
    assert registered.calls[2:] == ["deactivate"]
    assert editor.activeEffect() is None


def test_another_segment_does_not_update_the_effects_panel(editor: Any, registered: Any) -> None:
    effect(editor)
    registered.calls.clear()
    editor.setCurrentSegmentID("B")
    assert registered.calls == []


def test_another_segmentation_puts_the_effect_away(editor: Any, scene: Any) -> None:
    effect(editor)
    editor.setSegmentationNode(scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    assert editor.activeEffect() is None


def test_closing_the_scene_puts_the_effect_away(editor: Any, scene: Any, registered: Any) -> None:
    effect(editor)
    scene.Clear(False)
    assert editor.activeEffect() is None
    assert registered.calls.count("deactivate") == 1


def test_effects_clean_up_with_their_editor(editor: Any, registered: Any) -> None:
    other = slicer.qMRMLSegmentEditorWidget()
    other.setMRMLScene(slicer.mrmlScene)
    other.updateEffectList()
    registered.calls.clear()
    other.delete()
    assert registered.calls == ["cleanup"]


def test_each_editor_has_its_own_copy_of_the_effect(editor: Any) -> None:
    other = slicer.qMRMLSegmentEditorWidget()
    other.updateEffectList()
    names = "HostThreshold"
    assert other.effectByName(names) is not editor.effectByName(names)


def test_a_name_is_registered_once(editor: Any, registered: Any) -> None:
    factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
    known = next(e for e in factory.registeredEffects() if e.name == "HostThreshold")
    assert not factory.registerEffect(known.clone())


@pytest.mark.parametrize(("answer", "result", "shown"), [(True, 2, 1), (False, 2, 0), (None, 0, 0)])
def test_editing_a_hidden_segment_is_asked_for(
    editor: Any, segmentation: Any, answer: bool | None, result: int, shown: int
) -> None:
    active = effect(editor)
    assert active.confirmCurrentSegmentVisible() == 1
    display = segmentation.GetDisplayNode()
    display.SetSegmentVisibility("A", False)
    SlicerHost.answers[:] = [answer]
    assert active.confirmCurrentSegmentVisible() == result
    assert display.GetSegmentVisibility("A") == shown


def test_a_parameter_nobody_set_is_told_in_the_log(
    editor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert effect(editor).parameter("Treshold") == ""
    assert "does not exist" in caplog.text


def test_misspelled_properties_of_an_effect_are_refused(editor: Any) -> None:
    with pytest.raises(AttributeError):
        effect(editor).perSegments = False


def test_the_modifier_labelmap_has_the_reference_geometry(editor: Any) -> None:
    labelmap = effect(editor).defaultModifierLabelmap()
    assert labelmap.GetDimensions() == (12, 10, 8)
    assert vtk_to_numpy(labelmap.GetPointData().GetScalars()).sum() == 0
    assert Path(editor.activeEffect().pythonSource()).name == "SegmentEditorEffect.py"
