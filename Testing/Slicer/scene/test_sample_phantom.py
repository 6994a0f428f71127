"""A phantom to try the extension on, where Slicer's module Sample Data offers scans."""

import sys
import types

import numpy as np
import pytest
import slicer

from diffoseg.commands.demo import demo_case


class Registered(list):
    """Stands where Slicer's SampleDataLogic is, whose rule on equal lengths it keeps."""

    def registerCustomSampleDataSource(self, **fields):
        known = {"category", "sampleName", "uris", "fileNames", "nodeNames", "customDownloader"}
        assert set(fields) <= known | {"thumbnailFileName"}
        assert all(isinstance(fields[name], str) for name in ("uris", "fileNames", "nodeNames"))
        self.append(types.SimpleNamespace(**fields))


@pytest.fixture
def offered(monkeypatch, scene):
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = Registered()
    monkeypatch.setitem(sys.modules, "SampleData", module)
    return module.SampleDataLogic


def test_the_phantom_is_offered_and_lies_where_the_engine_has_it(offered):
    from DiffOSegLib.scene import SamplePhantom

    SamplePhantom.register("icon.png")
    (source,) = offered
    (node,) = source.customDownloader(source)

    volume = demo_case().volume
    np.testing.assert_allclose(slicer.util.arrayFromVolume(node), volume.array, atol=0.5)
    ras = slicer.util.arrayFromVTKMatrix(ijkToRasOf(node)) @ [3, 5, 7, 1]
    np.testing.assert_allclose(ras[:3], volume.geometry.index_to_point((3, 5, 7)) * (-1, -1, 1))


def ijkToRasOf(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_without_the_module_nothing_is_offered(monkeypatch, scene):
    from DiffOSegLib.scene import SamplePhantom

    monkeypatch.setitem(sys.modules, "SampleData", None)
    SamplePhantom.register("icon.png")
