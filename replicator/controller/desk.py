"""A controller's dealings with the catalog, in a thread of their own.

The links go on whether the catalog answers or not; what they have to tell waits in their journals.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

from replicator.catalog import Catalog, LinkState, State
from replicator.controller import conflicts
from replicator.controller.fleet import Fleet, ends_of
from replicator.errors import ReplicatorError
from replicator.failpoint import failpoint
from replicator.habits import Habits
from replicator.journal import Journal
from replicator.logs import log
from replicator.model import Link, OneTimeCopy, Topology
from replicator.postgres import Connector
from replicator.reconnect import keep_connected
from replicator.signals import Stop
from replicator.worker import Worker

HEARTBEAT = 2.0
"""How often the catalog hears of each link, and is asked for what a notification may have failed to tell."""

GLANCE = 0.25
"""How often the links' journals are looked at: a changed state is in the catalog within this time."""


class Desk:
    """The catalog thread: holds the sync's lock, watches what is declared and asked, stores what the links report.

    declared: the newest topology with its revision, for the main thread; None before the lock is held. habits: the
    settings of that revision; switches: options of the daemon's start.
    crash: the defect that ended the thread.
    """

    def __init__(self, connector: Connector, sync: str, fleet: Fleet, stop: Stop) -> None:
        self.declared: tuple[int, Topology] | None = None
        self.habits = Habits()
        self.switches: dict[str, str] = {}
        self.crash: BaseException | None = None
        self._connector = connector
        self._sync = sync
        self._fleet = fleet
        self._stop = stop
        self._finish = Stop()
        self._revision = -1
        self._answered = 0
        self._copies_once = False
        self._told: dict[Worker, tuple[str, str]] = {}
        self._looked_at = 0.0
        self._thread = threading.Thread(target=self._main, name="desk", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self, seconds: float) -> bool:
        """Store what the links have left, let go of the lock and end. False when that did not work in time."""
        self._finish.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            keep_connected(self._connector, f"controller {self._sync}", self._serve, self._finish)
        except BaseException as error:  # whatever it is, the main thread must hear of it
            self.crash = error
            log.error("the catalog thread: a defect, this process starts afresh", exc_info=error)

    def _serve(self, catalog: Catalog) -> None:
        if not self._hold_lock(catalog):
            return
        notified = True
        while not self._finish.is_set():
            now = time.monotonic()
            if notified or now >= self._looked_at + HEARTBEAT:
                self._looked_at = now
                self._follow(catalog)
                self._report(catalog, everything=True)
            else:
                self._report(catalog, everything=False)
            notified = catalog.wait(GLANCE)
        self._report(catalog, everything=True)

    def _hold_lock(self, catalog: Catalog) -> bool:
        """Wait until no other controller of this sync is left. False: asked to finish first."""
        since = time.monotonic()
        while not catalog.try_lock("sync", self._sync):
            if self._finish.wait(0.1):
                return False
            if time.monotonic() > since + 5:
                log.info("another controller of this sync is still connected to the catalog; waiting for it to leave")
                since = time.monotonic()
        return True

    def _follow(self, catalog: Catalog) -> None:
        if (revision := catalog.revision()) != self._revision:
            self._revision = revision
            topology = catalog.topology()
            if why := _reason_to_leave(topology, self._sync):
                self._stop.set(why)
            else:
                self.habits = Habits(catalog.bucardo_settings(), self._connector.config.run_dir)
                self.switches = catalog.habits().get(("start", ""), {})
                self.declared = revision, topology
                self._copies_once = topology.syncs[self._sync].onetimecopy is OneTimeCopy.ALWAYS
        if self._copies_once and self._fleet.prepared(self._revision):
            self._copy_is_done(catalog)
        self._pass_on_kicks(catalog)

    def _copy_is_done(self, catalog: Catalog) -> None:
        """A copy that was ordered once has been made (of a fullcopy: will be made by its next run, as always)."""
        failpoint("once.before-done")
        with catalog.declaring():
            if catalog.revision() == self._revision:
                sync = catalog.topology().syncs[self._sync]
                catalog.update_sync(replace(sync, onetimecopy=OneTimeCopy.EMPTY))
                failpoint("once.before-commit")
                self._copies_once = False

    def _pass_on_kicks(self, catalog: Catalog) -> None:
        kick = catalog.kicks(self._sync)
        if kick == self._answered:
            return
        answered = {(result.source, result.target) for result in catalog.kick_results(kick)}
        missing = [worker for worker in self._fleet.workers if ends_of(worker.link) not in answered]
        failpoint("kick.before-hand-over")
        for worker in missing:
            worker.kick(kick)
            failpoint("kick.after-hand-over")
        if self._fleet.workers and not missing:
            self._answered = kick

    def _report(self, catalog: Catalog, *, everything: bool) -> None:
        workers = self._fleet.workers
        for worker in workers:
            standing = worker.journal.standing
            if everything or self._told.get(worker) != (standing.state, standing.detail):
                self._told[worker] = (standing.state, standing.detail)
                catalog.report(self._state(worker))
        for worker in workers:
            self._store(catalog, worker.link, worker.journal)
        for worker in workers:
            if worker.aborts:
                log.error("%s: pauses; go on by `replicator resume %s`", worker.aborts, self._sync)
                catalog.set_paused(self._sync, True)
                worker.aborts = ""
        self._told = {worker: told for worker, told in self._told.items() if worker in workers}

    def _state(self, worker: Worker) -> LinkState:
        standing = worker.journal.standing
        return LinkState(
            sync=self._sync,
            source=worker.link.source.name,
            target=worker.link.target.name,
            state=State(standing.state),
            detail=standing.detail,
            pid=os.getpid(),
            revision=self._fleet.revision,
        )

    def _store(self, catalog: Catalog, link: Link, journal: Journal) -> None:
        news = journal.take()
        try:
            if news.good:
                conflicts.note(self.habits, link, news.good)
                catalog.record_run(link, news.good.result, news.good.started, news.good.finished)
                news = replace(news, good=None)
            if news.bad:
                catalog.record_run(link, ReplicatorError(news.bad.error), news.bad.started, news.bad.finished)
                news = replace(news, bad=None)
            for answer in news.answers:
                failpoint("kick.before-answer")
                catalog.finish_kick(link.sync.name, link.source.name, link.target.name, answer.kick, answer.error)
                failpoint("kick.after-answer")
        except ReplicatorError:
            journal.put_back(news)
            raise


def _reason_to_leave(topology: Topology, name: str) -> str:
    sync = topology.syncs.get(name)
    if sync is None:
        return "the sync was removed"
    return "the sync is paused" if sync.paused else ""
