"""The effect's run: what it asks for, what becomes of it, and all that can come in between."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
from a_model_file import FAST, PAPER, aFastAndAPaperOne
from an_installation import withoutTorch
from effect_stage import (
    INSIDE,
    REPOSITORY,
    SIZE,
    START,
    HandFedLogic,
    Stage,
    addScan,
    blob,
    box,
    inScan,
    previews,
    previewVoxels,
)

FAKE_WORKER = Path(__file__).parents[1].joinpath("fake_worker.py")
TUMOR = box(10, 16, 8, 14, 5, 9)


def useLogic(monkeypatch, logic):
    import DiffOSegLib.run.Logic
    import SegmentEditorDiffOSegLib.Proposal

    for module in (DiffOSegLib.run.Logic, SegmentEditorDiffOSegLib.Proposal):
        monkeypatch.setattr(module, "sharedLogic", lambda: logic)


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
    logic = HandFedLogic(tmp_path)
    useLogic(monkeypatch, logic)
    return logic


def addLabelMap(scan):
    voxels = slicer.util.arrayFromVolume(scan)
    return slicer.util.addVolumeFromArray(voxels, nodeClassName="vtkMRMLLabelMapVolumeNode")


def run(stage):
    stage.options.runButton.click()


# -- what is asked


def test_run_asks_for_the_chosen_expert_around_the_segment(aStage, aLogic):
    options = aStage.options
    aStage.choose(options.expertCombo, "Tighter of four")
    options.samplesSpinBox.value = 5
    options.marginSpinBox.value = 3.0

    run(aStage)

    (request,) = aLogic.requests
    assert request.volumeNodeID == aStage.scan.GetID()
    assert (request.experts, request.samples, request.model) == (("Tighter of four",), 5, "")
    assert (request.steps, request.seed, request.device) == (None, 3, "cpu")
    # faces of the voxels 10..15, 8..13, 5..8 and 3 mm, in LPS
    assert request.region.lower == pytest.approx((-18.5, -16.5, 1.5))
    assert request.region.upper == pytest.approx((-6.5, -4.5, 11.5))


@pytest.fixture
def aChoice(aStage, monkeypatch, tmp_path):
    """The effect offers models of both kinds."""
    aFastAndAPaperOne(tmp_path)
    monkeypatch.setenv("DIFFOSEG_MODELS", str(tmp_path))
    aStage.effect.activate()


@pytest.mark.usefixtures("aChoice")
def test_quality_and_presence_are_those_of_the_module_and_are_said_with_the_answer(aStage, aLogic):
    from DiffOSegLib.scene.SegmentTags import tagOf

    aStage.choose(aStage.options.modelCombo, FAST)
    aLogic.module.preset, aLogic.module.presence = "preview", 1.0

    run(aStage)
    aLogic.answer(blob())
    aLogic.end()

    (request,) = aLogic.requests
    assert (request.preset, request.presence) == ("preview", 1.0)
    words = "Tighter of four, given that something is marked, in preview quality, 8 samples: "
    assert aStage.status.startswith(words)
    aStage.apply("replace")
    segment = aStage.segmentation.GetSegmentation().GetSegment("tumor")
    assert tagOf(segment, "DiffOSeg.Preset") == "preview"
    assert tagOf(segment, "DiffOSeg.PresenceGiven") == "1.0"


@pytest.mark.usefixtures("aChoice")
def test_a_model_that_cannot_be_told_of_presence_is_not(aStage, aLogic):
    aStage.choose(aStage.options.modelCombo, PAPER)
    aLogic.module.presence = 1.0
    run(aStage)
    aLogic.answer(blob())
    aLogic.end()

    assert (aLogic.requests[0].preset, aLogic.requests[0].presence) == ("standard", None)
    assert aStage.status.startswith("Tighter of four, 8 samples: ")


def test_choosing_a_box_places_and_shows_one_and_run_asks_for_it(aStage, aLogic):
    aStage.choose(aStage.options.regionCombo, "roi")

    (roi,) = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
    assert roi.GetDisplayNode().GetVisibility()
    assert aStage.options.roiSelector.currentNode() is roi
    assert "Move it over the finding" in aStage.status
    assert not aLogic.requests

    roi.SetCenter(12, 10, 8)
    roi.SetSize(6, 8, 10)
    run(aStage)

    assert aLogic.requests[0].region.lower == pytest.approx((-15, -14, 3))
    assert aLogic.requests[0].region.upper == pytest.approx((-9, -6, 13))


def test_the_options_offer_every_answer_of_the_model_in_its_colour(aStage):
    from diffoseg.model.cards import available_cards

    card = available_cards()[0]
    combo = aStage.options.expertCombo
    assert tuple(combo.itemData(n) for n in range(combo.count)) == card.answers
    assert combo.itemText(0) == "Consensus"
    pixel = combo.itemIcon(1).pixmap(12, 12).toImage().pixelColor(6, 6)
    expected = [round(255 * c) for c in card.panel.color_of(card.answers[1])]
    assert [pixel.red(), pixel.green(), pixel.blue()] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda s: s.editor.setCurrentSegmentID("organ"), "organ is empty"),
        (lambda s: s.editor.setCurrentSegmentID(""), "No segment is selected"),
        (lambda s: s.editor.setSourceVolumeNode(addLabelMap(s.scan)), "is a label map"),
    ],
)
def test_what_is_missing_is_told_and_nothing_is_asked(aStage, aLogic, prepare, words):
    prepare(aStage)
    run(aStage)
    assert words in aStage.status
    assert not aLogic.requests
    assert not aStage.proposal.running


def test_a_run_of_the_module_that_is_under_way_is_told(aStage, aLogic):
    from DiffOSegLib.scene.RunRequest import RunRequest

    request = RunRequest(aStage.scan.GetID(), None, "", ("consensus",), 1, None, 0, "cpu")
    modulesRun = aLogic.start(request, None, None)

    run(aStage)

    assert "A run is under way" in aStage.status
    assert aStage.options.runButton.text == "Run"
    aStage.editor.setActiveEffectByName("")
    assert aLogic.activeRun is modulesRun
    assert not modulesRun.cancelled
    assert not modulesRun.abandoned


def test_packages_that_the_reader_declines_to_install_are_told(aStage, aLogic, monkeypatch):
    from diffoseg.errors import CancelledError
    from DiffOSegLib.run import Dependencies

    def decline(ask, report):
        raise CancelledError("Nothing was installed.")

    monkeypatch.setattr(Dependencies, "install", decline)
    run(aStage)
    assert aStage.status == "Nothing was installed."
    assert not aLogic.requests


# -- how it goes


def test_run_becomes_cancel_and_says_how_far_it_is(aStage, aLogic):
    options = aStage.options
    run(aStage)
    assert options.runButton.text == "Cancel"
    assert not options.expertCombo.enabled
    assert not options.applyButton.enabled

    aLogic.tell("progress", "consensus", fraction=0.25, secondsLeft=20.0, expert="consensus")

    assert aStage.status == "Drawing: Consensus, about 20 s left"
    assert options.progressBar.value == 25
    aLogic.answer(blob())
    aLogic.end()
    assert options.runButton.text == "Run"
    assert options.expertCombo.enabled
    assert options.applyButton.enabled


def test_the_answer_is_previewed_and_the_segment_untouched(aStage, aLogic):
    run(aStage)
    aLogic.answer(blob())
    aLogic.end()

    assert np.array_equal(previewVoxels(aStage.scan), inScan(blob() > 0.5))
    assert aStage.status == "Tighter of four, 8 samples: 0.05 ml above 0.50."
    assert np.array_equal(aStage.voxels(), TUMOR)
    assert not aStage.editor.logic().CanUndo()


@pytest.mark.parametrize(
    ("start", "place", "told"),
    [
        (START, (slice(3, 5), slice(3, 5), slice(0, 2)), True),
        (START, (slice(7, 8), slice(3, 5), slice(3, 5)), True),
        (START, (slice(1, 7), slice(1, 9), slice(1, 11)), False),
        ((0, 6, 4), (slice(3, 5), slice(3, 5), slice(0, 2)), False),  # the scan's own edge
        ((18, 6, 4), (slice(3, 5), slice(3, 5), slice(10, 12)), False),
    ],
)
def test_a_drawing_that_the_region_cuts_off_is_told(aStage, aLogic, start, place, told):
    values = np.zeros(SIZE[::-1])
    values[place] = 0.6
    run(aStage)
    aLogic.answer(values, start=start)
    aLogic.end()
    assert ("reaches the region's edge" in aStage.status) == told
    aStage.options.thresholdSlider.value = 0.7
    assert "edge" not in aStage.status


def test_dragging_the_threshold_starts_no_run(aStage, aLogic):
    run(aStage)
    aLogic.answer(blob())
    aLogic.end()
    for threshold in (0.2, 0.35, 0.7):
        aStage.options.thresholdSlider.value = threshold
        shown = previewVoxels(aStage.scan)
        assert np.array_equal(shown, inScan(blob() > np.float32(threshold)))
    assert len(aLogic.requests) == 1
    assert aStage.status.endswith("above 0.70.")


def test_a_second_run_takes_the_place_of_the_first_preview(aStage, aLogic):
    for expert in ("consensus", "Tighter of four"):
        aStage.choose(aStage.options.expertCombo, expert)
        run(aStage)
        assert not previews()
        aLogic.answer(blob(), expert=expert)
        aLogic.end()
        assert len(previews()) == 1
    assert len(aLogic.requests) == 2


def test_warnings_stand_below_the_result_until_the_next_run(aStage, aLogic):
    run(aStage)
    aLogic.tell("note", "The slices are thicker than those the model knows.")
    aLogic.answer(blob())
    aLogic.end()
    assert "The slices are thicker" in aStage.status
    run(aStage)
    assert "The slices are thicker" not in aStage.status


def test_cancel_is_asked_for_and_what_was_finished_is_shown(aStage, aLogic):
    run(aStage)
    run(aStage)  # the button is Cancel now
    assert aLogic.activeRun.cancelled
    assert len(aLogic.requests) == 1

    aLogic.answer(blob(), samples=3)
    aLogic.end("cancelled", "The run was cancelled.")

    assert aStage.status.startswith("The run was cancelled.")
    assert "3 samples" in aStage.status
    assert len(previews()) == 1


def test_cancel_before_anything_is_finished_leaves_nothing(aStage, aLogic):
    run(aStage)
    run(aStage)
    aLogic.end("cancelled", "The run was cancelled.")
    assert aStage.status == "The run was cancelled."
    assert not previews()
    assert aStage.options.runButton.text == "Run"
    assert not aStage.options.applyButton.enabled


def test_an_error_is_a_sentence_with_its_details_out_of_sight(aStage, aLogic):
    run(aStage)
    aLogic.end("error", "There was too little memory.", details="Traceback ...")
    assert aStage.status == "There was too little memory."
    assert aStage.options.statusLabel.toolTip == "Traceback ..."
    assert aStage.options.runButton.text == "Run"


# -- what comes in between


def removeSegment(stage):
    stage.segmentation.GetSegmentation().RemoveSegment("tumor")


def selectAnother(stage):
    stage.editor.setCurrentSegmentID("organ")


def changeVolume(stage):
    stage.editor.setSourceVolumeNode(addScan())


def removeVolume(stage):
    slicer.mrmlScene.RemoveNode(stage.scan)


def removeSegmentation(stage):
    slicer.mrmlScene.RemoveNode(stage.segmentation)


def changeSegmentation(stage):
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
    other.SetReferenceImageGeometryParameterFromVolumeNode(stage.scan)
    other.GetSegmentation().AddEmptySegment("tumor", "tumor", (1.0, 1.0, 0.0))
    stage.editor.setSegmentationNode(other)


def closeScene(_stage):
    slicer.mrmlScene.Clear(0)


def leaveEffect(stage):
    stage.editor.setActiveEffectByName("")


CHANGES = {
    removeSegment: "segment was removed",
    selectAnother: "Another segment was selected",
    changeVolume: "source volume was changed",
    removeVolume: "source volume was changed",
    removeSegmentation: "segmentation was removed",
    changeSegmentation: "",
    closeScene: "scene was closed",
    leaveEffect: "",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_during_a_run_ends_it_and_a_late_answer_goes_nowhere(aStage, aLogic, change):
    run(aStage)
    ours = aLogic.activeRun

    change(aStage)

    assert ours.abandoned
    assert not aStage.proposal.running
    assert CHANGES[change] in aStage.status
    aLogic.answer(blob(), run=ours)
    assert not previews()
    assert aStage.proposal.answer is None
    assert CHANGES[change] in aStage.status


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_takes_the_preview_away(aStage, aLogic, change):
    run(aStage)
    aLogic.answer(blob())
    aLogic.end()

    change(aStage)

    assert not previews()
    assert CHANGES[change] in aStage.status
    assert not aStage.options.applyButton.enabled


def test_a_preview_that_someone_removes_takes_its_result_with_it(aStage, aLogic):
    run(aStage)
    aLogic.answer(blob())
    aLogic.end()
    slicer.mrmlScene.RemoveNode(previews()[0])
    assert "preview was removed" in aStage.status
    assert not aStage.options.applyButton.enabled


def test_renaming_the_segment_or_changing_masks_keeps_the_preview(aStage, aLogic):
    run(aStage)
    aLogic.answer(blob())
    aLogic.end()
    aStage.segmentation.GetSegmentation().GetSegment("tumor").SetName("nodule")
    aStage.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    aStage.draw("organ", box(0, 3, 0, 3, 0, 3))
    assert len(previews()) == 1


def test_undoing_an_earlier_edit_keeps_the_preview(aStage, aLogic):
    aStage.editor.saveStateForUndo()
    aStage.draw("tumor", box(0, 20, 0, 20, 0, 10))
    run(aStage)
    aLogic.answer(blob())
    aLogic.end()

    aStage.editor.undo()

    assert np.array_equal(aStage.voxels(), TUMOR)
    assert len(previews()) == 1
    aStage.apply("add")
    assert np.array_equal(aStage.voxels(), TUMOR | inScan(blob() > 0.5))


def test_the_settings_come_back_with_the_parameters(aStage):
    for name, value in (("Samples", 12), ("MarginMm", 4.5), ("Operation", "subtract")):
        aStage.setParameter(name, value)
    aStage.setParameter("Expert", "Wider of four")
    options = aStage.options
    assert options.samplesSpinBox.value == 12
    assert options.marginSpinBox.value == pytest.approx(4.5)
    assert options.operationCombo.currentText == "Subtract"
    assert options.expertCombo.currentText == "Wider of four"
    other = Stage(scan=aStage.scan)
    other.close()


# -- the real Logic and processes


@pytest.fixture
def aLogicWithAFakeWorker(monkeypatch, aStage):
    from DiffOSegLib.run.Logic import DiffOSegLogic
    from DiffOSegLib.run.WorkerClient import WorkerClient

    logics = []

    def make(mode):
        logics.append(DiffOSegLogic(WorkerClient([sys.executable, str(FAKE_WORKER), mode])))
        useLogic(monkeypatch, logics[-1])
        return logics[-1]

    yield make
    for logic in logics:
        logic.shutdown()


def waitUntil(condition, seconds=20.0):
    """Let the application live until then; return the longest time that it was held, s."""
    deadline, longest = time.monotonic() + seconds, 0.0
    while not condition():
        assert time.monotonic() < deadline
        begun = time.perf_counter()
        slicer.app.processEvents()
        longest = max(longest, time.perf_counter() - begun)
        time.sleep(0.005)
    return longest


@pytest.mark.alone
def test_a_run_through_the_real_logic_is_previewed_and_applied(aStage, aLogicWithAFakeWorker):
    aLogicWithAFakeWorker("normal")
    aStage.choose(aStage.options.expertCombo, "Tightest of four")

    run(aStage)
    longest = waitUntil(lambda: not aStage.proposal.running)

    assert longest < 0.1
    assert aStage.status.startswith("Tightest of four, 8 samples")
    shown = previewVoxels(aStage.scan)
    assert shown.any()
    aStage.apply("replace")
    assert np.array_equal(aStage.voxels(), shown)


@pytest.mark.alone
def test_cancel_through_the_real_logic_ends_the_run(aStage, aLogicWithAFakeWorker):
    logic = aLogicWithAFakeWorker("normal")
    run(aStage)
    waitUntil(lambda: "Drawing" in aStage.status)
    run(aStage)
    waitUntil(lambda: not aStage.proposal.running, seconds=2.0)
    assert logic.activeRun is None
    assert aStage.options.runButton.text == "Run"


def test_leaving_the_effect_during_a_run_frees_the_logic(aStage, aLogicWithAFakeWorker):
    logic = aLogicWithAFakeWorker("normal")
    run(aStage)
    waitUntil(lambda: "Drawing" in aStage.status)
    folder = logic.activeRun._folder
    assert folder.exists()

    aStage.editor.setActiveEffectByName("")

    assert logic.activeRun is None
    waitUntil(lambda: not folder.exists(), seconds=3.0)
    assert not previews()


def test_after_another_segment_was_selected_a_new_run_starts_at_once(aStage, aLogicWithAFakeWorker):
    aLogicWithAFakeWorker("normal")
    aStage.draw("organ", box(10, 20, 8, 18, 5, 12))
    run(aStage)
    waitUntil(lambda: "Drawing" in aStage.status)
    aStage.editor.setCurrentSegmentID("organ")
    run(aStage)
    waitUntil(lambda: not aStage.proposal.running)
    assert len(previews()) == 1
    aStage.apply("replace")
    assert aStage.voxels("organ").any()
    assert np.array_equal(aStage.voxels("tumor"), TUMOR)


@pytest.mark.parametrize("change", [closeScene, removeVolume, removeSegment])
def test_a_change_during_a_run_through_the_real_logic_is_told(
    aStage, aLogicWithAFakeWorker, change
):
    logic = aLogicWithAFakeWorker("normal")
    run(aStage)
    waitUntil(lambda: "Drawing" in aStage.status)
    change(aStage)
    waitUntil(lambda: logic.activeRun is None, seconds=2.0)
    assert not previews()
    assert aStage.status
    assert "Drawing" not in aStage.status


def test_a_worker_that_dies_is_told_in_a_sentence(aStage, aLogicWithAFakeWorker):
    aLogicWithAFakeWorker("killed")
    run(aStage)
    waitUntil(lambda: not aStage.proposal.running)
    assert aStage.status
    assert "Traceback" not in aStage.status
    assert not previews()
    assert aStage.options.runButton.enabled


# -- how it is installed


def test_without_the_module_beside_it_the_effect_says_so(aStage, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("DiffOSegLib")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "SegmentEditorDiffOSegLib.Proposal")

    lonely = Stage(scan=aStage.scan)

    assert "Install the DiffOSeg extension again" in lonely.status
    assert not lonely.options.runButton.enabled
    lonely.editor.delete()


@pytest.fixture(scope="module")
def aFlatInstall(tmp_path_factory):
    """Slicer's own way: the files of all modules beside each other."""
    import shutil

    folder = tmp_path_factory.mktemp("qt-scripted-modules")
    for module in ("DiffOSeg", "SegmentEditorDiffOSeg"):
        shutil.copytree(
            REPOSITORY / module,
            folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "CMakeLists.txt"),
        )
    return folder


