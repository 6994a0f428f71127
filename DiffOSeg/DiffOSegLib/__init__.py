"""Between the scene and the engine: what is asked, the worker that answers, what comes back."""
