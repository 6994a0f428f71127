"""The effect offers experts taught here, and says where the chosen one is not there any more."""

import numpy as np
import pytest
from a_taught_expert import NAME, aTaughtExpert
from effect_stage import REPOSITORY, HandFedLogic, Stage, blob, box, previews

from diffoseg.model.cards import read_card

pytestmark = pytest.mark.usefixtures("scene", "experts")

TUMOR = box(10, 16, 8, 14, 5, 9)


@pytest.fixture
def aStage(scene):
    import SlicerHost

    SlicerHost.loadModule(REPOSITORY / "SegmentEditorDiffOSeg" / "SegmentEditorDiffOSeg.py")
    stage = Stage()
    stage.draw("tumor", TUMOR)
    yield stage
    stage.close()


@pytest.fixture
def aLogic(monkeypatch, tmp_path, aStage):
    from DiffOSegLib.run import Logic

    logic = HandFedLogic(tmp_path)
    monkeypatch.setattr(Logic, "_shared", logic)
    return logic


def offered(stage):
    combo = stage.options.expertCombo
    return tuple(combo.itemData(index) for index in range(combo.count))


def forget(card):
    from DiffOSegLib.run import LocalExperts

    LocalExperts.library().delete(card)
    LocalExperts.changed()


def test_a_new_expert_is_offered_at_once_and_marked(aStage):
    import qt

    assert NAME not in offered(aStage)
    aTaughtExpert()
    combo = aStage.options.expertCombo
    assert offered(aStage) == (*read_card().answers, NAME)
    last = combo.count - 1
    assert combo.itemText(last) == f"{NAME} (taught here: 4 cases)"
    assert "0.86" in combo.itemData(last, qt.Qt.ToolTipRole)
    assert combo.itemData(combo.currentIndex) == "consensus"


def test_a_run_asks_for_the_expert_by_name(aStage, aLogic):
    aTaughtExpert()
    aStage.choose(aStage.options.expertCombo, NAME)
    aStage.options.runButton.click()
    assert aLogic.requests[0].experts == (NAME,)


def test_in_place_of_a_chosen_expert_who_is_deleted_another_is_chosen_and_that_is_said(aStage):
    taught = aTaughtExpert()
    aStage.choose(aStage.options.expertCombo, NAME)
    forget(taught)
    assert NAME not in offered(aStage)
    assert aStage.editor.activeEffect().parameter("Expert") == "consensus"
    assert (
        aStage.status == f"{NAME} is not among this model's experts. Consensus is chosen instead."
    )


def test_a_scene_that_asks_for_somebody_gone_is_told_when_the_effect_is_chosen(aStage):
    taught = aTaughtExpert()
    aStage.choose(aStage.options.expertCombo, NAME)
    aStage.editor.setActiveEffectByName("")
    forget(taught)
    assert NAME not in aStage.status  # nobody looks at the effect now
    aStage.editor.setActiveEffectByName("DiffOSeg")
    assert NAME in aStage.status


def test_a_preview_stays_when_its_expert_is_deleted_and_can_be_applied(aStage, aLogic):
    taught = aTaughtExpert()
    aStage.choose(aStage.options.expertCombo, NAME)
    aStage.options.runButton.click()
    aLogic.answer(blob(), expert=NAME)
    aLogic.end()

    forget(taught)

    assert len(previews()) == 1
    before = aStage.voxels()
    aStage.apply("add")
    assert (aStage.voxels() & ~before).any()
    assert np.array_equal(aStage.voxels() & TUMOR, TUMOR)


def test_an_answer_on_its_way_arrives_though_its_expert_is_deleted(aStage, aLogic):
    taught = aTaughtExpert()
    aStage.choose(aStage.options.expertCombo, NAME)
    aStage.options.runButton.click()
    forget(taught)
    assert aStage.proposal.running
    aLogic.answer(blob(), expert=NAME)
    aLogic.end()
    assert aStage.proposal.answer.expert == NAME


def test_the_effect_that_was_closed_is_not_told_any_more(scene):
    import SlicerHost
    from DiffOSegLib.run import LocalExperts

    SlicerHost.loadModule(REPOSITORY / "SegmentEditorDiffOSeg" / "SegmentEditorDiffOSeg.py")
    before = len(LocalExperts._observers)
    stage = Stage()
    assert len(LocalExperts._observers) == before + 1
    stage.close()
    assert len(LocalExperts._observers) == before
