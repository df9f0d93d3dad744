"""Carries sequences one way: a target's sequence is set to where the source's stands, at the latest a moment later.

A sequence has no log: its position is read after each batch, and now and then, and written where it moved. Not for
swaps: two masters that shared a position would hand out one number twice (see `masters`).
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from replicator.model import TableName
from replicator.postgres import Connection
from replicator.relations import identifier

Standing = dict[TableName, tuple[int, bool]]


def read(connection: Connection, names: Sequence[TableName]) -> Standing:
    """Where the sequences stand: last value, and whether it has been handed out."""
    if not names:
        return {}
    parts = [
        sql.SQL("select {}::int, last_value, is_called from {}").format(sql.Literal(number), identifier(name))
        for number, name in enumerate(names)
    ]
    rows = connection.execute(sql.SQL(" union all ").join(parts))
    return {names[number]: (value, called) for number, value, called in rows}


def write(connection: Connection, standing: Standing) -> None:
    """Set the target's sequences."""
    for name, (value, called) in standing.items():
        connection.execute(
            sql.SQL("select setval({}::regclass, {}, {})").format(
                sql.Literal(identifier(name).as_string(connection)), sql.Literal(value), sql.Literal(called)
            )
        )
