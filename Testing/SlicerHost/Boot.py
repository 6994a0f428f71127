"""Starting the application, and clearing it between tests."""

import ctypes
import os
import sys
import traceback
from pathlib import Path
from typing import Any

_application: Any = None


def boot() -> Any:
    global _application
    if _application is None:
        _holdConstants()
        _silence()
        _application = _start()
    return _application


def clear() -> None:
    import slicer

    import SlicerHost

    boot()
    _deletePromised()
    slicer.mrmlScene.Clear(False)
    slicer.app.layoutManager().restore()
    slicer.util.mainWindow().moduleSelector().selectModule("")
    slicer.app.settings().clear()
    slicer.app.setTestingEnabled(True)
    for record in (
        SlicerHost.answers,
        SlicerHost.messages,
        SlicerHost.uncaught,
        SlicerHost.meanwhile,
        SlicerHost.pipCalls,
    ):
        record.clear()


def _deletePromised() -> None:
    """Delete what deleteLater() was asked for: only a running event loop would do it."""
    from PySide6.QtCore import QCoreApplication, QEvent

    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def _holdConstants() -> None:
    """Give None, True and False references to spare: PySide6 6.12 takes away some it never had.

    At each emit() and each call that returns nothing; after some 17 000 of them the process would
    end. From Python 3.12 on they cannot be freed.
    """
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


def _silence() -> None:
    """Choose what needs no display, where there is none."""
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def _passOn(_kind: Any, _context: Any, text: str) -> None:
    """Print what Qt says, but for the offscreen platform's own shortcomings."""
    if "propagateSizeHints" not in text:
        sys.stderr.write(text + "\n")


def _start() -> Any:
    import vtk
    from PySide6.QtCore import qInstallMessageHandler

    from . import PythonQt

    qInstallMessageHandler(_passOn)
    window = vtk.vtkOutputWindow()
    window.SetDisplayModeToAlwaysStdErr()
    vtk.vtkOutputWindow.SetInstance(window)
    qt = PythonQt.install()
    from . import Scene
    from .UiFile import QUiLoader

    qt.QUiLoader = QUiLoader
    scene, logic = Scene.build()
    from .Application import Application
    from .SubjectHierarchy import PluginHandler

    application = Application(scene, logic)
    application.keep(PluginHandler(scene))
    _addStandIns()
    from . import Messages

    Messages.install()
    sys.excepthook = _remember
    application.completeStartup()
    return application


def _addStandIns() -> None:
    import slicer

    from . import Mrml, NodeSelectors  # noqa: F401

    source = os.environ.get("SLICER_SOURCE")
    if source:
        slicer.__path__.append(str(Path(source) / "Base" / "Python" / "slicer"))
        import slicer.packaging
        import slicer.parameterNodeWrapper
        import slicer.ScriptedLoadableModule
    else:
        from . import Packaging, ParameterNode, ScriptedModule

        for module in (ScriptedModule, ParameterNode, Packaging):
            module.install()
    from . import Modules, SegmentEditor

    Modules.install()
    SegmentEditor.install()


def _remember(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Keep what a slot or an observer raised: Qt and VTK only print it."""
    import SlicerHost

    SlicerHost.uncaught.append("".join(traceback.format_exception(kind, error, trace)))
    sys.__excepthook__(kind, error, trace)
