"""A sitting at the application: its event loop, its pauses, and what lies in its scene."""

import gc
import time
from pathlib import Path

import numpy as np
import qt
import slicer

HEARTBEAT_MS = 5
SCHEDULER = Path("/proc/thread-self/schedstat")  # Linux
LONGEST_GAP = 0.1  # seconds; what a reader would feel


class Heart:
    """Beats in the application's event loop; knows for how long it was held at most.

    Time in which other programs had the processor does not count: tests share their machine. Nor
    does Python's going through everything that was there before: 0.1 s for the wrapped classes of
    VTK and Slicer, which every Slicer has, and 0.2 s more for torch, which only tests load here.
    """

    def __init__(self):
        gc.collect()
        gc.freeze()
        self.gaps = []
        self._last = self._now()
        self._timer = qt.QTimer()
        self._timer.setInterval(HEARTBEAT_MS)
        self._timer.connect("timeout()", self._beat)
        self._timer.start()

    def _beat(self):
        now = self._now()
        self.gaps.append(now - self._last)
        self._last = now

    @staticmethod
    def _now():
        if not SCHEDULER.exists():
            return time.perf_counter()
        _ran, waited, _turns = SCHEDULER.read_text().split()
        return time.perf_counter() - int(waited) * 1e-9

    def stop(self):
        self._timer.stop()
        self._beat()  # what held it just now has let no beat come since
        gc.unfreeze()
        return max(self.gaps)


def waitInEventLoop(condition, seconds=300.0):
    """Run Qt's own event loop until something is true."""
    loop, look = qt.QEventLoop(), qt.QTimer()
    deadline = time.monotonic() + seconds
    look.setInterval(2)
    look.connect("timeout()", lambda: (condition() or time.monotonic() > deadline) and loop.quit())
    look.start()
    loop.exec_()
    look.stop()
    assert condition(), "it did not happen in time"


def masksOf(segmentationNode, volume):
    segmentation = segmentationNode.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return {
        segmentation.GetSegment(one).GetName(): slicer.util.arrayFromSegmentBinaryLabelmap(
            segmentationNode, one, volume
        ).astype(bool)
        for one in ids
    }


def onGridOf(volume, crop):
    """Return a map of the region on the whole volume's grid, 0 outside."""
    toIjk, corner = vtkMatrix(volume.GetRASToIJKMatrix), vtkMatrix(crop.GetIJKToRASMatrix)
    start = (toIjk @ corner)[:3, 3]
    i, j, k = np.rint(start).astype(int)
    assert np.allclose(start, (i, j, k), atol=1e-4), "the map's voxels are not the volume's"
    values = slicer.util.arrayFromVolume(crop)
    whole = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.float32)
    whole[tuple(slice(a, a + n) for a, n in zip((k, j, i), values.shape, strict=True))] = values
    return whole


def vtkMatrix(getter):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    getter(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
