"""The application stand-in: scene, modules, messages."""

from typing import Any

import slicer


def test_the_scene_is_the_applications(scene: Any, host: Any) -> None:
    assert slicer.mrmlScene is scene
    assert slicer.app is host


def test_main_window_has_a_status_bar(scene: Any) -> None:
    assert slicer.util.showStatusMessage("Ready")
    assert slicer.util.mainWindow().statusBar().currentMessage() == "Ready"
