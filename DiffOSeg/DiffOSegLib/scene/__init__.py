"""Between the scene and arrays: what a run reads from it and leaves in it."""
