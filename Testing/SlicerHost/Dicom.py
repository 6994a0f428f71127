"""A DICOM series as a volume node, as Slicer's import of scalar volumes makes it."""

from pathlib import Path
from typing import Any

import slicer
import vtk


def loadDicomSeries(folder: Path) -> Any:
    """Load the one series in a folder.

    Raises:
        FileNotFoundError: it holds no DICOM images.
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
    header = headers[paths[0]]
    name = str(header.get("SeriesDescription") or "Unnamed Series")
    files = vtk.vtkStringArray()
    for path in paths:
        files.InsertNextValue(str(path))
    logic = slicer.modules.volumes.logic()
    node = logic.AddArchetypeVolume(str(paths[0]), name, 0, files)
    if node is None:
        raise OSError("The series could not be read.")
    _describe(node, header, [headers[path] for path in paths])
    return node


def _place(header: Any) -> float:
    """Return how far along the normal of its plane a slice lies, in mm."""
    row, column = header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:]
    normal = [0.0] * 3
    vtk.vtkMath.Cross([float(v) for v in row], [float(v) for v in column], normal)
    return sum(n * float(p) for n, p in zip(normal, header.ImagePositionPatient, strict=True))


def _describe(node: Any, header: Any, headers: list[Any]) -> None:
    """Set what Slicer's plugin sets from the headers: UIDs, modality, units and window."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    names, item = slicer.vtkMRMLSubjectHierarchyConstants, hierarchy.GetItemByDataNode(node)
    hierarchy.SetItemUID(item, names.GetDICOMUIDName(), str(header.SeriesInstanceUID))
    attributes = {
        names.GetDICOMSeriesModalityAttributeName(): "Modality",
        names.GetDICOMSeriesNumberAttributeName(): "SeriesNumber",
        names.GetDICOMFrameOfReferenceUIDAttributeName(): "FrameOfReferenceUID",
        names.GetDICOMAttributePrefix() + "SeriesDescription": "SeriesDescription",
    }
    for attribute, tag in attributes.items():
        hierarchy.SetItemAttribute(item, attribute, str(header.get(tag) or ""))
    node.SetAttribute("DICOM.instanceUIDs", " ".join(str(h.SOPInstanceUID) for h in headers))
    if header.Modality == "CT":
        node.SetVoxelValueQuantity(_code("112031", "DCM", "Attenuation Coefficient"))
        node.SetVoxelValueUnits(_code("[hnsf'U]", "UCUM", "Hounsfield unit"))
    display = node.GetDisplayNode()
    if header.get("WindowCenter") is not None:
        centers, widths = (_numbers(header.get(tag)) for tag in ("WindowCenter", "WindowWidth"))
        display.AddWindowLevelPreset(widths[0], centers[0])
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
