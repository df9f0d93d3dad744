"""Forgets old conflicts, a small batch in a transaction. The daemon's purge does it by itself after `KEPT`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from psycopg import sql

from replicator.ledger.reading import Answers, ask, exists, masters
from replicator.model import Database, Install, Topology
from replicator.postgres import Connection, Connector

KEPT = timedelta(days=100)
"""How long conflicts stay in the ledger if nobody prunes it."""

BATCH = 5000
"""Entries removed in one transaction."""


def prune_all(topology: Topology, install: Install, connector: Connector, older_than: timedelta) -> Answers[int]:
    """Remove conflicts that were decided longer ago than that on every master; how many on each."""

    def work(connection: Connection, _database: Database) -> int:
        connection.autocommit = True
        return prune(connection, install, older_than)

    return ask(connector, masters(topology), work)


def prune(
    connection: Connection, install: Install, older_than: timedelta, stopped: Callable[[], bool] = lambda: False
) -> int:
    """Remove old conflicts on one master, over an autocommit connection; how many."""
    if not exists(connection, install):
        return 0
    query = sql.SQL(
        "delete from {0} where id = any(array(select id from {0} where decided_at < clock_timestamp() - {1}"
        " order by decided_at limit {2}))"
    ).format(sql.Identifier(install.schema, "conflict"), sql.Literal(older_than), sql.Literal(BATCH))
    total, rows = 0, BATCH
    while rows == BATCH and not stopped():
        rows = connection.execute(query).rowcount
        total += rows
    return total
