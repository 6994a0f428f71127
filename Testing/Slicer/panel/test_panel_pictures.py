"""The panel, and the panel beside the views, as pictures; after a real run on a phantom.

With DIFFOSEG_SCREENSHOTS=1 they are written to Resources/Screenshots, of a run with the panel's
defaults; otherwise of a short one.
"""

import os

import pytest
import qt
import slicer
from a_panel import ROOT, openPanel, until
from a_picture import WIDTH, cutOff, fitted, saveBesideViews
from a_reading import aPhantomReading

import SlicerHost
from diffoseg.cohorts.kinds import NODULES
from diffoseg.commands.demo import SEED

KEPT = os.environ.get("DIFFOSEG_SCREENSHOTS") == "1"

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    return ROOT / "Resources" / "Screenshots" if KEPT else tmp_path


@pytest.fixture(scope="module")
def panel(host):
    """Return a panel after a run round a phantom's nodule."""
    from DiffOSegLib.run.Logic import DiffOSegLogic

    SlicerHost.clear()
    patched = pytest.MonkeyPatch()
    # The demo's nodule.
    reading = aPhantomReading((40, 160, 160), index=22, kind=NODULES, seed=SEED)
    reading.volume.SetAttribute("DICOM.Modality", "CT")
    for node in (reading.segmentation, reading.disagreement):
        slicer.mrmlScene.RemoveNode(node)
    middle = [n.mean() for n in reversed(reading.masks["Consensus"].nonzero())]
    with openPanel(DiffOSegLogic(), patched) as widget:
        panel = widget.panel
        placeBox(panel, reading.volume, middle)
        if not KEPT:
            panel.ui.samplesSpinBox.value, panel.ui.stepsSpinBox.value = 2, 2
        panel._run.describe()
        until(lambda: "about" in panel.ui.deviceLabel.text, 300)
        panel.ui.applyButton.click()
        until(lambda: panel.logic.activeRun is None, 1500)
        yield panel
    patched.undo()
    assert SlicerHost.uncaught == []


def placeBox(panel, volume, middle):
    import vtk

    toRas = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(toRas)
    ras = toRas.MultiplyPoint([*middle, 1.0])[:3]
    panel.ui.placeRoiButton.click()
    panel.parameters.regionRoi.SetCenterWorld(*ras)
    panel.parameters.regionRoi.SetSize(36, 36, 8)


def test_picture_of_the_panel(panel, folder):
    frame = fitted(panel.ui.applyButton)

    path = SlicerHost.savePng(frame, folder / "panel.png")

    assert cutOff(frame) == []
    assert qt.QImage(str(path)).width() == WIDTH
    assert panel.ui.resultsTable.rowCount == 5
    assert columnsFit(panel.ui.resultsTable)


def columnsFit(table):
    return sum(table.columnWidth(column) for column in range(5)) <= table.width


def test_picture_of_the_panel_beside_the_grid(panel, folder, tmp_path):
    panel.ui.gridButton.click()
    frame = fitted(panel.ui.applyButton)

    assert saveBesideViews(frame, folder / "panel_and_views.png", tmp_path)

    expert = panel.ui.resultsTable.item(1, 0).text()
    assert expert == "Tightest of four"
    assert slicer.app.layoutManager().sliceWidget("DiffOSeg1") is not None
