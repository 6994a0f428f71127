"""slicer-core's scene with an application logic and the module logics that need no Qt."""

import importlib
import pkgutil
import sys
import tempfile
import types
from typing import Any

import slicer
import slicer_core
import vtk

# vtkMRMLColorLogic stands for vtkSlicerColorLogic, which looks for Slicer's share folder.
LOGICS = {
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Colors": "vtkMRMLColorLogic",
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
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())
    slicer.modules, slicer.moduleNames = types.SimpleNamespace(), types.SimpleNamespace()
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


def _addStorage(scene: Any) -> None:
    """Make .mrb files readable."""
    data, cache = slicer.vtkDataIOManager(), slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(tempfile.mkdtemp(prefix="SlicerHostCache"))
    cache.SetMRMLScene(scene)
    data.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(data)
