"""From the engine to the scene: a run's answers as nodes, each as soon as it is finished.

One segmentation with a segment for the consensus and one for each expert; their probability maps,
the experts' disagreement and a table; all in one folder beside the volume and under its transform.
A node appears when there is something in it, so that a run that fails leaves nothing half made.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from diffoseg.errors import DiffOSegError, InputError
from diffoseg.experts.panel import display_name
from diffoseg.model.cards import ModelCard

from . import Presence
from .ChosenSegmentation import freeSegmentName, gridWarning, requireRoom
from .Conditions import conditions
from .Matrices import between, ijkToRas
from .ResultFolder import RUN, SCAN, ResultFolder, sizeWarning, uniqueRunName
from .ResultMaps import DISAGREEMENT, PROBABILITY, MapKind, MapVolume, cropGrid, pieces
from .RunRequest import RunRequest
from .SceneInputs import modalityOf
from .SegmentTags import EXPERT, PRESENCE, PRESENCE_MEANS, addTags, tagAsAsked, tagAsDrawn
from .SegmentVoxels import LABELMAP, boxAround
from .VolumeTable import makeTable

Message = dict[str, Any]
"""What the worker says, read from its line of JSON."""

_MOVED_MM = 0.01  # less than this is the rounding of matrices


@dataclass(frozen=True)
class OutputOptions:
    """What a run leaves in the scene.

    Attributes:
        segmentationNode: where segments are added to those that are there; None makes a new one.
        probabilityMaps: a volume for each answer.
        disagreementMap: a volume, where there are two experts or more.
        table: the volumes with their ranges, overlaps and distances.
    """

    segmentationNode: "slicer.vtkMRMLSegmentationNode | None" = None
    probabilityMaps: bool = True
    disagreementMap: bool = True
    table: bool = True


class SceneResults:
    """Takes a run's messages and makes nodes of them; the sink of ``DiffOSegLogic.start``.

    Attributes:
        segmentationNode: None until the first answer is there.
        probabilityNodes: by the expert's name.
        disagreementNode, tableNode: None until the run has ended, or where not asked for.
        warnings: the worker's sentences and those on how the scene is arranged.

    Nothing here raises because a node has vanished from the scene: without the volume nothing more
    is added, and a segmentation that was removed is made anew for the next answer. InputError is
    raised where the volume has been given other voxels, which the answers would not fit.
    """

    def __init__(
        self, volumeNode: slicer.vtkMRMLVolumeNode, options: OutputOptions, card: ModelCard
    ):
        """Raise InputError where the chosen segmentation cannot take the answers."""
        if options.segmentationNode is not None:
            requireRoom(options.segmentationNode, volumeNode)
        self.segmentationNode = None
        self.probabilityNodes: dict[str, slicer.vtkMRMLScalarVolumeNode] = {}
        self.disagreementNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self.tableNode: slicer.vtkMRMLTableNode | None = None
        self._volumeNode, self._options, self._card = volumeNode, options, card
        self._size = _sizeOf(volumeNode)
        self._lattice = ijkToRas(volumeNode)  # in the space of the segmentation
        self._segments: dict[str, slicer.vtkSegment] = {}
        self._unfinished: dict[str, tuple[Any, int]] = {}  # outlines' voxels as they came
        self.warnings: list[str] = []
        self._abandoned = False

    def begin(self, request: RunRequest, started: Message) -> None:
        """Take what was asked and the worker's "started" message: the region, and warnings."""
        self._asked = request
        start, size = started["region"]["start"], started["region"]["size"]
        self._start = (int(start[0]), int(start[1]), int(start[2]))
        self._shape = (int(size[2]), int(size[1]), int(size[0]))
        self._name = uniqueRunName(self._volumeNode)
        self._folder = ResultFolder(self._volumeNode, self._name)
        self._warn(started["warnings"])
        self._warn(sizeWarning(self._volumeNode))
        self._warn(gridWarning(self._options.segmentationNode, self._volumeNode))

    def addOutline(self, outline: Message, folder: Path) -> Iterator[None]:
        """Add one answer's segment, step by step, before there are samples."""
        if self._gone():
            return
        mask = np.zeros(self._shape, bool)
        for rows, piece in pieces(folder / outline["probability"], self._shape):
            mask[rows] = piece > outline["level"]
            yield
        if not self._gone():
            self._addSegment(mask, outline)
            self._unfinished[outline["expert"]] = _voxelsOf(self._segments[outline["expert"]])

    def addExpert(self, result: Message, folder: Path) -> Iterator[None]:
        """Add one answer, step by step: its segment, and its probability map where asked for.

        A segment that is there as an outline takes the place of none: it is completed.
        """
        if self._gone():
            return
        volume = MapVolume(self._shape)
        mask = np.zeros(self._shape, bool)
        for rows, piece in pieces(folder / result["probability"], self._shape):
            volume.voxels[rows] = piece
            mask[rows] = piece > result["level"]
            yield
        if self._gone():
            return
        if not self._completed(mask, result):
            self._addSegment(mask, result)
        yield
        if self._options.probabilityMaps and not self._gone():
            expert = result["expert"]
            name = _("{run} {expert} probability").format(
                run=self._name, expert=display_name(expert)
            )
            node = self._addMap(volume, name, PROBABILITY)
            node.SetAttribute(EXPERT, expert)
            self.probabilityNodes[expert] = node

    def finish(self, done: Message, folder: Path) -> Iterator[None]:
        """Add what compares the answers, and write into all nodes how they came about."""
        self._dropUnfinished()
        self._warn(done["warnings"])
        self._warn(self._movedWarning())
        if self._options.disagreementMap and done["disagreement"]:
            volume = MapVolume(self._shape)
            for rows, piece in pieces(folder / done["disagreement"], self._shape):
                volume.voxels[rows] = piece
                yield
            if self._gone():
                return
            name = _("{run} disagreement").format(run=self._name)
            self.disagreementNode = self._addMap(volume, name, DISAGREEMENT)
            yield
        if self._gone():
            return
        if self._options.table and done["rows"]:
            asked, modality = self._asked, modalityOf(self._volumeNode)
            name = _("{run} volumes").format(run=self._name)
            given = conditions(asked.presetUsed, asked.presence)
            title = f"{name}, {given}" if given else name
            self.tableNode = makeTable(done["rows"], title, modality, self._presenceMeans)
            self._place(self.tableNode)
            yield
        self._describe(done["provenance"])

    def abandon(self) -> None:
        """Add nothing more; what is in the scene stays."""
        self._abandoned = True

    def _gone(self) -> bool:
        if self._abandoned or self._volumeNode.GetScene() is None:
            return True
        if _sizeOf(self._volumeNode) != self._size:
            raise InputError(
                _(
                    "{volume} was given other voxels during the run. What was finished is kept. Run"
                    " again for the new ones."
                ).format(volume=self._volumeNode.GetName())
            )
        return False

    def _warn(self, sentences: Any) -> None:
        self.warnings += [text for text in sentences if text not in self.warnings]

    def _movedWarning(self) -> list[str]:
        """Return a sentence where the volume no longer lies where the segments do."""
        node = self.segmentationNode
        if self._gone() or node is None or node.GetScene() is None or not self._segments:
            return []
        toVolume = between(node, self._volumeNode)
        if toVolume is not None and np.allclose(
            toVolume @ self._lattice, ijkToRas(self._volumeNode), atol=_MOVED_MM
        ):
            return []
        return [
            _(
                "The scan was moved during the run and the segments were not. Give {segmentation}"
                " the scan's transform, or run again."
            ).format(segmentation=node.GetName())
        ]

    def _addSegment(self, mask: np.ndarray, result: Message) -> None:
        """Add an answer's voxels, already tagged, as a segment with a layer of its own."""
        segmentation = self._segmentation().GetSegmentation()
        segment = slicer.vtkSegment()
        segment.SetColor(*(float(v) for v in result["color"]))
        segment.AddRepresentation(LABELMAP, self._labelmap(mask))
        self._tag(segmentation, segment, result)
        segment.SetName(freeSegmentName(segmentation, display_name(result["expert"])))
        segmentID = segmentation.GenerateUniqueSegmentID(result["slug"])
        if not segmentation.AddSegment(segment, segmentID):
            raise DiffOSegError(_("Slicer could not add a segment. Run it into a new one."))
        self._segments[result["expert"]] = segment

    def _completed(self, mask: np.ndarray, result: Message) -> bool:
        """Bring the segment of an outline to what is known now; False where there is none.

        What the reader has edited meanwhile is the reader's, and stays.
        """
        came = self._unfinished.pop(result["expert"], None)
        segment, node = self._segments.get(result["expert"]), self.segmentationNode
        if segment is None or node is None or node.GetScene() is None:
            return False
        segmentation = node.GetSegmentation()
        if not segmentation.GetSegmentIdBySegment(segment):
            return False
        with slicer.util.NodeModify(node):
            if _voxelsOf(segment) == came:
                segment.AddRepresentation(LABELMAP, self._labelmap(mask))
            self._tag(segmentation, segment, result)
        return True

    def _dropUnfinished(self) -> None:
        """Take away outlines whose samples never came, but for those that the reader has edited."""
        node = self.segmentationNode
        for expert, came in self._unfinished.items():
            segment = self._segments[expert]
            if node is None or node.GetScene() is None or _voxelsOf(segment) != came:
                continue
            del self._segments[expert]
            segmentation = node.GetSegmentation()
            if segmentID := segmentation.GetSegmentIdBySegment(segment):
                segmentation.RemoveSegment(segmentID)
        self._unfinished.clear()

    def _tag(self, segmentation: Any, segment: slicer.vtkSegment, result: Message) -> None:
        facts = {
            "Samples": result["samples"],
            "Model": self._card.name,
            "WeightsHash": self._card.hash,
            "Notice": self._card.notice,
        }
        tagAsDrawn(segmentation, segment, result["expert"], facts)
        tagAsAsked(segment, self._asked.presetUsed, self._asked.presence)
        presence = {PRESENCE: f"{result['presence']:.4g}", PRESENCE_MEANS: self._presenceMeans}
        addTags(segment, presence)

    def _labelmap(self, mask: np.ndarray) -> slicer.vtkOrientedImageData:
        """Return the box around the mask's voxels, on the volume's own lattice.

        It is the one that the volume had when the segmentation was put under its transform: the
        reader may have hardened that since, and the segmentation stands where it stood.
        """
        image = slicer.vtkOrientedImageData()
        image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(self._lattice))
        box = boxAround(mask)
        if box is None:
            image.SetExtent(0, -1, 0, -1, 0, -1)
            image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
            return image
        spans = zip(box[::-1], self._start, strict=True)
        image.SetExtent(*(v for s, a in spans for v in (s.start + a, s.stop + a - 1)))
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask[box].ravel()
        return image

    @property
    def _presenceMeans(self) -> str:
        return Presence.meaning(self._card, self._asked.presence)

    def _segmentation(self) -> slicer.vtkMRMLSegmentationNode:
        """Return the node that the run's segments go to, made where there is none."""
        node = self.segmentationNode or self._options.segmentationNode
        if node is None or node.GetScene() is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", self._name)
            self._place(node)
        if not node.GetSegmentation().GetNumberOfSegments():
            # In this order: the geometry is taken over in the segmentation's own space.
            node.SetAndObserveTransformNodeID(self._volumeNode.GetTransformNodeID())
            node.SetReferenceImageGeometryParameterFromVolumeNode(self._volumeNode)
            self._lattice = ijkToRas(self._volumeNode)
        node.SetNodeReferenceID(SCAN, self._volumeNode.GetID())
        if node.GetDisplayNode() is None:
            node.CreateDefaultDisplayNodes()
        self.segmentationNode = node
        return node

    def _addMap(
        self, volume: MapVolume, name: str, kind: MapKind
    ) -> slicer.vtkMRMLScalarVolumeNode:
        grid = cropGrid(self._volumeNode, self._start)
        node = volume.addTo(slicer.mrmlScene, name, kind, grid)
        node.SetAndObserveTransformNodeID(self._volumeNode.GetTransformNodeID())
        self._place(node)
        return node

    def _place(self, node: slicer.vtkMRMLNode) -> None:
        """Put a node into the run's folder and write on it what is known from the start."""
        node.SetAttribute(RUN, self._name)
        node.SetAttribute("DiffOSeg.Notice", self._card.notice)
        self._folder.put(node)

    def _describe(self, provenance: Mapping[str, Any]) -> None:
        """Write how the run was made into its nodes' attributes and its segments' tags."""
        nodes = [
            self.segmentationNode,
            *self.probabilityNodes.values(),
            self.disagreementNode,
            self.tableNode,
        ]
        text = json.dumps(dict(provenance), ensure_ascii=False)
        for node in nodes:
            # A chosen segmentation may hold several runs: there, only the segments tell.
            if node is not None and node is not self._options.segmentationNode:
                node.SetAttribute("DiffOSeg.Provenance", text)
                node.SetAttribute("DiffOSeg.Warnings", "\n".join(self.warnings))
        node = self.segmentationNode
        if node is None or node.GetScene() is None:
            return
        tags = {
            _tagName(key): _tagValue(value)
            for key, value in provenance.items()
            # How many this expert really has is there already, and what was given for presence.
            if key not in ("samples", "presence")
        } | {"DiffOSeg.Warnings": " ".join(self.warnings) or None}
        with slicer.util.NodeModify(node):  # one event, however many tags
            for segment in self._segments.values():
                addTags(segment, tags)


def _voxelsOf(segment: slicer.vtkSegment) -> tuple[Any, int]:
    """Return a segment's labelmap and when it was last changed; not the same after any edit."""
    labelmap = segment.GetRepresentation(LABELMAP)
    return labelmap, labelmap.GetMTime() if labelmap is not None else 0


def _sizeOf(volumeNode: slicer.vtkMRMLVolumeNode) -> tuple[int, int, int] | None:
    """Return a volume's voxels along (i, j, k); None where it has none."""
    image = volumeNode.GetImageData()
    return image.GetDimensions() if image is not None else None


def _tagName(key: str) -> str:
    """Return "DiffOSeg.CodeVersion" for "code_version"."""
    return "DiffOSeg." + "".join(part.capitalize() for part in key.split("_"))


def _tagValue(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
