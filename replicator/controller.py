"""The process of one sync: a `Worker` per link, and the `Desk` that deals with the catalog on their behalf.

The links go on whether the catalog answers or not. Which syncs have a controller is `master`'s decision; a controller
leaves by itself when its sync is paused or gone, and dies with the master. Run as
`python -m replicator.controller --config FILE --sync NAME --parent PID`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from setproctitle import setproctitle

from replicator import config, lifeline, logs
from replicator.catalog import Catalog, LinkState, State
from replicator.errors import ReplicatorError
from replicator.journal import Journal
from replicator.logs import log
from replicator.model import Link, OneTimeCopy, Sync, SyncType, Topology
from replicator.postgres import Connector
from replicator.reconnect import keep_connected
from replicator.signals import Stop, install_handlers
from replicator.syncrun import LinkRunner
from replicator.worker import MakeRunner, Worker

HEARTBEAT = 1.0
"""How often the catalog hears of each link, and is asked for what a notification may have failed to tell."""

GLANCE = 0.25
"""How often the links' journals are looked at: a changed state is in the catalog within this time."""

PATIENCE, CANCELLED = 1.5, 2.5
"""How long links may take to stop by themselves, and then again once their statements have been cancelled."""

RELOAD = 10.0
"""How long a link whose definition changed may take to stop, before the process gives up and is started afresh."""


Ends = tuple[str, str]
"""What tells the links of one sync apart: the names of source and target."""


class Fleet:
    """The workers of a sync. The main thread arranges them; any thread may look at them and pass on kicks."""

    def __init__(self, connector: Connector, make_runner: MakeRunner) -> None:
        self._connector = connector
        self._make_runner = make_runner
        self._context: dict[Ends, list[Link]] = {}
        self.workers: tuple[Worker, ...] = ()
        self.revision = 0

    def arrange(self, name: str, revision: int, topology: Topology) -> None:
        """Let exactly the links of a sync run, each prepared anew if anything about its databases has changed.

        Raises ReplicatorError when one that should end does not.
        """
        install = self._connector.config.install
        everything = list(topology.all_links(install))
        links = [link for link in topology.links(install, topology.syncs[name]) if link.active]
        wanted = {_ends(link): _surroundings(link, everything) for link in links}
        kept = {
            ends: worker for worker in self.workers if self._context[ends := _ends(worker.link)] == wanted.get(ends)
        }
        old = [worker for worker in self.workers if worker not in kept.values()]
        _end(old, "its definition has changed")
        new = {
            _ends(link): Worker(link, topology, self._connector, self._make_runner)
            for link in links
            if _ends(link) not in kept
        }
        _hand_over(old, new)
        self._context = wanted
        self.workers = tuple((kept | new)[ends] for ends in wanted)
        self.revision = revision
        for ends, worker in (kept | new).items():
            worker.nudge() if ends in kept else worker.start()

    def prepared(self, revision: int) -> bool:
        """Whether all links have been ready to run, as declared in that revision."""
        return self.revision == revision and bool(self.workers) and all(worker.prepared for worker in self.workers)

    def crashed(self) -> bool:
        """Whether a defect has ended one of them."""
        return any(worker.crash for worker in self.workers)

    def wind_down(self, why: str) -> bool:
        """End them all. False when one does not end; the process may be left all the same: a batch is a transaction."""
        return _wind_down(self.workers, why, CANCELLED)


def _ends(link: Link) -> Ends:
    return link.source.name, link.target.name


def _surroundings(link: Link, everything: list[Link]) -> list[Link]:
    """All links that touch the databases of a link: what one node's capture must provide depends on all of them.

    Pausing a sync changes nothing of that.
    """
    near = [other for other in everything if {*_ends(link)} & {*_ends(other)}]
    return [replace(other, sync=replace(other.sync, paused=False)) for other in near]


def _wind_down(workers: tuple[Worker, ...], why: str, last_patience: float) -> bool:
    for worker in workers:
        worker.halt(why)
    if _joined(workers, PATIENCE):
        return True
    for worker in workers:
        if worker.alive:
            log.info("%s: is cancelled, it did not stop by itself", worker.link)
            worker.cancel()
    return _joined(workers, last_patience)


