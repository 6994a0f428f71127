"""One operating system process with lines in and lines out, without a thread and without a wait.

Slicer's main loop holds Python's lock, so a thread that reads a pipe would run only now and then:
both pipes are non-blocking and are looked at when someone asks.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import slicer

_CHUNK = 1 << 16  # bytes one look takes, so that a flood of rubbish cannot hold the caller
_LONGEST_LINE = 1 << 22  # bytes; a longer line is no message of ours and is dropped
_TAIL_LINES = 30
# What sets the worker apart from Slicer on Windows; elsewhere a session of its own does.
_NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_OWN_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | _NO_WINDOW
_TAIL_BYTES = 1 << 14


def pythonExecutable() -> str:
    """Return the interpreter for the worker: Slicer's PythonSlicer, or outside Slicer this one."""
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    home = getattr(getattr(slicer, "app", None), "slicerHome", None)
    besideSlicer = Path(str(home)) / "bin" / name if home else None
    if besideSlicer is not None and besideSlicer.is_file():
        return str(besideSlicer)
    return shutil.which(name) or sys.executable


def workerCommand() -> list[str]:
    """Return the command line that starts the engine's worker."""
    return [pythonExecutable(), "-m", "diffoseg.worker"]


def workerEnvironment() -> dict[str, str]:
    """Return the environment for the worker: this process's own and where the engine lies.

    What Slicer set for its own Python, such as PYTHONHOME, stays: PythonSlicer needs it.
    """
    engine = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([engine, inherited] if inherited else [engine]),
        "PYTHONSAFEPATH": "1",
        "PYTHONUTF8": "1",
    }


def temporaryFolder() -> str | None:
    """Return the application's folder for temporary files; None: the system's."""
    folder = getattr(getattr(slicer, "app", None), "temporaryPath", None)
    return str(folder) if folder and Path(str(folder)).is_dir() else None


class WorkerProcess:
    """A started process; raises OSError where it cannot be started.

    What it says outside the protocol (stderr, and lines that the owner calls rubbish) is kept in a
    temporary log, of which :meth:`details` gives the end.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._logPath = _newLog()
        self._removeLog = weakref.finalize(self, _removed, self._logPath)
        self._removeLog.atexit = False  # its owner's end comes later, and removes it
        try:
            with open(self._logPath, "ab") as log:  # noqa: PTH123 appended to by both sides
                self._process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=dict(environment),
                    bufsize=0,
                    start_new_session=os.name != "nt",
                    creationflags=_OWN_GROUP,
                )
        except OSError:
            self._removeLog()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._input.fileno(), False)
        os.set_blocking(self._output.fileno(), False)
        self._unsent = b""
        self._unfinished = b""
        self._dropping = False
        self._ended = False
        self._killing: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process's number; on POSIX also that of its group."""
        return self._process.pid

    @property
    def silent(self) -> bool:
        """Whether its output is closed, so that nothing more can come, whether it runs or not."""
        return self._ended

    def exitCode(self) -> int | None:
        """Return how it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def write(self, line: bytes) -> None:
        """Send one line; what the pipe does not take now goes out with later calls."""
        self._unsent += line + b"\n"
        self._flush()

    def readLines(self) -> list[bytes]:
        """Return the lines that have come in since the last call; never waits."""
        self._flush()
        taken = self._readAvailable()
        if not taken:
            return []
        *lines, rest = (self._unfinished + taken).split(b"\n")
        if lines and self._dropping:
            lines, self._dropping = lines[1:], False
        if len(rest) > _LONGEST_LINE or self._dropping:
            rest, self._dropping = b"", True
        self._unfinished = rest
        return [line for line in lines if line.strip()]

    def log(self, lines: Sequence[bytes]) -> None:
        """Keep lines that are no messages beside what the process says on stderr."""
        with suppress(OSError), open(self._logPath, "ab") as log:  # noqa: PTH123
            log.writelines(line[:_TAIL_BYTES] + b"\n" for line in lines)

    def details(self) -> str:
        """Return the last lines of the log."""
        try:
            with open(self._logPath, "rb") as log:  # noqa: PTH123
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - _TAIL_BYTES))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def killTree(self) -> None:
        """Kill the process and all that it started; returns at once."""
        if os.name == "nt":
            # taskkill finds the children only while their parent lives, so it goes first and alone.
            if self._killing is None and self.exitCode() is None:
                self._killing = subprocess.Popen(
                    ["taskkill", "/PID", str(self.pid), "/T", "/F"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    creationflags=_NO_WINDOW,
                )
            return
        with suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so long; return whether it has ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def closeInput(self) -> None:
        """Close its input, by which the worker learns that nobody wants it any more."""
        with suppress(OSError):
            self._input.close()

    def dispose(self) -> None:
        """Kill what is left of its group, close the pipes and remove the log."""
        self.killTree()
        self.closeInput()
        self._output.close()
        self._removeLog()

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = os.write(self._input.fileno(), self._unsent[:_CHUNK])
                if sent == 0:
                    break
                self._unsent = self._unsent[sent:]
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self._unsent = b""  # its end of the pipe is closed; exitCode() will tell why

    def _readAvailable(self) -> bytes:
        try:
            taken = os.read(self._output.fileno(), _CHUNK)
        except (OSError, ValueError):
            return b""  # nothing there now; on Windows an empty pipe is a plain OSError
        self._ended = not taken
        return taken


def _newLog() -> str:
    """Return the path of a new file; the null device where the temporary folder takes none."""
    try:
        descriptor, path = tempfile.mkstemp(
            prefix="diffoseg-", suffix=".log", dir=temporaryFolder()
        )
    except OSError:  # a worker without a log can still say what it has to say
        return os.devnull
    os.close(descriptor)
    return path


def _removed(log: str) -> None:
    if log != os.devnull:
        with suppress(OSError):  # Windows keeps a file that a dying process still holds
            Path(log).unlink(missing_ok=True)
