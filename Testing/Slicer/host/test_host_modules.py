"""Scripted modules: loaded, shown, entered, reloaded as in the application."""

from pathlib import Path
from typing import Any

import pytest
import qt
import slicer

import SlicerHost

CODE = """
import qt, slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class {name}(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Host module")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.started = 0
        slicer.app.connect("startupCompleted()", self.onStartup)

    def onStartup(self):
        self.started += 1


class {name}Widget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.calls = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.label = qt.QLabel("Ready")
        self.layout.addWidget(self.label)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onClose)

    def onClose(self, caller, event):
        self.calls.append("closed")

    def enter(self):
        self.calls.append("enter")

    def exit(self):
        self.calls.append("exit")

    def cleanup(self):
        self.calls.append("cleanup")
        self.removeObservers()


class {name}Logic(ScriptedLoadableModuleLogic):
    pass


class {name}Test(ScriptedLoadableModuleTest):
    ran = 0

    def test_something(self):
        type(self).ran += 1
        self.assertTrue(slicer.app.testingEnabled())
"""


@pytest.fixture
def module(scene: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Return a module of its own name for each test."""
    name = "Host" + request.node.name.title().replace("_", "")[4:24]
    (tmp_path / f"{name}.py").write_text(CODE.format(name=name))
    return SlicerHost.loadModule(tmp_path / f"{name}.py")


def test_a_module_is_found_by_its_lower_case_name(module: Any) -> None:
    assert getattr(slicer.modules, module.name.lower()) is module
    assert (module.title, module.categories) == ("Host module", ["Segmentation"])
    assert slicer.util.modulePath(module.name) == module.path
    assert SlicerHost.loadModule(module.path) is module


def test_its_panel_is_made_once(module: Any, tmp_path: Path) -> None:
    frame = module.widgetRepresentation()
    assert module.widgetRepresentation() is frame
    assert frame.self() is getattr(slicer.modules, module.name + "Widget")
    assert frame.self().label.text == "Ready"
    picture = SlicerHost.savePng(frame, tmp_path / "panel.png", (200, 100))
    assert not qt.QImage(str(picture)).isNull()


def test_startup_is_heard_once(module: Any, scene: Any) -> None:
    slicer.app.completeStartup()
    assert getattr(slicer.modules, module.name + "Instance").started == 1


def test_a_panel_is_entered_and_left(module: Any) -> None:
    slicer.util.selectModule(module.name)
    widget = module.widgetRepresentation().self()
    assert widget.parent.isEntered
    assert slicer.util.selectedModule() == module.name
    slicer.util.selectModule("Data")
    assert widget.calls == ["enter", "exit"]
    assert not widget.parent.isEntered


def test_a_panel_is_reloaded_with_its_code(module: Any, scene: Any) -> None:
    old = module.widgetRepresentation().self()
    path = Path(module.path)
    path.write_text(path.read_text().replace("Ready", "Changed"))
    slicer.util.reloadScriptedModule(module.name)
    new = module.widgetRepresentation().self()
    scene.Clear(False)
    assert new.label.text == "Changed"
    assert (old.calls, new.calls) == (["cleanup"], ["closed"])


def test_panels_clean_up_when_modules_are_unloaded(module: Any) -> None:
    widget = module.widgetRepresentation().self()
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(module.name)
    assert widget.calls == ["cleanup"]


def test_its_own_tests_are_run(module: Any) -> None:
    slicer.selfTests[module.name]()
    import sys

    assert getattr(sys.modules[module.name], module.name + "Test").ran == 1


def test_its_logic_keeps_one_parameter_node(module: Any) -> None:
    import sys

    logic = getattr(sys.modules[module.name], module.name + "Logic")()
    node = logic.getParameterNode()
    assert node is logic.getParameterNode()
    assert (node.GetAttribute("ModuleName"), node.GetSingletonTag()) == (module.name, module.name)
    slicer.mrmlScene.RemoveNode(node)
