"""One case of the table as the engine needs it: grid, drawing, region, voxels to hand over."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from diffoseg.errors import InputError
from diffoseg.model.metadata import ModelMetadata
from diffoseg.space.geometry import Box, Geometry, Triple
from diffoseg.worker.job import npy_header
from diffoseg.worker.training_job import TrainingCase, carried_for_training, image_file, mask_file
from DiffOSegLib.scene import SceneInputs

from .CaseRows import CaseRow
from .SegmentMask import SegmentMask, segmentMask

_SLAB_BYTES = 4 << 20


@dataclass(frozen=True)
class SceneCase:
    """A row whose nodes are all there.

    Attributes:
        row: of the table.
        geometry: the volume's grid.
        mask: what is drawn, on that grid.
        region: where the lesion in question is, LPS, in the volume's own space; None: wherever
            something is drawn.
    """

    row: CaseRow
    geometry: Geometry
    mask: SegmentMask
    region: Box | None

    @property
    def marked(self) -> Box | None:
        """The box around the drawing, LPS; None where nothing is drawn in the volume."""
        if not self.mask.voxels.size:
            return None
        return self.geometry.crop(self.mask.start, self.mask.size).bounding_box()

    def carried(self, metadata: ModelMetadata) -> tuple[Triple, Triple]:
        """Return start and size, (i, j, k), of the voxels on which a training depends.

        Raises InputError where there is neither a drawing nor a region.
        """
        return carried_for_training(self.geometry, self.marked, self.region, metadata)


def sceneCase(row: CaseRow, more: Sequence[CaseRow] = ()) -> SceneCase:
    """Return a row with its drawing on the volume's grid.

    Args:
        row: of the table.
        more: others of the same volume and region, whose drawings belong to the same case.

    Raises:
        InputError: a node is missing, cannot be used, or does not fit the volume.
    """
    for each in (row, *more):
        _requireNodes(each)
    region = None if row.roi is None else SceneInputs.roiRegion(row.roi, row.volume)
    mask = SegmentMask.joined(
        [segmentMask(each.volume, each.segmentation, each.segmentID) for each in (row, *more)]
    )
    return SceneCase(row, SceneInputs.geometryOf(row.volume), mask, region)


def describedCase(
    case: SceneCase, name: str, patient: str, metadata: ModelMetadata
) -> TrainingCase:
    """Return what a training's job says of a case, nothing of the patient in it."""
    start, size = case.carried(metadata)
    return TrainingCase(
        name=name,
        patient=patient,
        geometry=case.geometry,
        start=start,
        size=size,
        region=case.region,
        modality=SceneInputs.modalityOf(case.row.volume),
    )


def writeCase(case: SceneCase, described: TrainingCase, index: int, folder: Path) -> Iterator[None]:
    """Write a case's carried voxels, at most 4 MB at each step.

    Args:
        case: whose nodes may be removed meanwhile without harm.
        described: the same case, as the job has it.
        index: of the case in the job, from 0.
        folder: of the job.
    """
    start, size = described.start, described.size
    yield from SceneInputs.writeImage(case.row.volume, start, size, folder / image_file(index))
    mask = case.mask.within(start, size)
    with (folder / mask_file(index)).open("wb") as file:
        file.write(npy_header(mask.dtype, mask.shape))
        for slab in np.array_split(mask, max(1, mask.size // _SLAB_BYTES)):
            file.write(slab.data)
            yield


def patientKeys(rows: Sequence[CaseRow]) -> dict[str, str]:
    """Return, by row's ID, what cases of one patient have in common and nobody else's.

    A key does not say who the patient is. All cases of a volume are of one patient: the first that
    a row names, else the one in the subject hierarchy.
    """
    named: dict[Any, str] = {}
    for row in rows:
        if row.patient.strip():
            named.setdefault(row.volume, row.patient.strip())
    found = {row.id: named.get(row.volume) or _patientOf(row.volume) for row in rows}
    return {rowID: _hidden(patient) for rowID, patient in found.items()}


def _hidden(patient: str) -> str:
    return "patient-" + hashlib.sha256(patient.casefold().encode()).hexdigest()[:12]


def _patientOf(volumeNode: "slicer.vtkMRMLScalarVolumeNode | None") -> str:
    """Return the patient in the subject hierarchy; without one, each volume is one of its own."""
    if volumeNode is None:
        return ""
    return _patientItem(volumeNode) or volumeNode.GetID()


def _patientItem(volumeNode: "slicer.vtkMRMLScalarVolumeNode") -> str:
    """Return the patient to whom the volume belongs in the subject hierarchy; "" for none."""
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy else 0
    if not item:
        return ""
    level = constants.GetDICOMLevelPatient()
    patient = hierarchy.GetItemAncestorAtLevel(item, level)
    if not patient:
        return ""
    return hierarchy.GetItemUID(patient, constants.GetDICOMUIDName()) or f"item {patient}"


def _requireNodes(row: CaseRow) -> None:
    """Raise InputError, with what to do, where a row lacks something."""
    if _isGone(row.volume):
        raise InputError(
            _deleted(row.volumeName)
            if row.volumeName
            else _("No volume is chosen. Choose the scan that was drawn on.")
        )
    SceneInputs.checkVolume(row.volume)
    if _isGone(row.segmentation):
        raise InputError(
            _deleted(row.segmentationName)
            if row.segmentationName
            else _("No segmentation is chosen. Choose the one that holds the drawing.")
        )
    if row.segment is None:
        raise InputError(
            _deleted(row.segmentName)
            if row.segmentName
            else _("No segment is chosen. Choose the one that this expert drew.")
        )
    if (row.roi is not None or row.roiName) and _isGone(row.roi):
        raise InputError(_deleted(row.roiName))


def _isGone(node: "slicer.vtkMRMLNode | None") -> bool:
    return node is None or node.GetScene() is None


def _deleted(name: str) -> str:
    return _("{name} is no longer in the scene. Choose another, or remove this case.").format(
        name=name
    )
