"""Hearing that a node goes before the selectors do, which would choose its neighbour instead."""

from collections.abc import Callable
from typing import Any

import slicer
import vtk

_BEFORE_THE_SELECTORS = 100.0  # priority of the observer


def observeRemovals(onRemoved: Callable[[Any], None]) -> Callable[[], None]:
    """Have this called with each node that is about to leave the scene; return what stops that.

    Not while the scene is closed, when all of them go.
    """
    scene = slicer.mrmlScene

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onAboutToBeRemoved(_scene: Any, _event: str, node: Any) -> None:
        if not scene.IsClosing():
            onRemoved(node)

    tag = scene.AddObserver(
        scene.NodeAboutToBeRemovedEvent, onAboutToBeRemoved, _BEFORE_THE_SELECTORS
    )
    return lambda: scene.RemoveObserver(tag)
