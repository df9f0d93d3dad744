"""The master's thread at the catalog: holds the lock that makes it the only one, and knows which syncs are to run."""

from __future__ import annotations

import threading
import time

from replicator.catalog import Catalog
from replicator.habits import Habits
from replicator.logs import log
from replicator.model import Topology
from replicator.postgres import Connector
from replicator.reconnect import keep_connected
from replicator.signals import Alarm, Stop

POLL = 10.0
"""Seconds after which the catalog is asked in any case, so that a silent end of the connection is noticed."""

FIRST_LOCK, LOCK_AGAIN = 10.0, 5.0
"""How long to wait for the lock at the start (a killed predecessor's connection may linger) and after an outage."""


class Watch:
    """The catalog thread. wanted: the syncs that are to run, None before it is known; paused: whether others may come
    back. held: whether we are the master.

    habits: the settings of `bucardo_ctl`; targets: the databases that each sync writes to, its source left out.

    When the lock is lost to another master, or cannot be had at the start, it requests the stop. attention: set when
    what is wanted may have changed.
    """

    def __init__(self, connector: Connector, stop: Stop, attention: Alarm) -> None:
        self.wanted: tuple[str, ...] | None = None
        self.paused = False
        self.habits = Habits()
        self.targets: dict[str, tuple[str, ...]] = {}
        self.held = threading.Event()
        self._connector = connector
        self._stop = stop
        self._attention = attention
        self._wake = Alarm()
        stop.wake(self._wake)
        self._revision = -1
        self._thread = threading.Thread(target=self._main, name="watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float) -> bool:
        """Wait until the thread has ended (the stop being requested). False: it has not, in that time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            keep_connected(self._connector, "master", self._serve, self._stop)
        except BaseException as error:  # whatever it is, the main thread must end too
            log.error("the catalog thread: a defect", exc_info=error)
            self._stop.set(f"a defect: {error}")

    def _serve(self, catalog: Catalog) -> None:
        if not self._hold_lock(catalog):
            return
        self.held.set()
        while not self._stop.is_set():
            if (revision := catalog.revision()) != self._revision:
                topology = catalog.topology()
                self.habits = Habits(catalog.bucardo_settings(), self._connector.config.run_dir)
                self.targets = {s.name: tuple(d.name for d in topology.targets(s)) for s in topology.syncs.values()}
                self.wanted = wanted(topology)
                self.paused = len(self.wanted) < len(topology.syncs)
                self._revision = revision
                self._attention.set()
            catalog.wait(POLL, self._wake)

    def _hold_lock(self, catalog: Catalog) -> bool:
        deadline = time.monotonic() + (LOCK_AGAIN if self.held.is_set() else FIRST_LOCK)
        while not catalog.try_lock("master"):
            if time.monotonic() > deadline:
                self._stop.set("another master runs this install: it holds the lock in the catalog")
            if self._stop.wait(0.1):
                return False
        return True


def wanted(topology: Topology) -> tuple[str, ...]:
    """The syncs that are to have a controller."""
    return tuple(sorted(sync.name for sync in topology.syncs.values() if not sync.paused))
