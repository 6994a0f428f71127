"""The panel and the scene: saved, read again, made by another version, closed in the middle."""

import gc
import weakref

import pytest
import slicer
from a_panel import choose, openPanel, tick, until
from a_run import add_volume, left_folders, logic_with

import SlicerHost


@pytest.fixture
def volume(scene):
    return add_volume(name="CT")


@pytest.fixture
def panel(volume, monkeypatch):
    with openPanel(logic_with(), monkeypatch) as widget:
        yield widget.panel


@pytest.fixture
def slowPanel(volume, monkeypatch):
    with openPanel(logic_with("normal", 0.02), monkeypatch) as widget:
        yield widget.panel
    assert left_folders() == []


def reread(path):
    """Save the scene, close it, read it again."""
    assert slicer.mrmlScene.WriteToMRB(str(path))
    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.ReadFromMRB(str(path))


def storedNode(**parameters):
    """Return a parameter node as another version may have saved it, not yet in a scene."""
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetSingletonTag("DiffOSeg")
    node.SetModuleName("DiffOSeg")
    node.SetAttribute("ModuleName", "DiffOSeg")
    for name, value in parameters.items():
        node.SetParameter(name, value)
    return node


def imported(panel, path, **parameters):
    """Let the panel meet a scene whose parameter node was made by another version."""
    scene = slicer.vtkMRMLScene()
    scene.AddNode(storedNode(**parameters))
    scene.SetURL(str(path))
    assert scene.Commit()
    slicer.mrmlScene.SetURL(str(path))
    slicer.mrmlScene.Import()
    return panel.parameters


def test_a_saved_scene_brings_back_every_choice_and_the_results(panel, tmp_path):
    ui = panel.ui
    ui.samplesSpinBox.value, ui.stepsSpinBox.value, ui.seedSpinBox.value = 2, 4, 77
    tick(panel, "consensus", "Wider of four")
    choose(ui.deviceComboBox, "cpu")
    ui.probabilityMapsCheckBox.checked = True
    ui.applyButton.click()
    until(lambda: panel.logic.activeRun is None)
    lines = [ui.resultsTable.item(row, 2).text() for row in range(2)]

    reread(tmp_path / "reading.mrb")

    parameters = panel.parameters
    assert (parameters.samples, parameters.steps, parameters.seed) == (2, 4, 77)
    assert list(parameters.experts) == ["consensus", "Wider of four"]
    assert parameters.device == "cpu"
    assert parameters.probabilityMaps
    assert parameters.inputVolume.GetName() == "CT"
    assert parameters.regionRoi.GetName() == "CT region"
    assert parameters.resultSegmentation.GetSegmentation().GetNumberOfSegments() == 2
    assert not ui.resultsCollapsibleButton.isHidden()
    assert [ui.resultsTable.item(row, 2).text() for row in range(2)] == lines
    assert ui.samplesSpinBox.value == 2
    assert ui.warningsLabel.text == ""


def test_closing_the_scene_gives_defaults_and_an_empty_panel(panel):
    panel.ui.samplesSpinBox.value = 3

    slicer.mrmlScene.Clear(False)

    assert panel.parameters.samples == 8
    assert panel.ui.samplesSpinBox.value == 8
    assert panel.parameters.inputVolume is None
    assert not panel.ui.applyButton.enabled
    assert panel.ui.resultsCollapsibleButton.isHidden()


def test_numbers_out_of_range_get_their_defaults_and_a_sentence(panel, tmp_path):
    parameters = imported(
        panel, tmp_path / "old.mrml", samples="900", steps="many", regionKind="sphere"
    )

    assert (parameters.samples, parameters.steps, parameters.regionKind) == (8, 0, "roi")
    text = panel.ui.warningsLabel.text
    assert all(name in text for name in ("regionKind", "samples", "steps"))
    assert "defaults" in text


def test_what_a_later_version_added_is_left_alone_and_said(panel, tmp_path):
    parameters = imported(panel, tmp_path / "new.mrml", samples="5", atlas="lung", version="9.1")

    assert parameters.samples == 5
    assert "another version of DiffOSeg" in panel.ui.warningsLabel.text
    assert "atlas, version" in panel.ui.warningsLabel.text
    assert parameters.parameterNode.GetParameter("atlas") == "lung"


