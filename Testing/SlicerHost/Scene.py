"""slicer-core's scene with an application logic and the module logics that need no Qt."""

import atexit
import importlib
import pkgutil
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
import slicer_core
import vtk

LOGICS = {
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Data": "vtkSlicerDataModuleLogic",
}


class CoreModule:
    """What slicer.modules.<name> answers for a module whose logic is in slicer-core."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = self.title = name
        self.path = ""
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


def build() -> tuple[Any, Any]:
    """Make slicer.mrmlScene and slicer.modules; return the scene and the application logic."""
    _nameLibraries()
    scene, application = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    application.SetMRMLScene(scene)  # selection and interaction nodes
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())
    slicer.modules, slicer.moduleNames = types.SimpleNamespace(), types.SimpleNamespace()
    _addColors(application, scene)
    for name, className in LOGICS.items():
        _addLogic(name, getattr(slicer, className)(), application, scene)
    _addStorage(scene)
    slicer.mrmlScene = scene
    return scene, application


def _nameLibraries() -> None:
    """Give the wrapped libraries the names they have in the application (MRMLCorePython...)."""
    for module in pkgutil.iter_modules(slicer_core.__path__):
        if not module.name.startswith("lib"):
            name = module.name.removesuffix("Python") + "Python"
            sys.modules.setdefault(name, importlib.import_module(f"slicer_core.{module.name}"))


def _addLogic(name: str, logic: Any, application: Any, scene: Any) -> None:
    logic.SetMRMLApplicationLogic(application)  # before the scene: some read share paths from it
    logic.SetMRMLScene(scene)  # registers the module's node classes
    application.SetModuleLogic(name, logic)
    setattr(slicer.modules, name.lower(), CoreModule(name, logic))
    setattr(slicer.moduleNames, name, name)


def _addColors(application: Any, scene: Any) -> None:
    """Add the colour logic, with a table for labelmaps: Slicer's own are not in slicer-core."""
    home = Path(tempfile.mkdtemp(prefix="SlicerHostHome"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    colors = home / "share" / "ColorFiles"
    colors.mkdir(parents=True)
    rows = [
        f"{i} Label{i} {_shade(i, 67)} {_shade(i, 101)} {_shade(i, 151)} 255" for i in range(1, 256)
    ]
    table = "\n".join(["0 Background 0 0 0 0", *rows])
    (colors / "GenericColors.txt").write_text(table + "\n")
    application.SetHomeDirectory(str(home))
    application.SetShareDirectory("share")
    logic = slicer.vtkSlicerColorLogic()
    application.SetColorLogic(logic)
    _addLogic("Colors", logic, application, scene)


def _shade(index: int, step: int) -> int:
    return 55 + index * step % 200


def _addStorage(scene: Any) -> None:
    """Make .mrb files readable."""
    data, cache = slicer.vtkDataIOManager(), slicer.vtkCacheManager()
    folder = tempfile.mkdtemp(prefix="SlicerHostCache")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cache.SetRemoteCacheDirectory(folder)
    cache.SetMRMLScene(scene)
    data.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(data)
