"""Settings that every test of the engine shares."""

import signal

from hypothesis import settings

# The same examples on every run, and no deadline: a slow moment of the machine is not a fault.
settings.register_profile("diffoseg", deadline=None, derandomize=True)
settings.load_profile("diffoseg")

# A shell that starts a job in the background lets it, and all that it starts, ignore Ctrl-C, which
# some tests press: they test what happens at a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
