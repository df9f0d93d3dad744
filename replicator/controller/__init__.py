"""The process of one sync: a `Worker` per link, and the `Desk` that deals with the catalog on their behalf.

Which syncs have a controller is `master`'s decision; a controller leaves by itself when its sync is paused or gone, and
dies with the master.
"""

from __future__ import annotations

import logging
import os

from setproctitle import setproctitle

from replicator import bucardo_logs, bucardo_titles
from replicator.controller.desk import Desk
from replicator.controller.fleet import Fleet
from replicator.errors import ReplicatorError
from replicator.logs import log
from replicator.model import Link, Sync, SyncType
from replicator.pacing import FOREVER
from replicator.postgres import Connector
from replicator.signals import Alarm, Stop
from replicator.worker import MakeRunner


def title(sync: Sync, links: list[Link]) -> str:
    """What `ps` shows of a controller."""
    ways = [f"{link.source.name} -> {link.target.name}" for link in links]
    if sync.type is SyncType.SWAP:
        ways = [
            f"{a.source.name} {'<->' if a.mutual else '->'} {a.target.name}" for a in links if a.source.name == a.lead
        ]
    return f'pgherd controller: sync "{sync.name}" ({sync.type}) {", ".join(ways)}'


def run(connector: Connector, name: str, stop: Stop, make_runner: MakeRunner) -> int:
    """Be the controller of a sync until the stop is requested. Returns the process's exit code."""
    attention = Alarm()
    stop.wake(attention)
    fleet = Fleet(connector, make_runner, Alarm(), stop)
    desk = Desk(connector, name, fleet, stop, attention)
    desk.start()
    code = _mind(fleet, desk, name, stop, attention)
    stop.set("a defect")
    ended = fleet.wind_down(stop.reason)
    ended = desk.finish(2.0) and ended
    log.info("ends: %s", stop.reason)
    if not ended:  # something hangs; the server rolls its transaction back
        logging.shutdown()
        os._exit(code)
    attention.close()
    fleet.news.close()
    return code


def _mind(fleet: Fleet, desk: Desk, name: str, stop: Stop, attention: Alarm) -> int:
    """Arrange the links as declared, until the stop is requested (0) or there is a defect (1)."""
    while not stop.is_set():
        if desk.declared and desk.declared[0] != fleet.revision:
            revision, topology = desk.declared
            try:
                bucardo_logs.follow(desk.habits, name, desk.switches)
                fleet.arrange(name, revision, topology, desk.habits)
            except ReplicatorError as error:
                log.error("%s", error)
                return 1
            shown = bucardo_titles.controller if desk.habits else title
            setproctitle(shown(topology.syncs[name], [worker.link for worker in fleet.workers]))
        attention.wait(FOREVER)
    return 1 if desk.crash or fleet.crashed() else 0
