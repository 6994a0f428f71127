"""Experts taught here are listed, drawn and let go of wherever the model's own are."""

from dataclasses import replace
from pathlib import Path

import pytest
import slicer
from a_panel import live, openPanel, tick, until
from a_run import Followed, add_volume, logic_with, request_for
from a_taught_expert import COLOR, NAME, aTaughtExpert

import SlicerHost
from diffoseg.errors import InputError
from diffoseg.experts.local_expert import load_expert, renamed, save_expert
from diffoseg.experts.panel import CONSENSUS
from diffoseg.model.cards import read_card
from diffoseg.output.segment_tags import algorithm_name

pytestmark = pytest.mark.usefixtures("scene", "experts")


@pytest.fixture
def local(scene):
    from DiffOSegLib.run import LocalExperts

    return LocalExperts


@pytest.fixture
def volume(scene):
    return add_volume()


@pytest.fixture
def panel(volume, monkeypatch):
    with openPanel(logic_with(), monkeypatch) as widget:
        yield widget.panel


@pytest.fixture
def slowPanel(volume, monkeypatch):
    with openPanel(logic_with("normal", 0.05), monkeypatch) as widget:
        yield widget.panel


def rows(panel):
    """Return the list's lines: name, description, whether it is ticked."""
    table = panel.ui.expertsTable
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount)}


def colorOf(item):
    color = item.icon().pixmap(8, 8).toImage().pixelColor(4, 4)
    return color.red(), color.green(), color.blue()


# -- who there is


def test_without_a_library_a_model_has_its_own_experts(local, experts):
    assert not experts.exists()
    assert local.cardFor("").answers == read_card().answers
    assert local.taughtAmong(local.cardFor("")) == {}
    assert not experts.exists()  # looking makes nothing


def test_an_expert_taught_here_stands_after_the_models_own_in_its_own_colour(local):
    taught = aTaughtExpert()
    card = local.cardFor("")
    assert card.answers == (*read_card().answers, NAME)
    assert card.panel.color_of(NAME) == COLOR
    assert [one.path for one in local.taughtAmong(card).values()] == [taught.path]


def test_a_disabled_expert_is_not_listed_and_an_enabled_one_is_again(local):
    taught = aTaughtExpert()
    disabled = local.library().set_enabled(taught, False)
    assert NAME not in local.cardFor("").answers
    local.library().set_enabled(disabled, True)
    assert NAME in local.cardFor("").answers


def test_an_expert_of_another_model_is_left_out(local):
    aTaughtExpert(base_hash="0" * 64)
    assert local.cardFor("").answers == read_card().answers


def test_an_expert_with_the_name_of_one_of_the_models_own_is_left_out(local, experts):
    expert = load_expert(aTaughtExpert().path)
    save_expert(renamed(expert, "TIGHTER OF FOUR"), experts / "by hand.expert.safetensors")
    local.library().delete(local.library().cards()[0])
    assert local.cardFor("").answers == read_card().answers


def test_files_copied_into_the_folder_by_hand_are_found(local, experts, tmp_path):
    aTaughtExpert()
    (kept,) = experts.glob("*.safetensors")
    kept.rename(tmp_path / kept.name)
    assert NAME not in local.cardFor("").answers
    (tmp_path / kept.name).rename(experts / "from a colleague.expert.safetensors")
    assert NAME in local.cardFor("").answers


