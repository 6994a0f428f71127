import pytest
import qt
import slicer
from a_panel import choose, openPanel, tick, until
from a_run import add_volume, logic_with
from an_installation import withoutTorch

import SlicerHost
from diffoseg.model.cards import read_card


@pytest.fixture
def volume(scene):
    return add_volume(name="CT")


@pytest.fixture
def widget(scene, monkeypatch):
    with openPanel(logic_with(), monkeypatch) as opened:
        yield opened


@pytest.fixture
def panel(volume, widget):
    return widget.panel


@pytest.fixture
def ui(panel):
    return panel.ui


def finished(panel):
    until(lambda: panel.logic.activeRun is None)
    return panel.parameters


# What it shows when it opens


def test_it_opens_on_the_volume_in_view_with_everyone_ticked(panel, ui, volume):
    assert panel.parameters.inputVolume is volume
    assert ui.inputSelector.currentNode() is volume
    assert ui.expertsTable.rowCount == len(read_card().answers)
    assert ui.expertsCountLabel.text == "5 of 5 will be drawn"
    assert [ui.expertsTable.item(row, 0).text() for row in range(2)] == [
        "Consensus",
        "Tightest of four",
    ]


def test_a_long_name_does_not_make_the_panel_wider(panel, ui, volume):
    volume.SetName("1.2 Thorax nativ 検査 Lung 1,0 Br60 S3 " * 5)
    ui.placeRoiButton.click()
    slicer.app.processEvents()

    assert ui.applyButton.window().minimumSizeHint().width() <= 420


def test_names_are_shown_as_they_are_also_where_they_look_like_html(panel, ui, scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "seg")
    node.GetSegmentation().AddEmptySegment("it", "<b>{x} %s</b>")
    panel.parameters.regionSegmentation = node
    choose(ui.regionKindComboBox, "segment")
    until(lambda: ui.deviceLabel.text.startswith("The segment <b>{x} %s</b> is empty."))

    for label in (ui.deviceLabel, ui.statusLabel, ui.warningsLabel, ui.noticeLabel):
        assert label.textFormat == qt.Qt.PlainText


def test_the_notice_of_the_model_stands_above_everything(ui):
    assert ui.noticeLabel.text == read_card().notice
    assert "not for clinical use" in ui.noticeLabel.text


def test_experts_without_a_description_are_said_to_be_predicted(ui):
    choose(ui.modelComboBox, "diffoseg-phantom")
    assert ui.expertsTable.item(1, 1).text() == "predicted in the style of Expert 1"


def test_a_volume_that_is_loaded_later_is_taken(widget, scene):
    panel = widget.panel
    assert not panel.ui.applyButton.enabled
    assert "volume" in panel.ui.applyButton.toolTip

    volume = add_volume()

    assert panel.parameters.inputVolume is volume
    until(lambda: panel.ui.applyButton.enabled)


def test_the_line_says_on_what_it_runs_why_and_for_how_long(panel, ui):
    until(lambda: ui.deviceLabel.text.startswith("After the first Apply"))
    ui.placeRoiButton.click()
    panel._run.describe()
    until(lambda: panel.logic.description)
    until(lambda: "CPU" in ui.deviceLabel.text)

    assert ui.deviceLabel.text.startswith("Runs on CPU, 2 threads: about ")
    assert ui.deviceLabel.text.endswith(", because this is a fake.")


def test_the_worker_is_not_started_to_describe_a_computer_without_torch(volume, monkeypatch):
    from DiffOSegLib.run import Dependencies

    missing = Dependencies.DependencyState((Dependencies.Package("PyTorch", "runs it", "0.2 GB"),))
    monkeypatch.setattr(Dependencies, "state", lambda: missing)
    with openPanel(logic_with(), monkeypatch) as widget:
        assert not widget.logic._worker.running
        text = widget.panel.ui.deviceLabel.text
        assert (
            text == "Not installed yet: PyTorch (0.2 GB). Apply asks before it installs anything."
        )


def test_another_modality_than_the_models_is_said_before_running(panel, ui, volume):
    assert ui.warningsLabel.isHidden()

    volume.SetAttribute("DICOM.Modality", "MR")
    panel.parameters.parameterNode.Modified()

    assert "This is MR, and the model was trained on CT" in ui.warningsLabel.text


# Choices go into the parameter node and come back from it


def test_ticks_travel_both_ways_and_everyone_is_an_empty_list(panel, ui):
    tick(panel, "consensus", "Tighter of four")
    assert list(panel.parameters.experts) == ["consensus", "Tighter of four"]
    assert ui.expertsCountLabel.text == "2 of 5 will be drawn"

    ui.allExpertsButton.click()
    assert list(panel.parameters.experts) == []

    panel.parameters.experts = ["Widest of four"]
    assert ui.expertsCountLabel.text == "1 of 5 will be drawn"


