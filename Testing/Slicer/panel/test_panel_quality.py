"""Quality and presence: chosen in the panel, sent to the worker, and said wherever results are."""

import pytest
import slicer
from a_model_file import FAST, PAPER, aFastAndAPaperOne
from a_panel import choose, openPanel, run, until
from a_run import Followed, Results, add_volume, logic_with, request_for

from diffoseg.model.presets import PRESETS
from diffoseg.worker.job import SegmentationJob


@pytest.fixture
def panel(scene, monkeypatch, tmp_path):
    """The panel beside the default model and one of each kind."""
    aFastAndAPaperOne(tmp_path)
    monkeypatch.setenv("DIFFOSEG_MODELS", str(tmp_path))
    add_volume(name="CT")
    with openPanel(logic_with(), monkeypatch) as widget:
        yield widget.panel


@pytest.fixture
def ui(panel):
    return panel.ui


def asked(panel):
    panel.ui.placeRoiButton.click()
    return panel.logic.requestFrom(panel.parameters)


# Quality


def test_quality_begins_as_standard_and_travels_both_ways(panel, ui):
    assert ui.qualityComboBox.currentText == "Standard"

    choose(ui.qualityComboBox, "careful")
    assert panel.parameters.preset == "careful"
    assert asked(panel).preset == "careful"
    panel.parameters.preset = "preview"
    assert ui.qualityComboBox.currentText == "Preview"


@pytest.mark.parametrize(("model", "steps"), [(PAPER, (4, 16, 64)), (FAST, (1, 8, 32))])
def test_the_number_of_steps_is_told_for_each_quality_and_model(panel, ui, model, steps):
    panel.parameters.model = model
    told = []
    for preset in PRESETS:
        panel.parameters.preset = preset
        told.append(ui.stepsSpinBox.text)
    assert told == [f"{n}, as Quality says" for n in steps]


def test_a_number_of_steps_stands_in_place_of_the_quality_until_one_is_chosen(panel, ui):
    ui.stepsSpinBox.value = 12
    assert ui.qualityComboBox.currentText == "12 steps, set under Sampling"
    assert (asked(panel).steps, asked(panel).presetUsed) == (12, None)

    choose(ui.qualityComboBox, "preview")

    assert (panel.parameters.preset, panel.parameters.steps) == ("preview", 0)
    assert [ui.qualityComboBox.itemText(n) for n in range(ui.qualityComboBox.count)] == [
        "Preview",
        "Standard",
        "Careful",
    ]
    assert (asked(panel).steps, asked(panel).presetUsed) == (None, "preview")


def test_a_preview_is_estimated_to_be_shorter_than_a_careful_run(panel, ui):
    panel._run.describe()
    until(lambda: panel.logic.description)
    seconds = []
    for preset in PRESETS:
        panel.parameters.preset = preset
        seconds.append(panel.logic.estimateSeconds(asked(panel)))
    assert seconds == sorted(set(seconds))


# Presence


def test_the_papers_kind_cannot_be_told_and_says_so(panel, ui):
    panel.parameters.model, panel.parameters.presence = PAPER, 1.0

    for widget in (ui.presenceComboBox, ui.presenceSpinBox):
        assert not widget.enabled
        assert "cannot be told" in widget.toolTip
    assert ui.presenceComboBox.currentText == "As predicted"
    assert asked(panel).presence is None


def test_presence_travels_both_ways_for_the_fast_kind(panel, ui):
    panel.parameters.model = FAST
    assert ui.presenceComboBox.enabled
    assert "cannot" not in ui.presenceComboBox.toolTip
    assert ui.presenceSpinBox.text == "as predicted"
    assert asked(panel).presence is None

    ui.presenceComboBox.currentIndex = 1
    assert ui.presenceComboBox.currentText == "Given that something is marked"
    assert panel.parameters.presence == asked(panel).presence == 1.0

    ui.presenceSpinBox.value = 0.25
    assert ui.presenceComboBox.currentText == "25 % probable, set under Sampling"
    assert asked(panel).presence == 0.25

    ui.presenceComboBox.currentIndex = 0
    assert panel.parameters.presence == 0
    assert ui.presenceComboBox.count == 2


def test_the_worker_is_given_both(panel):
    seen = []

    class Reader(Results):
        def addExpert(self, result, folder):
            seen.append(SegmentationJob.read(folder))
            yield

    request = request_for(panel.parameters.inputVolume, preset="careful", presence=0.5)
    Followed(panel.logic, request, Reader()).to_the_end()

    assert (seen[0].preset, seen[0].presence) == ("careful", 0.5)


# What results say


def tagsOf(panel, name):
    from DiffOSegLib.scene.SegmentTags import tagOf

    segmentation = panel.parameters.resultSegmentation.GetSegmentation()
    ids = segmentation.GetSegmentIDs()
    return {tagOf(segmentation.GetSegment(each), f"DiffOSeg.{name}") for each in ids}


def test_a_run_that_is_left_to_the_model_is_called_nothing_else(panel, ui):
    panel.parameters.model = PAPER
    run(panel)

    assert ui.conditionsLabel.isHidden()
    assert panel.parameters.resultTable.GetName() == "CT DiffOSeg volumes"
    assert tagsOf(panel, "Preset") == {"standard"}
    assert tagsOf(panel, "PresenceGiven") == {""}
    assert tagsOf(panel, "PresenceMeans") == {"share of samples"}
    told = "Tightest of four marks anything in 100 % of the samples."
    assert told in ui.resultsTable.item(1, 1).toolTip()


