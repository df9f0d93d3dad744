"""Keeps a master from leaving a swap with changes that the others do not have.

Asked twice: before anything is declared, and once no controller works by the old topology any more; what was written in
between is still in the master's log then, so the step can be taken back and nothing is lost. Whoever leaves by force
is not asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from replicator.catalog import Catalog
from replicator.errors import InvalidTopology, ReplicatorError, UnsentChanges
from replicator.model import Install, Link, SyncType, Topology
from replicator.postgres import Connector
from replicator.status.lag import Lag, unsent

PATIENCE = 5.0
"""How long the links of a master that leaves may take to bring its last changes to the others."""

Report = Callable[[str], None]


def departing(current: Topology, desired: Topology, install: Install) -> list[Link]:
    """The links from masters that leave a swap which goes on to those that stay. Pure."""
    return [link for sync in desired.syncs for link in _departing(current, desired, install, sync)]


def _departing(current: Topology, desired: Topology, install: Install, name: str) -> Iterator[Link]:
    before, after = current.syncs.get(name), desired.syncs[name]
    if before is None or before.type is not SyncType.SWAP or after.type is not SyncType.SWAP:
        return
    stay = {master.name for master in desired.masters(after)}
    for link in current.links(install, before):
        if link.mutual and link.source.name not in stay and link.target.name in stay:
            yield link


def refuse_role_changes(current: Topology, desired: Topology) -> None:
    """A slave's position is none that a master could go on from, nor the other way round. Raises InvalidTopology."""
    problems = []
    for name in current.syncs.keys() & desired.syncs.keys():
        one, other = current.syncs[name], desired.syncs[name]
        if one.type is not SyncType.SWAP or other.type is not SyncType.SWAP:
            continue
        slaves, masters = set(current.slaves(one)), {master.name for master in current.masters(one)}
        problems += [
            f"sync {name}: {database} is a slave in it and cannot become a master as it is; take it out first:"
            f" `replicator remove-node {name} {database}`"
            for database in sorted(slaves & {master.name for master in desired.masters(other)})
        ]
        problems += [
            f"sync {name}: {database} is a master in it and cannot become a slave as it is; take it out first:"
            f" `replicator remove-node {name} {database}`"
            for database in sorted(masters & set(desired.slaves(other)))
        ]
    if problems:
        raise InvalidTopology(problems)


def check(catalog: Catalog, connector: Connector, links: Sequence[Link], report: Report, patience: float) -> None:
    """Wait until all has been sent, as long as somebody is sending. Raises UnsentChanges naming what has not."""
    deadline, told = time.monotonic() + patience, False
    while faults := [fault for link in links for fault in _faults(connector, link)]:
        if time.monotonic() > deadline or not any(catalog.locked("sync", link.sync.name) for link in links):
            raise UnsentChanges(faults)
        if not told:
            report("waiting until what was written there last has been sent")
            told = True
        time.sleep(0.2)


def _faults(connector: Connector, link: Link) -> Iterator[str]:
    try:
        lag = unsent(connector, link)
    except ReplicatorError as error:
        yield f"{link}: what has not been sent is not known: {error}"
        return
    if lag.rows:
        yield f"{link}: {_count(lag)} written on {link.source.name} {_are(lag)} not on {link.target.name}"
    if lag.parked:
        yield f"{link}: {link.target.name} refused {lag.parked} of its rows, which are parked there"


def _count(lag: Lag) -> str:
    return "1 change" if lag.rows == 1 and not lag.more else f"{'more than ' if lag.more else ''}{lag.rows} changes"


def _are(lag: Lag) -> str:
    return "is" if lag.rows == 1 and not lag.more else "are"
