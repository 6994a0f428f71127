"""A local expert of the tiny fast model, its file, and a disk that is soon full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from a_fast_model import a_fast_model

from diffoseg.experts.local_expert import SUFFIX, LocalExpert, save_expert
from diffoseg.experts.panel import Expert
from diffoseg.model.model import Model
from diffoseg.model.stored import content_hash

CODE = np.array([0.5, -1.0, 0.25, 2.0], np.float32)
TRAINING = {"cases": 4, "validation": {"verdict": "use", "dice": 0.86, "consensus": 0.79}}


def a_local_expert(name: str = "Cleo", model: Model | None = None, **changes) -> LocalExpert:
    """An expert taught to ``a_fast_model``, whose codes have four numbers."""
    base = content_hash(model or a_fast_model())
    about = Expert(name, "from the clinic next door", (0.1, 0.2, 0.3))
    values = {"code": CODE, "presence_bias": 0.75, "training": TRAINING}
    return LocalExpert(about, base, "random", "fast", **values | changes)


@contextmanager
def a_small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 64 kB; only root may mount one."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Leave no room on a disk."""
    with suppress(OSError), (disk / "filled").open("wb", buffering=0) as file:
        while file.write(bytes(512)):
            pass


def a_file(folder: Path, expert: LocalExpert | None = None) -> Path:
    path = folder / f"cleo{SUFFIX}"
    save_expert(expert or a_local_expert(), path)
    return path
