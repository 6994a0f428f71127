"""Which processes are alive, asked of the system itself, and how long calls took."""

import sys
import time
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


def group_members(group: int) -> list[int]:
    """Return the living processes of a process group; the dead that nobody has asked for count."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return members


def gone_within(group: int, seconds: float) -> bool:
    """Whether nobody of a process group is left after so long at most."""
    deadline = time.monotonic() + seconds
    while group_members(group):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def never_held(seconds: list[float]) -> bool:
    """Whether no call held its caller for 100 ms; the system may have stopped one in between."""
    *others, longest = sorted(seconds)
    print(f"longest of {len(seconds)} calls {longest * 1000:.1f} ms")
    return max(others, default=0.0) < 0.1 and longest < 0.5