def test_an_unknown_model_gives_way_to_the_default_one(panel, tmp_path):
    parameters = imported(panel, tmp_path / "other.mrml", model="/home/Mr Patient/our-own")

    assert parameters.model == ""
    assert "our-own" in panel.ui.warningsLabel.text
    assert "Patient" not in panel.ui.warningsLabel.text
    assert panel.ui.modelComboBox.currentIndex == 0


def test_unknown_experts_are_left_out_with_a_sentence(panel, tmp_path):
    panel.parameters.experts = ["consensus", "Dr. Gone", "Tightest of four"]

    reread(tmp_path / "experts.mrb")

    assert list(panel.parameters.experts) == ["consensus", "Tightest of four"]
    assert "Dr. Gone" in panel.ui.warningsLabel.text


def test_closing_the_scene_in_the_middle_of_a_run_ends_it_in_a_sentence(slowPanel):
    panel = slowPanel
    panel.ui.applyButton.click()
    until(lambda: panel.parameters.resultSegmentation is not None)

    slicer.mrmlScene.Clear(False)

    assert panel.logic.activeRun is None
    assert panel.ui.statusLabel.text == "The run was cancelled because the scene was closed."
    assert panel.ui.applyButton.text == "Apply"
    volume = add_volume(name="next")
    assert panel.parameters.inputVolume is volume
    until(lambda: panel.ui.applyButton.enabled)


def test_deleting_the_volume_in_the_middle_of_a_run_ends_it_in_a_sentence(slowPanel, volume):
    slowPanel.ui.applyButton.click()
    until(lambda: "left" in slowPanel.ui.statusLabel.text)

    slicer.mrmlScene.RemoveNode(volume)

    until(lambda: slowPanel.logic.activeRun is None)
    assert slowPanel.ui.statusLabel.text == "The run was cancelled because its volume was deleted."
    assert not slowPanel.ui.applyButton.enabled


def test_deleting_the_results_empties_the_section_for_comparing(panel):
    panel.ui.applyButton.click()
    until(lambda: panel.logic.activeRun is None)

    slicer.mrmlScene.RemoveNode(panel.parameters.resultSegmentation)
    slicer.mrmlScene.RemoveNode(panel.parameters.resultTable)

    assert panel.ui.resultsCollapsibleButton.isHidden()


def test_a_second_run_leaves_the_first_ones_results_where_they_are(panel):
    panel.ui.applyButton.click()
    until(lambda: panel.logic.activeRun is None)
    first = panel.parameters.resultSegmentation
    panel.ui.applyButton.click()
    until(lambda: panel.logic.activeRun is None)

    assert panel.parameters.resultSegmentation is not first
    assert first.GetSegmentation().GetNumberOfSegments() == 5
    assert panel.ui.statusLabel.text == "Done."


def usedAndClosed(monkeypatch):
    """Open the panel, draw once, close it; return weak references to what it was."""
    with openPanel(logic_with(), monkeypatch) as widget:
        widget.panel.ui.applyButton.click()
        until(lambda: widget.panel.logic.activeRun is None)
        return [weakref.ref(one) for one in (widget, widget.panel, widget.panel.logic)]


def test_a_panel_that_was_closed_leaves_nothing_behind(volume, monkeypatch):
    left = usedAndClosed(monkeypatch)

    monkeypatch.undo()
    del slicer.modules.DiffOSegWidget
    SlicerHost.clear()  # deletes what was promised to be
    gc.collect()

    assert [one() for one in left] == [None] * 3


@pytest.mark.parametrize(
    ("field", "className"),
    [
        ("outputSegmentation", "vtkMRMLSegmentationNode"),
        ("regionSegmentation", "vtkMRMLSegmentationNode"),
        ("regionRoi", "vtkMRMLMarkupsROINode"),
    ],
)
def test_deleting_what_is_chosen_chooses_nothing_in_its_place(panel, field, className):
    mine, other = (slicer.mrmlScene.AddNewNodeByClass(className, name) for name in "ab")
    setattr(panel.parameters, field, mine)

    slicer.mrmlScene.RemoveNode(mine)
    slicer.app.processEvents()

    assert getattr(panel.parameters, field) is None
    assert other.GetScene() is not None
