import gc
import weakref

import numpy as np
import pytest
import qt
import slicer
from a_panel import choose, live, until
from a_training import SIZE, a_case, a_mask, a_segmentation, a_volume
from a_training_panel import aTrainingPanel, cellsOf, enter, lookedAt, pick, select, start
from an_installation import withoutTorch
from process_tree import needs_proc

import SlicerHost

pytestmark = pytest.mark.usefixtures("scene", "experts")

FINE, UNUSABLE, DOUBTFUL = "\u2714", "\u2716", "\u26a0"


@pytest.fixture
def panel(scene, experts, monkeypatch):
    with aTrainingPanel(monkeypatch) as opened:
        yield opened


@pytest.fixture
def ui(panel):
    return panel.ui


@pytest.fixture
def three(panel):
    """A panel with three cases that one expert drew."""
    for number in range(3):
        a_case(number)
    enter(panel.ui.expertNameLineEdit, "Reader A")
    panel.ui.addPairsButton.click()
    lookedAt(panel)
    return panel


def shown(widget):
    return widget.isVisibleTo(widget.window())


def names(panel, column):
    table = panel.ui.casesTable
    return [cellsOf(table, row)[column] for row in range(len(panel.logic.rows()))]


# --- the table


def test_an_empty_table_invites(panel, ui):
    assert "Drag segmentations here" in ui.casesTable.item(0, 0).text()
    assert not ui.startButton.enabled
    assert "no cases" in ui.deviceLabel.text
    assert not ui.removeCasesButton.enabled
    assert not shown(ui.caseGroupBox)
    assert not shown(ui.assignWidget)


def test_all_pairs_of_the_scene_become_rows_once(three):
    ui = three.ui
    assert names(three, 1) == ["Scan 0", "Scan 1", "Scan 2"]
    assert cellsOf(ui.casesTable, 0) == [FINE, "Scan 0", "Lesion", "around it", "Reader A"]
    assert ui.casesLabel.text == "3 cases, all of which can be used."
    assert ui.startButton.enabled

    ui.addPairsButton.click()

    assert len(three.logic.rows()) == 3
    assert "no segmentation in the scene" in ui.casesMessageLabel.text


def test_a_row_says_by_its_sign_and_in_words_what_is_wrong(three):
    a_case(3, masks={"Lesion": np.zeros(SIZE[::-1], bool)})
    a_segmentation(a_volume("Coarse", spacing=(3, 3, 3)), {"Lesion": a_mask()})
    three.ui.addPairsButton.click()
    lookedAt(three)

    assert names(three, 0) == [FINE, FINE, FINE, UNUSABLE, DOUBTFUL]
    words = three.ui.casesLabel.text
    assert f"{UNUSABLE} Case 4: The segment is empty." in words
    assert f"{DOUBTFUL} Case 5:" in words
    assert "The segment is empty" in three.ui.casesTable.item(3, 0).toolTip()
    assert not three.ui.startButton.enabled
    assert "Case 4" in three.ui.startButton.toolTip


def test_of_many_faults_the_first_are_told_and_how_many_more_there_are(panel, ui):
    for number in range(8):
        panel.logic.addRow(volume=a_volume(f"Scan {number}"))
    lookedAt(panel)
    assert ui.casesLabel.text.count(UNUSABLE) == 5
    assert "3 cases more" in ui.casesLabel.text


def test_a_volume_that_is_deleted_is_told_by_the_name_it_had(three):
    slicer.mrmlScene.RemoveNode(three.logic.rows()[1].volume)
    lookedAt(three)
    assert names(three, 1)[1] == "Scan 1"
    assert names(three, 0)[1] == UNUSABLE
    assert "Scan 1 is no longer in the scene" in three.ui.casesLabel.text


