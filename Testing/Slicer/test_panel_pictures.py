"""The panel, and the panel beside the views, as pictures; after a real run on a phantom.

With DIFFOSEG_SCREENSHOTS=1 they are written to Resources/Screenshots, of a run with the panel's
defaults; otherwise of a short one.
"""

import os
from pathlib import Path

import pytest
import qt
import slicer
from a_panel import ROOT, openPanel, until
from a_reading import aPhantomReading

import SlicerHost

KEPT = os.environ.get("DIFFOSEG_SCREENSHOTS") == "1"
WIDTH = 420  # pixels, of Slicer's module panel as it opens
VIEWS = (1060, 760)
GAP = 8

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    return ROOT / "Resources" / "Screenshots" if KEPT else tmp_path


@pytest.fixture(scope="module")
def panel(host):
    """Return a panel after a run round a phantom's nodule."""
    from DiffOSegLib.Logic import DiffOSegLogic

    SlicerHost.clear()
    patched = pytest.MonkeyPatch()
    reading = aPhantomReading((24, 160, 160), index=3)
    reading.volume.SetAttribute("DICOM.Modality", "CT")
    for node in (reading.segmentation, reading.disagreement):
        slicer.mrmlScene.RemoveNode(node)
    middle = [n.mean() for n in reversed(reading.masks["Consensus"].nonzero())]
    with openPanel(DiffOSegLogic(), patched) as widget:
        panel = widget.panel
        placeBox(panel, reading.volume, middle)
        if not KEPT:
            panel.ui.samplesSpinBox.value, panel.ui.stepsSpinBox.value = 2, 2
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


def fitted(panel):
    """Return the module's frame, as high as what is in it."""
    frame = panel.ui.applyButton.window()
    for _ in range(3):
        slicer.app.processEvents()
        frame.resize(WIDTH, frame.layout().heightForWidth(WIDTH))
    return frame


def cutOff(frame):
    """Return the visible labels and buttons that have less room than their text needs."""
    shown = [w for w in frame.findChildren("QWidget") if w.isVisibleTo(frame)]
    texts = [w for w in shown if w.className() in ("QLabel", "QPushButton", "QCheckBox")]
    return [
        w.objectName
        for w in texts
        if w.text and w.width < (1 if getattr(w, "wordWrap", False) else w.sizeHint().width())
    ]


def test_picture_of_the_panel(panel, folder):
    frame = fitted(panel)

    path = SlicerHost.savePng(frame, folder / "panel.png")

    assert cutOff(frame) == []
    assert qt.QImage(str(path)).width() == WIDTH
    assert panel.ui.resultsTable.rowCount == 5
    assert columnsFit(panel.ui.resultsTable)


def columnsFit(table):
    return sum(table.columnWidth(column) for column in range(5)) <= table.width


def test_picture_of_the_panel_beside_the_grid(panel, folder, tmp_path):
    panel.ui.gridButton.click()
    frame = fitted(panel)
    left = qt.QImage(str(SlicerHost.savePng(frame, tmp_path / "left.png")))
    height = max(VIEWS[1], left.height())
    right = qt.QImage(str(SlicerHost.saveLayoutPng(tmp_path / "right.png", (VIEWS[0], height))))

    picture = qt.QImage(WIDTH + GAP + VIEWS[0], height, qt.QImage.Format_RGB32)
    picture.fill(frame.palette.color(qt.QPalette.Window))
    painter = qt.QPainter(picture)
    painter.drawImage(0, 0, left)
    painter.drawImage(WIDTH + GAP, 0, right)
    painter.end()
    path = Path(folder) / "panel_and_views.png"
    assert picture.save(str(path))

    expert = panel.ui.resultsTable.item(1, 0).text()
    assert expert == "Expert 1"
    assert slicer.app.layoutManager().sliceWidget("DiffOSeg1") is not None
