"""The cases to learn from: rows, checks, files and the scene."""
