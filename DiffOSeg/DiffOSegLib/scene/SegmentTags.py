"""What a segment says of how it came about, and the watch that notices when a reader edits it.

Slicer's DICOM export reads who drew a segment from its tags: AUTOMATIC for what the model drew,
SEMIAUTOMATIC once its voxels are no longer the model's. A fingerprint of the voxels stands in
another tag, so that a scene that was saved, or edited where this extension is not, still tells.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import slicer
import vtk

from diffoseg.output.segment_tags import (
    ALGORITHM_NAME,
    ALGORITHM_TYPE,
    AUTOMATIC,
    PRESENCE_GIVEN,
    PRESET,
    SEMIAUTOMATIC,
    TERMINOLOGY,
    algorithm_name,
)

from .SegmentVoxels import LABELMAP, cropOf, referenceGrid

EXPERT = "DiffOSeg.Expert"
VOXELS = "DiffOSeg.Voxels"
PRESENCE = "DiffOSeg.Presence"
PRESENCE_MEANS = "DiffOSeg.PresenceMeans"

_NEAR = 0.01  # mm, or voxels
_PREFIX = "DiffOSeg."


def tagAsDrawn(
    segmentation: slicer.vtkSegmentation,
    segment: slicer.vtkSegment,
    expert: str,
    facts: Mapping[str, Any],
) -> None:
    """Write who drew a segment, and with what, into its tags; its voxels must be in place.

    Args:
        segmentation: that the segment is in, or will be.
        segment: what the model drew.
        expert: the model's own name of the expert.
        facts: further tags, which get the prefix "DiffOSeg.".
    """
    tags = {
        slicer.vtkSegment.GetTerminologyEntryTagName(): TERMINOLOGY,
        ALGORITHM_TYPE: AUTOMATIC,
        ALGORITHM_NAME: algorithm_name(expert),
        EXPERT: expert,
        VOXELS: fingerprint(segmentation, segment) or "",
    }
    addTags(segment, tags | {_PREFIX + key: value for key, value in facts.items()})


def tagAsAsked(segment: slicer.vtkSegment, preset: str | None, presence: float | None) -> None:
    """Write into a segment's tags with how much care it was drawn, and given what.

    Args:
        segment: that the model drew, or had a hand in.
        preset: that counted; None where a number of steps stood in its place.
        presence: that was given; None where the model predicted it.
    """
    addTags(segment, {PRESET: preset, PRESENCE_GIVEN: presence})


def askedOf(segment: slicer.vtkSegment) -> tuple[str | None, float | None]:
    """Return the preset and the presence that ``tagAsAsked`` wrote, None for what is not there."""
    try:
        given = float(tagOf(segment, PRESENCE_GIVEN))
    except ValueError:  # none, or somebody's own
        given = 0.0
    return tagOf(segment, PRESET) or None, given if 0 < given <= 1 else None


def addTags(segment: slicer.vtkSegment, tags: Mapping[str, Any]) -> None:
    """Set tags, as :func:`tagText` writes them; those that are None are left out."""
    for key, value in tags.items():
        if value is not None:
            segment.SetTag(key, tagText(value))


def tagText(value: Any) -> str:
    """Return a value as a tag: what cannot stand in a .seg.nrrd file's is "/" or a space."""
    return " ".join(str(value).replace("|", "/").split())


