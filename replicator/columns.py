"""What a target knows of the columns that travel to it, by table; kept on the target.

Which columns both sides had when rows last flowed tells a column that was added on one side from one that was dropped
on the other. Columns that the target lacked while rows flowed without them are to be filled in once it has them: they
are noted before the first row flows so, and the note goes in the transaction that brings their last values. Deciding
by it is `syncrun.definitions`'s, bringing values `apply.fill`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from replicator.model import Install, Link, TableName
from replicator.postgres import Answer, Connection
from replicator.sql import in_schema


@dataclass(frozen=True, kw_only=True)
class Known:
    """One table. common: the columns that both sides had. filling: those whose values are yet to be brought.

    after: the source's key, as text, up to which they have been. parked: changes wait in the source's log. note: why,
    or what is missing.
    """

    common: frozenset[str]
    filling: frozenset[str] = frozenset()
    after: tuple[str, ...] | None = None
    parked: bool = False
    note: str = ""

    @property
    def due(self) -> bool:
        """Whether there are columns to fill in that are there by now."""
        return not self.parked and bool(self.filling & self.common)


def read(connection: Connection, install: Install, sync: str, source: str) -> dict[TableName, Known]:
    """What this target knows of the tables of a link."""
    query = sql.SQL(
        "select schema_name, table_name, common, filling, after, parked, note from {}.table_columns"
        " where sync = %s and source = %s"
    ).format(sql.Identifier(install.schema))
    return {
        TableName(schema, name): Known(
            common=frozenset(common),
            filling=frozenset(filling),
            after=tuple(after) if after is not None else None,
            parked=parked,
            note=note,
        )
        for schema, name, common, filling, after, parked, note in connection.execute(query, [sync, source])
    }


def save(connection: Connection, link: Link, known: Mapping[TableName, Known]) -> None:
    """Note what is known of tables of a link."""
    query = sql.SQL(
        "insert into {}.table_columns as c"
        " (sync, source, schema_name, table_name, common, filling, after, parked, note)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (sync, source, schema_name, table_name) do update"
        " set common = excluded.common, filling = excluded.filling, after = excluded.after, parked = excluded.parked,"
        " note = excluded.note, since = case when c.note = excluded.note then c.since else clock_timestamp() end"
    ).format(sql.Identifier(link.install.schema))
    for name, one in known.items():
        after = list(one.after) if one.after is not None else None
        values = [sorted(one.common), sorted(one.filling), after, one.parked, one.note]
        connection.execute(query, [link.sync.name, link.source.name, name.schema, name.name, *values])


def unfilled(connection: Connection, install: Install, sync: str) -> Answer[dict[TableName, frozenset[str]]]:
    """The columns of a master's own tables whose values other masters of the swap are yet to bring."""
    query = in_schema(
        "select schema_name, table_name, array_agg(distinct f) from {0}.table_columns, unnest(filling) f"
        " where sync = %s group by 1, 2",
        install.schema,
    )
    asked = connection.execute(query, [sync], prepare=True)
    return lambda: {TableName(schema, name): frozenset(some) for schema, name, some in asked}
