"""Lets what a sync writes on a node flow onward (makedelta): logs it there as if an application had written it.

Looked up after the rows are written: whoever begins to log the table meanwhile waits for this transaction's locks,
and then sees its rows; whoever had begun before is found here.
"""

from __future__ import annotations

from psycopg import sql

from replicator.apply.stage import Stage
from replicator.capture import Captured, Kind
from replicator.capture.captured import logs
from replicator.model import Link
from replicator.postgres import Connection
from replicator.relations import Relation


def note_stage(connection: Connection, link: Link, stage: Stage, *, truncated: bool = False) -> None:
    """Log the staged keys on the target, and before them that the table was emptied."""
    if not link.onward:
        return
    for captured in _logs_of(connection, link, stage.relation):
        if captured.kind is Kind.TOUCH:
            _touch(connection, link, captured)
            continue
        if truncated and not captured.versions:
            _note_truncate(connection, link, captured)
        values = sql.SQL(", ").join(stage.value(name) for name in captured.key)
        connection.execute(_insert(link, captured, values, sql.SQL("{} s").format(stage.table)))


def note_touched(connection: Connection, link: Link, stage: Stage) -> None:
    """Log that the table was written on another master, for syncs that copy it as a whole from there."""
    if link.onward:
        for captured in _logs_of(connection, link, stage.relation):
            if captured.kind is Kind.TOUCH:
                _touch(connection, link, captured)


def note_range(connection: Connection, link: Link, relation: Relation, where: sql.Composable) -> None:
    """Log the keys of the target's rows for which `where` holds (of `t`): once before and once after they change."""
    if not link.onward:
        return
    for captured in _logs_of(connection, link, relation):
        if captured.kind is Kind.TOUCH:
            _touch(connection, link, captured)
            continue
        values = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in captured.key)
        rows = sql.SQL("{} t where {}").format(relation.rows, where)
        connection.execute(_insert(link, captured, values, rows))


def _logs_of(connection: Connection, link: Link, relation: Relation) -> list[Captured]:
    return [log for (table, _), log in logs(connection, link.install).items() if table == relation.name]


def _touch(connection: Connection, link: Link, captured: Captured) -> None:
    log = sql.Identifier(link.install.schema, captured.log)
    connection.execute(sql.SQL("insert into {} default values").format(log))


def _note_truncate(connection: Connection, link: Link, captured: Captured) -> None:
    connection.execute(
        sql.SQL("insert into {}.truncated (schema_name, table_name) values ({}, {})").format(
            sql.Identifier(link.install.schema), sql.Literal(captured.table.schema), sql.Literal(captured.table.name)
        )
    )


def _insert(link: Link, captured: Captured, values: sql.Composable, rows: sql.Composable) -> sql.Composed:
    node = sql.Identifier(link.install.schema, "node")
    columns = [sql.Identifier(f"k{i + 1}") for i in range(len(captured.key))]
    extra: list[sql.Composable] = []
    if link.mutual:
        # Copied from the other master: its author is there, and any change that either side knows of is newer.
        columns += [sql.Identifier("changed_at"), sql.Identifier("origin")]
        extra = [sql.SQL("timestamptz 'epoch'"), sql.Literal(link.source.id)]
    elif captured.versions:
        columns.append(sql.Identifier("changed_at"))
        extra = [sql.SQL("(select greatest(clock_timestamp(), floor) from {})").format(node)]
    return sql.SQL("insert into {} ({}) select {} from {}").format(
        sql.Identifier(link.install.schema, captured.log),
        sql.SQL(", ").join(columns),
        sql.SQL(", ").join([values, *extra]),
        rows,
    )
