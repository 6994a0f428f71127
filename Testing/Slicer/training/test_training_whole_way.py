"""An expert's whole way by clicks, with the real worker: three cases in, a fourth drawn like them.

The expert is one of the simulated population that no training has met, its drawings segments in the
scene as a reader leaves them. With DIFFOSEG_SCREENSHOTS=1 the pictures go to Resources/Screenshots.
"""

import contextlib
import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import slicer
from a_panel import ROOT, openModule, openPanel, tick
from a_picture import cutOff, fitted, saveBesideViews
from a_reading import aSegmentationOf, aVolume
from a_sitting import LONGEST_GAP, Heart, masksOf, onGridOf, waitInEventLoop
from a_training import PATIENCE
from process_tree import needs_proc

import SlicerHost
from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.cohorts.simulated import style_population
from diffoseg.experts.local_expert import load_expert
from diffoseg.experts.panel import CONSENSUS
from diffoseg.model.cards import DEFAULT_MODEL, FOLDERS_VARIABLE, PHANTOMS, read_card

KEPT = os.environ.get("DIFFOSEG_SCREENSHOTS") == "1"
NAME = "Dr. Novák"
SEGMENT = "Nodule"
# Of the experts of seeds 1 to 16, the one who draws most generously: about twice the consensus.
EXPERT = replace(style_population(2, 1)[0], name=NAME)
COHORT = PhantomCohort(seed=20265, cases=4, experts=(EXPERT,), size=(10, 96, 96), kind=CROSSING)
SAMPLES, SEED = (8, 7) if KEPT else (2, 7)
OTHERS = (CONSENSUS, "Expert 1", "Expert 2")
FRESH = 16  # drawings of the same expert, to compare with

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.filterwarnings("ignore:'exec_'"),
]


class Way:
    """One sitting: a reader's three cases, the training, and a fourth scan."""

    def __init__(self, training, segmenting):
        self.training, self.segmenting = training.panel, segmenting.panel
        self.volumes = [addScan(index) for index in range(4)]
        self.drawings = [addDrawing(index, self.volumes[index]) for index in range(3)]

    # -- the fourth case, in the module DiffOSeg

    def segment(self, *names):
        """Choose the fourth scan, put the box on the nodule, tick some, press Apply, wait."""
        panel, ui = self.segmenting, self.segmenting.ui
        ui.inputSelector.setCurrentNode(self.volumes[3])
        if panel.parameters.regionRoi is None:
            self.placeBox()
        tick(panel, *names)
        ui.probabilityMapsCheckBox.checked = True
        ui.samplesSpinBox.value, ui.seedSpinBox.value = SAMPLES, SEED
        ui.applyButton.click()
        waitInEventLoop(lambda: panel.logic.activeRun is None)
        assert ui.detailsButton.isHidden(), ui.detailsText.plainText
        return masksOf(panel.parameters.resultSegmentation, self.volumes[3])

    def placeBox(self):
        middle = np.argwhere(drawnBy(3)).mean(0)[::-1]
        ras = COHORT[3].volume.geometry.index_to_point(middle) * (-1, -1, 1)
        slicer.mrmlScene.GetSingletonNode("default", "vtkMRMLCrosshairNode").SetCrosshairRAS(*ras)
        self.segmenting.ui.placeRoiButton.click()
        roi = self.segmenting.parameters.regionRoi
        roi.SetCenterWorld(*ras)
        roi.SetSize(45, 45, 20)

    def probabilities(self):
        run = self.segmenting.parameters.resultSegmentation.GetAttribute("DiffOSeg.Run")
        return {
            node.GetAttribute("DiffOSeg.Expert"): onGridOf(self.volumes[3], node)
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node.GetAttribute("DiffOSeg.Map") == "probability"
            and node.GetAttribute("DiffOSeg.Run") == run
        }

    # -- the training

    def train(self):
        """Name the expert, add what the scene holds, press Start, wait; look how long it holds."""
        ui, logic = self.training.ui, self.training.logic
        ui.expertNameLineEdit.setText(NAME)
        ui.addPairsButton.click()
        waitFor(lambda: ui.startButton.enabled, lambda: ui.startButton.toolTip)
        self.rows = [rowOf(ui.casesTable, row) for row in range(ui.casesTable.rowCount)]
        self.training._training.describe()
        waitFor(lambda: "about" in ui.deviceLabel.text, lambda: ui.deviceLabel.text)
        self.device = ui.deviceLabel.text
        heart, begun = Heart(), time.monotonic()
        ui.startButton.click()
        waitInEventLoop(lambda: logic.activeTraining is None, seconds=900)
        self.seconds, self.longestGap = time.monotonic() - begun, heart.stop()
        assert ui.detailsButton.isHidden(), ui.detailsText.plainText


