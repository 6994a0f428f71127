import pytest
import qt
from a_taught_expert import aTaughtExpert
from a_training_panel import aTrainingPanel, cellsOf, select

import SlicerHost
from diffoseg.experts.local_expert import load_expert

pytestmark = pytest.mark.usefixtures("scene", "experts")

DASH = "\u2013"


@pytest.fixture
def panel(scene, experts, monkeypatch):
    with aTrainingPanel(monkeypatch) as opened:
        yield opened


@pytest.fixture
def table(panel):
    return panel.ui.libraryTable


def library():
    from DiffOSegLib.run import LocalExperts

    return LocalExperts.library()


def names():
    return [card.name for card in library().cards()]


def test_an_expert_is_listed_with_cases_date_and_what_the_check_found(table):
    aTaughtExpert("Reader A", cases=4)
    assert cellsOf(table, 0) == ["Reader A", "4", "2026-11-21", "0.86", "0.79"]
    assert table.item(0, 0).checkState() == qt.Qt.Checked
    assert not table.item(0, 0).icon().isNull()


def test_without_experts_a_sentence_stands_in_place_of_the_table(panel):
    assert not panel.ui.libraryTable.visible
    assert "No expert" in panel.ui.libraryLabel.text
    assert not panel.ui.renameButton.enabled
    assert panel.ui.importButton.enabled


def test_the_selected_experts_base_model_and_result_are_told(panel, table):
    aTaughtExpert("Reader A")
    select(table, 0)
    text = panel.ui.libraryLabel.text
    assert "With 4 cases: Dice 0.86 on held-out cases; consensus 0.79. Use it." in text
    assert "Taught to DiffOSeg on LIDC-IDRI's readers." in text


def test_an_expert_of_another_model_is_said_to_be_of_no_use_here(panel, table):
    aTaughtExpert("Reader A", base_hash="0" * 64)
    select(table, 0)
    assert "not on this computer" in panel.ui.libraryLabel.text


def test_unticking_an_expert_disables_it_and_ticking_enables_it_again(table):
    card = aTaughtExpert()
    for state, enabled in ((qt.Qt.Unchecked, False), (qt.Qt.Checked, True)):
        table.item(0, 0).setCheckState(state)
        assert library().is_enabled(library().cards()[0]) is enabled
        assert table.item(0, 0).checkState() == state
        assert library().cards()[0].hash == card.hash


def test_others_hear_of_every_change(table):
    from DiffOSegLib.run import LocalExperts

    aTaughtExpert()
    heard = []
    stop = LocalExperts.observe(lambda: heard.append(names()))
    table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    table.item(0, 0).setText("Other")
    stop()
    assert heard
    assert heard[-1] == ["Other"]


def test_a_name_is_changed_in_the_table(panel, table):
    aTaughtExpert("Reader A")
    select(table, 0)
    panel.ui.renameButton.click()
    assert table.findChildren("QLineEdit")  # the cell's editor

    table.item(0, 0).setText("  Dr. Müller ")

    assert names() == ["Dr. Müller"]
    assert cellsOf(table, 0)[0] == "Dr. Müller"
    assert not panel.ui.manageMessageLabel.visible


@pytest.mark.parametrize("name", ["", "reader b", "Consensus"])
def test_a_name_that_cannot_be_is_refused_in_words_and_the_old_one_stays(panel, table, name):
    aTaughtExpert("Reader A")
    aTaughtExpert("Reader B", scale=2.0)

    table.item(0, 0).setText(name)

    assert names() == ["Reader A", "Reader B"]
    assert cellsOf(table, 0)[0] == "Reader A"
    assert panel.ui.manageMessageLabel.isVisibleTo(panel.ui.libraryTable.window())
    assert panel.ui.manageMessageLabel.text.endswith(".")


def test_an_expert_is_exported_as_a_file_and_comes_back_by_import(panel, table, tmp_path):
    card = aTaughtExpert("Ärztin <1>")
    select(table, 0)
    SlicerHost.answers.append(tmp_path / "mine")  # without its ending, as one types
    panel.ui.exportButton.click()
    file = tmp_path / "mine.expert.safetensors"
    assert load_expert(file).hash == card.hash

    library().delete(card)
    SlicerHost.answers.append(file)
    panel.ui.importButton.click()

    assert names() == ["Ärztin <1>"]
    assert cellsOf(table, 0)[0] == "Ärztin <1>"


