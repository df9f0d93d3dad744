"""The workers of a sync: which of its links run, and which begin anew when what is declared changes."""

from __future__ import annotations

import time
from dataclasses import replace

from replicator.errors import ReplicatorError
from replicator.habits import Habits
from replicator.logs import log
from replicator.model import Link, Topology
from replicator.postgres import Connector
from replicator.signals import Alarm, Stop
from replicator.worker import MakeRunner, Worker

PATIENCE, CANCELLED = 1.5, 2.5
"""How long links may take to stop by themselves, and then again once their statements have been cancelled."""

RELOAD = 10.0
"""How long a link whose definition changed may take to stop, before the process gives up and is started afresh."""

Ends = tuple[str, str]
"""What tells the links of one sync apart: the names of source and target."""


class Fleet:
    """The workers of a sync. The main thread arranges them; any thread may look at them and pass on kicks.

    news: set when a worker has something to tell, or others have come. process: requested to stop by a worker's defect.
    """

    def __init__(self, connector: Connector, make_runner: MakeRunner, news: Alarm, process: Stop) -> None:
        self.news = news
        self._process = process
        self._connector = connector
        self._make_runner = make_runner
        self._context: dict[Ends, list[Link]] = {}
        self.workers: tuple[Worker, ...] = ()
        self.revision = 0

    def arrange(self, name: str, revision: int, topology: Topology, habits: Habits | None = None) -> None:
        """Let exactly the links of a sync run, each prepared anew if anything about its databases has changed.

        habits: the settings by which they connect and keep time.

        Raises ReplicatorError when one that should end does not.
        """
        habits = habits or Habits()
        install = self._connector.config.install
        connector = replace(self._connector, config=replace(self._connector.config, keepalives=habits.keepalives))
        everything = list(topology.all_links(install))
        links = [link for link in topology.links(install, topology.syncs[name]) if link.active]
        wanted = {ends_of(link): _surroundings(link, everything) for link in links}
        kept = {
            ends: worker for worker in self.workers if self._context[ends := ends_of(worker.link)] == wanted.get(ends)
        }
        old = [worker for worker in self.workers if worker not in kept.values()]
        _end(old, "its definition has changed")
        new = {
            ends_of(link): Worker(
                link,
                topology,
                connector,
                self._make_runner,
                news=self.news,
                process=self._process,
                rhythm=habits.rhythm,
            )
            for link in links
            if ends_of(link) not in kept
        }
        _hand_over(old, new)
        self._context = wanted
        self.workers = tuple((kept | new)[ends] for ends in wanted)
        self.revision = revision
        for ends, worker in (kept | new).items():
            worker.keep_time(habits.rhythm)
            worker.nudge() if ends in kept else worker.start()
        self.news.set()

    def prepared(self, revision: int) -> bool:
        """Whether all links have been ready to run, as declared in that revision."""
        return self.revision == revision and bool(self.workers) and all(worker.prepared for worker in self.workers)

    def crashed(self) -> bool:
        """Whether a defect has ended one of them."""
        return any(worker.crash for worker in self.workers)

    def wind_down(self, why: str) -> bool:
        """End them all. False when one does not end; the process may be left all the same: a batch is a transaction."""
        return _wind_down(self.workers, why, CANCELLED)


def ends_of(link: Link) -> Ends:
    """The names of a link's source and target."""
    return link.source.name, link.target.name


def _surroundings(link: Link, everything: list[Link]) -> list[Link]:
    """All links that touch the databases of a link: what one node's capture must provide depends on all of them.

    Pausing a sync changes nothing of that.
    """
    near = [other for other in everything if {*ends_of(link)} & {*ends_of(other)}]
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
        if successor := new.get(ends_of(worker.link)):
            successor.journal.put_back(worker.journal.take())
