"""The version of the engine, read by the build, by result files and by weights."""

__version__ = "0.1.0"
