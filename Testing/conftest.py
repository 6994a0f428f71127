"""Settings that all tests share."""

import os

# Beside others (`pytest -n 2`) each process of tests, and what it starts, computes with one thread:
# two that wait for each other on the same core take longer than one. Before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