def test_a_segment_that_is_emptied_is_noticed_by_itself(three):
    node = three.logic.rows()[0].segmentation
    node.GetSegmentation().GetSegment("Lesion").GetRepresentation("Binary labelmap").Initialize()
    node.GetSegmentation().GetSegment("Lesion").Modified()
    node.GetSegmentation().InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
    until(lambda: names(three, 0)[0] == UNUSABLE)


def test_selected_rows_are_taken_out_and_their_nodes_stay(three):
    select(three.ui.casesTable, 0, 2)
    assert not shown(three.ui.caseGroupBox)
    three.ui.removeCasesButton.click()
    assert names(three, 1) == ["Scan 1"]
    assert slicer.util.getNode("Scan 0")
    assert not three.ui.removeCasesButton.enabled


def test_the_selection_stays_while_rows_are_looked_at(three):
    select(three.ui.casesTable, 2)
    a_case(7)
    three.ui.addPairsButton.click()
    lookedAt(three)
    assert [three.ui.casesTable.item(row, 0).isSelected() for row in range(4)] == [
        False, False, True, False,
    ]  # fmt: skip


def test_case_names_are_shown_as_they_are_and_not_as_markup(panel, ui):
    name = "<b>Ä</b> & \u4eba"
    panel.logic.addRow(volume=a_volume(name))
    lookedAt(panel)
    assert cellsOf(ui.casesTable, 0)[1] == name
    assert ui.casesLabel.textFormat == qt.Qt.PlainText


@pytest.mark.slow
def test_two_hundred_cases_are_shown_without_holding_slicer_up(panel, ui):
    import time

    _volume, segmentation = a_case(0)
    for _ in range(200):
        panel.logic.addRow(segmentation=segmentation)
    until(lambda: None not in panel.logic.checks())
    begun = time.thread_time()
    panel._update()
    assert time.thread_time() - begun < 0.25
    assert ui.casesTable.rowCount == 200
    assert ui.casesTable.height < 240


# --- one case


def test_the_selected_case_can_be_put_right_field_by_field(panel, ui):
    volume = a_volume("Scan")
    segmentation = a_segmentation(volume, {"A": a_mask(), "B": a_mask(shrink=4)})
    segmentation.RemoveNodeReferenceIDs(segmentation.GetReferenceImageGeometryReferenceRole())
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Where she looked")
    panel.logic.addRow(volume=volume)
    lookedAt(panel)
    select(ui.casesTable, 0)
    assert shown(ui.caseGroupBox)
    assert ui.caseVolumeSelector.currentNode() is volume
    assert not ui.caseSegmentComboBox.enabled

    pick(ui.caseSegmentationSelector, segmentation)
    choose(ui.caseSegmentComboBox, "B")
    pick(ui.caseRoiSelector, roi)
    enter(ui.caseExpertLineEdit, " Dr. B ")
    enter(ui.casePatientLineEdit, "Patient 7")

    (row,) = panel.logic.rows()
    assert (row.segmentation, row.segmentID, row.roi) == (segmentation, "B", roi)
    assert (row.expertName, row.patient) == ("Dr. B", "Patient 7")
    lookedAt(panel)
    assert cellsOf(ui.casesTable, 0)[1:] == ["Scan", "B", "Where she looked", "Dr. B"]
    pick(ui.caseRoiSelector, None)
    assert panel.logic.rows()[0].roi is None


@pytest.mark.parametrize("field", ["volume", "segmentation"])
def test_deleting_what_a_case_names_chooses_nothing_else_for_it(three, field):
    select(three.ui.casesTable, 1)
    slicer.mrmlScene.RemoveNode(getattr(three.logic.rows()[1], field))
    live(0.1)
    assert getattr(three.logic.rows()[1], field) is None
    assert getattr(three.logic.rows()[2], field) is not None


def test_showing_one_case_after_the_other_changes_none_of_them(three):
    before = three.logic.rows()
    for row in (0, 1, 2, 0):
        select(three.ui.casesTable, row)
        assert three.ui.caseVolumeSelector.currentNode() is before[row].volume
    assert three.logic.rows() == before


