"""slicer.app and slicer.util.mainWindow()."""

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import qt
import slicer
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property

from .Layout import LayoutManager


class ModuleManager(qt.QObject):
    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self) -> list[str]:
        return list(vars(slicer.moduleNames))

    def isModuleLoaded(self, name: str) -> bool:
        return hasattr(slicer.moduleNames, name)


class IOManager:
    """Reading and writing of the file types the engine's users meet."""

    def loadNodes(self, fileType: str, properties: dict, loaded: Any = None, *_: Any) -> bool:
        path = properties["fileName"]
        name = properties.get("name") or Path(path).name.partition(".")[0]
        if fileType == "VolumeFile":
            labelmap = 2 * int(properties.get("labelmap", False))
            node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, labelmap)
        elif fileType == "SegmentationFile":
            logic = slicer.modules.segmentations.logic()
            node = logic.LoadSegmentationFromFile(path, True, properties.get("name") or "")
        else:
            raise NotImplementedError(f"This host does not read files of type {fileType}.")
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def saveNodes(self, _fileType: str, properties: dict, *_: Any) -> bool:
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(properties["fileName"])
        return bool(storage.WriteData(node))

    def fileWriterFileType(self, node: Any) -> str:
        return node.GetClassName()

    def fileType(self, path: str) -> str:
        return "SegmentationFile" if path.endswith((".seg.nrrd", ".seg.nhdr")) else "VolumeFile"


class ModuleSelector(qt.QObject):
    """The list of modules in the toolbar."""

    moduleSelected = QtCore.Signal(str)
    selectedModule = QtCore.Property(str, lambda self: vars(self).get("_selected", ""))

    def selectModule(self, name: str) -> None:
        """Leave one module's panel and enter another's."""
        old, self._selected = self.selectedModule, name
        for module, method in ((old, "exit"), (name, "enter")):
            known = getattr(slicer.modules, module.lower(), None)
            if not hasattr(known, "widgetRepresentation"):
                continue
            frame = known.widgetRepresentation()
            frame.isEntered = method == "enter"
            getattr(frame.self(), method, lambda: None)()
        self.moduleSelected.emit(name)


class MainWindow(qt.QMainWindow):
    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setCentralWidget(qt.QWidget())
        self.statusBar()
        self._selector = ModuleSelector()

    def moduleSelector(self) -> ModuleSelector:
        return self._selector


class Application(QtWidgets.QApplication):
    """What module code asks of qSlicerApplication."""

    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, scene: Any, logic: Any) -> None:
        super().__init__(["Slicer"])
        slicer.app = self
        self.setApplicationName("Slicer")
        self.setDoubleClickInterval(0)  # tests click faster than people do
        self._folder = tempfile.TemporaryDirectory(prefix="SlicerHost")
        self._testing = True
        self._scene, self._logic, self._kept = scene, logic, []
        self._modules, self._io = ModuleManager(), IOManager()
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        for which in (QtCore.QSettings.UserScope, QtCore.QSettings.SystemScope):
            QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, which, self._folder.name)
        self.setOrganizationName("SlicerHost")
        self._settings = QtCore.QSettings()
        self._layout = LayoutManager(scene, logic)
        self._window = MainWindow()

    def keep(self, thing: Any) -> None:
        """Let something live as long as the application."""
        self._kept.append(thing)

    majorVersion = Property(int, lambda self: 5)
    minorVersion = Property(int, lambda self: 12)
    isCustomMainApplication = Property(bool, lambda self: False)
    mainApplicationPatchVersion = Property(int, lambda self: 4)
    revision = Property(str, lambda self: "host")
    applicationVersion = Property(str, lambda self: "5.12.4-host")
    os = Property(str, lambda self: "linux")
    arch = Property(str, lambda self: "amd64")
    documentationBaseUrl = Property(str, lambda self: "https://slicer.readthedocs.io/")
    temporaryPath = Property(str, lambda self: self._folder.name)
    slicerHome = Property(str, lambda self: sys.prefix)
    extensionsInstallPath = Property(str, lambda self: self._folder.name)
    applicationName = Property(str, lambda self: "Slicer")

    def completeStartup(self) -> None:
        """Tell that all is loaded; each listener hears it once, as in Slicer."""
        self.startupCompleted.emit()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # there may be nobody
            self.startupCompleted.disconnect()

    def testingEnabled(self) -> bool:
        return self._testing

    def setTestingEnabled(self, enabled: bool) -> None:
        """Act as at a user's desk (False), where e.g. tryWithErrorDisplay opens its box."""
        self._testing = enabled

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._logic

    def layoutManager(self) -> LayoutManager:
        return self._layout

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def coreIOManager(self) -> IOManager:
        return self._io

    def ioManager(self) -> IOManager:
        return self._io

    def settings(self) -> Any:
        return self._settings

    def userSettings(self) -> Any:
        return self._settings

    def revisionUserSettings(self) -> Any:
        return self._settings

    def mainWindow(self) -> MainWindow:
        return self._window

    def translate(self, _context: str, text: str) -> str:
        return text

    def moduleDocumentationUrl(self, name: str) -> str:
        return self.documentationBaseUrl + name

    def startupEnvironment(self) -> dict[str, str]:
        import os

        return dict(os.environ)

    def pauseRender(self) -> None:
        """Answer module code; this host renders when a picture is wanted."""

    def resumeRender(self) -> None:
        """See pauseRender."""

    def setRenderPaused(self, paused: bool) -> None:
        """See pauseRender."""

    def restart(self) -> None:
        raise RuntimeError("This host cannot restart.")