def waitFor(condition, shown):
    """Run the event loop until something is true, or say what is shown instead."""
    with contextlib.suppress(AssertionError):
        waitInEventLoop(condition, seconds=PATIENCE)
    assert condition(), shown()


def addScan(index):
    case = COHORT[index]
    volume = aVolume(f"Scan {index + 1}", case.volume.array, case.volume.geometry)
    volume.SetAttribute("DICOM.Modality", "CT")
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(1500, -500)
    return volume


def addDrawing(index, volume):
    name = f"{volume.GetName()} by {NAME}"
    return aSegmentationOf(volume, {SEGMENT: drawnBy(index)}, name=name)


def drawnBy(index):
    """Return what the expert drew on a case, (K, J, I) bool."""
    return COHORT[index].masks[NAME]


def rowOf(table, row):
    items = (table.item(row, column) for column in range(table.columnCount))
    return [item.text() if item else "" for item in items]


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def phantomsByDefault(folder):
    """Put the phantom weights in the default model's place: who draws here is of their kind."""
    shutil.copyfile(read_card(PHANTOMS).path, folder / f"{DEFAULT_MODEL}.safetensors")
    return folder


@pytest.fixture(scope="module")
def way(host, tmp_path_factory):
    """The sitting that the tests look at, from the first click to the fourth case drawn."""
    from DiffOSegLib.run.Logic import DiffOSegLogic
    from DiffOSegTrainingLib.run import TrainingLogic

    SlicerHost.clear()
    patched = pytest.MonkeyPatch()
    patched.setenv("DIFFOSEG_EXPERTS", str(tmp_path_factory.mktemp("taught") / "experts"))
    patched.setenv(FOLDERS_VARIABLE, str(phantomsByDefault(tmp_path_factory.mktemp("models"))))
    patched.setattr(TrainingLogic, "_shared", TrainingLogic.DiffOSegTrainingLogic())
    with (
        openPanel(DiffOSegLogic(), patched) as segmenting,
        openModule(ROOT / "DiffOSegTraining" / "DiffOSegTraining.py") as training,
    ):
        way = Way(training, segmenting)
        way.before = way.segment(*OTHERS), way.probabilities()
        way.train()
        way.listed = rowOf(
            way.segmenting.ui.expertsTable, way.segmenting.ui.expertsTable.rowCount - 1
        )
        way.masks = way.segment(*OTHERS, NAME)
        yield way
    patched.undo()
    raised, SlicerHost.uncaught[:] = list(SlicerHost.uncaught), []
    assert not raised, "\n".join(raised)


def test_every_row_was_fine_and_the_time_was_told(way):
    assert len(way.rows) == 3
    print(*way.rows, way.device, f"trained in {way.seconds:.1f} s", sep="\n")
    assert all(SEGMENT in " ".join(row) for row in way.rows)


def test_the_application_was_never_held_for_a_tenth_of_a_second(way):
    print(f"longest pause of the application while it trained: {1000 * way.longestGap:.0f} ms")
    assert way.longestGap < LONGEST_GAP


def test_the_result_is_said_plainly(way):
    sentence = way.training.ui.resultLabel.text
    print(sentence)
    assert "With 3 cases: Dice 0." in sentence
    assert "consensus 0." in sentence


def test_the_expert_is_a_small_file_for_this_model_alone(way):
    from DiffOSegLib.run import LocalExperts

    (card,) = LocalExperts.library().cards()
    expert = load_expert(card.path)
    assert (card.name, card.base_hash) == (NAME, read_card().hash)
    assert expert.parameter_count <= 5000
    assert card.training["cases"] == 3
    autosaved = card.path.parents[1] / "training"
    assert not list(autosaved.iterdir())  # the copies of the scans are gone


def test_the_expert_was_listed_at_once(way):
    assert way.listed == [NAME, "taught here: 3 cases"]


def test_the_fourth_case_is_drawn_more_like_the_expert_than_the_consensus_is(way):
    # Compared with many drawings: whether a lobe or the vessel is in one of them is chance.
    drawings = COHORT.case_truth(3, FRESH)[NAME]
    own, consensus = (
        np.mean([dice(way.masks[name], drawing) for drawing in drawings])
        for name in (NAME, "Consensus")
    )
    again = np.mean([dice(drawnBy(3), drawing) for drawing in drawings])
    print(f"Dice with {FRESH} fresh drawings of the expert: {own:.2f}; the consensus's")
    print(f"{consensus:.2f}; the expert's own of one more drawing: {again:.2f}")
    assert own > consensus
    # An outline takes in what is drawn half the time: of the map, the volume is the mean one.
    mean = np.mean(drawings.sum((1, 2, 3)))
    volumes = way.probabilities()
    own, agreed = (abs(volumes[name].sum() - mean) for name in (NAME, CONSENSUS))
    assert own < agreed


