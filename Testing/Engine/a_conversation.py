"""A worker process, spoken to as Slicer does: lines in, lines out."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import diffoseg

ENGINE = Path(diffoseg.__file__).parents[1]
LAST_WORDS = {"description", "done", "error"}
PATIENCE = 90.0  # seconds; the machine may be busy

Message = dict[str, Any]


class Conversation:
    """A worker process, spoken to as Slicer does."""

    def __init__(self, models: Path, *arguments: str, stub: Path | None = None):
        folders = [str(folder) for folder in (stub, ENGINE) if folder]
        settings = {"PYTHONPATH": os.pathsep.join(folders), "PYTHONSAFEPATH": "1"}
        self.log = (models / f"log-{time.monotonic_ns()}").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "diffoseg.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **settings, "PYTHONUTF8": "1", "DIFFOSEG_MODELS": str(models)},
            bufsize=0,
        )
        self.rest = b""

    def say(self, **message: object) -> float:
        return self.write(json.dumps(message).encode() + b"\n")

    def write(self, line: bytes) -> float:
        self.process.stdin.write(line)
        return time.monotonic()

    def next(self, seconds: float = PATIENCE) -> Message:
        """Return the next message; every line must be one."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.rest:
            ready, *_ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            assert ready, "the worker is silent"
            part = os.read(self.process.stdout.fileno(), 1 << 16)
            assert part, f"the worker ended: {self.log_text()}"
            self.rest += part
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    def until(self, *events: str) -> list[Message]:
        """Return the messages up to the first of these events, or a job's last word."""
        messages = [self.next()]
        while messages[-1]["event"] not in {*events, *LAST_WORDS}:
            messages.append(self.next())
        return messages

    def run(self, folder: Path, name: str = "job") -> list[Message]:
        self.say(do="run", id=name, folder=str(folder))
        return self.until()

    def log_text(self) -> str:
        self.log.seek(0)
        return self.log.read().decode()

    def ended(self, seconds: float) -> int:
        return self.process.wait(seconds)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            pipe.close()


def by_event(messages: list[Message], event: str) -> list[Message]:
    return [message for message in messages if message["event"] == event]
