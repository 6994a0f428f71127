"""A Slicer of its own that begins a training and waits to be killed: run by a test.

Arguments: the fake worker's mode, or "real" for the real one; its seconds a step; where to be:
"prepare" stands still as cases are handed over, "hold" goes on with the training; the base model's
file, or "" for the default. Prints a line when it is there.
"""

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("DiffOSeg", "DiffOSegTraining", "Testing")]

import SlicerHost  # noqa: E402

SlicerHost.boot()

from a_training import FollowedTraining, a_case, looked_at, training_logic  # noqa: E402

from DiffOSegTrainingLib.run.TrainingLogic import DiffOSegTrainingLogic  # noqa: E402


def main(mode, step_seconds, where, model=""):
    isReal = mode == "real"
    logic = DiffOSegTrainingLogic() if isReal else training_logic(mode, float(step_seconds))
    for number in range(3):
        a_case(number)
    logic.getParameterNode().expertName = "Cleo" if isReal else "Ann"
    logic.getParameterNode().model = model
    logic.addAllPairs()
    looked_at(logic)

    def stand(event):
        if where == "prepare" and event.sentence.startswith("Handing over case 3"):
            print("there", flush=True)
            time.sleep(60)

    followed = FollowedTraining(logic, listener=stand)
    followed.until_heard("point" if isReal else "progress", 2, 300)
    print("there", flush=True)
    followed.to_the_end(300)


main(*sys.argv[1:])
