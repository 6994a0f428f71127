"""Scenes to teach from, and a training that is followed: for tests of DiffOSeg Training."""

import sys
import time
from pathlib import Path

import numpy as np
import slicer

FAKE = Path(__file__).with_name("fake_trainer.py")
SIZE = (48, 40, 12)  # voxels along (i, j, k)


def training_logic(mode="normal", step_seconds=0.002):
    """Return a logic whose worker behaves as the mode says."""
    from DiffOSegLib.run.WorkerClient import WorkerClient
    from DiffOSegTrainingLib.run.TrainingLogic import DiffOSegTrainingLogic

    command = [sys.executable, str(FAKE), mode, str(step_seconds)]
    return DiffOSegTrainingLogic(WorkerClient(command))


def a_volume(name="Scan", size=SIZE, spacing=(0.7, 0.7, 2.0), seed=0, dtype=np.int16):
    """Add a volume of lung and noise with a bright block in its middle; return its node."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(-800, 30, size[::-1])
    voxels[block(size)] += 750
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, voxels.astype(dtype))
    node.SetSpacing(spacing)
    node.SetOrigin(10, -20, 30)
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    return node


def block(size=SIZE, shrink=3):
    """Return where the block is, for arrays (K, J, I)."""
    return tuple(slice(n // shrink, n - n // shrink) for n in size[::-1])


def a_mask(size=SIZE, shrink=3):
    """Return the block as a mask, (K, J, I) bool."""
    mask = np.zeros(size[::-1], bool)
    mask[block(size, shrink)] = True
    return mask


def a_segmentation(volume, masks, name="Drawn"):
    """Add a segmentation on a volume, with a segment for each mask by its name; return its node."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for segment, mask in masks.items():
        node.GetSegmentation().AddEmptySegment(segment, segment, (0.2, 0.7, 0.3))
        if mask.any():
            slicer.util.updateSegmentBinaryLabelmapFromArray(
                mask.astype(np.uint8), node, segment, volume
            )
    return node


def a_case(number=0, masks=None, **volume):
    """Add a volume and what was drawn on it; return both nodes."""
    volume = a_volume(f"Scan {number}", seed=number, **volume)
    return volume, a_segmentation(volume, masks or {"Lesion": a_mask()}, f"Drawn {number}")


PATIENCE = 90.0  # seconds; a busy computer needs many, and only what fails waits so long


def looked_at(logic, seconds=PATIENCE):
    """Tick until every row has been looked at; return what is wrong with each, in words."""
    deadline = time.monotonic() + seconds
    while None in logic.checks():
        assert time.monotonic() < deadline
        logic.tick()
    return [[finding.sentence for finding in found] for found in logic.checks()]


class FollowedTraining:
    """A training that is ticked, what it told, and the longest tick."""

    def __init__(self, logic, begin=None, listener=None):
        self.logic = logic
        self.events = []
        self.ticks = []
        self.listener = listener
        begin = begin or (lambda hear: logic.start("", hear))
        self.training = self.timed(lambda: begin(self.hear))

    def hear(self, event):
        self.events.append(event)
        if self.listener is not None:
            self.listener(event)

    def timed(self, call):
        begun = time.thread_time()  # whatever else the computer does
        result = call()
        self.ticks.append(time.thread_time() - begun)
        return result

    def until(self, condition, seconds=PATIENCE, pause=0.002):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.events[-3:]
            self.timed(self.logic.tick)
            time.sleep(pause)
        return self

    def until_heard(self, kind, count=1, seconds=PATIENCE):
        return self.until(lambda: self.kinds.count(kind) >= count, seconds)

    def to_the_end(self, seconds=PATIENCE):
        return self.until(lambda: self.training.over, seconds).until(lambda: not self.logic.busy)

    @property
    def kinds(self):
        return [event.kind for event in self.events]

    @property
    def end(self):
        assert [event.isLast for event in self.events].count(True) == 1
        return self.events[-1]


def kept_folders():
    """Return the folders of trainings that are on disk."""
    from DiffOSegTrainingLib.run.Autosave import autosaves

    return sorted(autosaves().iterdir()) if autosaves().is_dir() else []
