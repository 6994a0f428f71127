"""A logic with a fake worker, and someone who takes its results: for tests of runs."""

import sys
import time
from pathlib import Path

import numpy as np
import slicer

FAKE = Path(__file__).with_name("fake_worker.py")
ENDS = {"done", "cancelled", "error"}


def logic_with(mode="normal", step_seconds=0.001, *more):
    """Return a logic whose worker behaves as the mode says."""
    from DiffOSegLib.run.Logic import DiffOSegLogic
    from DiffOSegLib.run.WorkerClient import WorkerClient

    command = [sys.executable, str(FAKE), mode, str(step_seconds), *map(str, more)]
    return DiffOSegLogic(WorkerClient(command))


def add_volume(size=(40, 30, 20), spacing=(0.7, 0.7, 2.0), name="Chest CT of Mr Patient"):
    """Add a volume of noise, (i, j, k) voxels large, and return its node."""
    voxels = np.random.default_rng(0).normal(-600, 200, size[::-1]).astype(np.int16)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, voxels)
    node.SetSpacing(spacing)
    node.SetOrigin(10, -20, 30)
    return node


def request_for(volume, **changes):
    """Return a request for the whole volume."""
    from DiffOSegLib.scene.RunRequest import RunRequest

    asked = {
        "region": None,
        "model": "",
        "experts": ("consensus", "Tightest of four"),
        "samples": 2,
    }
    asked |= {"steps": None, "seed": 0, "device": "auto"}
    return RunRequest(volumeNodeID=volume.GetID(), **(asked | changes))


class Results:
    """A sink that notes what it is given; each expert takes so many steps to take in."""

    def __init__(self, steps=3, fails_in=""):
        self.calls = []
        self.steps = steps
        self.fails_in = fails_in
        self.folder = None

    def _call(self, name):
        self.calls.append(name)
        if self.fails_in == name.partition(" ")[0]:
            raise RuntimeError("the node /home/Mr Patient is gone")

    def begin(self, request, started):
        self._call("begin")

    def addOutline(self, outline, folder):
        assert (folder / outline["probability"]).is_file()
        yield

    def addExpert(self, result, folder):
        self.folder = folder
        for step in range(self.steps):
            assert (folder / result["probability"]).is_file()
            self.calls.append(f"step {step}")
            yield
        self._call(f"addExpert {result['expert']}")

    def finish(self, done, folder):
        self._call("finish")
        yield

    def abandon(self):
        self._call("abandon")

    @property
    def kept(self):
        return [call.partition(" ")[2] for call in self.calls if call.startswith("addExpert")]


class Followed:
    """A run that is ticked, what it told, and the longest tick."""

    def __init__(self, logic, request, results=None, listener=None):
        self.logic = logic
        self.results = results or Results()
        self.events = []
        self.listener = listener
        self.ticks = []
        self.run = self.timed(lambda: logic.start(request, self.results, self.hear))

    def hear(self, event):
        self.events.append(event)
        if self.listener is not None:
            self.listener(event)

    def timed(self, call):
        begun = time.perf_counter()
        result = call()
        self.ticks.append(time.perf_counter() - begun)
        return result

    def until(self, condition, seconds=20.0, pause=0.005):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.events[-3:]
            self.timed(self.logic.tick)
            time.sleep(pause)
        return self

    def until_heard(self, kind, count=1):
        return self.until(lambda: self.kinds.count(kind) >= count)

    def to_the_end(self, seconds=20.0, pause=0.005):
        return self.until(lambda: self.run.over, seconds, pause)

    def settled(self):
        """Tick until the worker has let go of the run as well."""
        return self.until(lambda: not self.logic.busy)

    @property
    def kinds(self):
        return [event.kind for event in self.events]

    @property
    def end(self):
        return self.events[-1]

    @property
    def sentences(self):
        return [event.sentence for event in self.events]


def left_folders():
    """Return what runs have left among the application's temporary files."""
    return list(Path(slicer.app.temporaryPath).glob("diffoseg-*/"))