def test_each_expert_of_a_shared_segmentation_is_named_by_segment(panel, ui):
    for number in range(2):
        a_case(number, masks={"Dr. A": a_mask(), "Dr. B": a_mask(shrink=4)})
    ui.addPairsButton.click()
    lookedAt(panel)
    assert shown(ui.assignWidget)

    for segment, expert in (("Dr. A", "Reader A"), ("Dr. B", "Reader B")):
        ui.assignSegmentComboBox.setCurrentIndex(ui.assignSegmentComboBox.findText(segment))
        enter(ui.assignExpertLineEdit, expert)
        ui.assignButton.click()

    lookedAt(panel)
    assert names(panel, 4) == ["Reader A", "Reader B"] * 2
    assert ui.startButton.text == "Start: 2 experts, one after the other"
    start(panel)
    assert [card.name for card in panel.logic.library().cards()] == ["Reader A", "Reader B"]
    assert ui.resultLabel.text.count("Use it.") == 2


# --- dragging


def test_a_segmentation_is_dragged_from_the_tree_and_keeps_its_place_there(panel, ui):
    _volume, segmentation = a_case(0, masks={"A": a_mask(), "B": a_mask(shrink=4)})
    assert SlicerHost.drop(ui.casesTable.viewport(), [segmentation])
    assert names(panel, 1) == ["Scan 0", "Scan 0"]
    assert names(panel, 2) == ["A", "B"]
    assert slicer.mrmlScene.GetSubjectHierarchyNode().GetItemByDataNode(segmentation)


def test_a_volume_dragged_with_its_segmentation_is_one_case_and_alone_it_waits(panel, ui):
    volume, segmentation = a_case(0)
    assert SlicerHost.drop(ui.casesTable.viewport(), [volume, segmentation])
    assert names(panel, 2) == ["Lesion"]
    assert SlicerHost.drop(ui.casesTable.viewport(), [a_volume("Alone")])
    assert names(panel, 2) == ["Lesion", "no segment"]


def test_a_folder_of_the_tree_stands_for_all_in_it(panel, ui):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Patient")
    for number in range(2):
        for node in a_case(number):
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), folder)
    assert SlicerHost.drop(ui.casesTable.viewport(), [folder])
    assert names(panel, 1) == ["Scan 0", "Scan 1"]


def test_one_segment_is_dragged_without_the_others(panel, ui):
    _volume, segmentation = a_case(0, masks={"A": a_mask(), "B": a_mask(shrink=4)})
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.CreateFolderItem(hierarchy.GetItemByDataNode(segmentation), "B")
    hierarchy.SetItemAttribute(item, segmentation.GetSegmentIDAttributeName(), "B")
    for _again in range(2):
        assert SlicerHost.drop(ui.casesTable.viewport(), [item])
        assert names(panel, 2) == ["B"]


def test_what_is_no_case_is_refused_in_words(panel, ui):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    assert SlicerHost.drop(ui.casesTable.viewport(), [roi])
    assert ui.casesMessageLabel.text
    assert not panel.logic.rows()


def test_other_things_are_left_to_slicer(panel, ui, tmp_path):
    image = tmp_path / "scan.nrrd"
    image.touch()
    assert not SlicerHost.drop(ui.casesTable.viewport(), [image])
    assert not SlicerHost.drop(ui.casesTable.viewport(), [])


# --- files


@pytest.fixture
def exported(three, tmp_path):
    """A data list that the panel has written, and an empty scene."""
    path = tmp_path / "out" / "cases.json"
    path.parent.mkdir()
    SlicerHost.answers.append(path)
    three.ui.exportCasesButton.click()
    until(lambda: not three.logic.filesBusy)
    assert shown(three.ui.serverCollapsibleButton)
    assert three.ui.exportLabel.text
    slicer.mrmlScene.Clear(False)
    return path


