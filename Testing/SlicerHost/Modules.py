"""Scripted modules: from a .py file to slicer.modules.<name> and its panel."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import qt
import slicer


class qSlicerScriptedLoadableModule:
    """The object handed to <Module>.__init__ as parent; it becomes slicer.modules.<name>."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = str(path), path.stem
        self.title, self.hidden, self.icon = path.stem, False, qt.QIcon()
        self._widget: Any = None
        self._logic: Any = None

    def logic(self) -> Any:
        """Return the C++ logic, which scripted modules' own Python logic does not replace."""
        if self._logic is None:
            self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
            self._logic.SetMRMLScene(slicer.mrmlScene)
        return self._logic

    def widgetRepresentation(self) -> Any:
        """Return the panel; made, set up and given the scene when first asked for."""
        if self._widget is None:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> Any:
        widget = slicer.qSlicerScriptedLoadableModuleWidget()
        widget.setLayout(qt.QVBoxLayout())
        widget.setMRMLScene(slicer.mrmlScene)
        widget.setPythonClass(self.name + "Widget")
        return widget


def install() -> None:
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule


def loadModule(path: Path) -> qSlicerScriptedLoadableModule:
    """Load a module file that has not been loaded yet; or return the loaded one."""
    path = path.resolve()
    known = getattr(slicer.modules, path.stem.lower(), None)
    if known is not None and known.path == str(path):
        return known
    module = qSlicerScriptedLoadableModule(path)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = code
    spec.loader.exec_module(code)
    setattr(slicer.modules, path.stem.lower(), module)  # first: resourcePath asks for it
    setattr(slicer.moduleNames, path.stem, path.stem)
    started = getattr(code, path.stem)(module)
    setattr(slicer.modules, path.stem + "Instance", started)
    slicer.app.completeStartup()
    slicer.app.moduleManager().moduleLoaded.emit(path.stem)
    return module
