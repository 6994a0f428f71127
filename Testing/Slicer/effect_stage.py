"""A Segment Editor with the effect active on a small scan, and a Logic that is fed by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import slicer

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPE = (16, 24, 30)  # of the scan, (K, J, I)
START, SIZE = (8, 6, 4), (12, 10, 8)  # of the answered region, (i, j, k)
INSIDE = tuple(slice(a, a + n) for a, n in zip(START[::-1], SIZE[::-1], strict=True))


class HandFedRun:
    def __init__(self, logic, request, sink, onEvent):
        self.logic, self.request, self.sink, self.onEvent = logic, request, sink, onEvent
        self.cancelled = self.abandoned = False

    def abandon(self, sentence):
        self.abandoned = True
        self.logic.end("cancelled", sentence)


class HandFedLogic:
    """Stands where the application's Logic does: runs are answered when the test says so."""

    def __init__(self, folder):
        self._folder = folder
        self.requests = []
        self.activeRun = None
        self.module = SimpleNamespace(
            preset="standard", steps=0, presence=0.0, seed=3, device="cpu"
        )

    @property
    def busy(self):
        return self.activeRun is not None

    def getParameterNode(self):
        return self.module

    def start(self, request, sink, onEvent):
        from diffoseg.errors import InputError

        if self.activeRun is not None:
            raise InputError("A run is under way. Wait for its end or cancel it first.")
        self.requests.append(request)
        self.activeRun = HandFedRun(self, request, sink, onEvent)
        return self.activeRun

    def cancel(self):
        self.activeRun.cancelled = True

    def tick(self):
        pass

    def tell(self, kind, sentence="", **more):
        from DiffOSegLib.run.Run import RunEvent

        self.activeRun.onEvent(RunEvent(kind, sentence, **more))

    def answer(self, probability, start=START, expert="Tighter of four", samples=8, run=None):
        """Give one expert's probabilities, (K, J, I), to the run; it goes on."""
        np.save(self._folder / "probability.npy", probability.astype(np.float32))
        sink = (run or self.activeRun).sink
        region = {"start": list(start), "size": probability.shape[::-1]}
        sink.begin((run or self.activeRun).request, {"region": region})
        result = {"expert": expert, "color": [0.0, 0.6, 0.5], "samples": samples, "level": 0.5}
        for _step in sink.addExpert({**result, "probability": "probability.npy"}, self._folder):
            pass
        if self.activeRun is not None:
            self.tell("result", f"{expert} is in the scene.", expert=expert)

    def end(self, kind="done", sentence="Done.", **more):
        from DiffOSegLib.run.Run import RunEvent

        run, self.activeRun = self.activeRun, None
        if kind == "done":
            for _step in run.sink.finish({}, self._folder):
                pass
        else:
            run.sink.abandon()
        run.onEvent(RunEvent(kind, sentence, **more))


class Stage:
    """A scan, a segmentation with the segments "tumor" and "organ", and an editor on them."""

    def __init__(self, scan=None, geometryNode=None):
        self.scan = scan or addScan()
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Reading")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(
            geometryNode or self.scan
        )
        for name, color in (("tumor", (1.0, 0.2, 0.2)), ("organ", (0.2, 0.3, 1.0))):
            self.segmentation.GetSegmentation().AddEmptySegment(name, name, color)
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        self.editor.setMRMLSegmentEditorNode(self.node)
        self.editor.setSegmentationNode(self.segmentation)
        self.editor.setSourceVolumeNode(self.scan)
        self.editor.setCurrentSegmentID("tumor")
        self.editor.setActiveEffectByName("DiffOSeg")
        self.effect = self.editor.activeEffect().self()
        self.options = self.effect.options

    @property
    def proposal(self):
        return self.effect.proposal

    @property
    def status(self):
        return self.options.statusLabel.text

    def draw(self, segmentID, mask):
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), self.segmentation, segmentID, self.scan
        )

    def voxels(self, segmentID="tumor", reference=None):
        """Return a segment's mask, (K, J, I) bool, on the scan's grid or another volume's."""
        return slicer.util.arrayFromSegmentBinaryLabelmap(
            self.segmentation, segmentID, reference or self.scan
        ).astype(bool)

    def setParameter(self, name, value):
        self.editor.activeEffect().setParameter(name, value)

    def choose(self, combo, value):
        """Choose as a click does, signals and all."""
        combo.currentIndex = combo.findData(value)

    def apply(self, operation):
        self.choose(self.options.operationCombo, operation)
        self.options.applyButton.click()

    def offer(self, probability, start=START):
        """Preview an answer on the scan without a run."""
        from SegmentEditorDiffOSegLib.Answer import Answer

        placement = ijkToRas(self.scan)
        placement[:3, 3] = (placement @ [*start, 1])[:3]
        level = float(self.node.GetAttribute("DiffOSeg.Threshold"))
        drawn = probability.astype(np.float32), level
        self.proposal.offer(Answer("Tighter of four", (0.0, 0.6, 0.5), 8, *drawn, placement))

    def close(self):
        """Take the editor down as Slicer's destructor does."""
        self.editor.setActiveEffectByName("")
        self.editor.setMRMLSegmentEditorNode(None)
        self.editor.delete()


def addScan(shape=SHAPE, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), directions=None):
    """Add a volume whose voxel values are their own column index, so that 10 lies at i = 10."""
    values = np.broadcast_to(np.arange(shape[2], dtype=np.int16), shape).copy()
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if directions is None else directions) * spacing
    matrix[:3, 3] = origin
    return slicer.util.addVolumeFromArray(values, matrix)


def ijkToRas(volumeNode):
    matrix = slicer.vtkMRMLScalarVolumeNode.GetIJKToRASMatrix
    import vtk

    found = vtk.vtkMatrix4x4()
    matrix(volumeNode, found)
    return slicer.util.arrayFromVTKMatrix(found)


def box(*bounds, shape=SHAPE):
    """Return a mask, (K, J, I), of the voxels with i0 <= i < i1, j0 <= j < j1, k0 <= k < k1."""
    i0, i1, j0, j1, k0, k1 = bounds
    mask = np.zeros(shape, bool)
    mask[k0:k1, j0:j1, i0:i1] = True
    return mask


def blob(size=SIZE):
    """Return probabilities, (K, J, I): 1 in the middle, falling off to 0 at the faces."""
    axes = [np.abs(np.linspace(-1, 1, n)) for n in size[::-1]]
    far = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    return np.clip(1 - far, 0, 1).astype(np.float32)


def inScan(mask, inside=INSIDE, shape=SHAPE):
    """Return a mask of the region as one of the whole scan."""
    whole = np.zeros(shape, bool)
    whole[inside] = mask
    return whole


def previews():
    """Return the preview nodes in the scene."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetAttribute("DiffOSeg.Preview")]


def previewVoxels(referenceNode):
    """Return what the one preview shows, (K, J, I) bool on the grid of a volume."""
    (node,) = previews()
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, "Preview", referenceNode).astype(bool)
