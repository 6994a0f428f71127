"""What a measurement is taken on, and what this process has taken of its memory."""

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_TELLING = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")


def machine(device: str) -> Record:
    """Return what the numbers are measured on, and how busy it was before."""
    import torch

    from diffoseg import __version__

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{device}, {_processor()}",
        "system": f"{platform.system().lower()}-{platform.machine().lower()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "features": _features(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "diffoseg": __version__,
        "commit": _commit(),
    }


def load() -> float | None:
    """Return how many processes wanted a core over the last minute; None on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def peak_memory_mib() -> int | None:
    """Return the largest resident size so far of this process; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def card_memory(device: str) -> Record:
    """Return the largest memory taken of a graphics card; nothing of other devices."""
    import torch

    if device != "cuda":
        return {}
    return {"card_peak_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20)}


def wait_for(device: str) -> None:
    """Wait until a graphics card has done what it was told."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def _features() -> list[str]:
    """Return those of the processor's instructions that decide how fast a network runs."""
    known = set(_processor_says("flags").split()) | set(_processor_says("Features").split())
    return [name for name in _TELLING if name in known]


def _processor() -> str:
    return _processor_says("model name") or platform.processor() or platform.machine()


def _processor_says(field: str) -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    said = (line.split(":", 1)[1].strip() for line in lines if line.startswith(field))
    return next(said, "")


def _commit() -> str:
    """Return the commit, with a "+" where files are changed since."""
    try:
        here = Path(__file__).parent
        commit = ["git", "rev-parse", "--short", "HEAD"]
        changed = ["git", "status", "--porcelain", "--untracked-files=no"]
        said, left = (
            subprocess.check_output(command, cwd=here, text=True, stderr=subprocess.DEVNULL)
            for command in (commit, changed)
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.strip() + ("+" if left.strip() else "")
