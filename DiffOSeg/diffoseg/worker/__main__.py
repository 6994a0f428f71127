"""``python -m diffoseg.worker``: the process that computes for Slicer."""

from .process import main

main()