def test_nobody_else_draws_otherwise_than_before(way):
    masks, probabilities = way.before
    now = way.probabilities()
    assert set(probabilities) == set(OTHERS)
    for name, probability in probabilities.items():
        assert np.array_equal(probability, now[name]), name
    for name, mask in masks.items():
        assert np.array_equal(mask, way.masks[name]), name


def test_the_segment_editors_effect_draws_like_the_expert_too(way):
    from effect_stage import Stage

    SlicerHost.loadModule(ROOT / "SegmentEditorDiffOSeg" / "SegmentEditorDiffOSeg.py")
    stage = Stage(scan=way.volumes[3])
    stage.draw("tumor", way.masks["Consensus"])
    before = stage.voxels()
    stage.choose(stage.options.expertCombo, NAME)
    stage.options.samplesSpinBox.value = SAMPLES
    stage.options.runButton.click()
    waitInEventLoop(lambda: not stage.proposal.running)
    assert stage.status.startswith(NAME), stage.status
    stage.apply("replace")
    assert dice(stage.voxels(), way.masks[NAME]) > dice(before, way.masks[NAME])
    stage.close()
    slicer.mrmlScene.RemoveNode(stage.segmentation)


@pytest.fixture
def folder(tmp_path):
    return ROOT / "Resources" / "Screenshots" if KEPT else tmp_path


def lookAt(volume):
    """Show a scan and what was drawn on it, nothing else, as a reader would."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    for node in (*nodes, *slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")):
        drawnOn = node.GetNodeReference("referenceImageGeometryRef")
        node.SetDisplayVisibility(drawnOn is volume)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)


def test_picture_of_the_training_beside_its_curves(way, folder, tmp_path):
    ui = way.training.ui
    ui.curvesButton.checked = True
    lookAt(way.volumes[2])
    way.segmenting._views.centerOn(way.drawings[2])
    frame = fitted(ui.startButton)
    assert cutOff(frame) == []
    assert saveBesideViews(frame, folder / "training_and_curves.png", tmp_path)
    ui.curvesButton.checked = False


def test_picture_of_the_fourth_case_as_everybody_draws_it(way, folder, tmp_path):
    ui = way.segmenting.ui
    lookAt(way.volumes[3])
    ui.gridButton.click()
    way.segmenting._views.centerOn(way.segmenting.parameters.resultSegmentation)
    frame = fitted(ui.applyButton)
    assert cutOff(frame) == []
    assert saveBesideViews(frame, folder / "taught_expert.png", tmp_path)
    ui.gridButton.click()


@needs_proc
def test_a_training_that_was_killed_and_cancelled_ends_with_the_same_expert(way):
    from DiffOSegLib.run import LocalExperts

    training, ui = way.training.logic, way.training.ui
    ui.expertNameLineEdit.setText("The same again")
    waitFor(lambda: ui.startButton.enabled, lambda: ui.startButton.toolTip)
    ui.startButton.click()
    waitInEventLoop(lambda: ui.progressBar.value > 0 and "left" in ui.statusLabel.text)
    os.kill(training._worker.pid, signal.SIGKILL)
    waitInEventLoop(lambda: training.activeTraining is None)
    assert ui.statusLabel.text

    ui.resumeButton.click()
    waitInEventLoop(lambda: ui.progressBar.value > 0 and "left" in ui.statusLabel.text)
    begun = time.monotonic()
    ui.startButton.click()
    waitInEventLoop(lambda: training.activeTraining is None)
    print(f"cancelled within {time.monotonic() - begun:.2f} s: {ui.statusLabel.text}")
    assert time.monotonic() - begun < 6  # 2 s where nothing else is computed

    ui.resumeButton.click()
    waitInEventLoop(lambda: training.activeTraining is None, seconds=900)
    experts = {card.name: load_expert(card.path) for card in LocalExperts.library().cards()}
    again = experts["The same again"]
    assert np.array_equal(again.code, experts[NAME].code)
    assert again.presence_bias == experts[NAME].presence_bias
    LocalExperts.library().delete(LocalExperts.library().cards()[-1])
    LocalExperts.changed()
