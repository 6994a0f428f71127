"""Annotated cases on disk as nodes in the scene: from a folder, or from a data list."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _
from slicer.util import arrayFromVolume, loadSegmentation, loadVolume

from diffoseg.cohorts.datalist import DataEntry
from diffoseg.errors import InputError
from diffoseg.reading.dicom_files import is_dicom as isDicom
from diffoseg.reading.image_file import is_image_file as isImageFile
from diffoseg.space.geometry import Box
from diffoseg.space.mask_values import is_label as isLabel
from diffoseg.space.mask_values import marked_by
from DiffOSegLib.scene.SceneInputs import checkVolume

from .CaseRows import CaseRow
from .FileWork import Files, FilesEvent
from .ScenePairs import drawnSegments

AddRows = Callable[[Sequence[CaseRow]], int]

_COLOR = (0.9, 0.6, 0.1)
_REGION = "DiffOSeg.Region"  # attribute of a box: its volume, and where a list has it
_NOTE = "DiffOSeg.Note"  # attribute of a node: what was made of its file
_FILE = "DiffOSeg.File"  # attribute of a node whose storage does not know its file


def loadCases(entries: Sequence[DataEntry], addRows: AddRows, note: str = "") -> Files:
    """Load scans and drawings, a case at each step; those that cannot be loaded are told of.

    Args:
        entries: what to load; without anyone in ``drawn``, all segments, drawn by whomever.
        addRows: takes the rows of one case, and returns how many are new.
        note: a sentence to be told first.
    """
    if note:
        yield FilesEvent("note", note, 0, len(entries))
    added = failed = 0
    for done, entry in enumerate(entries):
        name = entry.name or entry.image.name
        yield FilesEvent("progress", _("Loading {name}.").format(name=name), done, len(entries))
        try:
            rows = _rowsOf(entry)
            added += addRows(rows)
            for sentence in dict.fromkeys(filter(None, map(_noteOf, rows))):
                yield FilesEvent("note", sentence, done, len(entries))
        except (InputError, RuntimeError) as error:
            failed += 1
            yield FilesEvent("note", _notLoaded(name, error), done, len(entries))
    return _sum(added, failed)


def _noteOf(row: CaseRow) -> str:
    """Return what was made of the file of a row's drawing, or ""."""
    return (row.segmentation and row.segmentation.GetAttribute(_NOTE)) or ""


def _rowsOf(entry: DataEntry) -> list[CaseRow]:
    """Load what an entry names, unless it is loaded already; return its rows."""
    volumeNode = _loadedFrom(entry.image, "vtkMRMLScalarVolumeNode") or _volume(entry.image)
    segmentationNode = _loadedFrom(entry.label, "vtkMRMLSegmentationNode")
    if segmentationNode is None:
        segmentationNode = _segmentation(entry.label, list(filter(isLabel, entry.drawn)))
        role = segmentationNode.GetReferenceImageGeometryReferenceRole()
        segmentationNode.SetNodeReferenceID(role, volumeNode.GetID())
    roiNode = None if entry.region is None else _roi(entry.region, volumeNode)
    return [
        CaseRow(volumeNode, segmentationNode, segmentID, roiNode, expert, entry.patient)
        for segmentID, expert in _drawn(entry, segmentationNode)
    ]


def _drawn(
    entry: DataEntry, segmentationNode: "slicer.vtkMRMLSegmentationNode"
) -> Iterator[tuple[str, str]]:
    """Yield the ID of each segment that is meant, and who drew it, "" where nobody is named."""
    everything = drawnSegments(segmentationNode)
    if not entry.drawn:
        yield from ((segmentID, "") for segmentID in everything)
        return
    segmentation = segmentationNode.GetSegmentation()
    for name, expert in entry.drawn.items():
        segmentID = segmentation.GetSegmentIdBySegmentName(name) if name else ""
        if not name and len(everything) == 1:
            segmentID = everything[0]
        if not segmentID:
            raise InputError(
                _("{file} has no segment {name}.").format(file=entry.label.name, name=name)
                if name
                else _("{file} holds several segments, and the list does not say which.").format(
                    file=entry.label.name
                )
            )
        yield segmentID, expert


