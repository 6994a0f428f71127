"""A Slicer of its own that begins a training and waits to be killed: run by a test.

Arguments: the fake worker's mode and seconds a step, "hold" or "prepare" (where to stand still).
Prints a line when it is there.
"""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("DiffOSeg", "DiffOSegTraining", "Testing")]

import SlicerHost  # noqa: E402

SlicerHost.boot()

from a_training import FollowedTraining, a_case, looked_at, training_logic  # noqa: E402


def main(mode, step_seconds, where):
    logic = training_logic(mode, float(step_seconds))
    for number in range(3):
        a_case(number)
    logic.getParameterNode().expertName = "Ann"
    logic.addAllPairs()
    looked_at(logic)

    def stand(event):
        if where == "prepare" and event.sentence.startswith("Handing over case 3"):
            print("there", flush=True)
            time.sleep(60)

    followed = FollowedTraining(logic, listener=stand)
    followed.until_heard("progress", 5)
    print("there", flush=True)
    if where == "quit":
        logic.shutdown()
        os._exit(0)
    followed.to_the_end(60)


main(*sys.argv[1:])
