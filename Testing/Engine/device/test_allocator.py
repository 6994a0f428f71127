"""Memory that is freed and asked for again is not fetched from the system anew."""

import subprocess
import sys

import pytest

PROBE = """
import resource
import torch
from diffoseg.device.allocator import keep_freed_memory
torch.set_num_threads(1)
{call}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def fill():
    for _ in range(20):
        torch.ones(40 << 18)  # 40 MB, over the largest size that glibc would keep by itself
fill()
before = faults()
fill()
print(faults() - before)
"""


def page_faults(call: str) -> int:
    command = [sys.executable, "-c", PROBE.format(call=call)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_freed_memory_is_used_again_without_asking_the_system():
    assert page_faults("assert keep_freed_memory()") < page_faults("") / 10