def test_the_effect_works_where_slicer_installs_it_and_brings_no_torch(aFlatInstall):
    code = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "Testing")!r})
import SlicerHost
SlicerHost.boot()
import slicer
SlicerHost.loadModule({str(aFlatInstall / "SegmentEditorDiffOSeg.py")!r})
slicer.selfTests["SegmentEditorDiffOSeg"]()
import DiffOSegLib, SegmentEditorDiffOSegLib
print(DiffOSegLib.__file__, SegmentEditorDiffOSegLib.__file__, sep="\\n")
print([name for name in ("torch", "monai", "SimpleITK", "safetensors") if name in sys.modules])
assert not SlicerHost.uncaught
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *files, heavy = done.stdout.strip().splitlines()[-3:]
    assert all(Path(file).is_relative_to(aFlatInstall) for file in files)
    assert heavy == "[]"


def test_the_hidden_module_registers_the_effect_once():
    factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
    slicer.modules.SegmentEditorDiffOSegInstance.registerEditorEffect()
    names = [effect.name for effect in factory.registeredEffects()]
    assert names.count("DiffOSeg") == 1
    assert slicer.modules.segmenteditordiffoseg.hidden


def test_the_region_of_the_hand_fed_answer_is_in_the_scan():
    assert inScan(np.ones(SIZE[::-1], bool))[INSIDE].all()
    assert START == (8, 6, 4)