def test_a_damaged_file_in_the_library_keeps_nobody_else_away(local, experts):
    taught = aTaughtExpert()
    whole = taught.path.read_bytes()
    (experts / "cut.expert.safetensors").write_bytes(whole[: len(whole) // 2])
    (experts / "empty.expert.safetensors").touch()
    (experts / "a folder.expert.safetensors").mkdir()
    assert local.cardFor("").answers == (*read_card().answers, NAME)


def test_files_are_those_of_whom_is_asked_and_was_taught_here(local):
    one, other = aTaughtExpert("Ann"), aTaughtExpert("Bo")
    card = local.cardFor("")
    assert local.filesFor(card, card.answers) == (one.path, other.path)
    assert local.filesFor(card, (CONSENSUS, "Tightest of four", "Bo")) == (other.path,)
    with pytest.raises(InputError, match="Gone"):
        local.filesFor(card, (CONSENSUS, "Dr. Gone"))


def test_what_is_said_of_an_expert_tells_cases_and_the_result(local):
    taught = aTaughtExpert()
    assert local.inAWord(taught) == "taught here: 4 cases"
    alone = {"cases": 1, "validation": {"verdict": "unproven"}}
    alike = {"cases": 9, "validation": {"verdict": "like consensus"}}
    assert local.inAWord(replace(taught, training=alone)) == "taught here: 1 case, not checked"
    expected = "taught here: 9 cases, like the consensus"
    assert local.inAWord(replace(taught, training=alike)) == expected
    assert local.inAWord(replace(taught, training={})) == "taught here"
    text = local.inAll(taught)
    assert "4 cases" in text
    assert "2026-11-21" in text
    assert "0.86" in text
    assert "0.79" in text


def test_whoever_observes_is_told_until_it_stops(local, caplog):
    told = []
    stopFirst = local.observe(lambda: told.append("first") or 1 / 0)
    stopSecond = local.observe(lambda: told.append("second"))
    local.changed()
    assert told == ["first", "second"]
    assert "could not be brought up to date" in caplog.text
    stopFirst()
    stopFirst()
    local.changed()
    stopSecond()
    local.changed()
    assert told == ["first", "second", "second"]


# -- the panel


def test_a_new_expert_is_listed_at_once_and_marked(panel):
    assert NAME not in rows(panel)
    aTaughtExpert()
    assert rows(panel)[NAME] == "taught here: 4 cases"
    table = panel.ui.expertsTable
    last = table.rowCount - 1
    assert "0.86" in table.item(last, 0).toolTip()
    assert colorOf(table.item(last, 0)) == tuple(round(255 * part) for part in COLOR)


def test_what_a_file_says_is_shown_as_text_and_never_read_as_html(panel, local, experts):
    expert = load_expert(aTaughtExpert().path)
    tags = replace(expert.expert, name="Bo", description="<img src='//elsewhere/x.png'>")
    save_expert(replace(expert, expert=tags), experts / "bo.expert.safetensors")
    local.changed()
    table = panel.ui.expertsTable
    tips = [table.item(row, column).toolTip() for row in range(table.rowCount) for column in (0, 1)]
    assert any("&lt;img" in tip for tip in tips)
    assert not any("<img" in tip for tip in tips)


def test_a_new_expert_is_ticked_where_everybody_is_and_else_waits(panel):
    aTaughtExpert("Ann")
    assert panel._experts.ticked[-1] == "Ann"
    tick(panel, CONSENSUS)
    aTaughtExpert("Bo")
    assert panel._experts.ticked == (CONSENSUS,)


def test_the_list_of_another_model_does_not_hold_it(panel):
    aTaughtExpert(base_hash="1" * 64)
    assert NAME not in rows(panel)


def test_a_chosen_expert_who_is_disabled_is_unticked_in_a_sentence(panel, local):
    taught = aTaughtExpert()
    tick(panel, CONSENSUS, NAME)
    local.library().set_enabled(taught, False)
    local.changed()
    assert NAME not in rows(panel)
    assert panel._experts.ticked == (CONSENSUS,)
    assert NAME in panel.ui.warningsLabel.text
    assert "DiffOSeg Training" in panel.ui.warningsLabel.text
    assert panel.ui.applyButton.enabled


def test_where_nobody_else_was_chosen_nobody_is_and_not_everybody(panel, local):
    taught = aTaughtExpert()
    tick(panel, NAME)
    local.library().delete(taught)
    local.changed()
    assert panel._experts.ticked == ()
    assert not panel.ui.applyButton.enabled


def test_an_expert_deleted_by_another_slicer_is_noticed_when_the_module_is_entered(panel, local):
    taught = aTaughtExpert()
    taught.path.unlink()
    panel.exit()
    panel.enter()
    assert NAME not in rows(panel)


def test_a_run_hands_the_experts_file_to_the_worker_with_the_job(volume, local, monkeypatch):
    from DiffOSegLib.run import Run

    taught, jobs = aTaughtExpert(), []
    taught.path.chmod(0o444)
    written = Run.SegmentationJob.write
    monkeypatch.setattr(
        Run.SegmentationJob, "write", lambda job, folder: jobs.append(job) or written(job, folder)
    )
    followed = Followed(logic_with(), request_for(volume, experts=(CONSENSUS, NAME)))
    followed.until(lambda: jobs)
    (handed,) = jobs[0].expert_files
    local.library().delete(taught)  # which the run need not heed: it has a copy
    assert b"diffoseg-expert" in Path(handed).read_bytes()
    assert Path(handed).stat().st_mode & 0o200, "Windows deletes no file that is read-only"
    followed.to_the_end()
    assert followed.end.kind == "done"
    assert followed.results.kept == [CONSENSUS, NAME]


def test_a_run_of_the_models_own_experts_hands_over_no_file(volume, local, monkeypatch):
    from DiffOSegLib.run import Run

    aTaughtExpert()
    jobs = []
    written = Run.SegmentationJob.write
    monkeypatch.setattr(
        Run.SegmentationJob, "write", lambda job, folder: jobs.append(job) or written(job, folder)
    )
    Followed(logic_with(), request_for(volume)).to_the_end()
    assert jobs[0].expert_files == ()


def test_a_request_kept_by_a_script_for_an_expert_who_is_gone_ends_in_a_sentence(volume, local):
    taught = aTaughtExpert()
    request = request_for(volume, experts=(CONSENSUS, NAME))
    local.library().set_enabled(taught, False)
    followed = Followed(logic_with(), request).to_the_end()
    assert followed.end.kind == "error"
    assert NAME in followed.end.sentence
    assert "Traceback" not in followed.end.sentence


def test_results_stay_when_their_expert_is_deleted(panel, local):
    taught = aTaughtExpert()
    tick(panel, CONSENSUS, NAME)
    panel.ui.applyButton.click()
    until(lambda: panel.logic.activeRun is None)
    local.library().delete(taught)
    local.changed()
    table = panel.ui.resultsTable
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["Consensus", NAME]
    assert panel.parameters.resultSegmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_an_expert_deleted_in_the_middle_of_a_run_is_still_drawn(slowPanel, local):
    panel, taught = slowPanel, aTaughtExpert()
    tick(panel, CONSENSUS, NAME)
    panel.ui.applyButton.click()
    until(lambda: panel.parameters.resultSegmentation is not None)
    local.library().delete(taught)
    local.changed()
    assert NAME in panel.ui.warningsLabel.text
    until(lambda: panel.logic.activeRun is None)
    assert panel.ui.detailsButton.isHidden()
    table = panel.ui.resultsTable
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["Consensus", NAME]


def test_a_saved_scene_that_asks_for_somebody_gone_opens_with_a_sentence(panel, local, tmp_path):
    taught = aTaughtExpert()
    tick(panel, CONSENSUS, NAME)
    panel.ui.applyButton.click()
    until(lambda: panel.logic.activeRun is None)
    path = str(tmp_path / "befund.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(False)
    local.library().delete(taught)
    local.changed()

    assert slicer.mrmlScene.ReadFromMRB(path)

    assert list(panel.parameters.experts) == [CONSENSUS]
    assert NAME in panel.ui.warningsLabel.text
    table = panel.ui.resultsTable
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["Consensus", NAME]


def test_the_panel_that_was_closed_is_not_told_any_more(volume, monkeypatch, local):
    others = list(local._observers)  # such as the effect, which an application has once
    with openPanel(logic_with(), monkeypatch):
        assert len(local._observers) > len(others)
    aTaughtExpert()
    live(0.05)
    assert local._observers == others
    assert SlicerHost.uncaught == []


def test_a_key_shows_the_expert_alone(panel, local):
    aTaughtExpert()
    panel.ui.applyButton.click()
    until(lambda: panel.logic.activeRun is None)
    panel._compare.showAlone(len(read_card().panel) + 1)
    node = panel.parameters.resultSegmentation
    shown = [
        one
        for one in node.GetSegmentation().GetSegmentIDs()
        if node.GetDisplayNode().GetSegmentVisibility(one)
    ]
    assert [node.GetSegmentation().GetSegment(one).GetName() for one in shown] == [NAME]


def test_a_name_of_any_characters_is_one_value_of_dicoms():
    named = algorithm_name("Ann\\Bo " + 200 * "x")
    assert "Ann/Bo" in named
    assert len(named) == 64
