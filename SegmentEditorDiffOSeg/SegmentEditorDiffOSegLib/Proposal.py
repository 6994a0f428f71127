"""What the model proposes for the selected segment, from Run to Apply or Discard."""

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from diffoseg.errors import InputError
from diffoseg.experts.panel import display_name
from diffoseg.model.cards import read_card
from DiffOSegLib.run.Logic import sharedLogic
from DiffOSegLib.run.Run import Run, RunEvent
from DiffOSegLib.scene import Presence, SceneInputs
from DiffOSegLib.scene.Matrices import ijkToRas
from DiffOSegLib.scene.RunRequest import RunRequest

from .Answer import Answer, AnswerSink
from .Operations import Operation, editsOf
from .Placement import PlacedAnswer, placed
from .PreviewSegmentation import PreviewSegmentation
from .SegmentEdits import carryOut, tagAsAssisted


@dataclass(frozen=True)
class Question:
    """What the reader chose in the effect's options.

    Attributes:
        model: name of the weights; "" is the default model.
        expert: "consensus" or an expert's name.
        samples: how many drawings.
        roiNode: where to look; None is around the selected segment.
        marginMm: around the segment.
    """

    model: str
    expert: str
    samples: int
    roiNode: slicer.vtkMRMLMarkupsROINode | None
    marginMm: float


@dataclass(frozen=True)
class _Target:
    """What the answer is for: it is of no use for anything else."""

    volumeID: str
    segmentationID: str
    segmentID: str


