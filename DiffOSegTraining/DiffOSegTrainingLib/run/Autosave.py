"""Trainings on disk: each has a folder with all that it needs to go on after any end of Slicer.

A folder holds patients' scans, so it is removed as soon as it is of no more use: when the expert is
taught, when the reader discards it, and when Slicer ended before it was complete. It is locked
while a Slicer works on it; the operating system unlocks it however that Slicer ends.
"""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from slicer.i18n import tr as _

from diffoseg.errors import InputError, WeightsError
from diffoseg.model.cards import read_card
from diffoseg.model.expert_library import default_folder
from diffoseg.worker.training_job import JOB, TrainingJob

_LOCK = "in-use"


@dataclass(frozen=True)
class AutosavedTraining:
    """A training that was stopped, or that ended with Slicer, and can go on.

    Attributes:
        folder: with its files.
        expertName: who is taught.
        cases: how many.
        started: when it was begun.
        modelTitle: of the base model.
        problem: a sentence on why it cannot go on; "" where it can.
    """

    folder: Path
    expertName: str
    cases: int
    started: datetime
    modelTitle: str
    problem: str = ""


def autosaves() -> Path:
    """Return the folder in which trainings are kept, beside the experts."""
    return default_folder().parent / "training"


class TrainingFolder:
    """A training's folder that nobody else may work on until it is released.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: Path, lock: BinaryIO) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def new(cls) -> "TrainingFolder":
        """Make an empty one; raises OSError where the disk takes none."""
        root = autosaves()
        root.mkdir(parents=True, exist_ok=True)
        path = root / uuid.uuid4().hex
        path.mkdir(mode=0o700)
        return cls.held(path) or cls.new()  # another Slicer may just have taken it for rubbish

    @classmethod
    def held(cls, path: Path) -> "TrainingFolder | None":
        """Return a folder that is there; None where another Slicer works on it."""
        lock = (path / _LOCK).open("ab")
        if _locked(lock):
            return cls(path, lock)
        lock.close()
        return None

    def release(self) -> None:
        """Let others have it, as it is."""
        self._lock.close()

    def remove(self) -> Iterator[None]:
        """Remove it, a file at each step; what somebody still holds stays."""
        with suppress(OSError):
            # The job goes last: without it the rest is known for rubbish when Slicer ends now.
            files = [file for file in self.path.iterdir() if file.name != _LOCK]
            for file in sorted(files, key=lambda file: file.name == JOB):
                with suppress(OSError):
                    file.unlink()
                yield
        self.release()
        with suppress(OSError):
            (self.path / _LOCK).unlink()
            self.path.rmdir()


def autosaved() -> tuple[AutosavedTraining, ...]:
    """Return the trainings that nobody works on now, the newest first.

    Folders that were never completed are removed: a scan does not lie about without use.
    """
    found = []
    for path in _folders():
        with suppress(OSError):  # another Slicer has just removed it
            folder = TrainingFolder.held(path)
            if folder is None:
                continue
            if (path / JOB).is_file():
                found.append(_described(path))
                folder.release()
            else:
                for _step in folder.remove():
                    pass
    return tuple(sorted(found, key=lambda one: one.started, reverse=True))


def taken(saved: AutosavedTraining) -> TrainingFolder:
    """Return a kept training's folder for oneself; raises InputError where that cannot be."""
    try:
        folder = TrainingFolder.held(saved.folder)
    except OSError:
        raise InputError(
            _("What the training of {name} had kept is no longer there. Start it anew.").format(
                name=saved.expertName
            )
        ) from None
    if folder is None:
        raise InputError(
            _("Another Slicer works on the training of {name}. Wait for its end.").format(
                name=saved.expertName
            )
        )
    return folder


def _described(path: Path) -> AutosavedTraining:
    started = datetime.fromtimestamp((path / JOB).stat().st_mtime)
    try:
        job = TrainingJob.read(path)
    except InputError as error:
        return AutosavedTraining(path, "", 0, started, "", str(error))
    problem = title = ""
    try:
        title = read_card(job.model or None).title
    except WeightsError as error:
        problem = str(error)
    return AutosavedTraining(path, job.expert.name, len(job.cases), started, title, problem)


def _folders() -> list[Path]:
    """Return the folders that are surely trainings': people may keep others there."""
    try:
        return [path for path in autosaves().iterdir() if _isOurs(path)]
    except OSError:
        return []


def _isOurs(path: Path) -> bool:
    isNamed = re.fullmatch("[0-9a-f]{32}", path.name) is not None
    return isNamed and not path.is_symlink() and (path / _LOCK).is_file()


def _locked(file: BinaryIO) -> bool:
    """Lock a file until it is closed; return whether that worked."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # some network drives know no locks
    return True
