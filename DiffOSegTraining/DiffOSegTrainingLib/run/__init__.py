"""Training: the Logic, one training, its requests, and trainings that wait to be resumed."""
