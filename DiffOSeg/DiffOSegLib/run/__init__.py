"""Running: the Logic, one run, the worker's client, and what has to be installed."""
