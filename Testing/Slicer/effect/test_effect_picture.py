"""The effect with the real worker and weights, and its picture, which a person should look at.

With DIFFOSEG_SCREENSHOTS=1 the picture goes to Resources/Screenshots.
"""

import os
import time

import numpy as np
import pytest
import qt
import slicer
from effect_stage import REPOSITORY, Stage, previewVoxels

pytestmark = pytest.mark.slow

EXPERT = "Tighter of four"
SAMPLES = 2
STEPS = 4


@pytest.fixture
def aDemoStage(scene, tmp_path):
    """The demo's scan, with a first rough drawing of its nodule."""
    import SlicerHost
    from diffoseg.commands.demo import write_demo_scan
    from diffoseg.model.cards import read_card

    SlicerHost.loadModule(REPOSITORY / "SegmentEditorDiffOSeg" / "SegmentEditorDiffOSeg.py")
    folder, region = write_demo_scan(tmp_path / "dicom", read_card().metadata)
    stage = Stage(scan=SlicerHost.loadDicomSeries(folder))
    stage.draw("tumor", ellipsoid(stage.scan, np.add(region.lower, region.upper) / 2, 5.0))
    yield stage
    stage.close()


def ellipsoid(scan, center, radius):
    """Return a ball around an LPS point, mm, as a mask on the scan."""
    from DiffOSegLib.scene.SceneInputs import geometryOf

    geometry = geometryOf(scan)
    index = np.stack(np.meshgrid(*map(range, geometry.size), indexing="ij"), -1)
    far = np.linalg.norm(geometry.index_to_point(index) - center, axis=-1)
    return (far < radius).transpose(2, 1, 0)


def runToItsEnd(stage):
    stage.options.runButton.click()
    longest, deadline = 0.0, time.monotonic() + 300
    while stage.proposal.running:
        assert time.monotonic() < deadline
        begun = time.perf_counter()
        slicer.app.processEvents()
        longest = max(longest, time.perf_counter() - begun)
        time.sleep(0.01)
    return longest


def asTheEngineDraws(request, scan):
    """Return the probability on the whole scan, and the outline's level, by the engine itself."""
    import diffoseg
    from diffoseg.space.volume import Volume
    from DiffOSegLib.scene.SceneInputs import geometryOf, modalityOf

    volume = Volume(
        slicer.util.arrayFromVolume(scan).copy(), geometryOf(scan), modality=modalityOf(scan)
    )
    comparison = diffoseg.Segmenter(diffoseg.load_model(), device="cpu").segment(
        volume,
        region=request.region,
        experts=request.experts,
        samples=request.samples,
        steps=request.steps,
        seed=request.seed,
    )
    result = comparison.results[EXPERT]
    probability = result.probability
    whole = np.full(volume.array.shape, -1.0, np.float32)
    inside = zip(comparison.region_start[::-1], probability.shape, strict=True)
    whole[tuple(slice(a, a + n) for a, n in inside)] = probability
    return whole, result.level


@pytest.mark.alone
def test_the_real_worker_draws_what_the_engine_draws_and_apply_takes_it(aDemoStage, tmp_path):
    from DiffOSegLib.run.Logic import sharedLogic

    stage, logic = aDemoStage, sharedLogic()
    stage.choose(stage.options.expertCombo, EXPERT)
    stage.options.samplesSpinBox.value = SAMPLES
    module = logic.getParameterNode()
    module.device, module.steps = "cpu", STEPS
    requests = []
    stage.proposal.start = recorded(stage.proposal.start, requests)

    longest = runToItsEnd(stage)

    assert stage.status.startswith(f"{EXPERT}, {SAMPLES} samples: ")
    assert longest < 0.1
    savePicture(stage, tmp_path)
    probability, level = asTheEngineDraws(requests[0], stage.scan)
    assert np.array_equal(previewVoxels(stage.scan), probability > np.float32(level))
    stage.options.thresholdSlider.value = 0.25
    assert np.array_equal(previewVoxels(stage.scan), probability > 0.25)
    assert len(requests) == 1
    stage.apply("replace")
    assert np.array_equal(stage.voxels(), probability > 0.25)
    logic.shutdown()


def recorded(start, requests):
    def startAndRemember(request):
        requests.append(request)
        start(request)

    return startAndRemember


def savePicture(stage, folder):
    """Draw the options beside the slice through the drawing."""
    import SlicerHost

    if os.environ.get("DIFFOSEG_SCREENSHOTS") == "1":
        target = REPOSITORY / "Resources" / "Screenshots" / "effect.png"
    else:
        target = folder / "effect.png"
    display = stage.scan.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(1500, -500)
    slicer.util.setSliceViewerLayers(background=stage.scan, fit=True)
    k, j, i = (int(np.median(places)) for places in np.nonzero(stage.voxels()))
    matrix = slicer.util.arrayFromVTKMatrix(ijkToRas(stage.scan))
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        slicer.mrmlScene, *(matrix @ [i, j, k, 1])[:3], slicer.vtkMRMLSliceNode.CenteredJumpSlice
    )
    widget = slicer.app.layoutManager().sliceWidget("Red")
    field = widget.mrmlSliceNode().GetFieldOfView()
    widget.mrmlSliceNode().SetFieldOfView(field[0] / 2.5, field[1] / 2.5, field[2])
    left = SlicerHost.savePng(stage.editor, folder / "options.png", (400, 330))
    right = SlicerHost.savePng(widget, folder / "slice.png", (560, 330))
    pictures = qt.QImage(str(left)), qt.QImage(str(right))
    image = qt.QImage(960, 330, qt.QImage.Format_RGB32)
    painter = qt.QPainter(image)
    for x, picture in zip((0, 400), pictures, strict=True):
        painter.drawImage(x, 0, picture)
    painter.end()
    image.save(str(target))


def ijkToRas(volumeNode):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return matrix