def tagOf(segment: slicer.vtkSegment, key: str) -> str:
    """Return a segment's tag, "" where it has none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(key, value) else ""


def fingerprint(segmentation: slicer.vtkSegmentation, segment: slicer.vtkSegment) -> str | None:
    """Return what changes when a voxel of the segment does, whatever the extent it is stored with.

    It is a hash of the content of the box around the segment, then the place of the box's first
    voxel twice: RAS mm, and index in the segmentation's reference grid. "empty" for no voxel, None
    for a segment without a labelmap.
    """
    if segment.GetRepresentation(LABELMAP) is None:
        return None
    crop = cropOf(segment)
    if crop is None:
        return "empty"
    mask, toRas = crop
    digest = hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes())
    place = toRas[:, 3]
    reference = referenceGrid(segmentation)
    index = place if reference is None else np.linalg.solve(reference, place)
    return " ".join([digest.hexdigest()[:32], *(f"{v:.4f}" for v in (*place[:3], *index[:3]))])


def observeResults(scene: slicer.vtkMRMLScene) -> None:
    """Mark segments of the model as SEMIAUTOMATIC as soon as a reader edits their voxels.

    Works for all segmentations now in the scene and all that come to it. Calling it again is
    harmless; it lasts as long as the scene, also when that is closed and loaded.
    """
    if scene not in _watches:
        _watches[scene] = _EditWatch(scene)


_watches: "WeakKeyDictionary[slicer.vtkMRMLScene, _EditWatch]" = WeakKeyDictionary()


class _EditWatch:
    """Observes every segmentation of one scene; the scene's observers keep it alive."""

    _EVENTS = (
        slicer.vtkSegmentation.SourceRepresentationModified,
        slicer.vtkSegmentation.SegmentModified,  # all that editing an array in Python reports
    )

    def __init__(self, scene: slicer.vtkMRMLScene):
        self._busy = False
        scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._onNodeAdded)
        scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, self._onImported)
        for node in _segmentationsOf(scene):
            self._observe(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _scene: Any, _event: str, node: Any) -> None:
        if isinstance(node, slicer.vtkMRMLSegmentationNode):
            self._observe(node)

    def _observe(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        for event in self._EVENTS:
            node.AddObserver(event, self._onModified)

    def _onImported(self, scene: slicer.vtkMRMLScene, _event: str) -> None:
        for node in _segmentationsOf(scene):
            self._mark(node, node.GetSegmentation().GetSegmentIDs())

    @vtk.calldata_type(vtk.VTK_STRING)
    def _onModified(
        self, node: slicer.vtkMRMLSegmentationNode, _event: str, changedID: str = ""
    ) -> None:
        """Look at the segment that changed, for a look hashes its voxels; or at all of them."""
        self._mark(node, [changedID] if changedID else node.GetSegmentation().GetSegmentIDs())

    def _mark(self, node: slicer.vtkMRMLSegmentationNode, segmentIDs: Iterable[str]) -> None:
        scene = node.GetScene()
        if self._busy or scene is None or scene.IsBatchProcessing():
            return
        self._busy = True  # a tag that is set is a modification too
        try:
            segmentation = node.GetSegmentation()
            for segment in map(segmentation.GetSegment, segmentIDs):
                if segment is not None:
                    markIfEdited(segmentation, segment)
        finally:
            self._busy = False


def markIfEdited(segmentation: slicer.vtkSegmentation, segment: slicer.vtkSegment) -> None:
    """Set the tag of a segment of the model to what its voxels say; leave all other segments."""
    drawn, drawnBy = tagOf(segment, VOXELS), tagOf(segment, ALGORITHM_TYPE)
    if not drawn or drawnBy not in (AUTOMATIC, SEMIAUTOMATIC):
        return
    now = fingerprint(segmentation, segment)
    if now is None:
        return
    truth = AUTOMATIC if _isSame(drawn, now) else SEMIAUTOMATIC
    if truth != drawnBy:
        segment.SetTag(ALGORITHM_TYPE, truth)


def _isSame(first: str, second: str) -> bool:
    """Return whether two fingerprints are of the same voxels, in spite of rounding on disk.

    Hardening a transform moves voxels together with the reference grid, and choosing another
    reference grid leaves them in place; only editing changes both.
    """
    (digest, *place), (otherDigest, *otherPlace) = first.split(), second.split()
    if digest != otherDigest or len(place) != len(otherPlace):
        return False
    isNear = [abs(float(a) - float(b)) < _NEAR for a, b in zip(place, otherPlace, strict=True)]
    return all(isNear[:3]) or all(isNear[3:])


def _segmentationsOf(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSegmentationNode]:
    nodes = scene.GetNodesByClass("vtkMRMLSegmentationNode")
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
