"""Drops one log and what feeds it. Which one, and when, is for others to say (`setup`, `making`)."""

from __future__ import annotations

from functools import partial

from psycopg import sql

from replicator import postgres
from replicator.capture.captured import Captured
from replicator.capture.decoding import slot
from replicator.capture.needs import Kind
from replicator.capture.spec import trigger_name
from replicator.model import Install
from replicator.postgres import Connection
from replicator.relations import identifier, name_of


def drop_alone(connection: Connection, install: Install, captured: Captured) -> None:
    """Drop a log and what feeds it, on a connection in autocommit. Raises LockedOut when the table stays locked."""
    postgres.patiently(partial(_drop_alone, connection, install, captured))


def _drop_alone(connection: Connection, install: Install, captured: Captured) -> None:
    with postgres.translated(str(captured.table)), connection.transaction():
        postgres.give_way(connection)
        drop_log(connection, install, captured)


def drop_log(connection: Connection, install: Install, captured: Captured) -> None:
    """Drop a log and what feeds it, in a transaction that gives way."""
    schema = sql.Identifier(install.schema)
    if captured.decoded:
        slot.withdraw(connection, install, captured.relid)
    drop_triggers(connection, install, captured)
    table = [captured.table.schema, captured.table.name]
    if captured.kind is Kind.ROWS:
        connection.execute(
            sql.SQL("delete from {}.truncated where schema_name = %s and table_name = %s").format(schema), table
        )
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(install.schema, captured.log)))
    connection.execute(
        sql.SQL("delete from {}.captured where schema_name = %s and table_name = %s and kind = %s").format(schema),
        [*table, captured.kind],
    )


def drop_triggers(connection: Connection, install: Install, captured: Captured) -> None:
    """Drop the triggers that feed a log, in a transaction that gives way."""
    for function in (captured.log, f"{captured.log}_truncate"):
        # Takes the triggers with it, on every partition, whatever the table is called by now.
        connection.execute(
            sql.SQL("drop function if exists {}() cascade").format(sql.Identifier(install.schema, function))
        )
    if captured.kind is Kind.ROWS:
        _drop_note_trigger(connection, install, captured)


def _drop_note_trigger(connection: Connection, install: Install, captured: Captured) -> None:
    # Its function serves all tables, so it does not go by itself. By oid: the table may have another name now.
    table = name_of(connection, captured.relid)
    if table:
        name = sql.Identifier(trigger_name(install, "truncate"))
        connection.execute(sql.SQL("drop trigger if exists {} on {}").format(name, identifier(table)))
