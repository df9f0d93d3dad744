"""Takes back what removed syncs and tables left on nodes: triggers, change logs, positions. A ledger is handed on.

Only once no controller works by the old topology any more, since it would put them there again. What cannot be cleaned
because a node is down stays noted in the catalog.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from replicator import ledger, progress, validate
from replicator.capture import Need, needs, release
from replicator.capture.schema import create_schema
from replicator.catalog import Catalog, Leftover
from replicator.errors import ReplicatorError, Unreachable
from replicator.failpoint import failpoint
from replicator.model import Database, SyncType, TableName, Topology
from replicator.postgres import Connection, Connector, translated

PATIENCE = 30.0
"""How long controllers may take to follow a change."""

Report = Callable[[str], None]


def clean(catalog: Catalog, connector: Connector, report: Report = lambda _: None) -> None:
    """Clean up all that is noted. What cannot be cleaned is reported, a sentence each, and stays noted."""
    deadline = time.monotonic() + PATIENCE
    failed: dict[str, str] = {}
    for leftover in catalog.leftovers():
        name = leftover.database.name
        if leftover.held:
            report(f"what sync {leftover.sync} left on {name} stays: {leftover.error}")
            continue
        try:
            if name not in failed:
                wait_until_unused(catalog, leftover.sync, name, deadline)
                _clean(catalog, connector, leftover, report)
                report(f"cleaned up after sync {leftover.sync} on {name}")
        except ReplicatorError as error:
            failed[name] = str(error)
            report(f"what sync {leftover.sync} left on {name} is still there and will be cleaned up later: {error}")
        if name in failed:
            catalog.leftover_failed(leftover.id, failed[name])


def wait_until_unused(catalog: Catalog, sync: str, node: str, deadline: float) -> None:
    """Wait until no controller works on a node by an older topology. Raises ReplicatorError at the (monotonic) end."""
    while busy := _still_using(catalog, sync, node):
        if time.monotonic() > deadline:
            raise ReplicatorError(f"the controller of sync {busy} did not stop within {PATIENCE:.0f} seconds.")
        time.sleep(0.1)


def _still_using(catalog: Catalog, sync_of_old: str, node: str) -> str:
    """A sync whose controller may still work on the node by an older topology; empty when there is none."""
    topology = catalog.topology()
    revision = catalog.revision()
    current = {(state.sync, state.source, state.target) for state in catalog.states() if state.revision >= revision}
    for name in sorted({sync_of_old, *_members(topology, node)}):
        sync = topology.syncs.get(name)
        follows = sync and {(name, a.name, b.name) for a, b in topology.pairs(sync)} <= current
        if not follows and catalog.locked("sync", name):
            return name
    return ""


def _members(topology: Topology, database: str) -> set[str]:
    """The syncs that a database takes part in."""
    return {sync.name for sync in topology.syncs.values() if database in _names(topology.members(sync))}


def _clean(catalog: Catalog, connector: Connector, leftover: Leftover, report: Report) -> None:
    install = connector.config.install
    with (
        connector.open(leftover.database, "clean up", autocommit=True) as connection,
        translated(str(leftover.database)),
    ):
        topology = catalog.topology()
        _hand_on_ledger(topology, connector, leftover, connection, report)
        if leftover.source:
            with connection.transaction():
                progress.forget(connection, install, leftover.sync, leftover.source, leftover.tables)
        if not leftover.source or not _members(topology, leftover.database.name):
            release(connection, install, _kept(topology, connector, leftover.database, connection))
    failpoint("clean.after-node")
    catalog.remove_leftover(leftover.id)


def _hand_on_ledger(
    topology: Topology, connector: Connector, leftover: Leftover, connection: Connection, report: Report
) -> None:
    """Give what a master that has left its swap had decided to the first of the others that answers."""
    install, database, sync = connector.config.install, leftover.database, topology.syncs.get(leftover.sync)
    if not sync or sync.type is not SyncType.SWAP or database.name in _names(topology.members(sync)):
        return
    if not ledger.exists(connection, install):
        return
    keeper, opened = _first(connector, topology.masters(sync))
    with opened as kept, translated(str(keeper)):
        if validate.identity(kept) == validate.identity(connection):  # one database by two names
            return
        for each in (connection, kept):
            create_schema(each, install)
        if taken := ledger.take_over(connection, kept, install, sync.name, database.name):
            report(
                f"{taken} notes of conflicts that {database.name} had decided are in the ledger of {keeper.name} now"
            )


def _first(connector: Connector, masters: Sequence[Database]) -> tuple[Database, Connection]:
    """The first master that answers, and a connection to it. Raises Unreachable when none does."""
    *others, last = masters
    for master in others:
        with suppress(Unreachable):
            return master, connector.open(master, "clean up", autocommit=True)
    return last, connector.open(last, "clean up", autocommit=True)


def _names(databases: Iterable[Database]) -> set[str]:
    return {database.name for database in databases}


def _kept(topology: Topology, connector: Connector, node: Database, connection: Connection) -> dict[TableName, Need]:
    """What is still needed on a node, under whatever nicknames it is declared."""
    here = validate.identity(connection)
    kept: dict[TableName, Need] = {}
    for database in topology.databases.values():
        if database.dbname == node.dbname and _may_be(connector, database, node, here):
            for table, need in needs(topology, database.name).items():
                kept[table] = kept.get(table, Need()) | need
    return kept


def _may_be(connector: Connector, database: Database, node: Database, here: tuple[int, int]) -> bool:
    """Whether a declared database may be this node by another address; if it does not answer, it may."""
    if (database.host, database.port) == (node.host, node.port):
        return True
    try:
        with connector.open(database, "clean up", autocommit=True) as connection, translated(str(database)):
            return validate.identity(connection) == here
    except ReplicatorError:
        return True
