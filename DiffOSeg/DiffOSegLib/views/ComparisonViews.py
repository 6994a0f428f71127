"""The ways to look at a result: outlines over one slice, a grid, the disagreement, one alone.

Nothing here needs a window: what cannot be shown answers False. The reader's own layout, display
nodes and foregrounds are put back when a view is left, when what it shows is deleted, and when the
scene is closed.
"""

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..scene.SegmentPlaces import largestSection
from . import ExpertGrid, Shadows
from .DisagreementOverlay import DisagreementOverlay
from .Outlines import Outlines


class ComparisonViews(VTKObservationMixin):
    """What the panel's Compare section shows; one object per application."""

    def __init__(self) -> None:
        """Watch the scene; a grid that was saved with it is taken away."""
        super().__init__()
        self._outlines, self._overlay = Outlines(), DisagreementOverlay()
        self._inGrid: tuple[str, str] | None = None  # IDs of the segmentation and the volume
        self._save = ExpertGrid.Save()
        self._formerlyVisible: dict[str, list[str]] = {}
        self._onGridLeft: Callable[[], None] = lambda: None
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved)
        self.addObserver(scene, scene.StartCloseEvent, self._onStartClose)
        self.addObserver(scene, scene.StartSaveEvent, lambda *_: self._save.begin())
        self.addObserver(scene, scene.EndSaveEvent, lambda *_: self._save.end())
        self.addObserver(scene, scene.EndImportEvent, self._onEndImport)
        self._onEndImport()

    def cleanup(self) -> None:
        """Put everything back and let go of the scene."""
        self.leaveGrid()
        self._overlay.hide()
        self._outlines.hide()
        self.removeObservers()

    # --- outlines --------------------------------------------------------------------------------

    def showOutlines(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
        volumeNode: slicer.vtkMRMLScalarVolumeNode | None,
    ) -> bool:
        """Show all outlines over the scan in the reader's slice views, the consensus thicker."""
        if segmentationNode is None or volumeNode is None:
            return False
        with slicer.util.RenderBlocker():
            self._outlines.show(segmentationNode)
            for view in _readersViews():
                _putBehind(view, volumeNode)
        return True

    # --- grid ------------------------------------------------------------------------------------

    @property
    def gridShown(self) -> bool:
        """Whether the layout is the grid."""
        return ExpertGrid.isShown()

    def setOnGridLeft(self, onLeft: Callable[[], None]) -> None:
        """Have this called whenever the grid was left, also by another layout or a closed scene."""
        self._onGridLeft = onLeft

    def showGrid(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
        volumeNode: slicer.vtkMRMLScalarVolumeNode | None,
    ) -> bool:
        """Show a linked slice view per segment, consensus first, until leaveGrid().

        Shown again with the same nodes, it takes up new segments and stays at its slice. Of more
        than 12 segments the first 12 are shown.
        """
        node = ExpertGrid.layoutNode()
        if node is None or segmentationNode is None or volumeNode is None:
            return False
        if not segmentationNode.GetSegmentation().GetNumberOfSegments():
            return False
        segmentationNode.CreateDefaultDisplayNodes()
        shown = segmentationNode.GetID(), volumeNode.GetID()
        keepPlace = self.gridShown and self._inGrid == shown
        self._unwatchGrid()
        ExpertGrid.show(segmentationNode, volumeNode, keepPlace)
        self._inGrid = shown
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onLayoutModified)
        for event in Shadows.CHANGES:
            self.addObserver(segmentationNode, event, self._onSegmentsChanged)
        return True

    def leaveGrid(self) -> None:
        """Put the reader's layout and display nodes back; harmless where no grid is shown."""
        self._unwatchGrid()
        ExpertGrid.leave()
        self._onGridLeft()

    def _unwatchGrid(self) -> None:
        self.removeObservers(self._onLayoutModified)
        self.removeObservers(self._onSegmentsChanged)
        self._inGrid = None

    # --- disagreement and table ------------------------------------------------------------------

    def showDisagreement(self, disagreementNode: slicer.vtkMRMLScalarVolumeNode | None) -> bool:
        """Show the map over the scan with its legend; None puts the former foreground back."""
        with slicer.util.RenderBlocker():
            if disagreementNode is None:
                self._overlay.hide()
            else:
                self._overlay.show(disagreementNode)
        return disagreementNode is not None

    def showTable(self, tableNode: slicer.vtkMRMLTableNode | None) -> bool:
        """Show the table of volumes under the slice views, in Slicer's own layout for it."""
        if ExpertGrid.layoutNode() is None or tableNode is None:
            return False
        self.leaveGrid()
        # First the layout: before it, there may be no table view that takes the table.
        ExpertGrid.choose(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetActiveTableID(tableNode.GetID())
        logic.PropagateTableSelection()
        return True

    # --- one alone, and where --------------------------------------------------------------------

    def isolate(
        self, segmentationNode: slicer.vtkMRMLSegmentationNode | None, segmentID: str | None
    ) -> bool:
        """Show one segment alone; None shows again what was visible before."""
        if segmentationNode is None or segmentationNode.GetDisplayNode() is None:
            return False
        display, nodeID = segmentationNode.GetDisplayNode(), segmentationNode.GetID()
        every = list(segmentationNode.GetSegmentation().GetSegmentIDs())
        if segmentID is None:
            visible = self._formerlyVisible.pop(nodeID, every)
        else:
            self._formerlyVisible.setdefault(nodeID, list(display.GetVisibleSegmentIDs()))
            visible = [segmentID]
        wasModifying = display.StartModify()
        for one in every:
            display.SetSegmentVisibility(one, one in visible)
        display.EndModify(wasModifying)
        return True

    def centerOn(self, segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> bool:
        """Move all slice views to the largest section of the consensus, or of what is not empty."""
        section = largestSection(segmentationNode) if segmentationNode is not None else None
        if section is None:
            return False
        for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            view.JumpSliceByCentering(*section.center)
        return True

    # --- what happens meanwhile ------------------------------------------------------------------

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, _scene: Any, _event: str, node: Any) -> None:
        """Put back what showed the node; not before it is gone, or its views' pipelines crash."""
        if self._inGrid is not None and node.GetID() in self._inGrid:
            self.leaveGrid()
        if node.GetID() == self._overlay.shownID:
            self._overlay.hide()
        if node.IsA("vtkMRMLSegmentationNode"):
            self._formerlyVisible.pop(node.GetID(), None)
            for shadow in Shadows.shadows():
                if Shadows.original(shadow) is None:
                    Shadows.remove(shadow)

    def _onStartClose(self, *_args: Any) -> None:
        self.leaveGrid()
        self._overlay.hide()
        self._formerlyVisible.clear()

    def _onEndImport(self, *_args: Any) -> None:
        """Take away a grid that the scene was saved with."""
        if self._inGrid is None or not self.gridShown:
            self.leaveGrid()

    def _onLayoutModified(self, *_args: Any) -> None:
        """Put the display nodes back when the reader has chosen another layout."""
        if ExpertGrid.wasLeft():
            self.leaveGrid()

    def _onSegmentsChanged(self, segmentationNode: Any, _event: str) -> None:
        """Draw an edited segment as it is now; give a new one its cell as soon as it comes."""
        if self._inGrid is None:
            return
        if ExpertGrid.holds(segmentationNode):
            ExpertGrid.refresh(segmentationNode)
        elif not self.showGrid(segmentationNode, slicer.mrmlScene.GetNodeByID(self._inGrid[1])):
            self.leaveGrid()


def _readersViews() -> "list[slicer.vtkMRMLSliceNode]":
    own = ExpertGrid.gridViews()
    return [view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if view not in own]


def _putBehind(view: slicer.vtkMRMLSliceNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a scan as the background of a view; one that shows it already keeps its zoom."""
    logic = slicer.app.applicationLogic().GetSliceLogic(view)
    composite = logic.GetSliceCompositeNode() if logic is not None else None
    if composite is None or composite.GetBackgroundVolumeID() == volumeNode.GetID():
        return
    composite.SetBackgroundVolumeID(volumeNode.GetID())
    logic.FitSliceToBackground()
    logic.SnapSliceOffsetToIJK()
