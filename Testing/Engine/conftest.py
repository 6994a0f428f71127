"""Settings that every test of the engine shares."""

from hypothesis import settings

# The same examples on every run, and no deadline: a slow moment of the machine is not a fault.
settings.register_profile("diffoseg", deadline=None, derandomize=True)
settings.load_profile("diffoseg")
