"""Run the self-tests of all three modules in a real Slicer, a line for each.

Slicer --testing --no-splash --additional-module-paths DiffOSeg DiffOSegTraining \\
    SegmentEditorDiffOSeg --python-script Testing/SlicerSelfTests.py

Slicer ends with 0 where all passed, else with 1.
"""

import time
import traceback

import slicer

MODULES = ("DiffOSeg", "DiffOSegTraining", "SegmentEditorDiffOSeg")


def runAll() -> bool:
    """Run every module's test and say in a line what came of it; return whether all passed."""
    passed = [_passed(name) for name in MODULES]
    return all(passed)


def _passed(name: str) -> bool:
    started = time.monotonic()
    test = getattr(slicer, "selfTests", {}).get(name)
    if test is None:
        print(f"{name}: not loaded")
        return False
    try:
        test()
    except Exception as error:
        traceback.print_exc()
        print(f"{name}: failed ({type(error).__name__}: {' '.join(str(error).split())})")
        return False
    print(f"{name}: passed in {time.monotonic() - started:.1f} s", flush=True)
    return True


if __name__ == "__main__":
    slicer.util.exit(0 if runAll() else 1)