def _joined(workers: tuple[Worker, ...], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    return all(worker.join(max(0.0, deadline - time.monotonic())) for worker in workers)


def _end(workers: list[Worker], why: str) -> None:
    if not _wind_down(tuple(workers), why, RELOAD):
        stuck = ", ".join(str(worker.link) for worker in workers if worker.alive)
        raise ReplicatorError(f"{stuck}: did not stop, so that a changed definition could come into force.")


def _hand_over(old: list[Worker], new: dict[Ends, Worker]) -> None:
    """What a worker had not yet told the catalog is told by its successor."""
    for worker in old:
        if successor := new.get(_ends(worker.link)):
            successor.journal.put_back(worker.journal.take())


class Desk:
    """The catalog thread: holds the sync's lock, watches what is declared and asked, stores what the links report.

    declared: the newest topology with its revision, for the main thread; None before the lock is held.
    crash: the defect that ended the thread.
    """

    def __init__(self, connector: Connector, sync: str, fleet: Fleet, stop: Stop) -> None:
        self.declared: tuple[int, Topology] | None = None
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
                self.declared = revision, topology
                self._copies_once = topology.syncs[self._sync].onetimecopy is OneTimeCopy.ALWAYS
        if self._copies_once and self._fleet.prepared(self._revision):
            self._copy_is_done(catalog)
        self._pass_on_kicks(catalog)

    def _copy_is_done(self, catalog: Catalog) -> None:
        """A copy that was ordered once has been made (of a fullcopy: will be made by its next run, as always)."""
        with catalog.declaring():
            if catalog.revision() == self._revision:
                sync = catalog.topology().syncs[self._sync]
                catalog.update_sync(replace(sync, onetimecopy=OneTimeCopy.EMPTY))
                self._copies_once = False

    def _pass_on_kicks(self, catalog: Catalog) -> None:
        kick = catalog.kicks(self._sync)
        if kick == self._answered:
            return
        answered = {(result.source, result.target) for result in catalog.kick_results(kick)}
        missing = [worker for worker in self._fleet.workers if _ends(worker.link) not in answered]
        for worker in missing:
            worker.kick(kick)
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
                catalog.record_run(link, news.good.result, news.good.started, news.good.finished)
                news = replace(news, good=None)
            if news.bad:
                catalog.record_run(link, ReplicatorError(news.bad.error), news.bad.started, news.bad.finished)
                news = replace(news, bad=None)
            for answer in news.answers:
                catalog.finish_kick(link.sync.name, link.source.name, link.target.name, answer.kick, answer.error)
        except ReplicatorError:
            journal.put_back(news)
            raise


def _reason_to_leave(topology: Topology, name: str) -> str:
    sync = topology.syncs.get(name)
    if sync is None:
        return "the sync was removed"
    return "the sync is paused" if sync.paused else ""


def title(sync: Sync, links: list[Link]) -> str:
    """What `ps` shows of a controller."""
    ways = [f"{link.source.name} -> {link.target.name}" for link in links]
    if sync.type is SyncType.SWAP:
        ways = [f"{a.source.name} <-> {a.target.name}" for a in links if a.source.name == a.lead]
    return f'pgherd controller: sync "{sync.name}" ({sync.type}) {", ".join(ways)}'


def run(connector: Connector, name: str, stop: Stop, make_runner: MakeRunner) -> int:
    """Be the controller of a sync until the stop is requested. Returns the process's exit code."""
    fleet = Fleet(connector, make_runner)
    desk = Desk(connector, name, fleet, stop)
    desk.start()
    code = _mind(fleet, desk, name, stop)
    stop.set("a defect")
    ended = fleet.wind_down(stop.reason)
    ended = desk.finish(2.0) and ended
    log.info("ends: %s", stop.reason)
    if not ended:  # something hangs; the server rolls its transaction back
        logging.shutdown()
        os._exit(code)
    return code


def _mind(fleet: Fleet, desk: Desk, name: str, stop: Stop) -> int:
    """Arrange the links as declared, until the stop is requested (0) or there is a defect (1)."""
    while not stop.wait(0.1):
        if desk.crash or fleet.crashed():
            return 1
        if desk.declared and desk.declared[0] != fleet.revision:
            revision, topology = desk.declared
            try:
                fleet.arrange(name, revision, topology)
            except ReplicatorError as error:
                log.error("%s", error)
                return 1
            setproctitle(title(topology.syncs[name], [worker.link for worker in fleet.workers]))
    return 0


def main() -> int:
    """The process's entry: see the module's docstring."""
    try:
        return _start()
    except ReplicatorError as error:  # the configuration, most likely; stderr goes to the log
        print(error, file=sys.stderr)
        return error.exit_code


def _start() -> int:
    parser = argparse.ArgumentParser(prog="replicator.controller")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sync", required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--echo", action="store_true")
    options = parser.parse_args()
    lifeline.tie_to_parent(options.parent)
    stop = Stop()
    install_handlers(stop)
    setproctitle(f'pgherd controller: sync "{options.sync}"')
    settings = config.load(options.config)
    logs.set_up(settings.log_file, options.sync, master=False, echo=options.echo)
    return run(Connector(settings), options.sync, stop, LinkRunner)


if __name__ == "__main__":
    sys.exit(main())
