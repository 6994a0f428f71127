"""The Compare section: what it shows of a run, and what its lines, buttons and keys do."""

import pytest
import qt
import slicer
from a_panel import openPanel, run, until
from a_run import add_volume, logic_with


@pytest.fixture
def panel(scene, monkeypatch):
    add_volume(name="CT")
    with openPanel(logic_with(), monkeypatch) as widget:
        yield widget.panel


@pytest.fixture
def ui(panel):
    return panel.ui


@pytest.fixture
def compared(panel):
    run(panel)
    return panel


def visible(panel):
    node = panel.parameters.resultSegmentation
    display = node.GetDisplayNode()
    return [s for s in node.GetSegmentation().GetSegmentIDs() if display.GetSegmentVisibility(s)]


def test_the_section_for_comparing_comes_with_the_first_result(panel, ui):
    assert ui.resultsCollapsibleButton.isHidden()
    run(panel)
    assert not ui.resultsCollapsibleButton.isHidden()


def test_each_drawing_has_a_line_with_its_volume_and_its_range(compared, ui):
    cells = [ui.resultsTable.item(1, column).text() for column in range(4)]

    assert cells[:2] == ["Tightest of four", "100 %"]
    assert cells[2].endswith(" ml")
    assert " to " in cells[3]


def test_a_name_that_a_tag_cannot_hold_finds_its_line_all_the_same(compared, ui):
    from DiffOSegLib.scene.SegmentTags import EXPERT, addTags

    drawn = compared.parameters.resultSegmentation.GetSegmentation()
    addTags(drawn.GetSegment("tightest-of-four"), {EXPERT: "検査 | B"})
    table, row = (
        compared.parameters.resultTable,
        list(drawn.GetSegmentIDs()).index("tightest-of-four"),
    )
    names = [table.GetCellText(n, 0) for n in range(table.GetNumberOfRows())]
    table.SetCellText(names.index("Tightest of four"), 0, "検査 | B")
    compared._compare.update()

    assert ui.resultsTable.item(row, 2).text().endswith(" ml")


def test_a_key_shows_one_alone_and_the_same_key_again_all(compared):
    everyone = visible(compared)

    compared._compare.showAlone(2)
    assert visible(compared) == ["tighter-of-four"]
    compared._compare.showAlone(0)
    assert visible(compared) == ["consensus"]
    compared._compare.showAlone(0)
    assert visible(compared) == everyone
    compared._compare.showAlone(9)
    assert visible(compared) == everyone


def test_the_keys_do_it_and_u_is_the_disagreement(compared, ui):
    keys = slicer.util.mainWindow().findChildren(qt.QShortcut)

    def press(key):
        (shortcut,) = [k for k in keys if k.enabled and k.key.toString() == key]
        shortcut.activated.emit()

    press("4")
    assert visible(compared) == ["widest-of-four"]
    press("0")
    assert visible(compared) == ["consensus"]
    press("0")
    assert len(visible(compared)) == 5
    press("U")
    assert ui.disagreementButton.checked


def test_a_click_on_a_line_does_the_same(compared, ui):
    ui.resultsTable.cellClicked.emit(3, 0)
    assert visible(compared) == ["wider-of-four"]
    ui.resultsTable.cellClicked.emit(3, 1)
    assert len(visible(compared)) == 5


def test_the_disagreement_is_put_over_the_scan_and_taken_away(compared, ui):
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    shown = compared.parameters.resultDisagreement.GetID()

    ui.disagreementButton.click()
    assert composite.GetForegroundVolumeID() == shown
    compared._compare.toggleDisagreement()
    assert composite.GetForegroundVolumeID() != shown
    assert not ui.disagreementButton.checked


def test_the_next_run_takes_the_former_disagreement_out_of_the_views(compared, ui):
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    ui.disagreementButton.click()
    former = composite.GetForegroundVolumeID()

    run(compared)

    assert composite.GetForegroundVolumeID() != former
    assert not ui.disagreementButton.checked


def test_the_grid_comes_and_goes_and_the_readers_layout_is_back(compared, ui):
    layout = slicer.app.layoutManager().layout

    ui.gridButton.click()
    assert slicer.app.layoutManager().layout != layout
    assert ui.gridButton.checked
    ui.gridButton.click()
    assert slicer.app.layoutManager().layout == layout
    assert not ui.gridButton.checked


def test_the_grid_button_is_up_again_when_the_reader_chooses_another_layout(compared, ui):
    ui.gridButton.click()
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert not ui.gridButton.checked

    ui.gridButton.click()
    assert ui.gridButton.checked
    ui.tableButton.click()
    assert not ui.gridButton.checked


def test_results_are_shown_over_the_scan_they_are_of_when_another_is_chosen(compared, ui):
    scan = compared.parameters.inputVolume
    compared.parameters.inputVolume = add_volume(name="another")
    for button, view in ((ui.outlinesButton, "Red"), (ui.gridButton, "DiffOSeg1")):
        button.click()
        shown = [c.GetBackgroundVolumeID() for c in composites()]
        assert scan.GetID() in shown, view
        assert compared.parameters.inputVolume.GetID() not in shown
    ui.gridButton.click()


def test_another_scan_that_is_chosen_during_a_run_is_not_put_behind_its_results(panel, ui):
    scan = panel.parameters.inputVolume
    ui.applyButton.click()
    panel.parameters.inputVolume = add_volume(name="another")
    until(lambda: panel.logic.activeRun is None)
    assert {c.GetBackgroundVolumeID() for c in composites()} == {scan.GetID()}


def composites():
    manager = slicer.app.layoutManager()
    return [manager.sliceWidget(n).mrmlSliceCompositeNode() for n in manager.sliceViewNames()]
