"""Training of stage I, stage II and local experts."""
