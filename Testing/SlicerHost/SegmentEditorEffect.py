"""The C++ side of a scripted Segment Editor effect; edits go through slicer-core's own logic."""

import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any

import qt
from PySide6.QtCore import Property

from . import Messages
from .Ctk import stored


class EffectFactory(qt.QObject):
    """qSlicerSegmentEditorEffectFactory."""

    effectRegistered = qt.Signal(str)
    _effects: list[Any] = []  # noqa: RUF012  one per application, as in Slicer

    @classmethod
    def instance(cls) -> "EffectFactory":
        if "_instance" not in vars(cls):
            cls._instance = cls()
        return cls._instance

    def registerEffect(self, effect: Any) -> bool:
        """Refuse a name that is taken, without a word, as Slicer does."""
        if any(known.name == effect.name for known in self._effects):
            return False
        self._effects.append(effect)
        self.effectRegistered.emit(effect.name)
        return True

    def registeredEffects(self) -> list[Any]:
        return list(self._effects)


class qSlicerSegmentEditorScriptedEffect(qt.QObject):
    """What `scriptedEffect` is inside an effect's Python file."""

    ModificationModeSet, ModificationModeAdd = 0, 1
    ModificationModeRemove, ModificationModeRemoveAll = 2, 3
    ConfirmBeforeHiddenSegmentEdit = "Segmentations/ConfirmEditHiddenSegment"

    name = stored(str, "name", "UnnamedScriptedEffect")
    perSegment = stored(bool, "perSegment", True)
    requireSegments = stored(bool, "requireSegments", True)
    showEffectCursorInSliceView = stored(bool, "showEffectCursorInSliceView", True)
    showEffectCursorInThreeDView = stored(bool, "showEffectCursorInThreeDView", False)
    title = Property(
        str,
        lambda self: vars(self).get("_title") or self.name,
        lambda self, value: vars(self).update(_title=value),
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self._python: Any = None
        self._source, self._active = "", False
        self._editor: Any = None
        self._frame = qt.QFrame()
        self._frame.setLayout(qt.QFormLayout())

    # The Python object behind it ------------------------------------------------------------------

    def setPythonSource(self, path: str) -> bool:
        """Load the class named as the file from the module named as its folder."""
        file = Path(path)
        package, name = file.parent.name, file.stem
        name += "" if name.endswith("Effect") else "Effect"
        module = sys.modules.get(package)
        if not hasattr(module, name):
            spec = importlib.util.spec_from_file_location(package, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[package] = module
            spec.loader.exec_module(module)
        self._source = str(path)
        self._python = getattr(module, name)(self)
        return True

    def pythonSource(self) -> str:
        return self._source

    def self(self) -> Any:
        return self._python

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the Python object if it has one, as PythonCppAPI does."""
        function = getattr(self._python, method, None)
        return function(*arguments) if function is not None else None

    def clone(self) -> Any:
        return self.call("clone")

    def icon(self) -> Any:
        return self.call("icon") or qt.QIcon()

    def helpText(self) -> str:
        return self.call("helpText") or ""

    # Its life in the editor -----------------------------------------------------------------------

    def setEditor(self, editor: Any) -> None:
        """Take place in an editor widget, which has the node and the logic."""
        self._editor = editor

    def activate(self) -> None:
        self._frame.setVisible(True)
        self._active = True
        self.updateGUIFromMRML()
        self.call("activate")

    def deactivate(self) -> None:
        self._frame.setVisible(False)
        self._active = False
        self.call("deactivate")

    def active(self) -> bool:
        return self._active

    def updateGUIFromMRML(self) -> None:
        if self._active:
            self.call("updateGUIFromMRML")

    def cursorOff(self, viewWidget: Any) -> None:
        """Answer effect code; there is no cursor."""

    def cursorOn(self, viewWidget: Any) -> None:
        """See cursorOff."""

    def selectEffect(self, name: str) -> None:
        self._editor.setActiveEffectByName(name)

    # Options --------------------------------------------------------------------------------------

    def optionsFrame(self) -> Any:
        return self._frame

    def optionsLayout(self) -> Any:
        return self._frame.layout()

    def addOptionsWidget(self, widget: Any) -> None:
        self._frame.layout().addRow(widget)

    def addLabeledOptionsWidget(self, label: str, widget: Any) -> Any:
        shown = qt.QLabel(label)
        self._frame.layout().addRow(shown, widget)
        return shown

    # Parameters -----------------------------------------------------------------------------------

    def parameterSetNode(self) -> Any:
        return self._editor.mrmlSegmentEditorNode() if self._editor is not None else None

    def scene(self) -> Any:
        node = self.parameterSetNode()
        return node.GetScene() if node is not None else None

    def parameterDefined(self, name: str) -> bool:
        return self.commonParameterDefined(f"{self.name}.{name}")

    def commonParameterDefined(self, name: str) -> bool:
        node = self.parameterSetNode()
        return node is not None and bool(node.GetAttribute(name))

    def parameter(self, name: str) -> str:
        """Return the effect's own value, else the one all effects share, else empty text."""
        node = self.parameterSetNode()
        values = [node.GetAttribute(n) for n in (f"{self.name}.{name}", name)] if node else []
        found = next((value for value in values if value is not None), None)
        if found is None:
            logging.error("Parameter named '%s' for effect '%s' does not exist", name, self.name)
        return found or ""

    def integerParameter(self, name: str) -> int:
        return int(self._number(name, int))

    def doubleParameter(self, name: str) -> float:
        return self._number(name, float)

    def _number(self, name: str, kind: type) -> float:
        try:
            return kind(self.parameter(name))
        except ValueError:
            logging.error("Parameter named '%s' cannot be converted to %s", name, kind.__name__)
            return 0

    def setParameter(self, name: str, value: Any) -> None:
        self._set(f"{self.name}.{name}", value)

    def setParameterDefault(self, name: str, value: Any) -> None:
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    def setCommonParameter(self, name: str, value: Any) -> None:
        self._set(name, value)

    def setCommonParameterDefault(self, name: str, value: Any) -> None:
        if not self.commonParameterDefined(name):
            self.setCommonParameter(name, value)

    def nodeReference(self, name: str) -> Any:
        node = self.parameterSetNode()
        return node.GetNodeReference(f"{self.name}.{name}") or node.GetNodeReference(name)

    def setNodeReference(self, name: str, node: Any) -> None:
        self.setCommonNodeReference(f"{self.name}.{name}", node)

    def setCommonNodeReference(self, name: str, node: Any) -> None:
        parameters = self.parameterSetNode()
        if parameters.GetNodeReference(name) is not node:
            parameters.SetNodeReferenceID(name, node.GetID() if node is not None else None)
            parameters.InvokeCustomModifiedEvent(parameters.EffectParameterModified)

    def _set(self, name: str, value: Any) -> None:
        """Set text, a whole or a decimal number; the node tells EffectParameterModified only."""
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise ValueError(f"setParameter takes text or a number, not {value!r}")
        text = f"{value:g}" if isinstance(value, float) else str(value)  # as QString::number
        node = self.parameterSetNode()
        if text == (node.GetAttribute(name) or ""):
            return
        disabled = node.GetDisableModifiedEvent()
        node.SetDisableModifiedEvent(1)
        node.SetAttribute(name, text)
        node.SetDisableModifiedEvent(disabled)
        node.InvokeCustomModifiedEvent(node.EffectParameterModified)

    # Editing --------------------------------------------------------------------------------------

    def _logic(self) -> Any:
        return self._editor.logic()

    def saveStateForUndo(self) -> None:
        self._logic().SaveStateForUndo()

    def confirmCurrentSegmentVisible(self) -> int:
        """Ask before a hidden segment is edited: show it (True), leave it (False), cancel (None).

        Returns:
            0 not confirmed, 1 confirmed without asking, 2 confirmed when asked.
        """
        segmentation, segmentID = self._selected()
        display = segmentation.GetDisplayNode() if segmentation is not None else None
        if display is None or not segmentID:
            return 1
        if display.GetVisibility() and display.GetSegmentVisibility(segmentID):
            return 1
        answered = Messages.answer("The currently selected segment is hidden.", True)
        if answered is None:
            return 0
        if answered:
            display.SetVisibility(True)
            display.SetSegmentVisibility(segmentID, True)
        return 2

    def _selected(self) -> tuple[Any, str]:
        node = self.parameterSetNode()
        if node is None:
            return None, ""
        return node.GetSegmentationNode(), node.GetSelectedSegmentID() or ""

    def referenceGeometryImage(self) -> Any:
        self._logic().UpdateReferenceGeometryImage()
        return self._logic().GetReferenceGeometryImage()

    def modifierLabelmap(self) -> Any:
        return self._logic().GetModifierLabelmap()

    def defaultModifierLabelmap(self) -> Any:
        self._logic().UpdateReferenceGeometryImage()
        self._logic().ResetModifierLabelmapToDefault()
        return self._logic().GetModifierLabelmap()

    def maskLabelmap(self) -> Any:
        self._logic().UpdateMaskLabelmap()
        return self._logic().GetMaskLabelmap()

    def selectedSegmentLabelmap(self) -> Any:
        self._logic().UpdateSelectedSegmentLabelmap()
        return self._logic().GetSelectedSegmentLabelmap()

    def sourceVolumeImageData(self) -> Any:
        self._logic().UpdateReferenceGeometryImage()
        self._logic().UpdateAlignedSourceVolume()
        return self._logic().GetAlignedSourceVolume()

    def modifySelectedSegmentByLabelmap(self, labelmap: Any, mode: int, *rest: Any) -> None:
        self.modifySegmentByLabelmap(*self._selected(), labelmap, mode, *rest)

    def modifySegmentByLabelmap(
        self, segmentation: Any, segmentID: str, labelmap: Any, mode: int, *rest: Any
    ) -> None:
        """Edit within an extent, if the first further argument is one; masked unless told not."""
        hasExtent = bool(rest) and not isinstance(rest[0], bool)
        extent = list(rest[0]) if hasExtent else [0, -1, 0, -1, 0, -1]
        bypass = rest[hasExtent] if len(rest) > hasExtent else False
        logic = self._logic()
        modes = (  # VTK's Python takes no number for an enum, PythonQt does
            logic.ModificationModeSet,
            logic.ModificationModeAdd,
            logic.ModificationModeRemove,
            logic.ModificationModeRemoveAll,
        )
        logic.ModifySegmentByLabelmap(
            segmentation, segmentID, labelmap, modes[mode], extent, self.perSegment, bool(bypass)
        )
