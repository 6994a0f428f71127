"""A DICOM series as a volume node, as Slicer's import of scalar volumes makes it."""

from pathlib import Path
from typing import Any

import slicer
import vtk

CODES = {  # by modality: what the voxels' values are, and their unit
    "CT": (
        ("112031", "DCM", "Attenuation Coefficient"),
        ("[hnsf'U]", "UCUM", "Hounsfield unit"),
    ),
    "MR": (("110852", "DCM", "MR signal intensity"), ("1", "UCUM", "no units")),
}


def loadDicomSeries(folder: Path) -> Any:
    """Load the one series in a folder; the node is called "number: description".

    Raises:
        FileNotFoundError: it holds no DICOM images.
        OSError: they could not be read.
    """
    import pydicom

    headers = {
        path: pydicom.dcmread(path, stop_before_pixels=True)
        for path in sorted(folder.iterdir())
        if path.is_file() and pydicom.misc.is_dicom(path)
    }
    if not headers:
        raise FileNotFoundError("The folder holds no DICOM images.")
    paths = sorted(headers, key=lambda path: _place(headers[path]))
    files = vtk.vtkStringArray()
    for path in paths:
        files.InsertNextValue(str(path))
    first = headers[paths[0]]
    logic = slicer.modules.volumes.logic()
    node = logic.AddArchetypeScalarVolume(str(paths[0]), _name(first), 0, files)
    if node is None:
        raise OSError("The series could not be read.")
    _addToHierarchy(node, first)
    uids = [str(headers[path].SOPInstanceUID) for path in paths]
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    _describe(node, headers[paths[len(paths) // 2]])
    return node


def _place(header: Any) -> float:
    """Return how far along the normal of its plane a slice lies, in mm.

    Slices in this order make a right-handed volume, which Slicer sees to as well.
    """
    row, column = header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:]
    normal = [0.0] * 3
    vtk.vtkMath.Cross([float(v) for v in row], [float(v) for v in column], normal)
    return sum(n * float(p) for n, p in zip(normal, header.ImagePositionPatient, strict=True))


def _name(header: Any) -> str:
    description = str(header.get("SeriesDescription") or "Unnamed Series")
    number = header.get("SeriesNumber")
    return description if number is None else f"{number}: {description}"


def _addToHierarchy(node: Any, header: Any) -> None:
    """Place the series under its study and patient, with the attributes DICOM export needs."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    names, item = slicer.vtkMRMLSubjectHierarchyConstants, hierarchy.GetItemByDataNode(node)
    uid = names.GetDICOMUIDName()
    hierarchy.SetItemUID(item, uid, str(header.SeriesInstanceUID))
    attributes = {
        names.GetDICOMSeriesModalityAttributeName(): "Modality",
        names.GetDICOMSeriesNumberAttributeName(): "SeriesNumber",
        names.GetDICOMFrameOfReferenceUIDAttributeName(): "FrameOfReferenceUID",
        names.GetDICOMAttributePrefix() + "SeriesDescription": "SeriesDescription",
    }
    for attribute, tag in attributes.items():
        hierarchy.SetItemAttribute(item, attribute, str(header.get(tag) or ""))
    study, patient = str(header.StudyInstanceUID), str(header.PatientID)
    slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(
        hierarchy, patient, study, str(header.SeriesInstanceUID)
    )
    titles = {patient: f"{header.PatientName} ({patient})", study: "No study description"}
    for key, title in titles.items():
        hierarchy.SetItemName(hierarchy.GetItemByUID(uid, key), title)


def _describe(node: Any, header: Any) -> None:
    """Set units and window from a slice in the middle, and show the volume."""
    if header.Modality in CODES:
        quantity, units = (_code(*words) for words in CODES[header.Modality])
        node.SetVoxelValueQuantity(quantity)
        node.SetVoxelValueUnits(units)
    if header.get("WindowCenter") is not None:
        display = node.GetDisplayNode()
        centers, widths = _numbers(header.WindowCenter), _numbers(header.WindowWidth)
        for center, width in zip(centers, widths, strict=True):
            display.AddWindowLevelPreset(width, center)
        display.SetWindowLevelFromPreset(0)
    application = slicer.app.applicationLogic()
    application.GetSelectionNode().SetActiveVolumeID(node.GetID())
    application.PropagateVolumeSelection()


def _numbers(value: Any) -> list[float]:
    return [float(v) for v in value] if hasattr(value, "__iter__") else [float(value)]


def _code(value: str, scheme: str, meaning: str) -> Any:
    code = slicer.vtkCodedEntry()
    code.SetValueSchemeMeaning(value, scheme, meaning)
    return code