def test_with_nobody_ticked_apply_waits_and_says_why(panel, ui):
    ui.noExpertsButton.click()

    assert not ui.applyButton.enabled
    assert ui.deviceLabel.text == "Nobody is ticked under Experts. Tick at least one."
    assert ui.deviceLabel.text in ui.applyButton.toolTip
    ui.allExpertsButton.click()
    assert ui.applyButton.enabled


def test_numbers_travel_both_ways(panel, ui):
    ui.samplesSpinBox.value = 3
    ui.stepsSpinBox.value = 12
    assert (panel.parameters.samples, panel.parameters.steps) == (3, 12)

    panel.parameters.steps = 0
    assert ui.stepsSpinBox.text == f"{read_card().metadata.steps}, as Quality says"


def test_a_new_seed_is_another_one(panel, ui):
    seeds = {panel.parameters.seed}
    for _ in range(3):
        ui.newSeedButton.click()
        seeds.add(panel.parameters.seed)
        assert ui.seedSpinBox.value == panel.parameters.seed
    assert len(seeds) == 4


def test_a_device_that_could_not_be_described_is_described_after_a_run(panel, ui):
    panel._run.describe()
    until(lambda: panel.logic.describing)
    panel.logic._worker.kill("It was killed.")
    until(lambda: panel.logic.descriptionError)
    assert panel.logic.description is None

    ui.applyButton.click()
    finished(panel)

    until(lambda: ui.deviceLabel.text.startswith("Runs on CPU"))


def test_the_device_is_described_anew_when_another_is_chosen(panel, ui):
    panel._run.describe()
    until(lambda: panel.logic.description)
    panel.logic.description = None

    choose(ui.deviceComboBox, "cpu")

    assert panel.parameters.device == "cpu"
    until(lambda: panel.logic.description)


# Regions


def test_place_box_makes_a_box_shows_it_and_then_finds_it_again(panel, ui, volume):
    assert ui.placeRoiButton.text == "Place box"

    ui.placeRoiButton.click()

    roi = panel.parameters.regionRoi
    assert roi.GetDisplayVisibility()
    assert ui.roiSelector.currentNode() is roi
    assert ui.placeRoiButton.text == "Show box"
    roi.SetDisplayVisibility(False)
    ui.placeRoiButton.click()
    assert roi.GetDisplayVisibility()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 1


def test_only_the_rows_of_the_chosen_kind_of_region_are_there(panel, ui):
    rows = {"roi": ui.roiWidget, "segment": ui.segmentWidget}
    for kind in ("segment", "whole", "roi"):
        choose(ui.regionKindComboBox, kind)
        assert panel.parameters.regionKind == kind
        assert {name for name, row in rows.items() if not row.isHidden()} == {kind} & rows.keys()


def test_the_selected_segment_of_the_editor_is_offered_first(panel, ui, volume):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    for name in ("liver", "nodule"):
        segmentation.GetSegmentation().AddEmptySegment(name, name, (1, 0, 0))
    editor = slicer.vtkMRMLSegmentEditorNode()
    editor.SetSingletonTag("SegmentEditor")
    slicer.mrmlScene.AddNode(editor)
    editor.SetSelectedSegmentID("nodule")

    choose(ui.regionKindComboBox, "segment")
    assert not ui.applyButton.enabled
    ui.regionSegmentationSelector.setCurrentNode(segmentation)

    assert panel.parameters.regionSegmentID == "nodule"
    assert ui.regionSegmentComboBox.currentText == "nodule"
    assert "The segment nodule is empty. Draw it, or choose another." in ui.applyButton.toolTip


def test_a_segment_that_is_added_later_is_on_offer(panel, ui):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    choose(ui.regionKindComboBox, "segment")
    panel.parameters.regionSegmentation = segmentation

    segmentation.GetSegmentation().AddEmptySegment("late", "late", (1, 0, 0))

    until(lambda: ui.regionSegmentComboBox.findData("late") >= 0)


# Runs


def test_apply_at_once_makes_and_shows_the_box_and_draws_everyone(panel, ui):
    ui.applyButton.click()

    assert panel.parameters.regionRoi.GetDisplayVisibility()
    parameters = finished(panel)
    segmentation = parameters.resultSegmentation.GetSegmentation()
    assert segmentation.GetNthSegmentID(0) == "consensus"
    assert segmentation.GetNumberOfSegments() == 5
    assert parameters.resultTable is not None
    assert parameters.resultDisagreement is not None
    assert ui.statusLabel.text == "Done."
    assert "far from what the model was trained on" in ui.warningsLabel.text


def test_while_it_runs_apply_is_cancel_and_the_line_says_what_and_how_long(panel, ui):
    ui.applyButton.click()
    until(lambda: "left" in ui.statusLabel.text)

    assert ui.applyButton.text == "Cancel"
    assert not ui.progressBar.isHidden()
    assert ui.statusLabel.text.startswith("Drawing: Consensus, about ")
    finished(panel)
    until(lambda: ui.applyButton.text == "Apply")
    assert ui.progressBar.isHidden()


