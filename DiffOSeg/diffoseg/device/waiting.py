"""How the threads of a computation wait for each other."""

import os

_SPINS = "3000"


def wait_without_spinning() -> None:
    """Let a thread that waits soon give its processor away; to be called before torch is loaded.

    The threads of GNU OpenMP, which torch brings on Linux, else burn their processors for long, and
    where anything else wants one (Slicer's own views, a second run) each step waits for a thread
    that is not even running. On two cores a call of the network takes 0.065 s with either number of
    spins, and with one other busy process 4.3 s by default, 0.21 s so (OMP_WAIT_POLICY=PASSIVE:
    0.10 and 0.11 s). Who has set GOMP_SPINCOUNT keeps it.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
