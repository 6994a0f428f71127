"""What measures the application's pauses feels each of them, the last one too."""

import time

import pytest
import qt
from a_sitting import LONGEST_GAP, Heart, waitInEventLoop

pytestmark = [
    pytest.mark.usefixtures("host"),
    pytest.mark.filterwarnings("ignore:'exec_'"),
]

HELD = 1.5 * LONGEST_GAP


def longestWhile(slot):
    """Return the longest pause of an event loop in which a slot is called once."""
    called, heart, once = [], Heart(), qt.QTimer()
    once.setSingleShot(True)
    once.connect("timeout()", lambda: (slot(), called.append(True)))
    once.start(20)
    waitInEventLoop(lambda: called)
    return heart.stop()


def compute():
    begun = time.thread_time()
    while time.thread_time() - begun < HELD:
        pass


@pytest.mark.parametrize("hold", [lambda: time.sleep(HELD), compute], ids=["waits", "computes"])
def test_a_slot_that_holds_the_application_is_felt(hold):
    assert longestWhile(hold) > LONGEST_GAP


def test_a_slot_that_returns_at_once_is_not():
    assert longestWhile(lambda: None) < LONGEST_GAP
