"""An application stand-in: slicer-core's real scene and PySide6 with the habits of Slicer's Qt.

Module code written for Slicer runs on it unmodified and without a display; see README.md, also for
what it cannot prove.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

answers: list[Any] = []  # given to the next message boxes and file dialogs, in this order
messages: list[str] = []  # what the message boxes said
uncaught: list[str] = []  # what slots and observers raised; nobody else would hear of it
meanwhile: list[Callable[[], Any]] = []  # what happens, one after another, while pip is at work
pipCalls: list[list[str]] = []  # what slicer.packaging was asked to install


def boot() -> Any:
    """Start the application once per process; return slicer.app."""
    from .Boot import boot as bootOnce

    return bootOnce()


def clear() -> None:
    """Close the scene as File > Close scene does, and put layout, messages and answers back."""
    from .Boot import clear as clearAll

    clearAll()


def loadModule(path: Path | str) -> Any:
    """Load a scripted module's file; return slicer.modules.<name>, with widgetRepresentation()."""
    from .Modules import loadModule as load

    return load(Path(path))


def savePng(shown: Any, path: Path | str, size: tuple[int, int] | None = None) -> Path:
    """Draw a widget, a slice view or a 3D view (or their widgets) as a picture.

    Args:
        size: width and height in pixels; by default as it is.
    """
    from .Pictures import savePng as save

    return save(shown, Path(path), size)


def saveLayoutPng(path: Path | str, size: tuple[int, int] = (1024, 768)) -> Path:
    """Draw the views of the current arrangement, each with its bar, as one picture."""
    from .Pictures import saveLayoutPng as save

    return save(Path(path), size)


def drop(widget: Any, things: Any) -> bool:
    """Drop things on a widget as a person would drag them there; return whether it takes them.

    Args:
        widget: what lies under the mouse: of a table, its viewport().
        things: nodes and item IDs, as dragged from the subject hierarchy, and paths of files.
    """
    from .DragAndDrop import drop as dropAll

    return dropAll(widget, things)


def saveScene(path: Path | str) -> None:
    """Write the scene's .mrml file as File > Save does, which tells before and after."""
    import slicer

    scene = slicer.mrmlScene
    scene.StartState(scene.SaveState)
    written = scene.Commit(str(path))
    scene.EndState(scene.SaveState)
    assert written


def waitForPip() -> None:
    """Wait as Slicer's installers do: whatever a person does meanwhile goes on as ever."""
    from .Packaging import wait

    wait()


def loadDicomSeries(folder: Path | str) -> Any:
    """Load the series in a folder as Slicer's DICOM module would; return the volume node."""
    from .Dicom import loadDicomSeries as load

    return load(Path(folder))
