"""Threads beside an event loop that never rests: how they get the interpreter's lock.

A loop releases the lock at every poll, send and receive and takes it again at once. A thread that waits for it is woken each
time, on a machine where waking takes longer than that finds it taken, and begins its wait anew: it never insists, which it
does only after having waited for a whole switch interval undisturbed, and stands still for seconds. ``bench/store.py`` shows
it (``put_beside_busy_loop``). With an interval shorter than the time between two releases, and timers exact enough to
notice, the thread insists and gets its turn.

A thread that waits looks again after each interval, also while the one that has the lock is itself waiting for a processor:
at 5 us, looking took half of the CPU time of an API server on a machine that had other things to do; at 50 us it takes a
fortieth (``put_beside_busy_loop/waiting_cpu_us``).
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

SWITCH_INTERVAL_S: Final = 50e-6
_PR_SET_TIMERSLACK: Final = 29


def insist() -> None:
    """The threads of this process get their turn beside a busy event loop. For the whole interpreter."""
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))


def exact_timers() -> None:
    """The calling thread's short waits end when they are over, not up to 50 us later. Linux; elsewhere nothing.

    Source: prctl(2), PR_SET_TIMERSLACK.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
