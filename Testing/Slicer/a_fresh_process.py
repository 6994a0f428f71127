"""What a fresh process has imported after running some code."""

import subprocess
import sys

from a_panel import MODULE, ROOT

HEAVY = {"torch", "monai", "SimpleITK", "safetensors", "scipy", "diffoseg.worker.process"}


def imported(code):
    """Return the names of what a fresh process has imported after running some code."""
    program = f"""
import sys
sys.path[:0] = [{str(ROOT / "Testing")!r}, {str(MODULE.parent)!r}]
import SlicerHost
SlicerHost.boot()
{code}
print(*sys.modules)"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split())