def _volume(path: Path) -> "slicer.vtkMRMLScalarVolumeNode":
    _requireNoDicom(path)
    node = loadVolume(str(path), {"show": False})
    try:
        checkVolume(node)
    except InputError:
        slicer.mrmlScene.RemoveNode(node)
        raise
    return node


def _requireNoDicom(path: Path) -> None:
    """Refuse what Slicer's volume readers would place or scale otherwise than its DICOM module."""
    if path.is_dir() or (not isImageFile(path) and isDicom(path)):
        raise InputError(
            _("{name} is DICOM. Import it in Slicer's DICOM module first.").format(name=path.name)
        )


def _segmentation(path: Path, labels: Sequence[str]) -> "slicer.vtkMRMLSegmentationNode":
    if path.name.lower().endswith((".seg.nrrd", ".seg.nhdr")):
        return loadSegmentation(str(path))
    _requireNoDicom(path)
    maskNode = loadVolume(str(path), {"show": False})
    try:
        return _fromMask(maskNode, path, labels or [""])
    finally:
        slicer.mrmlScene.RemoveNode(maskNode)


def _fromMask(
    maskNode: "slicer.vtkMRMLScalarVolumeNode", path: Path, labels: Sequence[str]
) -> "slicer.vtkMRMLSegmentationNode":
    """Return a segmentation with a segment for each label, named by its number; "" is the only one.

    Raises InputError where the values can mean several things, or lack a label.
    """
    name = maskNode.GetName()
    found = [marked_by(arrayFromVolume(maskNode), path.name, label) for label in labels]
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(maskNode)
    for label, (mask, note) in zip(labels, found, strict=True):
        segmentID = node.GetSegmentation().AddEmptySegment("", label or name, _COLOR)
        if mask.ndim == 3 and mask.any():
            slicer.util.updateSegmentBinaryLabelmapFromArray(
                mask.astype(np.uint8), node, segmentID, maskNode
            )
        if note:
            node.SetAttribute(_NOTE, note)
    node.SetAttribute(_FILE, str(path))
    return node


def _loadedFrom(path: Path, className: str) -> "slicer.vtkMRMLStorableNode | None":
    """Return the node that was loaded from a file, with whatever people have changed since."""
    for node in slicer.util.getNodesByClass(className):
        storage = node.GetStorageNode()
        known = storage.GetFullNameFromFileName() if storage is not None else None
        known = known or node.GetAttribute(_FILE)
        if known and Path(known) == path.absolute():
            return node
    return None


def _roi(box: Box, volumeNode: "slicer.vtkMRMLScalarVolumeNode") -> "slicer.vtkMRMLMarkupsROINode":
    """Return a region as a hidden box under the volume's transform, the same one for the same."""
    key = json.dumps([volumeNode.GetID(), *box.lower, *box.upper])
    for known in slicer.util.getNodesByClass("vtkMRMLMarkupsROINode"):
        if known.GetAttribute(_REGION) == key:
            return known
    name = _("{volume} region").format(volume=volumeNode.GetName())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    # Slicer's own format takes in the name, and a "%s" in that ends the whole application.
    node.SetControlPointLabelFormat("%d")
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    lower, upper = np.array(box.lower), np.array(box.upper)
    node.SetCenter(*(float(v) for v in (-1, -1, 1) * (lower + upper) / 2))
    node.SetSize(*(float(v) for v in upper - lower))
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility(False)
    node.SetAttribute(_REGION, key)
    return node


def _notLoaded(name: str, error: Exception) -> str:
    why = str(error) if isinstance(error, InputError) else _("Slicer cannot read it.")
    return _("{name} was left out: {why}").format(name=name, why=why)


def _sum(added: int, failed: int) -> str:
    said = _("1 case was added.") if added == 1 else _("{n} cases were added.").format(n=added)
    return said if not failed else said + " " + _("Left out: {n}.").format(n=failed)
