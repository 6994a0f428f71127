"""The Segment Editor's widget, and the modules effects are registered by."""

import atexit
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from .Mrml import qMRMLWidget, widget
from .Observers import observe
from .ScriptedModule import addModule
from .SegmentEditorEffect import EffectFactory, qSlicerSegmentEditorScriptedEffect


@widget
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Owns the logic and a clone of each registered effect; follows its parameter set node."""

    currentSegmentIDChanged = qt.Signal(str)
    segmentationNodeChanged = qt.Signal(object)
    sourceVolumeNodeChanged = qt.Signal(object)
    UNDO_STATES = 10

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setLayout(qt.QVBoxLayout())
        self._options = qt.QGroupBox()
        self._options.setLayout(qt.QVBoxLayout())
        self._options.setVisible(False)
        self.layout().addWidget(self._options)
        self._segmentEditorLogic = slicer.vtkSlicerSegmentEditorLogic()
        self._history = slicer.vtkSegmentationHistory()
        self._node: Any = None
        self._stops: list[Callable[[], None]] = []
        self._active: Any = None
        self._effects: list[Any] = []
        self._seen: tuple[Any, Any, str] = (None, None, "")
        connections = [
            (EffectFactory.instance(), "effectRegistered(QString)", self.updateEffectList),
            (slicer.app.layoutManager(), "layoutChanged(int)", self._onLayoutChanged),
        ]
        for source, signal, slot in connections:
            source.connect(signal, slot)
        self._cleanUpWith(self._effects, connections)

    def _cleanUpWith(
        self, effects: list[Any], connections: list[tuple[Any, str, Callable[..., None]]]
    ) -> None:
        """Let effects and connections end with this widget, which cannot be asked for them then."""

        def cleanUp(*_: Any) -> None:
            while effects:
                effects.pop().call("cleanup")
            while connections:
                source, signal, slot = connections.pop()
                source.disconnect(signal, slot)

        self.destroyed.connect(cleanUp)
        atexit.register(cleanUp)  # before Qt takes the effects' own objects away

    def logic(self) -> Any:
        """Return the logic for the effects; Slicer's widget does not have this method."""
        return self._segmentEditorLogic

    # Effects --------------------------------------------------------------------------------------

    def updateEffectList(self) -> None:
        """Take in the effects that were registered since, each as its clone."""
        known = {effect.name for effect in self._effects}
        for registered in EffectFactory.instance().registeredEffects():
            if registered.name not in known:
                self._addEffect(registered.clone())

    def _addEffect(self, effect: Any) -> None:
        effect.setEditor(self)
        self._effects.append(effect)
        if self._node is not None:
            effect.call("setMRMLDefaults")
        self._options.layout().addWidget(effect.optionsFrame())
        effect.optionsFrame().setVisible(False)
        effect.call("setupOptionsFrame")

    def availableEffectNames(self) -> list[str]:
        return [effect.name for effect in self._effects]

    def effectByName(self, name: str) -> Any:
        return next((effect for effect in self._effects if effect.name == name), None)

    def activeEffect(self) -> Any:
        return self._active

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self.effectByName(name))

    def setActiveEffect(self, effect: Any) -> None:
        if self._node is not None:
            self._node.SetActiveEffectName(effect.name if effect is not None else "")

    # Nodes ----------------------------------------------------------------------------------------

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if node is self._node:
            return
        for stop in self._stops:
            stop()
        self._node, self._stops = node, []
        self._segmentEditorLogic.SetSegmentEditorNode(node)
        self._segmentEditorLogic.SetMaximumNumberOfUndoStates(self.UNDO_STATES)
        if node is None:
            return
        events = {
            vtk.vtkCommand.ModifiedEvent: self.updateWidgetFromMRML,
            node.EffectParameterModified: self._onParameterModified,
        }
        self._stops = [observe(node, event, method) for event, method in events.items()]
        self.updateEffectList()
        self._setDefaults()
        self.updateWidgetFromMRML()

    def _setDefaults(self) -> None:
        with slicer.util.NodeModify(self._node):
            for effect in self._effects:
                effect.call("setMRMLDefaults")

    def segmentationNode(self) -> Any:
        return self._node.GetSegmentationNode() if self._node is not None else None

    def segmentationNodeID(self) -> str:
        node = self.segmentationNode()
        return node.GetID() if node is not None else ""

    def setSegmentationNode(self, node: Any) -> None:
        if node is not self.segmentationNode():
            self._segmentEditorLogic.SetSegmentationNode(node)
            self.setActiveEffect(None)

    def sourceVolumeNode(self) -> Any:
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def sourceVolumeNodeID(self) -> str:
        node = self.sourceVolumeNode()
        return node.GetID() if node is not None else ""

    def setSourceVolumeNode(self, node: Any) -> None:
        self._segmentEditorLogic.SetSourceVolumeNode(node)

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node is not None else ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        self._segmentEditorLogic.SetCurrentSegmentID(segmentID)
        self.currentSegmentIDChanged.emit(segmentID)

    def undo(self) -> None:
        self._segmentEditorLogic.Undo()

    def redo(self) -> None:
        self._segmentEditorLogic.Redo()

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        self._segmentEditorLogic.SetMaximumNumberOfUndoStates(count)

    def saveStateForUndo(self) -> None:
        self._segmentEditorLogic.SaveStateForUndo()

    # Events ---------------------------------------------------------------------------------------

    def _onScene(self, scene: Any) -> None:
        self._segmentEditorLogic.SetMRMLScene(scene)
        if scene is not None:
            observe(scene, scene.StartCloseEvent, self._onSceneStartClose)
            observe(scene, scene.EndCloseEvent, self._onSceneEndClose)

    def _onSceneStartClose(self, *_: Any) -> None:
        """Let the segmentation go, which in Slicer the module around this widget does."""
        if self._node is not None:
            self.setSegmentationNode(None)

    def _onSceneEndClose(self, *_: Any) -> None:
        """Start afresh with the node, which survives the scene, as Slicer does."""
        if self._node is not None:
            self._setDefaults()
            self.updateWidgetFromMRML()

    def _onParameterModified(self, *_: Any) -> None:
        for effect in self._effects:
            effect.updateGUIFromMRML()

    def _onLayoutChanged(self) -> None:
        self._tell("layoutChanged")

    def updateWidgetFromMRML(self, *_: Any) -> None:
        """Follow the node: segmentation, source volume, effect, in this order."""
        segmentation, source = self.segmentationNode(), self.sourceVolumeNode()
        before, self._seen = self._seen, (segmentation, source, self._seen[2])
        if segmentation is not before[0]:
            self._takeSegmentation(segmentation)
            self.segmentationNodeChanged.emit(segmentation)
        if source is not before[1] and segmentation is not None:
            self._showSource(source)
            self.sourceVolumeNodeChanged.emit(source)
            self._tell("sourceVolumeNodeChanged")
        geometry = self._segmentEditorLogic.GetReferenceImageGeometryString() or ""
        if geometry != self._seen[2]:
            self._seen = (*self._seen[:2], geometry)
            self._tell("referenceGeometryChanged")
        self._options.setEnabled(source is not None)
        self._activate(self.effectByName(self._node.GetActiveEffectName() or ""))

    def _takeSegmentation(self, segmentation: Any) -> None:
        if segmentation is None:
            return
        self._history.SetSegmentation(segmentation.GetSegmentation())
        self._segmentEditorLogic.SetSegmentationHistory(self._history)
        segmentation.CreateDefaultDisplayNodes()
        role = segmentation.GetReferenceImageGeometryReferenceRole()
        reference = segmentation.GetNodeReference(role)
        if reference is not None:
            self.setSourceVolumeNode(reference)
        segments = segmentation.GetSegmentation()
        if segments.GetNumberOfSegments() and not segments.GetSegment(self.currentSegmentID()):
            self.setCurrentSegmentID(segments.GetNthSegmentID(0))

    def _showSource(self, source: Any) -> None:
        """Show the source volume behind the segments, unless it is shown already."""
        views = slicer.app.layoutManager().sliceViews()
        composites = [view.logic.GetSliceCompositeNode() for view in views]
        if source is None or any(c.GetBackgroundVolumeID() == source.GetID() for c in composites):
            return
        application = slicer.app.applicationLogic()
        application.GetSelectionNode().SetActiveVolumeID(source.GetID())
        application.PropagateBackgroundVolumeSelection()

    def _tell(self, method: str) -> None:
        for effect in self._effects:
            effect.call(method)

    def _activate(self, effect: Any) -> None:
        if effect is self._active:
            return
        if self._active is not None:
            self._active.deactivate()
        if effect is not None:
            effect.activate()
        self._options.setVisible(effect is not None)
        self._options.setTitle(effect.title if effect is not None else "")
        self._active = effect


class AbstractScriptedSegmentEditorEffect:
    """The base class of effects' Python side, written anew."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None:
        """Let go of everything."""


def install() -> None:
    slicer.qSlicerSegmentEditorEffectFactory = EffectFactory
    slicer.qSlicerSegmentEditorScriptedEffect = qSlicerSegmentEditorScriptedEffect
    slicer.qSlicerSegmentEditorAbstractEffect = qSlicerSegmentEditorScriptedEffect  # its modes
    addModule(
        "qSlicerSegmentationsEditorEffectsPythonQt",
        qSlicerSegmentEditorScriptedEffect=qSlicerSegmentEditorScriptedEffect,
        qSlicerSegmentEditorEffectFactory=EffectFactory,
    )
    addModule(
        "SegmentEditorEffects",
        __all__=["AbstractScriptedSegmentEditorEffect"],
        AbstractScriptedSegmentEditorEffect=AbstractScriptedSegmentEditorEffect,
    )