class Proposal(VTKObservationMixin):
    """One run for one segment, its preview, and its way into the segment.

    Ends by itself, with a sentence, as soon as another segment or volume is chosen, or one of them
    goes away.

    Args:
        scriptedEffect: Slicer's side of the effect.
        onChange: called with a sentence, maybe "", after every change of ``running`` or ``answer``.
        onProgress: called with the RunEvents of the run, the one that it ends with included.
    """

    def __init__(
        self,
        scriptedEffect: Any,
        onChange: Callable[[str], None],
        onProgress: Callable[[RunEvent], None],
    ):
        VTKObservationMixin.__init__(self)
        self._effect = scriptedEffect
        self._onChange, self._onProgress = onChange, onProgress
        self._run: Run | None = None
        self._sink: AnswerSink | None = None
        self._target: _Target | None = None
        self._preview = PreviewSegmentation()
        self._placed: PlacedAnswer | None = None
        self.threshold = 0.0
        """Probability above which voxels are drawn, at first where the model would draw them."""
        self._grid = np.eye(4)  # of the volume, where the answer says that it lies
        self.answer: Answer | None = None

    @property
    def running(self) -> bool:
        """Whether an answer is on its way."""
        return self._sink is not None

    @property
    def drawnMl(self) -> float:
        """Volume of the preview in millilitres."""
        if self._placed is None:
            return 0.0
        return self._preview.voxelCount * self._placed.voxelVolumeMl

    def requestFor(self, question: Question) -> RunRequest:
        """Return the question as the Logic wants it; what it leaves open is set in the module.

        Raises InputError where there is no usable volume, segment or region, WeightsError where the
        model is missing or damaged.
        """
        target = self._selected()
        volumeNode = slicer.mrmlScene.GetNodeByID(target.volumeID)
        if question.roiNode is not None:
            region = SceneInputs.roiRegion(question.roiNode, volumeNode)
        else:
            segmentationNode = slicer.mrmlScene.GetNodeByID(target.segmentationID)
            region = SceneInputs.segmentRegion(
                segmentationNode, target.segmentID, volumeNode, question.marginMm
            )
        module = sharedLogic().getParameterNode()
        return RunRequest(
            volumeNodeID=target.volumeID,
            region=region,
            model=question.model,
            experts=(question.expert,),
            samples=question.samples,
            steps=module.steps or None,
            seed=module.seed,
            device=module.device,
            preset=module.preset,
            presence=Presence.givenTo(read_card(question.model or None), module.presence),
        )

    def start(self, request: RunRequest) -> None:
        """Run for the selected segment; raises InputError where another run is under way."""
        target = self._selected()
        volumeNode = slicer.mrmlScene.GetNodeByID(target.volumeID)
        size = volumeNode.GetImageData().GetDimensions()
        sink = AnswerSink(ijkToRas(volumeNode), size, self.offer)
        self._run = sharedLogic().start(request, sink, self._onEvent)
        self._clear()
        self._sink, self._target = sink, target
        self._watch(target)
        self._onChange("")

    def offer(self, answer: Answer) -> None:
        """Preview an answer for the selected segment; raises InputError where it has no place."""
        target = self._selected()
        if target != self._target:
            self._clear()
            self._target = target
            self._watch(target)
        if self.answer is None or answer.level != self.answer.level:
            self.threshold = answer.level  # else the reader may have moved it meanwhile
        self.answer = answer
        self._show()
        self._onChange("")

    def cancel(self) -> None:
        """Ask the run to stop; drawings that are finished by then are still shown."""
        if self._run is not None and sharedLogic().activeRun is self._run:
            sharedLogic().cancel()

    def setThreshold(self, threshold: float) -> None:
        """Draw the preview anew for another probability; no run is needed."""
        self.threshold = threshold
        self._preview.setThreshold(threshold)

    def apply(self, operation: Operation) -> None:
        """Carry the preview into the segment, as one step that Undo takes back.

        Raises InputError where nothing would change.
        """
        if self.answer is None or self._target is None:
            return
        if not self._effect.confirmCurrentSegmentVisible():
            return
        placedAnswer = self._place()
        edits = editsOf(operation, placedAnswer.probability, self.threshold)
        if not edits:
            raise InputError(
                _("Nothing would change: no voxel is as probable as that. Lower the threshold.")
            )
        self._effect.saveStateForUndo()
        carryOut(self._effect, placedAnswer, edits)
        tagAsAssisted(self._segment(), self.answer)
        self._clear()
        self._onChange(_("Applied. Undo takes it back."))

    def discard(self, sentence: str = "") -> None:
        """Forget the answer, or no longer wait for it, and take the preview away."""
        if self._sink is None and self.answer is None:
            return
        run, self._run = self._run, None
        self._clear()
        if run is not None:
            run.abandon(sentence)
            sharedLogic().tick()  # takes note, so that another run may start
        self._onChange(sentence)

    def check(self) -> None:
        """Discard where the reader has moved on to something that the answer is not for."""
        sentence = self._misfit()
        if sentence:
            self.discard(sentence)

    def replace(self) -> None:
        """Bring the answer to its place again, after a change of a transform or of the grid."""
        self.check()
        if self.answer is None:
            return
        try:
            self._show()
        except InputError as error:
            self.discard(str(error))

    # -- the run

    def _selected(self) -> _Target:
        """Return what the Segment Editor works on; raises InputError if something is missing."""
        node = self._effect.parameterSetNode()
        volumeNode: Any = node.GetSourceVolumeNode() if node else None
        SceneInputs.checkVolume(volumeNode)
        segmentationNode = node.GetSegmentationNode()
        segmentID = node.GetSelectedSegmentID() or ""
        if segmentationNode is None or not segmentationNode.GetSegmentation().GetSegment(segmentID):
            raise InputError(_("No segment is selected. Select the one to work on."))
        return _Target(volumeNode.GetID(), segmentationNode.GetID(), segmentID)

    def _onEvent(self, event: RunEvent) -> None:
        if not event.isLast:
            if self.running:
                self._onProgress(event)
            return
        wanted, self._run, self._sink = self.running, None, None
        if wanted:
            if self.answer is None:
                self._clear()
            self._onProgress(event)

    # -- the preview

    def _show(self) -> None:
        assert self.answer is not None
        assert self._target is not None
        self._placed = self._place()
        title = display_name(self.answer.expert)
        segmentationNode = slicer.mrmlScene.GetNodeByID(self._target.segmentationID)
        self._preview.show(self._placed, title, self.answer.color, segmentationNode)
        self._preview.setThreshold(self.threshold)

    def _place(self) -> PlacedAnswer:
        assert self.answer is not None
        assert self._target is not None
        volumeNode = slicer.mrmlScene.GetNodeByID(self._target.volumeID)
        grid = ijkToRas(volumeNode)
        if not np.array_equal(grid, self._grid):  # the answer stays on the voxels that it is of
            stays = grid @ np.linalg.inv(self._grid) @ self.answer.ijkToRas
            self.answer = dataclasses.replace(self.answer, ijkToRas=stays)
            self._grid = grid
        return placed(
            self.answer,
            volumeNode,
            slicer.mrmlScene.GetNodeByID(self._target.segmentationID),
            self._effect.referenceGeometryImage(),
        )

    # -- what the answer is for

    def _watch(self, target: _Target) -> None:
        scene = slicer.mrmlScene
        volumeNode = scene.GetNodeByID(target.volumeID)
        segmentationNode = scene.GetNodeByID(target.segmentationID)
        self._grid = ijkToRas(volumeNode)
        segmentRemoved = slicer.vtkSegmentation.SegmentRemoved
        moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        self.addObserver(
            self._effect.parameterSetNode(), vtk.vtkCommand.ModifiedEvent, self._onSceneChange
        )
        self.addObserver(segmentationNode.GetSegmentation(), segmentRemoved, self._onSceneChange)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onSceneChange)
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneChange)
        self.addObserver(volumeNode, moved, self._onMoved)
        self.addObserver(volumeNode, vtk.vtkCommand.ModifiedEvent, self._onVolumeModified)
        self.addObserver(segmentationNode, moved, self._onMoved)

    def _onSceneChange(self, _caller: Any, _event: Any) -> None:
        self.check()

    def _onMoved(self, _caller: Any, _event: Any) -> None:
        self.replace()

    def _onVolumeModified(self, volumeNode: Any, _event: Any) -> None:
        """Follow the volume to another place; that is half of hardening, too: _onMoved ends it."""
        if self.answer is not None and not np.array_equal(ijkToRas(volumeNode), self._grid):
            with suppress(InputError):
                self._show()

    def _misfit(self) -> str:
        """Return why the answer is of no use any more; "" while it is."""
        target, node = self._target, self._effect.parameterSetNode()
        if target is None:
            return ""
        if slicer.mrmlScene.IsClosing():
            return _("The scene was closed.")
        if node is None or slicer.mrmlScene.GetNodeByID(target.segmentationID) is None:
            return _("The segmentation was removed. The result was discarded.")
        volumeNode = node.GetSourceVolumeNode()
        if volumeNode is None or volumeNode.GetID() != target.volumeID:
            return _("The source volume was changed. The result of the other one was discarded.")
        if self._segment() is None:
            return _("The segment was removed. The result was discarded.")
        segmentationNode = node.GetSegmentationNode()
        if segmentationNode is None or segmentationNode.GetID() != target.segmentationID:
            return _("Another segmentation was selected. The result was discarded.")
        if (node.GetSelectedSegmentID() or "") != target.segmentID:
            return _("Another segment was selected. The result was discarded.")
        if self.answer is not None and self._preview.node is None:
            return _("The preview was removed from the scene. Press Run again.")
        return ""

    def _segment(self) -> slicer.vtkSegment | None:
        assert self._target is not None
        segmentationNode = slicer.mrmlScene.GetNodeByID(self._target.segmentationID)
        if segmentationNode is None:
            return None
        return segmentationNode.GetSegmentation().GetSegment(self._target.segmentID)

    def _clear(self) -> None:
        """Forget what came and what was waited for."""
        self.removeObservers()
        self._sink = self._target = self.answer = self._placed = None
        self._preview.remove()
