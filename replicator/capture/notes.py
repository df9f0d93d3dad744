"""Whether a log notes what arrives from another master whatever the row (`needs.Need` says when it need not).

Each node says so itself, for each of its logs, and a batch reads it there in the transaction that writes: what is
declared may have changed since the batch was begun. It begins while no batch is under way that goes by the opposite,
and never ends, so whoever joins a swap and has it begun on every master before he takes his snapshot misses nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

from psycopg import sql

from replicator import postgres
from replicator.model import Install, TableName
from replicator.postgres import Answer, Connection
from replicator.sql import in_schema

LOCK = "notes"
"""The part of an advisory lock's name (`Install.lock_key(LOCK)`, on each node): shared by who goes by what it says."""


def begin(connection: Connection, install: Install, tables: Collection[TableName]) -> None:
    """From here on note what arrives in the node's logs of these tables. The connection is in autocommit.

    Waits for batches that go by its not being so. Raises LockedOut when one takes long.
    """
    postgres.patiently(partial(_begin, connection, install, tables))


def _begin(connection: Connection, install: Install, tables: Collection[TableName]) -> None:
    with postgres.translated(f"schema {install.schema}"), connection.transaction():
        postgres.give_way(connection)
        connection.execute("select pg_advisory_xact_lock(%s)", [install.lock_key(LOCK)])
        # This statement's snapshot comes after the lock: all that was not noted has ended, and is older than its end.
        query = sql.SQL(
            "update {}.captured set notes = true, whole_from = txid_snapshot_xmax(txid_current_snapshot())"
            " where not notes and (schema_name, table_name) in (select * from unnest(%s::text[], %s::text[]))"
        ).format(sql.Identifier(install.schema))
        connection.execute(query, [[name.schema for name in tables], [name.name for name in tables]])


def ask_silent(connection: Connection, install: Install, tables: Iterable[TableName]) -> Answer[frozenset[TableName]]:
    """Those of the tables of which rows that nobody wrote here need no note, until this transaction ends."""
    names = list(tables)
    connection.execute("select pg_advisory_xact_lock_shared(%s)", [install.lock_key(LOCK)], prepare=True)
    query = in_schema(
        "select schema_name, table_name from {0}.captured where not notes and kind = 'rows'"
        " and (schema_name, table_name) in (select * from unnest(%s::text[], %s::text[]))",
        install.schema,
    )
    parts = [[name.schema for name in names], [name.name for name in names]]
    asked = connection.execute(query, parts, prepare=True)
    return lambda: frozenset(TableName(*row) for row in asked)