def test_cases_are_exported_and_read_again_from_the_list(panel, ui, exported):
    SlicerHost.answers.append(exported)
    ui.addListButton.click()
    until(lambda: not panel.logic.filesBusy)
    lookedAt(panel)
    assert len(panel.logic.rows()) == 3
    assert names(panel, 0) == [FINE] * 3
    assert names(panel, 4) == ["Reader A"] * 3
    assert shown(ui.filesWidget)
    assert not shown(ui.cancelFilesButton)


def test_a_folder_or_a_list_can_be_dropped_too(panel, ui, exported):
    assert SlicerHost.drop(ui.casesTable.viewport(), [exported])
    until(lambda: not panel.logic.filesBusy)
    assert len(panel.logic.rows()) == 3


def test_a_folder_with_nothing_in_it_is_told(panel, ui, tmp_path):
    SlicerHost.answers.append(tmp_path)
    ui.addFolderButton.click()
    until(lambda: not panel.logic.filesBusy)
    assert ui.casesMessageLabel.text + ui.filesLabel.text
    assert not panel.logic.rows()


def test_a_list_without_an_ending_gets_one_and_keeps_its_name(three, tmp_path):
    SlicerHost.answers.append(tmp_path / "cases.v2")
    three.ui.exportCasesButton.click()
    until(lambda: not three.logic.filesBusy)
    assert (tmp_path / "cases.v2.json").is_file()
    assert "cases.v2.json" in three.ui.commandsText.plainText


def test_the_command_lines_name_the_list_that_was_written(panel, ui, exported):
    assert "diffoseg train expert cases.json --out experts" in ui.commandsText.plainText


@pytest.mark.parametrize("stage", ["expert", "fast", "stage1", "stage2"])
def test_the_command_lines_are_what_the_command_line_takes(panel, ui, stage):
    import shlex

    from diffoseg.commands.command_line import _parser

    panel.parameters.corrects = "Tighter of four"
    lines = [line for line in ui.commandsText.plainText.splitlines() if f"train {stage}" in line]
    assert len(lines) == 1
    words = shlex.split(lines[0])
    assert words[0] == "diffoseg"
    assert _parser().parse_args(words[1:])


# --- the training


def test_before_start_the_line_tells_on_what_and_for_how_long(three):
    three._training.describe()
    until(lambda: three.logic.description is not None)
    until(lambda: "Runs on CPU, 2 threads: about 8 s" in three.ui.deviceLabel.text)


def test_start_teaches_the_expert_and_says_plainly_what_came_of_it(three):
    start(three)
    ui = three.ui
    assert "Reader A: With 3 cases: Dice 0.86 on held-out cases. Use it." in ui.resultLabel.text
    assert "in the list of the DiffOSeg module" in ui.statusLabel.text
    assert shown(ui.resultLabel)
    assert cellsOf(ui.libraryTable, 0)[0] == "Reader A"
    assert not shown(ui.progressBar)
    assert shown(ui.statusLabel)
    assert not shown(ui.resumeWidget)


def test_after_a_result_why_it_cannot_be_taught_again_is_said_once_something_is_changed(three):
    start(three)
    assert not shown(three.ui.deviceLabel)
    assert "already" in three.ui.startButton.toolTip
    three.logic.removeRow(three.logic.rows()[0].id)
    until(lambda: shown(three.ui.deviceLabel))
    lookedAt(three)
    assert "already" in three.ui.deviceLabel.text
    assert shown(three.ui.resultLabel)


def test_while_it_goes_on_there_is_progress_and_cancel(scene, experts, monkeypatch):
    with aTrainingPanel(monkeypatch, step=0.2) as panel:
        ui = panel.ui
        a_case(0)
        enter(ui.expertNameLineEdit, "Reader A")
        ui.addPairsButton.click()
        lookedAt(panel)
        ui.startButton.click()
        until(lambda: ui.progressBar.value > 300)
        assert ui.startButton.text == "Cancel"
        assert ui.startButton.enabled
        assert "left" in ui.statusLabel.text
        assert shown(ui.progressBar)