def test_a_preview_given_a_mark_says_so_in_panel_table_and_tags(panel, ui):
    panel.parameters.model, panel.parameters.preset = FAST, "preview"
    panel.parameters.presence = 1.0

    run(panel)

    assert ui.conditionsLabel.text == "Given that something is marked, in preview quality."
    assert not ui.conditionsLabel.isHidden()
    assert panel.parameters.resultTable.GetName() == (
        "CT DiffOSeg volumes, given that something is marked, in preview quality"
    )
    titles = [
        panel.parameters.resultTable.GetColumnName(n)
        for n in range(panel.parameters.resultTable.GetNumberOfColumns())
    ]
    assert "Probability of marking anything, as given [0 to 1]" in titles
    assert tagsOf(panel, "Preset") == {"preview"}
    assert tagsOf(panel, "PresenceGiven") == {"1.0"}
    assert "given and not predicted" in ui.resultsTable.item(1, 1).toolTip()


def test_what_the_fast_kind_predicts_is_called_a_probability(panel, ui):
    panel.parameters.model = FAST
    run(panel)

    assert ui.resultsTable.horizontalHeaderItem(1).text() == "Presence"
    assert ui.resultsTable.item(1, 1).text() == "100 %"
    told = "Tightest of four marks anything: 100 %, as the model predicts."
    assert told in ui.resultsTable.item(1, 1).toolTip()
    assert tagsOf(panel, "PresenceMeans") == {"probability"}


def test_what_was_asked_is_said_of_segments_whose_run_failed_later(scene, monkeypatch):
    from diffoseg.model.cards import read_card
    from DiffOSegLib.scene.SceneResults import OutputOptions, SceneResults
    from DiffOSegLib.scene.SegmentTags import askedOf

    volume, logic = add_volume(name="CT"), logic_with("bad-result")
    results = SceneResults(volume, OutputOptions(), read_card())
    request = request_for(volume, preset="preview", presence=0.5)
    run = Followed(logic, request, results).to_the_end()
    logic.shutdown()

    assert run.end.kind == "error"
    segment = results.segmentationNode.GetSegmentation().GetNthSegment(0)
    assert askedOf(segment) == ("preview", 0.5)


def test_a_result_of_before_there_were_presets_is_shown_as_it_was(panel, ui):
    run(panel)
    segmentation = panel.parameters.resultSegmentation.GetSegmentation()
    for segmentID in segmentation.GetSegmentIDs():
        for name in ("Preset", "PresenceMeans"):
            segmentation.GetSegment(segmentID).RemoveTag(f"DiffOSeg.{name}")
    panel._compare.update()

    assert ui.conditionsLabel.isHidden()
    assert ui.resultsTable.item(1, 1).text() == "100 %"
    assert ui.resultsTable.item(1, 1).toolTip() == ""


@pytest.mark.parametrize("number", ["inf", "nan", "many"])
def test_tags_that_hold_no_probability_are_left_out(panel, ui, number):
    run(panel)
    segmentation = panel.parameters.resultSegmentation.GetSegmentation()
    for segmentID in segmentation.GetSegmentIDs():
        for name in ("Presence", "PresenceGiven"):
            segmentation.GetSegment(segmentID).SetTag(f"DiffOSeg.{name}", number)
    panel._compare.update()

    assert ui.conditionsLabel.isHidden()
    assert ui.resultsTable.item(1, 1).text() == ""


# The computer's speed


def test_the_speed_is_that_of_the_chosen_model(panel, ui, tmp_path):
    panel._run.describe()
    until(lambda: panel.logic.description)
    assert panel.logic.describedFor == ("auto", "")

    choose(ui.modelComboBox, FAST)

    until(lambda: panel.logic.describedFor == ("auto", FAST) and not panel.logic.describing)
    assert panel.logic.estimateSeconds(asked(panel)) is not None
    panel.parameters.model = ""
    assert panel.logic.estimateSeconds(asked(panel)) is None
    until(lambda: panel.logic.estimateSeconds(asked(panel)) is not None)


def test_a_scene_of_before_there_were_presets_opens_with_the_standard_one(panel, tmp_path):
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetSingletonTag("DiffOSeg")
    node.SetModuleName("DiffOSeg")
    node.SetAttribute("ModuleName", "DiffOSeg")
    node.SetParameter("samples", "5")
    scene = slicer.vtkMRMLScene()
    scene.AddNode(node)
    scene.SetURL(str(tmp_path / "old.mrml"))
    assert scene.Commit()
    slicer.mrmlScene.SetURL(str(tmp_path / "old.mrml"))
    slicer.mrmlScene.Import()

    parameters = panel.parameters
    assert (parameters.samples, parameters.preset, parameters.presence) == (5, "standard", 0.0)
    assert panel.ui.warningsLabel.text == ""


@pytest.mark.parametrize(
    ("name", "value"), [("preset", "reckless"), ("presence", "1.5"), ("presence", "nan")]
)
def test_an_impossible_quality_or_presence_gets_its_default_and_a_sentence(scene, name, value):
    from DiffOSegLib.run.Parameters import DiffOSegParameterNode

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    node.SetParameter(name, value)

    parameters = DiffOSegParameterNode(node)

    assert (parameters.preset, parameters.presence) == ("standard", 0.0)
    assert name in parameters.corrections[0]
