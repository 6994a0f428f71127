"""A process that computes for Slicer: ``python -m diffoseg.worker``, JSON lines in and out.

torch lives here and never in Slicer's process. Every message is one JSON object a line, UTF-8.

    in    {"do": "describe", "id", "device"}      what computes here, and how fast; of "model",
                                                  where it is named, else of the default one
          {"do": "run", "id", "folder"}           the job in a folder; see ``job``
          {"do": "train", "id", "folder"}         the training in a folder; see ``training_job``
          {"do": "cancel", "id"}                  stop, and keep what is finished
          {"do": "end"}                           end now
    out   {"event": "ready", "versions", "pid"}   once, before torch is loaded
          "description", "started", "outline", "progress", "point", "note", "result", "done",
          "error", each with "id"; an "outline" is a "result" that has no samples yet

A thread listens, so that a cancel is heard during a run. When stdin ends, the parent is gone: the
folders of its unfinished runs, which hold a patient's scan, are removed and the process ends at
once. The folder of a training stays: it holds what is learnt, and "train" again goes on with it. A
bad line or a bad job never ends it.
"""

import argparse
import importlib
import json
import os
import platform
import queue
import shutil
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from ..device.allocator import keep_freed_memory
from ..device.waiting import wait_without_spinning
from ..errors import CancelledError, DependencyError, InputError
from ..version import __version__
from .errors import as_reported, unusable, words_of

if TYPE_CHECKING:
    from .answers import Engine

Message = dict[str, Any]