def test_the_curves_come_up_by_themselves_and_go_when_asked(three):
    before = slicer.app.layoutManager().layout
    ui = three.ui
    assert not ui.curvesButton.enabled
    start(three)
    assert ui.curvesButton.checked
    assert slicer.app.layoutManager().plotViewCount == 1
    ui.curvesButton.click()
    assert slicer.app.layoutManager().layout == before
    ui.curvesButton.click()
    assert slicer.app.layoutManager().layout != before


def test_curves_that_were_sent_away_stay_away(scene, experts, monkeypatch):
    with aTrainingPanel(monkeypatch, step=0.1) as panel:
        before = slicer.app.layoutManager().layout
        for number in range(3):
            a_case(number)
        enter(panel.ui.expertNameLineEdit, "Reader A")
        panel.ui.addPairsButton.click()
        lookedAt(panel)
        panel.ui.startButton.click()
        until(lambda: panel.ui.curvesButton.checked)
        panel.ui.curvesButton.click()
        until(lambda: panel.logic.activeTraining is None)
        assert slicer.app.layoutManager().layout == before


def test_cancel_keeps_what_was_learnt_and_resume_goes_on(scene, experts, monkeypatch):
    with aTrainingPanel(monkeypatch, step=0.2) as panel:
        ui = panel.ui
        for number in range(3):
            a_case(number)
        enter(ui.expertNameLineEdit, "Reader A")
        ui.addPairsButton.click()
        lookedAt(panel)
        ui.startButton.click()
        until(lambda: ui.progressBar.value > 300)

        ui.startButton.click()
        until(lambda: panel.logic.activeTraining is None)
        assert shown(ui.resumeWidget)
        assert ui.resumeComboBox.currentText.startswith("Reader A, 3 cases, ")
        assert not panel.logic.library().cards()

        ui.resumeButton.click()
        assert not shown(ui.resumeWidget)
        until(lambda: panel.logic.activeTraining is None)
        assert "Use it." in ui.resultLabel.text
        assert "Going on at step" in ui.warningsLabel.text
        assert not shown(ui.resumeWidget)


def test_what_was_kept_is_discarded_only_after_a_question(scene, experts, monkeypatch):
    with aTrainingPanel(monkeypatch, step=0.2) as panel:
        ui = panel.ui
        a_case(0)
        enter(ui.expertNameLineEdit, "Reader A")
        ui.addPairsButton.click()
        lookedAt(panel)
        ui.startButton.click()
        until(lambda: ui.progressBar.value > 300)
        ui.startButton.click()
        until(lambda: panel.logic.activeTraining is None)

        for answer, kept in ((False, True), (True, False)):
            SlicerHost.answers.append(answer)
            ui.discardButton.click()
            assert "Reader A" in SlicerHost.messages[-1]
            assert shown(ui.resumeWidget) is kept


@pytest.mark.parametrize("mode", ["crash", "no-memory", "no-disk", "broken-torch", "no-result"])
def test_a_training_that_fails_says_why_and_leaves_the_panel_usable(
    scene, experts, monkeypatch, mode
):
    from DiffOSegLib.run import Dependencies

    with aTrainingPanel(monkeypatch, mode) as panel:
        ui = panel.ui
        for number in range(2):
            a_case(number)
        enter(ui.expertNameLineEdit, "Reader A")
        ui.addPairsButton.click()
        lookedAt(panel)
        start(panel)
        assert ui.statusLabel.text
        assert shown(ui.statusLabel)
        assert not shown(ui.resultLabel)
        assert ui.startButton.text == "Start"
    Dependencies.noteBroken(None)


