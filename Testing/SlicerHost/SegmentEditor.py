"""The Segment Editor's widget, and the modules effects are registered by."""

from typing import Any

import qt
import slicer
import vtk

from .Mrml import qMRMLWidget, widget
from .ScriptedModule import addModule
from .SegmentEditorEffect import EffectFactory, qSlicerSegmentEditorScriptedEffect


@widget
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Owns the node, the logic and clones of the registered effects."""

    activeEffectChanged = qt.Signal(str)
    currentSegmentIDChanged = qt.Signal(str)
    segmentationNodeChanged = qt.Signal(object)
    sourceVolumeNodeChanged = qt.Signal(object)
    UNDO_STATES = 10

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setLayout(qt.QVBoxLayout())
        self._segmentEditorLogic = slicer.vtkSlicerSegmentEditorLogic()
        self._history = slicer.vtkSegmentationHistory()
        self._node: Any = None
        self._observers: list[int] = []
        self._active: Any = None
        self._effects: list[Any] = []
        self._seen: tuple[Any, Any] = (None, None)
        EffectFactory.instance().connect("effectRegistered(QString)", self.updateEffectList)

    def logic(self) -> Any:
        return self._segmentEditorLogic

    def updateEffectList(self) -> None:
        """Take in the effects that were registered since, each as its clone."""
        known = {effect.name for effect in self._effects}
        for registered in EffectFactory.instance().registeredEffects():
            if registered.name not in known:
                self._addEffect(registered.clone())

    def _addEffect(self, effect: Any) -> None:
        effect.setEditor(self)
        self._effects.append(effect)
        self.layout().addWidget(effect.optionsFrame())
        effect.optionsFrame().setVisible(False)
        effect.call("setupOptionsFrame")
        if self._node is not None:
            effect.call("setMRMLDefaults")

    def availableEffectNames(self) -> list[str]:
        return [effect.name for effect in self._effects]

    def effectByName(self, name: str) -> Any:
        return next((effect for effect in self._effects if effect.name == name), None)

    def activeEffect(self) -> Any:
        return self._active

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self.effectByName(name) if name else None)

    def setActiveEffect(self, effect: Any) -> None:
        self._node.SetActiveEffectName(effect.name if effect is not None else "")

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        for tag in self._observers:
            self._node.RemoveObserver(tag)
        self._activate(None)
        self._node, self._observers = node, []
        self._segmentEditorLogic.SetSegmentEditorNode(node)
        self._segmentEditorLogic.SetMaximumNumberOfUndoStates(self.UNDO_STATES)
        if node is None:
            return
        self._observers = [
            node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onNodeModified),
            node.AddObserver(node.EffectParameterModified, self._onParameterModified),
        ]
        self.updateEffectList()
        for effect in self._effects:
            effect.call("setMRMLDefaults")
        self._onNodeModified()

    def segmentationNode(self) -> Any:
        return self._node.GetSegmentationNode() if self._node is not None else None

    def setSegmentationNode(self, node: Any) -> None:
        self._node.SetAndObserveSegmentationNode(node)

    def sourceVolumeNode(self) -> Any:
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def setSourceVolumeNode(self, node: Any) -> None:
        """Choose the volume; the first one also fixes the segmentation's geometry."""
        self._node.SetAndObserveSourceVolumeNode(node)
        segmentation = self.segmentationNode()
        if node is not None and segmentation is not None:
            reference = segmentation.GetReferenceImageGeometryReferenceRole()
            if segmentation.GetNodeReference(reference) is None:
                segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node is not None else ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        self._node.SetSelectedSegmentID(segmentID)
        self.currentSegmentIDChanged.emit(segmentID)

    def undo(self) -> None:
        self._segmentEditorLogic.Undo()

    def redo(self) -> None:
        self._segmentEditorLogic.Redo()

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        self._segmentEditorLogic.SetMaximumNumberOfUndoStates(count)

    def saveStateForUndo(self) -> None:
        self._segmentEditorLogic.SaveStateForUndo()

    def _onScene(self, scene: Any) -> None:
        self._segmentEditorLogic.SetMRMLScene(scene)
        if scene is not None:
            scene.AddObserver(scene.StartCloseEvent, self._onSceneStartClose)

    def _onSceneStartClose(self, *_: Any) -> None:
        if self._node is not None:
            self.setActiveEffect(None)

    def _onParameterModified(self, *_: Any) -> None:
        if self._active is not None:
            self._active.updateGUIFromMRML()

    def _onNodeModified(self, *_: Any) -> None:
        """Follow the node: nodes first, then the effect, as updateWidgetFromMRML does."""
        segmentation, source = self.segmentationNode(), self.sourceVolumeNode()
        if segmentation is not self._seen[0] and segmentation is not None:
            self._history.SetSegmentation(segmentation.GetSegmentation())
            self._segmentEditorLogic.SetSegmentationHistory(self._history)
        old, self._seen = self._seen, (segmentation, source)
        if old[0] is not segmentation:
            self._tell("referenceGeometryChanged")
            self.segmentationNodeChanged.emit(segmentation)
        if old[1] is not source:
            self._tell("sourceVolumeNodeChanged")
            self.sourceVolumeNodeChanged.emit(source)
        wanted = self.effectByName(self._node.GetActiveEffectName() or "")
        if wanted is not self._active:
            self._activate(wanted)
        elif self._active is not None:
            self._active.updateGUIFromMRML()

    def _tell(self, method: str) -> None:
        for effect in self._effects:
            effect.call(method)

    def _activate(self, effect: Any) -> None:
        """Change effects: the old one is deactivated first."""
        if effect is self._active:
            return
        old, self._active = self._active, effect
        if old is not None:
            old.deactivate()
            old.call("deactivate")
        if effect is not None:
            effect.activate()
            effect.call("activate")
        self.activeEffectChanged.emit(effect.name if effect is not None else "")


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
