"""How a table is cut into ranges, so that equal parts are settled by a digest and only the others are looked into.

Ranges are half-open, the first and the last have no end, so every row lies in exactly one, whatever rows the other
server has. A range is taken over the key itself where the key is one column of a type that every server sorts alike
(numbers, times, uuid, bytea): then a part of the table is read through the key's index, and a table that grows at its
end changes in one range. Any other key (text sorts by each server's collation, an enum by each database's own order,
several columns often begin with one that hardly varies) and the rows of a table without a key are cut by their hash.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from replicator.model import TableName
from replicator.postgres import Connection, fetch_one
from replicator.relations import Relation, identifier
from replicator.verify.canonical import Columns

SORTED_ALIKE = {
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "uuid",
    "bytea",
    "date",
    "timestamp without time zone",
    "timestamp with time zone",
    "time without time zone",
}
RANGE_BYTES = 256 * 1024
MOST_RANGES = 1024
MOST_SPANS = 32
"""More separate parts than this are picked out in one pass over the table instead."""


@dataclass(frozen=True)
class Division:
    """Ranges over `key` (None: the hash), numbered from 0; range n holds what is at or above bounds[n - 1].

    type: the bounds' type. They are kept as text.
    """

    key: str | None
    type: str
    bounds: tuple[str, ...] = ()

    def number(self, hashed: sql.Composable) -> sql.Composed:
        """An expression for the number of the row's range; `hashed`: the row's hash as bytea."""
        # one constant: cast from an array of texts, times would be read anew for every row
        array = "{" + ",".join('"' + bound.replace("\\", "\\\\") + '"' for bound in self.bounds) + "}"
        return sql.SQL("width_bucket({}, {}::{}[])").format(self._value(hashed), sql.Literal(array), sql.SQL(self.type))

    def among(self, numbers: Collection[int], hashed: sql.Composable) -> sql.Composed:
        """A condition that holds for the rows of those ranges, by the key's index where that pays."""
        spans = list(_spans(sorted(numbers)))
        if self.key is None or len(spans) > MOST_SPANS:
            return sql.SQL("{} = any({})").format(self.number(hashed), sql.Literal(sorted(numbers)))
        return sql.SQL("({})").format(sql.SQL(" or ").join(self._between(*span) for span in spans))

    def _between(self, first: int, last: int) -> sql.Composable:
        value, kind = self._value(sql.SQL("")), sql.SQL(self.type)
        parts = []
        if first > 0:
            parts.append(sql.SQL("{} >= {}::{}").format(value, sql.Literal(self.bounds[first - 1]), kind))
        if last < len(self.bounds):
            parts.append(sql.SQL("{} < {}::{}").format(value, sql.Literal(self.bounds[last]), kind))
        return sql.SQL("({})").format(sql.SQL(" and ").join(parts)) if parts else sql.SQL("true")

    def _value(self, hashed: sql.Composable) -> sql.Composable:
        if self.key is None:
            return hashed
        return sql.SQL("t.{}::{}").format(sql.Identifier(self.key), sql.SQL(self.type))


def _spans(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers, first and last of each."""
    start = previous = None
    for number in numbers:
        if previous is None or start is None:
            start = number
        elif number != previous + 1:
            yield start, previous
            start = number
        previous = number
    if start is not None and previous is not None:
        yield start, previous


def divide(connection: Connection, relation: Relation, key: Sequence[str]) -> Division:
    """Cut a table by what this server holds of it, the more finely the larger it is."""
    size = _size(connection, relation)
    ranges = min(MOST_RANGES, 1 + size // RANGE_BYTES)
    if len(key) == 1 and relation.column(key[0]).stage_type in SORTED_ALIKE:
        column = relation.column(key[0])
        return Division(column.name, column.stage_type, _sample(connection, relation, column.name, ranges, size))
    bounds = (f"\\x{number * 0x10000 // ranges:04x}" for number in range(1, ranges))
    return Division(None, "bytea", tuple(bounds))


def _size(connection: Connection, relation: Relation) -> int:
    names: Sequence[TableName] = relation.leaves or (relation.name,)
    query = "select coalesce(sum(pg_relation_size(to_regclass(n))), 0)::bigint from unnest(%s::text[]) n"
    return int(fetch_one(connection, query, [[identifier(name).as_string(connection) for name in names]])[0])


def _sample(connection: Connection, relation: Relation, key: str, ranges: int, size: int) -> tuple[str, ...]:
    """Keys that cut the table into about that many parts: the first key of some of its blocks."""
    if ranges == 1:
        return ()
    percent = min(100.0, 100.0 * 8 * ranges * 8192 / max(size, 1))
    query = sql.SQL(
        "select k::text from (select distinct on (t.tableoid, (t.ctid::text::point)[0]) t.{} as k from {} t"
        " tablesample system ({}) repeatable (1)) s group by s.k order by s.k"
    ).format(sql.Identifier(key), relation.rows, sql.Literal(percent))
    found = [str(row[0]) for row in connection.execute(query)]
    step = max(1, len(found) // ranges)
    return tuple(found[step::step][: MOST_RANGES - 1])


def hashed(columns: Columns, text: sql.Composable) -> sql.Composed:
    """The md5 of a text, as bytes."""
    return sql.SQL("decode(md5({}), 'hex')").format(columns.bytes(text))
