"""Holder time: how long it has been, as a holder must count it, in nanoseconds.

A holder that counts too little believes too long, and then two believe at once. So it counts with the faster of two clocks:
CLOCK_BOOTTIME goes on while the machine sleeps, CLOCK_MONOTONIC_RAW is not slewed by a time daemon. Neither is a wall clock.

The larger of two totals would not do: after one sleep CLOCK_BOOTTIME leads for ever, and what it is slowed by since would go
unseen. So the larger of what each counted is added up, stretch by stretch; a stretch ends where the two have come apart.
"""

import threading
import time
from collections.abc import Callable

MS = 1_000_000
SECOND = 1_000 * MS

# How far the clocks may come apart, in ns, before the stretch that shows it ends; and so many times as long as it took to
# read that pair a stretch must be, so that a thread that was interrupted between the two adds less than a thousandth.
APART = 100_000
QUICK = 1_000

Pair = tuple[int, int, int]


def read_clocks() -> Pair:
    """CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, and how long it took to read them, in ns."""
    raw = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    boottime = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return boottime, raw, time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - raw


class Clock:
    """Reads zero when it is made, and never runs backwards. Any thread may read it."""

    def __init__(self, read: Callable[[], Pair] = read_clocks) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._from = read()
        self._before = self._told = 0

    def now(self) -> int:
        """Nanoseconds since the clock was made, on the faster of the two."""
        with self._lock:
            pair = self._read()
            boottime, raw = pair[0] - self._from[0], pair[1] - self._from[1]
            counted = max(boottime, raw)
            self._told = max(self._told, self._before + counted)
            if abs(boottime - raw) > APART and pair[2] <= counted // QUICK:
                self._from, self._before = pair, self._told
            return self._told