@needs_proc
@pytest.mark.parametrize(
    "moment",
    ["before-ready", "ready", "read", "started", "in-line", "point", "saved", "done"],
)
def test_whenever_the_worker_is_killed_the_panel_says_how_it_ended(
    scene, experts, monkeypatch, moment
):
    with aTrainingPanel(monkeypatch, f"dies-{moment}") as panel:
        ui = panel.ui
        a_case(0)
        enter(ui.expertNameLineEdit, "Reader A")
        ui.addPairsButton.click()
        lookedAt(panel)
        start(panel)
        assert shown(ui.statusLabel)
        assert ui.statusLabel.text.endswith(".")
        isTaught = moment == "done"  # what was said before the end counts, read late as it may be
        assert ("in the list" in ui.statusLabel.text) is isTaught
        assert shown(ui.resultLabel) is isTaught
        assert shown(ui.resumeWidget) is not isTaught


def test_without_pytorch_the_line_says_so_and_start_asks_before_it_installs(three, monkeypatch):
    from DiffOSegLib.run import Dependencies

    torch = Dependencies.Package("PyTorch", "computes", "2 GB")
    monkeypatch.setattr(
        Dependencies, "state", lambda: Dependencies.DependencyState(missing=(torch,))
    )
    three._training.describe()
    three._update()
    assert "Not installed yet: PyTorch (2 GB). Start asks" in three.ui.deviceLabel.text
    SlicerHost.answers.append(False)
    three.ui.startButton.click()
    assert three.logic.activeTraining is None
    assert three.ui.statusLabel.text


def test_a_name_that_is_taken_is_said_before_start(three):
    from a_taught_expert import aTaughtExpert

    aTaughtExpert("reader a")
    live(0.1)
    three._update()
    assert not three.ui.startButton.enabled
    assert "already" in three.ui.deviceLabel.text


# --- the scene


def test_choices_and_cases_come_back_with_a_saved_scene(three, tmp_path):
    ui = three.ui
    ui.seedSpinBox.value = 7
    ui.descriptionLineEdit.text = "reads chests"
    choose(ui.startComboBox, "Tighter of four")
    path = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(path), None)
    slicer.mrmlScene.Clear(False)
    assert not three.logic.rows()
    assert ui.expertNameLineEdit.text == ""

    slicer.mrmlScene.ReadFromMRB(str(path))
    lookedAt(three)

    assert len(three.logic.rows()) == 3
    assert ui.expertNameLineEdit.text == "Reader A"
    assert ui.seedSpinBox.value == 7
    assert ui.startComboBox.currentText.startswith("Tighter of four")
    assert names(three, 0) == [FINE] * 3


def test_a_hidden_panel_rests_and_a_shown_one_looks_for_edits_now_and_then(three):
    timer = three._timer
    until(lambda: timer.interval == 500)
    assert timer.active
    three.exit()
    assert not timer.active
    three.enter()
    assert timer.active


def test_a_training_goes_on_while_another_module_is_shown(three):
    three.ui.startButton.click()
    three.exit()
    until(lambda: three.logic.activeTraining is None)
    until(lambda: not three._timer.active)
    three.enter()
    assert "Use it." in three.ui.resultLabel.text, three.ui.statusLabel.text


def test_typing_a_name_shows_it_in_the_rows_at_once(three):
    enter(three.ui.expertNameLineEdit, "Dr. B")
    until(lambda: names(three, 4) == ["Dr. B"] * 3)


def test_the_experts_to_start_from_are_the_models(panel, ui):
    from diffoseg.model.cards import read_card

    texts = [ui.startComboBox.itemText(n) for n in range(ui.startComboBox.count)]
    assert texts[0] == "The average expert"
    assert [t.partition(",")[0] for t in texts[1:]] == list(read_card().panel.names)
    ui.startComboBox.setCurrentIndex(2)
    assert panel.parameters.corrects == "Tighter of four"