def test_importing_a_namesake_and_importing_rubbish_is_refused_in_words(panel, tmp_path):
    other = aTaughtExpert("reader a", scale=2.0)
    namesake, rubbish = tmp_path / "n.expert.safetensors", tmp_path / "x.expert.safetensors"
    library().export(other, namesake)
    library().delete(other)
    aTaughtExpert("Reader A")
    rubbish.write_bytes(b"rubbish")
    for path, said in ((namesake, "already"), (rubbish, "not an expert file")):
        SlicerHost.answers.append(path)
        panel.ui.importButton.click()
        assert said in panel.ui.manageMessageLabel.text
    assert names() == ["Reader A"]


def test_nothing_happens_where_no_file_is_chosen(panel, table):
    aTaughtExpert("Reader A")
    select(table, 0)
    for button in (panel.ui.exportButton, panel.ui.importButton):
        SlicerHost.answers.append("")
        button.click()
    assert names() == ["Reader A"]
    assert not panel.ui.manageMessageLabel.visible


def test_deleting_asks_first(panel, table):
    aTaughtExpert("Reader A")
    for answer, left in ((False, ["Reader A"]), (True, [])):
        select(table, 0)
        SlicerHost.answers.append(answer)
        panel.ui.deleteButton.click()
        assert names() == left
        assert "Delete Reader A" in SlicerHost.messages[-1]
    assert not table.visible


def test_a_broken_file_is_named_and_the_others_are_listed(panel, table):
    from DiffOSegLib.run import LocalExperts

    card = aTaughtExpert("Reader A")
    (card.path.parent / "broken.expert.safetensors").write_bytes(b"rubbish")
    LocalExperts.changed()
    assert "broken.expert.safetensors" in panel.ui.brokenLabel.text
    assert str(card.path.parent) not in panel.ui.brokenLabel.text
    assert table.rowCount == 1


def test_a_file_that_is_gone_by_the_time_one_clicks_is_told(panel, table):
    card = aTaughtExpert("Reader A")
    select(table, 0)
    card.path.unlink()
    table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert panel.ui.manageMessageLabel.text
    assert not table.visible


def test_the_selection_stays_on_its_expert_when_the_list_changes(panel, table):
    aTaughtExpert("Reader B")
    select(table, 0)
    aTaughtExpert("Reader A", scale=2.0)
    assert cellsOf(table, 1)[0] == "Reader B"
    assert table.item(1, 0).isSelected()
    assert panel.ui.exportButton.enabled


def test_after_deleting_nobody_is_selected_who_could_be_deleted_next(panel, table):
    aTaughtExpert("Reader A")
    aTaughtExpert("Reader B", scale=2.0)
    select(table, 0)
    SlicerHost.answers.append(True)
    panel.ui.deleteButton.click()
    assert names() == ["Reader B"]
    assert not panel.ui.deleteButton.enabled


def test_a_renamed_expert_stays_selected(panel, table):
    aTaughtExpert("Reader B")
    aTaughtExpert("Reader C", scale=2.0)
    select(table, 1)
    table.item(1, 0).setText("Reader A")
    assert [table.item(row, 0).isSelected() for row in range(2)] == [True, False]


def test_of_two_experts_alike_the_one_that_was_selected_stays_so(panel, table):
    aTaughtExpert("Reader A")
    aTaughtExpert("Reader B")  # the same numbers
    select(table, 1)
    table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert [table.item(row, 0).isSelected() for row in range(2)] == [False, True]


def test_an_expert_who_was_not_checked_has_dashes(table):
    from dataclasses import replace

    from diffoseg.experts.local_expert import save_expert
    from DiffOSegLib.run import LocalExperts

    card = aTaughtExpert("Reader A")
    save_expert(replace(load_expert(card.path), training={"cases": 1}), card.path)
    LocalExperts.changed()
    assert cellsOf(table, 0) == ["Reader A", "1", DASH, DASH, DASH]


def test_the_notice_on_personal_data_is_always_there(panel):
    assert "personal data" in panel.ui.privacyLabel.text
    assert panel.ui.privacyLabel.isVisibleTo(panel.ui.privacyLabel.window())
    assert "not for clinical use" in panel.ui.noticeLabel.text
