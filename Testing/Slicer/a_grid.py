"""What a grid of views shows, and all of the reader's that it could have touched."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
from a_reading import aSegmentationOf
from a_scan import aScan

NAMES = ("Consensus", "Expert 1", "Expert 2", "Expert 3", "Expert 4")


def cells():
    """Return the slice nodes that are shown, row by row."""
    return [view.node for view in slicer.app.layoutManager().shownViews()]


def titles():
    return [node.GetLayoutLabel() for node in cells()]


def names():
    return [title.split(":")[0] for title in titles()]


def shadows():
    """Return what the views have put into the scene that is not the reader's."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetHideFromEditors()]


def readersState():
    """Return all of the reader's that a grid could touch, as something to compare."""
    state = [slicer.app.layoutManager().layout]
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode"):
        if node.GetDisplayableNode().GetHideFromEditors():
            continue
        ids = node.GetDisplayableNode().GetSegmentation().GetSegmentIDs()
        shown = [node.GetSegmentVisibility(one) for one in ids]
        state.append((node.GetID(), node.GetViewNodeIDs(), node.GetVisibility(), shown))
        state.append((node.GetAttributeNames(), node.GetSliceIntersectionThickness()))
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if not node.GetLayoutName().startswith("DiffOSeg"):
            links = node.GetLinkedControl(), node.GetHotLinkedControl()
            state.append((node.GetID(), node.GetBackgroundVolumeID(), links))
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        if not node.GetLayoutName().startswith("DiffOSeg"):
            place = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()).round(6).tolist()
            state.append((node.GetID(), place, node.GetFieldOfView(), node.GetLayoutLabel()))
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if not node.GetHideFromEditors():
            state.append((node.GetID(), node.GetNumberOfDisplayNodes()))
    return state


@contextmanager
def comparisonViews() -> Iterator[Any]:
    """Yield views to compare in; they are gone afterwards."""
    from DiffOSegLib.views.ComparisonViews import ComparisonViews

    made = ComparisonViews()
    yield made
    made.cleanup()


def blocksInAScan() -> Callable[..., tuple[Any, Any]]:
    """Return a function from names and (k, j, i) slices to a scan and segments of these blocks."""
    volume = aScan((40, 36, 12), origin=(0, 0, 0))

    def make(**blocks: Any) -> tuple[Any, Any]:
        masks = {}
        for name, block in blocks.items():
            masks[name] = np.zeros((12, 36, 40), bool)
            if block is not None:
                masks[name][block] = True
        return volume, aSegmentationOf(volume, masks)

    return make
