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
from replicator.signals import Alarm, Stop
from replicator.worker import Worker

BEAT = 2.0
"""Seconds after which the catalog is spoken to in any case: by this others know that the process does not hang."""

LINGER, GLANCE = 0.02, 0.25
"""Seconds between a link's news and the report, for more may follow at once; and, at least, from report to report."""


class Desk:
    """The catalog thread: holds the sync's lock, watches what is declared and asked, stores what the links report.

    declared: the newest topology with its revision, for the main thread; None before the lock is held. habits: the
    settings of that revision; switches: options of the daemon's start.
    crash: the defect that ended the thread. stop: requested then. attention: set when there is something new in these.
    """

    def __init__(self, connector: Connector, sync: str, fleet: Fleet, stop: Stop, attention: Alarm) -> None:
        self.declared: tuple[int, Topology] | None = None
        self.habits = Habits()
        self.switches: dict[str, str] = {}
        self.crash: BaseException | None = None
        self._connector = connector
        self._sync = sync
        self._fleet = fleet
        self._stop = stop
        self._attention = attention
        self._finish = Stop()
        self._revision = -1
        self._answered = 0
        self._copies_once = False
        self._told: dict[Worker, LinkState] = {}
        self._asked_at = self._glanced_at = 0.0
        self._held = False
        self._undelivered = False
        self._thread = threading.Thread(target=self._main, name="desk", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self, seconds: float) -> bool:
        """Store what the links have left, let go of the lock and end. False when that did not work in time."""
        self._finish.set()
        self._fleet.news.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            keep_connected(self._connector, f"controller {self._sync}", self._serve, self._finish)
        except BaseException as error:  # whatever it is, the main thread must hear of it
            self.crash = error
            log.error("the catalog thread: a defect, this process starts afresh", exc_info=error)
            self._stop.set("a defect")

    def _serve(self, catalog: Catalog) -> None:
        if not self._hold_lock(catalog):
            return
        if not self._held:  # what a predecessor said last is not true of us
            catalog.clear_states(self._sync)
            self._held = True
        self._told.clear()
        announced = True
        while not self._finish.is_set():
            if announced or self._undelivered or self._until_beat() <= 0:
                self._asked_at = time.monotonic()
                self._follow(catalog)
            self._report(catalog)
            announced = self._rest(catalog)
        self._report(catalog)

    def _rest(self, catalog: Catalog) -> bool:
        """Wait until there is something to do; whether something was announced."""
        if catalog.wait(self._until_beat(), self._fleet.news):
            return True
        if self._finish.is_set() or self._until_beat() <= 0:
            return False
        announced = catalog.wait(max(LINGER, self._glanced_at + GLANCE - time.monotonic()))
        self._glanced_at = time.monotonic()
        return announced

    def _until_beat(self) -> float:
        return max(0.0, self._asked_at + BEAT - time.monotonic())

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
        revision, kick = catalog.asked(self._sync)
        if revision != self._revision:
            self._revision = revision
            topology = catalog.topology()
            if why := _reason_to_leave(topology, self._sync):
                self._stop.set(why)
            else:
                self.habits = Habits(catalog.bucardo_settings(), self._connector.config.run_dir)
                self.switches = catalog.habits().get(("start", ""), {})
                self.declared = revision, topology
                self._copies_once = topology.syncs[self._sync].onetimecopy is OneTimeCopy.ALWAYS
                self._attention.set()
        if kick != self._answered:
            self._pass_on(catalog, kick)

    def _copy_is_done(self, catalog: Catalog) -> None:
        """A copy that was ordered once has been made (of a fullcopy: will be made by its next run, as always)."""
        failpoint("once.before-done")
        with catalog.declaring():
            if catalog.revision() == self._revision:
                sync = catalog.topology().syncs[self._sync]
                catalog.update_sync(replace(sync, onetimecopy=OneTimeCopy.EMPTY))
                failpoint("once.before-commit")
                self._copies_once = False

    def _pass_on(self, catalog: Catalog, kick: int) -> None:
        answered = {(result.source, result.target) for result in catalog.kick_results(kick)}
        workers = self._fleet.workers
        missing = [worker for worker in workers if ends_of(worker.link) not in answered]
        failpoint("kick.before-hand-over")
        for worker in missing:
            worker.kick(kick)
            failpoint("kick.after-hand-over")
        self._undelivered = not workers or self._fleet.revision != self._revision  # others will come, and say so
        if workers and not missing:
            self._answered = kick

    def _report(self, catalog: Catalog) -> None:
        workers = self._fleet.workers
        self._told = {worker: told for worker, told in self._told.items() if worker in workers}
        for worker in workers:
            if (state := self._state(worker)) != self._told.get(worker):
                catalog.report(state)
                self._told[worker] = state
        for worker in workers:
            self._store(catalog, worker.link, worker.journal)
        for worker in workers:
            if worker.aborts:
                log.error("%s: pauses; go on by `replicator resume %s`", worker.aborts, self._sync)
                catalog.set_paused(self._sync, True)
                worker.aborts = ""
        if self._copies_once and self._fleet.prepared(self._revision):
            self._copy_is_done(catalog)

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
