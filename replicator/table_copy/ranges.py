"""Cuts a table into key ranges of about equal size, so that a copy can run in parallel and go on where it broke off.

Ranges are half-open and the outer two have open ends, so together they hold every row of either side, whatever its
key. Only keys whose order is the same on every server are cut: text is ordered by collation, which may differ.
"""

from __future__ import annotations

from psycopg import sql

from replicator.postgres import Connection, fetch_one
from replicator.relations import Relation

Bounds = tuple[tuple[str, ...], ...]

RANGE_BYTES = 64 * 1024 * 1024
MOST_RANGES = 256
SAMPLE_ROWS = 20000

ORDERED = frozenset(
    {
        *("smallint", "integer", "bigint", "oid", "numeric", "uuid", "date", "boolean", "bytea"),
        *("timestamp without time zone", "timestamp with time zone"),
    }
)


def size(connection: Connection, relation: Relation) -> int:
    """A table's size in bytes, without indexes and long values."""
    names = relation.leaves if relation.partitioned else (relation.name,)
    query = (
        "select coalesce(sum(pg_relation_size(c.oid)), 0) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where (n.nspname, c.relname) in (select * from unnest(%s::text[], %s::text[]))"
    )
    return int(fetch_one(connection, query, [[n.schema for n in names], [n.name for n in names]])[0])


def cut(connection: Connection, relation: Relation) -> Bounds:
    """The keys at which to cut; none when the table is small or cannot be cut."""
    pieces = min(MOST_RANGES, size(connection, relation) // RANGE_BYTES)
    if pieces < 2 or relation.partitioned or not _orderly(relation):
        return ()
    keys = [sql.Identifier(name) for name in relation.key]
    columns = sql.SQL(", ").join(keys)
    rows = fetch_one(
        connection,
        sql.SQL("select greatest(reltuples, 1) from pg_class where oid = {}").format(sql.Literal(relation.oid)),
    )
    percent = min(100.0, 100.0 * SAMPLE_ROWS / float(rows[0]))
    query = sql.SQL(
        "select {texts} from (select distinct on (piece) * from (select {columns}, ntile({pieces}) over"
        " (order by {columns}) as piece from {table} tablesample system ({percent})) s order by piece, {columns}) b"
        " where piece > 1 order by {ordered}"
    ).format(
        texts=sql.SQL(", ").join(sql.SQL("{}::text").format(key) for key in keys),
        columns=columns,
        # Without b they would be the texts, of which 1000 comes before 999.
        ordered=sql.SQL(", ").join(sql.SQL("b.{}").format(key) for key in keys),
        pieces=sql.Literal(pieces),
        table=relation.identifier,
        percent=sql.Literal(percent),
    )
    return tuple(dict.fromkeys(tuple(row) for row in connection.execute(query)))


def _orderly(relation: Relation) -> bool:
    return bool(relation.key) and all(relation.column(name).stage_type in ORDERED for name in relation.key)


def condition(relation: Relation, bounds: Bounds, number: int) -> sql.Composable:
    """That row `t` is in range `number` (0 to len(bounds))."""
    parts = []
    if number > 0:
        parts.append(_compare(relation, ">=", bounds[number - 1]))
    if number < len(bounds):
        parts.append(_compare(relation, "<", bounds[number]))
    return sql.SQL(" and ").join(parts) if parts else sql.SQL("true")


def _compare(relation: Relation, operator: str, bound: tuple[str, ...]) -> sql.Composed:
    keys = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in relation.key)
    values = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(relation.column(name).type))
        for name, value in zip(relation.key, bound, strict=True)
    )
    return sql.SQL("({}) operator(pg_catalog.{}) ({})").format(keys, sql.SQL(operator), values)
