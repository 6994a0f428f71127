"""How the threads of a computation wait for each other."""

import os


def wait_without_spinning() -> None:
    """Let a thread that waits give its processor away; to be called before torch is loaded.

    OpenMP's threads else burn their processors while they wait, and where anything else wants one
    (Slicer's own views, a second run) each step waits for a thread that is not even running. On two
    cores with one other busy process a call of the network took 2.2 to 3.4 s so, 0.2 to 0.5 s
    without. Who has set OMP_WAIT_POLICY keeps it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