_IDLE_SECONDS = 600.0
_REST_SECONDS = 3.0
_LONGEST_LINE = 1 << 20


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Answer until stdin ends, "end" comes, or nothing has come for a while."""
    parser = argparse.ArgumentParser(prog="diffoseg.worker", description="Computes for Slicer.")
    parser.add_argument("--idle-seconds", type=float, default=_IDLE_SECONDS)
    idle_seconds = parser.parse_args(argv).idle_seconds
    commands, answers = _own_pipes()
    keep_freed_memory()
    wait_without_spinning()
    worker = Worker(answers)
    worker.send({"event": "ready", "versions": _versions(), "pid": os.getpid()})
    threading.Thread(target=worker.listen, args=(commands,), daemon=True).start()
    worker.work(idle_seconds)
    end()


def end() -> NoReturn:
    """End at once: what torch or a driver does in its farewell is not waited for."""
    os._exit(0)


class Worker:
    """Hears on one thread, answers on another."""

    def __init__(self, answers: BinaryIO):
        self._answers = answers
        self._lock = threading.Lock()
        self._queue: queue.Queue[Message] = queue.Queue()
        self._waiting: dict[str, str] = {}  # by id, what it is to do
        self._folders: dict[str, str] = {}
        self._begun: str | None = None
        self._cancelled = False
        self._engine: Engine | None = None
        self._rested = False

    def send(self, message: Message) -> None:
        """Write one message; without a reader, which is the parent, the process ends."""
        line = json.dumps(message, ensure_ascii=False, allow_nan=False) + "\n"
        with self._lock:
            try:
                self._answers.write(line.encode("utf-8", "replace"))
                self._answers.flush()
            except OSError:
                self._remove_folders()
                end()

    # --- the thread that hears ------------------------------------------------------------------

    def listen(self, commands: BinaryIO) -> NoReturn:
        """Take every line that comes; end the process when no more can come."""
        try:
            while line := commands.readline(_LONGEST_LINE):
                if not line.endswith(b"\n"):  # too long, or the parent was cut off
                    while (rest := commands.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                if line.strip():
                    self._hear(line)
            self._remove_folders()
        finally:
            end()

    def _remove_folders(self) -> None:
        for folder in list(self._folders.values()):
            shutil.rmtree(folder, ignore_errors=True)

    def _hear(self, line: bytes) -> None:
        try:
            message = _read(line)
        except InputError as error:
            self._report(error, None)
            return
        name = message.get("id")
        try:
            self._take(message)
        except Exception as error:
            self._report(error, name if isinstance(name, str) else None)

    def _take(self, message: Message) -> None:
        match message["do"]:
            case "end":
                end()
            case "cancel":
                self._cancel(_text(message, "id"))
            case "describe":
                _text(message, "device")
                _text({"model": "", **message}, "model")
                self._accept(message, _text(message, "id"))
            case "run":
                folder = _text(message, "folder")
                self._accept(message, _text(message, "id"), folder)
            case "train":
                _text(message, "folder")
                self._accept(message, _text(message, "id"))
            case unknown:
                raise InputError(
                    f"The worker does not know {unknown!r:.40}. Slicer and the worker are of"
                    " different versions: restart Slicer."
                )

    def _accept(self, message: Message, name: str, folder: str | None = None) -> None:
        with self._lock:
            if name in self._waiting or name == self._begun:
                raise InputError(f"A job {name!r:.40} is under way already. Wait for it.")
            self._waiting[name] = message["do"]
            if folder is not None:
                self._folders[name] = folder
        self._queue.put(message)

    def _cancel(self, name: str) -> None:
        """Stop what runs; what waits is over at once, though a library may still be loading."""
        with self._lock:
            waited_for = self._waiting.pop(name, None)
            if waited_for is not None:
                self._folders.pop(name, None)
            self._cancelled |= name == self._begun
        if waited_for is not None:
            self.send(_stopped(waited_for) | {"id": name})

    # --- the thread that answers ----------------------------------------------------------------

    def work(self, idle_seconds: float) -> None:
        """Answer one message after the other; return when none has come for a while."""
        while (message := self._next(idle_seconds)) is not None:
            name = message["id"]
            try:
                self._answer(message, name)
            except CancelledError:
                self._pass_on(_stopped(message["do"]), name)
            except BaseException as error:
                if self._drop(name):
                    self._report(error, name)

    def _next(self, idle_seconds: float) -> Message | None:
        """Return the next message, or None; a short rest is used to load what loads slowly."""
        try:
            if self._engine is not None and not self._rested:
                with suppress(queue.Empty):
                    return self._queue.get(timeout=min(idle_seconds, _REST_SECONDS))
                self._rested = True
                self._engine.warm_up()
            return self._queue.get(timeout=idle_seconds)
        except queue.Empty:
            return None

    def _answer(self, message: Message, name: str) -> None:
        if self._engine is None:
            self._engine = _engine()
        if message["do"] == "describe":
            description = self._engine.describe(message["device"], message.get("model", ""))
            if self._drop(name):
                self.send(description | {"id": name})
            return
        answer = self._engine.run
        if message["do"] == "train":
            from .training import train  # what needs torch loads only once it is there

            answer = partial(train, self._engine)
        answer(
            Path(message["folder"]),
            begin=lambda: self._begin(name),
            cancelled=lambda: self._cancelled,
            send=lambda event: self._pass_on(event, name),
        )

    def _begin(self, name: str) -> bool:
        """Let a job begin, unless it was cancelled while it waited."""
        with self._lock:
            if name not in self._waiting:
                return False
            del self._waiting[name]
            self._begun, self._cancelled = name, False
            return True

    def _drop(self, name: str) -> bool:
        """Forget a job, and say whether anybody still waited for it."""
        with self._lock:
            waited = name in self._waiting or name == self._begun
            self._waiting.pop(name, None)
            self._folders.pop(name, None)
            self._begun = None
            return waited

    def _pass_on(self, event: Message, name: str) -> None:
        if event["event"] == "done":
            self._drop(name)
        self.send(event | {"id": name})

    def _report(self, error: BaseException, name: str | None) -> None:
        reported = as_reported(error)
        details = "".join(traceback.format_exception(error))
        with suppress(OSError):  # the log's disk may be full
            print(details, file=sys.stderr, flush=True)
        message = {
            "event": "error",
            "code": reported.exit_code,
            "sentence": str(reported),
            "details": details,
        }
        self.send(message if name is None else message | {"id": name})


def _stopped(do: str) -> Message:
    """Return the end of a job that was stopped before there was anything to hand over."""
    if do == "train":
        return {
            "event": "done",
            "stopped": True,
            "sentence": "Stopped as asked. What was learnt so far is kept: resume goes on with it.",
            "file": None,
            "verdict": None,
            "training": None,
        }
    return {
        "event": "done",
        "stopped": True,
        "sentence": "Stopped as asked, before anything was drawn.",
        "rows": [],
        "disagreement": None,
        "provenance": {},
        "timings": {},
        "warnings": [],
    }


def _engine() -> "Engine":
    """Load torch and all that needs it; raises DependencyError where that fails."""
    importlib.invalidate_caches()  # it may have been installed since
    try:
        import torch  # noqa: F401
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise DependencyError(
                "PyTorch is not installed in this Python. Install it, then run again."
            ) from error
        raise DependencyError(
            f"PyTorch is installed but cannot be loaded ({words_of(error)})."
            " Install it again, then restart Slicer."
        ) from error
    try:
        from .answers import Engine
    except ImportError as error:
        raise unusable(error) from error
    return Engine()


def _read(line: bytes) -> Message:
    """Return the message in a line; raises InputError where there is none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("do"), str):
        raise InputError("The worker got a line that is no message. Restart Slicer, run again.")
    return message


def _text(message: Message, key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise InputError(f"A message to the worker lacks {key!r}. Restart Slicer, then run again.")
    return value


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the pipes to the parent, and keep everyone else away from them.

    What a library prints goes to stderr. Nobody but us may hold stdin either: on Windows, loading
    a library waits for ever where it asks for a stdin that another thread is reading.
    """
    commands, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    return os.fdopen(commands, "rb"), os.fdopen(answers, "wb")


def _versions() -> dict[str, str | None]:
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = None
    return {"diffoseg": __version__, "torch": torch, "python": platform.python_version()}
