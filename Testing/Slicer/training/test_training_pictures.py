"""The training panel and its curves as pictures: after a real training on phantoms, and elsewise.

With DIFFOSEG_SCREENSHOTS=1 the pictures of the real training go to Resources/Screenshots.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
import qt
import slicer
import vtk
from a_panel import ROOT, until
from a_picture import cutOff
from a_reading import aSegmentationOf, aVolume
from a_taught_expert import aTaughtExpert
from a_training import SIZE, a_case, a_mask, a_segmentation, a_volume
from a_training_panel import WIDTH, aTrainingPanel, enter, lookedAt, openTraining, select, start

import SlicerHost
from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.cohorts.simulated import style_population

KEPT = os.environ.get("DIFFOSEG_SCREENSHOTS") == "1"
NAME, SEGMENT = "Dr. Kim", "Nodule"
EXPERT = replace(style_population(2, 1)[0], name=NAME)  # whom no training has met
COHORT = PhantomCohort(seed=20265, cases=4, experts=(EXPERT,), size=(10, 96, 96), kind=CROSSING)
VIEWS = (1060, 760)  # pixels


@pytest.fixture
def folder(tmp_path):
    return ROOT / "Resources" / "Screenshots" if KEPT else tmp_path


def fitted(panel):
    """Return the module's frame, as high as what is in it."""
    frame = panel.ui.startButton.window()
    for _ in range(3):
        slicer.app.processEvents()
        frame.resize(WIDTH, frame.layout().heightForWidth(WIDTH))
    return frame


# --- a real training


@pytest.fixture(scope="module")
def taught(host, tmp_path_factory):
    """Return the panel after an expert was taught from four phantoms."""
    from DiffOSegTrainingLib.run.TrainingLogic import DiffOSegTrainingLogic

    SlicerHost.clear()
    patched = pytest.MonkeyPatch()
    patched.setenv("DIFFOSEG_EXPERTS", str(tmp_path_factory.mktemp("taught") / "experts"))
    with openTraining(DiffOSegTrainingLogic(), patched) as panel:
        for index in range(len(COHORT)):
            addCase(index)
        enter(panel.ui.expertNameLineEdit, NAME)
        panel.ui.addPairsButton.click()
        lookedAt(panel)
        panel._training.describe()
        until(lambda: "about" in panel.ui.deviceLabel.text, 300)
        panel.ui.startButton.click()
        until(lambda: panel.logic.activeTraining is None, 900)
        yield panel
    patched.undo()
    assert SlicerHost.uncaught == []


def addCase(index):
    case = COHORT[index]
    volume = aVolume(f"Scan {index + 1}", case.volume.array, case.volume.geometry)
    volume.SetAttribute("DICOM.Modality", "CT")
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(1500, -500)
    aSegmentationOf(volume, {SEGMENT: case.masks[NAME]}, name=f"Scan {index + 1} by {NAME}")


@pytest.mark.slow
def test_picture_of_the_panel_after_a_training(taught, folder):
    frame = fitted(taught)

    path = SlicerHost.savePng(frame, folder / "training_panel.png")

    assert cutOff(frame) == []
    assert qt.QImage(str(path)).width() == WIDTH
    assert "With 4 cases: Dice 0." in taught.ui.resultLabel.text


@pytest.mark.slow
def test_picture_of_the_curves_beside_the_slices(taught, folder):
    assert taught.ui.curvesButton.checked
    showLargestSections(slicer.util.getNode("Scan 1"), np.argwhere(COHORT[0].masks[NAME]).mean(0))

    path = SlicerHost.saveLayoutPng(folder / "training_curves.png", VIEWS)

    chart = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")[0]
    assert chart.GetNumberOfPlotSeriesNodes() == 4
    assert qt.QImage(str(path)).size() == qt.QSize(*VIEWS)


def showLargestSections(volume, middle):
    """Show a scan in all slice views where its nodule is, without the other scans' drawings."""
    toRas = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(toRas)
    ras = toRas.MultiplyPoint([*(float(n) for n in reversed(middle)), 1.0])[:3]
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        node.GetDisplayNode().SetVisibility(node.GetName().startswith(volume.GetName()))
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        view.JumpSliceByCentering(*ras)


# --- every other state, quickly


@pytest.fixture
def panel(scene, experts, monkeypatch):
    with aTrainingPanel(monkeypatch, step=0.02) as opened:
        yield opened


def withCases(panel):
    for number in range(3):
        a_case(number)
    enter(panel.ui.expertNameLineEdit, "Reader A")
    panel.ui.addPairsButton.click()
    lookedAt(panel)


def withFaults(panel):
    withCases(panel)
    a_case(3, masks={"Lesion": np.zeros(SIZE[::-1], bool), "Other": a_mask()})
    coarse = a_volume("A volume whose name does not fit into any column", spacing=(3, 3, 3))
    a_segmentation(coarse, {"Lesion": a_mask()})
    slicer.mrmlScene.RemoveNode(panel.logic.rows()[0].volume)
    panel.ui.addPairsButton.click()
    lookedAt(panel)
    select(panel.ui.casesTable, 3)


def running(panel):
    withCases(panel)
    panel.ui.startButton.click()
    until(lambda: panel.ui.progressBar.value > 300)


def stopped(panel):
    running(panel)
    panel.ui.startButton.click()
    until(lambda: panel.logic.activeTraining is None)


def finished(panel):
    withCases(panel)
    start(panel)


def managed(panel):
    for scale, name in enumerate(("Dr. Anna-Katharina Überlänge-Musterfrau", "Reader B"), start=1):
        aTaughtExpert(name, scale=float(scale))
    aTaughtExpert("Reader C", base_hash="0" * 64, scale=3.0)
    select(panel.ui.libraryTable, 2)
    panel.ui.serverCollapsibleButton.setCollapsed(False)
    panel.ui.settingsCollapsibleButton.setCollapsed(False)


@pytest.mark.parametrize(
    "state", [lambda panel: None, withFaults, running, stopped, finished, managed],
    ids=["empty", "faults", "running", "stopped", "finished", "managed"],
)  # fmt: skip
def test_nothing_is_cut_off_in_a_narrow_panel(panel, state, request, tmp_path):
    state(panel)
    frame = fitted(panel)
    folder = os.environ.get("DIFFOSEG_LOOK")  # to look at them all
    name = f"training_{request.node.callspec.id}.png"
    SlicerHost.savePng(frame, f"{folder or tmp_path}/{name}")
    assert cutOff(frame) == []
    assert frame.width == WIDTH
    for table in (panel.ui.casesTable, panel.ui.libraryTable):
        widths = sum(table.columnWidth(column) for column in range(table.columnCount))
        assert not table.visible or widths <= table.viewport().width
