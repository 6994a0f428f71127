"""The disagreement map over the scan, with its legend; what was in the foreground comes back."""

from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from ..scene.ResultMaps import DISAGREEMENT, MAP
from .ExpertGrid import gridViews

_OPACITY = 0.6
_LEGEND = (0.06, 0.4)  # width and height as parts of the view; the labels' size follows the width


@dataclass(frozen=True)
class Foreground:
    """What a slice view shows over its background."""

    volumeID: str | None
    opacity: float
    compositing: int


class DisagreementOverlay:
    """Shows one map in the foreground of all slice views."""

    def __init__(self) -> None:
        self._former: dict[str, Foreground] = {}
        self._shownID: str | None = None
        self._legendID: str | None = None

    @property
    def shownID(self) -> str | None:
        """The node ID of the map that is shown, None for none."""
        return self._shownID

    def show(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Show a map, in the colours and above the threshold of its own display node."""
        self.hide()
        self._shownID = node.GetID()
        for composite in _composites():
            self._former[composite.GetID()] = _foregroundOf(composite)
            _put(composite, Foreground(node.GetID(), _OPACITY, composite.Alpha))
        self._legendID = _addLegend(node)

    def hide(self) -> None:
        """Put the former foreground back, unless the reader has put another there meanwhile."""
        for composite in _composites():
            node = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID() or "")
            gone = node is None and composite.GetID() in self._former
            if gone or (node is not None and self._isMap(node)):
                former = self._former.get(composite.GetID(), Foreground(None, 0.0, composite.Alpha))
                _put(composite, former)
                self._legendID = self._legendID or _legendOf(node)
        legend = slicer.mrmlScene.GetNodeByID(self._legendID or "")
        if legend is not None:
            slicer.mrmlScene.RemoveNode(legend)
        self._former.clear()
        self._shownID = self._legendID = None

    def _isMap(self, node: slicer.vtkMRMLNode) -> bool:
        """Return whether a node is a disagreement map, also one from a loaded scene."""
        return node.GetID() == self._shownID or node.GetAttribute(MAP) == DISAGREEMENT.key


def _composites() -> "list[slicer.vtkMRMLSliceCompositeNode]":
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def _foregroundOf(composite: slicer.vtkMRMLSliceCompositeNode) -> Foreground:
    return Foreground(
        composite.GetForegroundVolumeID(),
        composite.GetForegroundOpacity(),
        composite.GetCompositing(),
    )


def _put(composite: slicer.vtkMRMLSliceCompositeNode, foreground: Foreground) -> None:
    volumeID = foreground.volumeID
    exists = volumeID is not None and slicer.mrmlScene.GetNodeByID(volumeID) is not None
    composite.SetForegroundVolumeID(volumeID if exists else None)
    composite.SetForegroundOpacity(foreground.opacity)
    composite.SetCompositing(foreground.compositing)


def _addLegend(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """Add a legend for the map's colours; return its node ID."""
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    if legend is None:
        return None
    legend.SetTitleText(_("Disagreement between experts\n(standard deviation)"))
    legend.SetLabelFormat("%.1f")
    legend.SetNumberOfLabels(6)
    legend.SetSize(*_LEGEND)
    legend.SetVisibility3D(False)
    cells = gridViews()[1:]  # in the grid, one legend is enough
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        if view not in cells:
            legend.AddViewNodeID(view.GetID())
    legend.SetVisibility(True)
    return legend.GetID()


def _legendOf(node: slicer.vtkMRMLScalarVolumeNode | None) -> str | None:
    """Return the node ID of the legend that a map has, as one from a loaded scene does."""
    if node is None or node.GetDisplayNode() is None:
        return None
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    return legend.GetID() if legend is not None else None
