"""Work in several processes: in order, and none is left behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffoseg.cohorts.processes import done_in_processes
from diffoseg.errors import InputError, OutOfMemoryError


def square(number: int) -> int:
    time.sleep(0.05 * (3 - number))
    return number**2


def fail(number: int) -> int:
    if number == 1:
        raise InputError("One is refused.")
    return number


def die(number: int) -> int:
    os._exit(9)


@pytest.mark.parametrize("processes", [1, 2])
def test_answers_come_in_the_order_of_the_questions(processes):
    seen = []
    found = done_in_processes(square, [0, 1, 2], processes, lambda *said: seen.append(said), "Go")
    assert list(found) == [0, 1, 4]
    assert seen == [(1, 3, "Go"), (2, 3, "Go"), (3, 3, "Go")]
    assert list(done_in_processes(square, [], processes, None, "")) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_what_goes_wrong_in_one_is_raised(processes):
    with pytest.raises(InputError, match="One is refused"):
        list(done_in_processes(fail, [0, 1, 2], processes, None, ""))


def test_a_process_that_the_system_ended_is_said():
    with pytest.raises(OutOfMemoryError, match="--processes 1"):
        list(done_in_processes(die, [0, 1], 2, None, ""))


SLEEPERS = """
import os, sys, time
from pathlib import Path

def sleep(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    from diffoseg.cohorts.processes import done_in_processes
    list(done_in_processes(sleep, [sys.argv[1]] * 2, 2, None, ""))
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_processes_end_where_their_parent_was_killed(tmp_path):
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    names = tmp_path / "names"
    names.mkdir()
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, script, names], env=paths)
    until = time.monotonic() + 60
    while len(list(names.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    children = [Path("/proc", path.name) for path in names.iterdir()]
    assert len(children) == 2

    parent.kill()
    parent.wait()

    while any(is_running(child) for child in children) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(is_running(child) for child in children)


def is_running(process: Path) -> bool:
    try:
        return " Z " not in process.joinpath("stat").read_text()
    except OSError:
        return False
