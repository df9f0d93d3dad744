"""The staging table on the target, which the pump fills from the source, or a `parcel` of few rows.

A staging table is temporary, made once per connection and emptied by each commit. Its columns are called c1, c2 ... in
the order of the target's written columns and have those columns' types without domains and lengths: a row that the
table itself would refuse can be staged, and so be found and set aside. What is done with staged rows is decided in
`write`, `swap` and `diff`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from psycopg import Cursor, RawCursor, sql
from psycopg.rows import TupleRow

from replicator.apply import parcel
from replicator.apply.parcel import Parcel
from replicator.apply.pump import Moved, Rows, all_read, forward, portions, pump
from replicator.capture.rows import MEETING
from replicator.postgres import Connection
from replicator.relations import Relation

EXACT = frozenset(
    {
        *("smallint", "integer", "bigint", "oid", "boolean", "uuid", "date", "bytea", "text", "character varying"),
        *("timestamp without time zone", "timestamp with time zone"),
    }
)
"""Types of which equal values are the same value: a key of these needs no writing where it matched."""


VERSION = dict(zip(MEETING, ("timestamptz", '"char"', "int", "bigint"), strict=True))
"""What comes with a version, and its types."""

FOUND_OUT = {"present": "boolean", "newest": "bigint", "standing": "text", "local_op": '"char"', "anew": "timestamptz"}
"""What is found out about a version on the target (`apply.swap`)."""


@dataclass(frozen=True)
class Holds:
    """What a stage may hold: keys that are gone, and rows that are there."""

    gone: bool
    kept: bool


ANYTHING = Holds(gone=True, kept=True)


@dataclass(frozen=True)
class Stage:
    """A staging table for a target's table.

    text: holds every value in its text form. versioned: with what another master judges by; gains: and by how much
    these counters changed. name: another table of the same columns. few: it never holds more than some hundred rows,
    so what is asked of it is planned once. given: there is no such table, each statement brings the rows, a parcel.
    """

    relation: Relation
    versioned: bool = False
    text: bool = False
    name: str = ""
    gains: tuple[str, ...] = ()
    few: bool = False
    given: bool = False
    parcel: Parcel | None = field(default=None, compare=False)

    @property
    def local_name(self) -> str:
        """The staging table's name: by the target's oid, so the same in every batch of a connection."""
        kind = ("_swap" if self.versioned else "") + "".join(f"_{self.relation.column(n).number}" for n in self.gains)
        return self.name or f"stage_{self.relation.oid}{kind}{'_text' if self.text else ''}"

    @property
    def table(self) -> sql.Identifier:
        """The staging table."""
        return sql.Identifier("pg_temp", self.local_name)

    @property
    def rows(self) -> sql.Composable:
        """What to put after FROM to read what is staged."""
        return self._unpacked if self.given else self.table

    @property
    def _unpacked(self) -> sql.Composed:
        """A parcel's rows; a parameter for each column."""
        columns = self.arriving
        kinds = enumerate((parcel.array_type(kind) for _, kind in columns), 1)
        return sql.SQL("(select {} from unnest({}) x({}))").format(
            sql.SQL(", ").join(sql.SQL("x.{0}::{1} as {0}").format(name, sql.SQL(kind)) for name, kind in columns),
            sql.SQL(", ").join(sql.SQL("${}::{}").format(sql.SQL(str(n)), sql.SQL(kind)) for n, kind in kinds),
            sql.SQL(", ").join(name for name, _ in columns),
        )

    def ask(self, connection: Connection, query: bytes) -> Cursor[TupleRow]:
        """Send a statement that reads `rows`."""
        if not self.parcel:
            return connection.execute(query, prepare=self.few)
        cursor = RawCursor(connection)
        return cursor.execute(query, self.parcel.arrays, prepare=True)

    @property
    def names(self) -> list[str]:
        """The target's columns that are staged, in order."""
        return [column.name for column in self.relation.written]

    def column(self, name: str) -> sql.Identifier:
        """The staging column of a target's column."""
        return sql.Identifier(f"c{self.names.index(name) + 1}")

    def gain(self, name: str) -> sql.Identifier:
        """The staging column that says by how much a counter changed."""
        return sql.Identifier(f"g{self.gains.index(name) + 1}")

    def value(self, name: str) -> sql.Composed:
        """A staged value, as the target's type. `s` stands for the stage."""
        if self.text:
            return sql.SQL("s.{}::{}").format(self.column(name), sql.SQL(self.relation.column(name).type))
        return sql.SQL("s.{}").format(self.column(name))

    @property
    def match(self) -> sql.Composed:
        """That row `t` of the target has the key of staged row `s`."""
        pairs = zip(self.relation.key, self.relation.equal, strict=True)
        return sql.SQL(" and ").join(
            sql.SQL("t.{} {} {}").format(sql.Identifier(name), equal.as_sql(), self.value(name))
            for name, equal in pairs
        )

    @property
    def key_json(self) -> sql.Composed:
        """The key of staged row `s` as a JSON object."""
        return self._json(self.relation.key or tuple(self.names))

    @property
    def row_json(self) -> sql.Composed:
        """Staged row `s` as a JSON object."""
        return self._json(tuple(self.names))

    def _json(self, names: tuple[str, ...]) -> sql.Composed:
        # Pairs in rows, not arguments: a function takes a hundred at most.
        pairs = [sql.SQL("({}, to_jsonb({}))").format(sql.Literal(name), self.value(name)) for name in names]
        return sql.SQL("(select jsonb_object_agg(x.k, x.v) from (values {}) x(k, v))").format(sql.SQL(", ").join(pairs))

    def of_others(self, name: str) -> sql.Identifier:
        """The staging column that says how much of a counter of a row made anew others had gained."""
        return sql.Identifier(f"h{self.gains.index(name) + 1}")

    @property
    def arriving(self) -> list[tuple[sql.Identifier, str]]:
        """The columns that are filled, in the order in which `capture.rows` gives them, and their types."""
        found = [(sql.Identifier("gone"), "boolean")]
        found += [(self.column(c.name), "text" if self.text else c.stage_type) for c in self.relation.written]
        if self.versioned:
            found += [(sql.Identifier(name), type_) for name, type_ in VERSION.items()]
            found += [(name, "numeric") for name in (*map(self.gain, self.gains), *map(self.of_others, self.gains))]
            found += [(sql.Identifier("early"), "boolean")] if self.gains else []
        return found

    @property
    def gains_json(self) -> sql.Composable:
        """What the counters of staged row `s` gained, as a JSON object; null where they are as on the source."""
        if not self.gains:
            return sql.SQL("null::jsonb")
        pairs = [sql.SQL("({}, to_jsonb({}))").format(sql.Literal(name), self.gain_value(name)) for name in self.gains]
        return sql.SQL(
            "case when {} is not null then (select jsonb_object_agg(x.k, x.v) from (values {}) x(k, v)) end"
        ).format(self.gain_value(self.gains[0]), sql.SQL(", ").join(pairs))

    def gain_value(self, name: str) -> sql.Composed:
        """What a counter of staged row `s` gained; null where all are as on the source."""
        return sql.SQL("s.{}").format(self.gain(name))

    def own_part(self, name: str) -> sql.Composed:
        """Of a counter of staged row `s`, that its source made anew: what the source has counted itself."""
        return sql.SQL("{} - s.{}").format(self.value(name), self.of_others(name))

    @property
    def assigned(self) -> list[str]:
        """The columns that an update of a matched row sets."""
        return [
            column.name
            for column in self.relation.written
            if column.identity != "a" and (column.name not in self.relation.key or column.stage_type not in EXACT)
        ]

    @property
    def replaces(self) -> bool:
        """Whether rows can only be deleted and inserted again: a value that cannot be assigned, or no key to name."""
        fixed = any(c.identity == "a" and c.name not in self.relation.key for c in self.relation.written)
        return fixed or frozenset(self.relation.key) not in self.relation.arbiters

    @property
    def insert(self) -> sql.Composed:
        """`insert into target (...) select ... from stage s`, to be followed by a condition."""
        return sql.SQL("insert into {} ({}) overriding system value select {} from {} s").format(
            self.relation.identifier,
            sql.SQL(", ").join(sql.Identifier(name) for name in self.names),
            sql.SQL(", ").join(self.value(name) for name in self.names),
            self.rows,
        )

    def create(self, connection: Connection) -> None:
        """Make the staging table where this connection has none."""
        columns = list(self.arriving)
        if self.versioned:
            columns += [(sql.Identifier(name), type_) for name, type_ in FOUND_OUT.items()]
        if self.gains:
            columns.append((sql.Identifier("part"), "boolean"))
        connection.execute(
            sql.SQL("create temp table if not exists {} ({}) on commit delete rows").format(
                sql.Identifier(self.local_name),
                sql.SQL(", ").join(sql.SQL("{} {}").format(name, sql.SQL(type_)) for name, type_ in columns),
            )
        )

    def fill(self, source: Connection, query: sql.Composed, target: Connection, moved: Moved, *, binary: bool) -> int:
        """Pump the query's rows (as `capture.rows` gives them) in; how many they were.

        binary: whether the source's side of the table allows it.
        """
        binary = binary and self.relation.binary and not self.text
        rows = pump(source, query, target, self.into, binary=binary, moved=moved)
        self._count(target, rows)
        return rows

    def _count(self, target: Connection, rows: int) -> None:
        """Let the planner know what is staged, if it is much."""
        if rows > 1000:
            # How many there are is what matters; statistics of values that are only written cost more than they give.
            looked_at = [self.column(name) for name in self.relation.key] or [sql.Identifier("gone")]
            target.execute(sql.SQL("analyze {} ({})").format(self.table, sql.SQL(", ").join(looked_at)))

    def portions(self, source: Rows, target: Connection, moved: Moved, *, binary: bool) -> Iterator[int]:
        """As `fill`, but with a portion of the rows at a time (`pump.portions`): how many they are."""
        for rows, more in portions(source, target, self.into, binary=binary, moved=moved):
            if self.versioned:  # else rows are found by index, however many they are
                self._count(target, rows)
            yield rows
            if more:
                target.execute(sql.SQL("truncate {}").format(self.table))

    @property
    def into(self) -> sql.Composed:
        """The staging table with the columns that are filled."""
        return sql.SQL("{} ({})").format(self.table, sql.SQL(", ").join(name for name, _ in self.arriving))

    def fill_few(
        self, source: Connection, query: sql.Composed, target: Connection, moved: Moved, make: Callable[[], None]
    ) -> Parcel | None:
        """The rows of a table that `parcel.fits`, to be carried or given. If they are too large, as `fill`, and None.

        make: leaves the target's pipeline, and sees that there is a staging table.
        """
        with source.cursor() as reader, reader.copy(sql.SQL("copy ({}) to stdout").format(query)) as stream:
            found = parcel.read(stream)
            if isinstance(found, bytes):
                make()
                with target.cursor() as writer, writer.copy(sql.SQL("copy {} from stdin").format(self.into)) as sink:
                    sink.write(found)
                    moved(len(found))
                    forward(source, sink, moved)
                return None
        all_read()
        return found

    def carry(self, found: Parcel, target: Connection) -> None:
        """Stage a parcel: in one statement, which takes no round trip in a pipeline."""
        if found.arrays:
            replace(self, parcel=found).ask(target, carry_query(self))


@lru_cache(maxsize=256)
def carry_query(stage: Stage) -> bytes:
    """The statement that takes a parcel into a staging table."""
    return sql.SQL("insert into {} select * from {} x").format(stage.into, replace(stage, given=True).rows).as_bytes()
