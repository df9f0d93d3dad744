"""Counts what the workers of a copy have moved, and says so now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from replicator.change import Counts
from replicator.signals import Stop

Report = Callable[[str], None]


class Meter:
    """Used by all workers of a copy. units: how many ranges it has; bytes_expected: of all together."""

    def __init__(self, report: Report, stop: Stop, units: int, bytes_expected: int) -> None:
        self._lock = threading.Lock()
        self._report, self._stop, self._units = report, stop, units
        self._expected = max(bytes_expected, 1)
        self._bytes = self._done = self._rows = 0
        self._began = self._said = time.monotonic()

    def moved(self, size: int) -> None:
        """Bytes have passed. Raises when the stop is requested."""
        self._stop.raise_if_set()
        with self._lock:
            self._bytes += size
            now = time.monotonic()
            if now - self._said < 1:
                return
            self._said = now
            rate = self._bytes / (now - self._began) / 1e6
            share = max(100 * self._done // self._units, min(99, 100 * self._bytes // self._expected))
            rows = self._rows
        self._report(f"copying tables: {share} %, {rows} rows, {rate:.0f} MB/s")

    def finished(self, counts: Counts) -> None:
        """A range is there."""
        with self._lock:
            self._done += 1
            self._rows += counts.rows
