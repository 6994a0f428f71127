"""Stand-ins for slicer.ScriptedLoadableModule and slicer.i18n, written anew."""

import importlib
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import qt
import shiboken6
import slicer


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent, self.moduleName = parent, type(self).__name__
        parent.title = parent.helpText = parent.acknowledgementText = ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []
        for ending in (".svg", ".png"):
            icon = Path(self.resourcePath("Icons")) / (self.moduleName + ending)
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break
        tests = vars(slicer).setdefault("selfTests", {})
        tests[self.moduleName] = self.runTest

    def resourcePath(self, fileName: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / fileName)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return slicer.app.moduleDocumentationUrl(docPage or self.moduleName)

    def runTest(self, msec: int = 100, **arguments: Any) -> None:
        code = importlib.import_module(type(self).__module__)
        test = getattr(code, self.moduleName + "Test")()
        test.messageDelay = msec
        test.runTest(**arguments)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()  # a VTKObservationMixin beside this class
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent or slicer.qMRMLWidget()
        if parent is None:
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
        self._listen(slicer.app.moduleManager())

    def resourcePath(self, fileName: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / fileName)

    def setup(self) -> None:
        """Build the panel."""

    def cleanup(self) -> None:
        """Let go of everything."""

    def _listen(self, manager: Any) -> None:
        """Hear of the module's end, as long as the panel is there: tests open it very often."""
        words = ("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)
        manager.connect(*words)

        def stop(*_: Any) -> None:
            if shiboken6.isValid(manager):
                manager.disconnect(*words)

        self.parent.destroyed.connect(stop)

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        for node in self.getAllParameterNodes():
            return node
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        scene = slicer.mrmlScene
        if self.isSingletonParameterNode:
            node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None:
                node.SetAttribute("ModuleName", self.moduleName)  # closing the scene removes it
            return [] if node is None else [node]
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        self.messageDelay = 0

    def delayDisplay(self, message: str, *_: Any, **__: Any) -> None:
        slicer.app.processEvents()

    def runTest(self, **_: Any) -> None:
        for name in sorted(name for name in dir(self) if name.startswith("test")):
            self.setUp()
            getattr(self, name)()
            self.tearDown()


CLASSES = (
    ScriptedLoadableModule,
    ScriptedLoadableModuleWidget,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


def addModule(name: str, **content: Any) -> None:
    """Make a module importable that is not a file of its own."""
    module = types.ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    package, _, last = name.rpartition(".")
    if package:
        setattr(sys.modules[package], last, module)


def install() -> None:
    addModule("slicer.i18n", tr=lambda text: text, translate=lambda _context, text: text)
    content = {cls.__name__: cls for cls in CLASSES}
    addModule("slicer.ScriptedLoadableModule", __all__=list(content), **content)
