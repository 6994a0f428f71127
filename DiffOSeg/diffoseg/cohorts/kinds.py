"""What the experts of a phantom cohort disagree about."""

NODULES = "nodules"
"""Whether to mark and how large, about as often as real readers do."""

CROSSING = "crossing"
"""Which parts belong: a stress test whose masks cross some eight times as often as real ones."""

KINDS = (NODULES, CROSSING)