def test_a_scene_that_asks_for_a_model_that_is_not_here_is_told_so(panel, ui):
    panel.parameters.model = "/home/somebody/lung.safetensors"
    until(lambda: "lung.safetensors is not on this computer" in ui.noticeLabel.text)
    assert "/home" not in ui.noticeLabel.text + ui.deviceLabel.text
    assert not ui.startButton.enabled
    ui.modelComboBox.setCurrentIndex(0)
    until(lambda: "not for clinical use" in ui.noticeLabel.text)


@pytest.fixture
def ownModels(tmp_path):
    from a_model_file import aFastAndAPaperOne

    folder = tmp_path / "my models"
    folder.mkdir()
    aFastAndAPaperOne(folder)
    return {kind: str(folder / f"a-{kind}-one.safetensors") for kind in ("fast", "paper")}


def test_a_model_from_elsewhere_can_be_taught_too_and_the_command_lines_name_it(three, ownModels):
    three.parameters.model = ownModels["fast"]
    until(lambda: three.ui.modelComboBox.currentText == "a-fast-one")
    until(lambda: f"--weights '{ownModels['fast']}'" in three.ui.commandsText.plainText)
    lookedAt(three)
    assert three.ui.startButton.enabled


def test_the_papers_kind_of_model_is_refused_in_words(three, ownModels):
    three.parameters.model = ownModels["paper"]
    until(lambda: not three.ui.startButton.enabled)
    lookedAt(three)
    assert shown(three.ui.deviceLabel)
    print(three.ui.deviceLabel.text)
    assert "fast" in three.ui.deviceLabel.text


def test_names_that_hold_tags_are_not_read_as_html(panel, ui):
    panel.logic.addRow(volume=a_volume("<img src=x>"))
    lookedAt(panel)
    assert "&lt;img" in ui.casesTable.item(0, 1).toolTip()


def usedAndClosed(monkeypatch):
    """Open the panel, teach somebody, close it; return weak references to what it was."""
    with aTrainingPanel(monkeypatch) as panel:
        a_case(0)
        enter(panel.ui.expertNameLineEdit, "Reader A")
        panel.ui.addPairsButton.click()
        lookedAt(panel)
        start(panel)
        return [weakref.ref(one) for one in (panel, panel.logic)]


def test_a_panel_that_was_closed_leaves_nothing_behind(scene, experts, monkeypatch):
    left = usedAndClosed(monkeypatch)

    monkeypatch.undo()
    del slicer.modules.DiffOSegTrainingWidget
    SlicerHost.clear()  # deletes what was promised to be
    gc.collect()

    assert [one() for one in left] == [None] * 2


# --- while packages are installed


def test_a_second_click_on_start_while_torch_installs_starts_nothing(three, monkeypatch):
    installs, enabled = withoutTorch(monkeypatch), []

    def clickAgain():
        enabled.append(three.ui.startButton.enabled)
        three.ui.startButton.click()

    SlicerHost.meanwhile.append(clickAgain)
    start(three)

    assert (enabled, len(installs)) == ([False], 1)
    assert [card.name for card in three.logic.library().cards()] == ["Reader A"]


def test_a_scene_closed_while_torch_installs_ends_in_a_sentence(three, ui, monkeypatch):
    withoutTorch(monkeypatch)
    SlicerHost.meanwhile.append(lambda: slicer.mrmlScene.Clear(False))

    ui.startButton.click()

    assert three.logic.activeTraining is None
    assert ui.statusLabel.text


def test_a_double_click_on_start_teaches_and_does_not_cancel(three, ui):
    slicer.app.setDoubleClickInterval(400)
    try:
        ui.startButton.click()
        ui.startButton.click()
    finally:
        slicer.app.setDoubleClickInterval(0)
    until(lambda: three.logic.activeTraining is None)

    assert [card.name for card in three.logic.library().cards()] == ["Reader A"]
