"""A phantom chest CT in Slicer's module Sample Data: made on the spot, of no person."""

from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def register(icon: str | Path) -> None:
    """Offer the phantom in the module Sample Data; nothing where that module is missing."""
    try:
        import SampleData
    except ImportError:
        return
    name = "DiffOSegPhantom"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="DiffOSeg",
        sampleName=name,
        uris="",
        fileNames="",
        nodeNames=name,
        customDownloader=lambda _source=None: [addPhantom()],
        thumbnailFileName=str(icon),
    )


def addPhantom() -> slicer.vtkMRMLScalarVolumeNode:
    """Add the demo's scan to the scene, shown in all slice views, and return its node."""
    from diffoseg.commands.demo import demo_case

    volume = demo_case().volume
    grid = volume.geometry
    ijkToLps = np.eye(4)
    ijkToLps[:3, :3] = grid.matrix * grid.spacing
    ijkToLps[:3, 3] = grid.origin
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _("Phantom chest CT"))
    slicer.util.updateVolumeFromArray(node, np.rint(volume.array).astype(np.int16))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_LPS_TO_RAS @ ijkToLps))
    node.SetAttribute("DICOM.Modality", volume.modality)
    node.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node
