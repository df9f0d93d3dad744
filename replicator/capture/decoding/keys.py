"""The keys of decoded changes, as queries: where they stand in pgoutput's messages, and of which type they are.

Composes only; the messages are in a table of the session, which `decoder` fills.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from replicator.capture.captured import Captured
from replicator.capture.decoding.messages import Layout, number

DECODED = sql.Identifier("pg_temp", "pgherd_decoded")

FIRST = 8
"""Where the columns of a message's first row begin: of what was inserted, deleted, or was there before an update."""

HAS_OLD = "kind = 'U' and get_byte(message, 5) <> ascii('N')"
"""Of a message that has a row before the update, and then the one after it."""

TEXT = 116
"""The byte by which a message says that a column has a value."""


@dataclass(frozen=True)
class Stretch:
    """A part of the stream in which a table's rows have one layout: from after message `first` to before `last`."""

    layout: Layout
    first: int
    last: int | None = None


def stretches(layouts: Iterable[tuple[int, Layout]]) -> dict[int, list[Stretch]]:
    """The parts of the stream in which each table has one layout. layouts: and the message of each, in their order."""
    found: dict[int, list[Stretch]] = {}
    for n, layout in layouts:
        former = found.setdefault(layout.relid, [])
        if former:
            former[-1] = Stretch(former[-1].layout, former[-1].first, n)
        former.append(Stretch(layout, n))
    return found


@dataclass(frozen=True)
class Keys:
    """What the stream said of its tables. paired: the oids of those of which a message has two rows.

    schema: the install's.
    """

    schema: str
    stretches: Mapping[int, Sequence[Stretch]] = field(default_factory=dict)
    paired: frozenset[int] = frozenset()

    def legible(self, captured: Captured) -> bool:
        """Whether the key can be read from all of a table's changes."""
        return all(stretch.layout.places(captured.key) is not None for stretch in self.stretches[captured.relid])

    def changes(self, captured: Captured) -> sql.Composed:
        """The query of a table's decoded changes: k1, k2 ..., xid, and n, by which they are in the order of commits."""
        nothing = [
            sql.SQL("null::{} as {}").format(sql.SQL(kind), sql.Identifier(f"k{i}"))
            for i, kind in enumerate(captured.types, 1)
        ]
        parts = [
            sql.SQL("select {}, null::bigint as xid, null::bigint as n where false").format(sql.SQL(", ").join(nothing))
        ]
        for stretch in self.stretches[captured.relid]:
            parts += self._keys(captured, stretch)
        return sql.SQL(" union all ").join(parts)

    def newest(self, captured: Captured) -> sql.Composed:
        """Of those the last of each key: k1, k2 ..., xid.

        Whoever changes a row waits for who has changed it before. So who has seen the last has seen them all, and to
        keep them would tell nobody anything.
        """
        names = sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(len(captured.key)))
        query = sql.SQL("select distinct on ({0}) {0}, xid from ({1}) change order by {0}, n desc")
        return query.format(names, self.changes(captured))

    def _keys(self, captured: Captured, stretch: Stretch) -> list[sql.Composed]:
        """The keys of one stretch: of the rows that come first in their messages, and of those after them."""
        places = stretch.layout.places(captured.key)
        if places is None:
            return []
        where = sql.SQL("relid = {} and n > {}").format(sql.Literal(captured.relid), sql.Literal(stretch.first))
        if stretch.last is not None:
            where = sql.SQL("{} and n < {}").format(where, sql.Literal(stretch.last))
        changed = sql.SQL("kind in ('D', 'I', 'U') and {}").format(where)
        first = self._values(captured, places, sql.Literal(FIRST), changed)
        if captured.relid not in self.paired:
            return [first]
        # Between the two are a byte, that another row comes, and how many columns it has.
        second = sql.SQL("{} + 3").format(self._after(sql.Literal(FIRST), len(stretch.layout.columns)))
        after = self._values(captured, places, second, sql.SQL("{} and {}").format(sql.SQL(HAS_OLD), where))
        keys = [sql.SQL("{} is not null").format(sql.Identifier(f"k{i + 1}")) for i in range(len(places))]
        return [first, sql.SQL("select * from ({}) x where {}").format(after, sql.SQL(" and ").join(keys))]

    def _values(
        self, captured: Captured, places: Sequence[int], start: sql.Composable, where: sql.Composable
    ) -> sql.Composed:
        """The key and the transaction of each message, of the row that starts there."""
        begins = [
            sql.SQL("{} as s{}").format(self._after(start, place), sql.Literal(i)) for i, place in enumerate(places, 1)
        ]
        values = [
            sql.SQL(
                "case when get_byte(message, s{0}) = {1} then convert_from(substring(message from s{0} + 6 for"
                " {2}::int), 'UTF8') end::{3} as {4}"
            ).format(
                sql.Literal(i),
                sql.Literal(TEXT),
                number("message", f"s{i} + 1"),
                sql.SQL(kind),
                sql.Identifier(f"k{i}"),
            )
            for i, kind in enumerate(captured.types, 1)
        ]
        return sql.SQL("select {}, xid, n from (select message, xid, n, {} from {} where {}) m").format(
            sql.SQL(", ").join(values), sql.SQL(", ").join(begins), DECODED, where
        )

    def _after(self, start: sql.Composable, columns: int) -> sql.Composable:
        """The place after so many columns that begin at `start`."""
        if not columns:
            return start
        function = sql.Identifier(self.schema, "after_columns")
        return sql.SQL("{}(message, {}, {})").format(function, start, sql.Literal(columns))