def test_a_run_cancelled_before_it_began_says_so(panel, ui):
    ui.applyButton.click()
    ui.applyButton.click()
    assert panel.logic.activeRun is None
    assert ui.statusLabel.text == "The run was cancelled before it began."


def test_cancel_keeps_who_has_finished(volume, monkeypatch):
    with openPanel(logic_with("normal", 0.02), monkeypatch) as widget:
        panel, ui = widget.panel, widget.panel.ui
        ui.applyButton.click()
        until(lambda: panel.parameters.resultSegmentation is not None)
        ui.applyButton.click()

        assert ui.statusLabel.text == "Stopping."
        parameters = finished(panel)
        drawn = parameters.resultSegmentation.GetSegmentation().GetSegmentIDs()
        assert 1 <= len(drawn) < 5
        assert parameters.resultTable.GetNumberOfRows() == len(drawn)
        assert ui.statusLabel.text == "Stopped; what was finished is kept."
        assert ui.applyButton.text == "Apply"


def test_an_error_is_one_sentence_with_details_on_demand(volume, monkeypatch):
    with openPanel(logic_with("crash"), monkeypatch) as widget:
        panel, ui = widget.panel, widget.panel.ui
        ui.applyButton.click()
        finished(panel)

        assert ui.statusLabel.text.startswith("The process that computes ended unexpectedly")
        assert ui.detailsText.isHidden()
        ui.detailsButton.click()
        assert not ui.detailsText.isHidden()
        assert "the graphics driver is gone" in ui.detailsText.plainText
        assert ui.applyButton.text == "Apply"


def test_packages_are_asked_for_in_the_click_and_declining_is_a_clean_stop(volume, monkeypatch):
    from DiffOSegLib.run import Dependencies

    missing = Dependencies.DependencyState((Dependencies.Package("PyTorch", "runs it", "0.2 GB"),))
    monkeypatch.setattr(Dependencies, "state", lambda: missing)
    monkeypatch.setattr(Dependencies, "_obstacle", lambda _missing: None)
    questions = []
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, *_: questions.append(text)
    )
    with openPanel(logic_with(), monkeypatch) as widget:
        ui = widget.panel.ui
        assert questions == []
        ui.applyButton.click()

        assert len(questions) == 1
        assert "0.2 GB" in questions[0]
        assert ui.statusLabel.text.startswith("Nothing was installed.")
        assert widget.logic.activeRun is None
        assert ui.applyButton.enabled


def test_a_run_of_the_effect_is_not_disturbed_and_the_sentence_says_so(panel, ui):
    from a_run import Results, request_for

    run = panel.logic.start(request_for(panel.parameters.inputVolume), Results(), lambda _e: None)

    ui.applyButton.click()

    assert ui.statusLabel.text.startswith("A run is under way.")
    assert panel.logic.activeRun is run


# While packages are installed


@pytest.fixture
def installs(panel, monkeypatch):
    return withoutTorch(monkeypatch)


def test_a_second_click_on_apply_while_torch_installs_starts_nothing(installs, panel, ui):
    enabled = []

    def clickAgain():
        enabled.append(ui.applyButton.enabled)
        ui.applyButton.click()

    SlicerHost.meanwhile.append(clickAgain)
    ui.applyButton.click()
    finished(panel)

    assert enabled == [False]
    assert len(installs) == 1
    assert panel.parameters.resultSegmentation is not None


def test_a_scene_closed_while_torch_installs_ends_in_a_sentence(installs, panel, ui):
    SlicerHost.meanwhile.append(lambda: slicer.mrmlScene.Clear(False))

    ui.applyButton.click()

    assert panel.logic.activeRun is None
    assert "volume" in ui.statusLabel.text


def test_what_is_chosen_while_torch_installs_is_what_is_run(installs, panel, ui):
    SlicerHost.meanwhile.append(lambda: tick(panel, "consensus"))

    ui.applyButton.click()
    parameters = finished(panel)

    assert parameters.resultSegmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_a_run_leaves_one_map_in_the_selectors_unless_more_are_asked_for(panel, ui):
    before = len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))

    ui.applyButton.click()
    finished(panel)

    assert not ui.probabilityMapsCheckBox.checked
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == before + 1


def test_a_double_click_on_apply_starts_a_run_and_does_not_cancel_it(panel, ui):
    slicer.app.setDoubleClickInterval(400)
    try:
        ui.applyButton.click()
        ui.applyButton.click()
        parameters = finished(panel)
    finally:
        slicer.app.setDoubleClickInterval(0)

    assert parameters.resultSegmentation is not None
    assert "cancelled" not in ui.statusLabel.text