def test_deleting_the_box_chooses_no_other_one(aStage, aLogic):
    aStage.choose(aStage.options.regionCombo, "roi")
    (mine,) = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "another")

    slicer.mrmlScene.RemoveNode(mine)

    assert aStage.options.roiSelector.currentNode() is None
    assert aStage.effect.scriptedEffect.nodeReference("Roi") is None


# -- while packages are installed


def test_a_second_click_on_run_while_torch_installs_starts_nothing(aStage, aLogic, monkeypatch):
    import SlicerHost

    installs, enabled = withoutTorch(monkeypatch), []

    def clickAgain():
        enabled.append(aStage.options.runButton.enabled)
        run(aStage)

    SlicerHost.meanwhile.append(clickAgain)
    run(aStage)

    assert (enabled, len(installs), len(aLogic.requests)) == ([False], 1, 1)


def test_an_editor_that_loses_its_volume_while_torch_installs_says_so(aStage, aLogic, monkeypatch):
    import SlicerHost

    withoutTorch(monkeypatch)
    SlicerHost.meanwhile.append(lambda: slicer.mrmlScene.RemoveNode(aStage.scan))
    run(aStage)

    assert not aLogic.requests
    assert "volume" in aStage.status


def test_what_is_installed_is_seen_before_the_wait(aStage, aLogic, monkeypatch):
    import qt

    import SlicerHost

    class Painted(qt.QObject):
        """Hears whether a label was drawn with its present text."""

        def eventFilter(self, label, event):
            if event.type() == qt.QEvent.Paint:
                texts.append(label.text)
            return False

    withoutTorch(monkeypatch)
    texts, said = [], []
    painted = Painted()
    aStage.options.statusLabel.window().show()
    aStage.options.statusLabel.installEventFilter(painted)
    SlicerHost.meanwhile.append(lambda: said.extend(texts))
    run(aStage)
    aStage.options.statusLabel.removeEventFilter(painted)

    assert any("Installing PyTorch" in text for text in said)


def test_a_double_click_on_run_does_not_cancel_it(aStage, aLogic):
    slicer.app.setDoubleClickInterval(400)
    try:
        run(aStage)
        run(aStage)
    finally:
        slicer.app.setDoubleClickInterval(0)

    assert aStage.proposal.running
    assert aStage.status != "Stopping."
