"""A log as it should be: its names, its columns, and the triggers that feed it. Pure.

They are made by `triggers`; whether what is there will do is judged in `feeding`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from replicator.capture.needs import Kind
from replicator.model import Install, TableName
from replicator.relations import Relation

SHAPE = 6
"""Which columns and functions a log has. One that was made before is brought up to it."""

NAME_LIMIT = 63 - len("_truncate")

EVENTS = {
    "rows": "after insert or update or delete on {} for each row",
    "truncate": "before truncate on {} for each statement",
    "touch": "after insert or update or delete or truncate on {} for each statement",
}


@dataclass(frozen=True)
class Trigger:
    """A trigger that must be there. event: a key of EVENTS."""

    table: TableName
    event: str
    function: str


@dataclass(frozen=True, kw_only=True)
class LogSpec:
    """A log as it should be. versions: with an index by key, and times that heed the floor.

    counters: the columns of which it holds by how much they changed. notes: as `needs.Need` has it. decoded: fed from
    the WAL, by no trigger.
    """

    install: Install
    relation: Relation
    kind: Kind
    versions: bool
    counters: tuple[str, ...] = ()
    notes: bool = True
    decoded: bool = False

    @property
    def name(self) -> str:
        """The log table's name, the same in every run; long names end in a digest."""
        prefix = "delta" if self.kind is Kind.ROWS else "touch"
        table = self.relation.name
        name = f"{prefix}_{table.schema}_{table.name}"
        if len(name.encode()) <= NAME_LIMIT and "_" not in table.schema:
            return name
        # An underscore in the schema's name could make two tables' logs share one: the digest tells them apart.
        digest = hashlib.sha256(f"{table.schema}\0{table.name}".encode()).hexdigest()[:10]
        return f"{name.encode()[: NAME_LIMIT - 11].decode(errors='ignore')}_{digest}"

    @property
    def key(self) -> tuple[str, ...]:
        """The logged columns: the key, or all of a table that has none."""
        if self.kind is not Kind.ROWS:
            return ()
        return self.relation.key or tuple(column.name for column in self.relation.written)

    @property
    def keyless(self) -> bool:
        """Whether whole rows are logged."""
        return self.kind is Kind.ROWS and not self.relation.key

    @property
    def gains(self) -> list[sql.Identifier]:
        """The log's columns for counters."""
        return [gain(self.relation, name) for name in self.counters]

    @property
    def types(self) -> tuple[str, ...]:
        """The logged columns' types."""
        return tuple(self.relation.column(name).type for name in self.key)

    @property
    def log(self) -> sql.Identifier:
        """The log table."""
        return sql.Identifier(self.install.schema, self.name)

    @property
    def columns(self) -> sql.Composed:
        """The log's own names of the key: k1, k2 ..."""
        return sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(len(self.key)))

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """The triggers that feed it, the root table's first."""
        return tuple(self._triggers())

    @property
    def _truncate_function(self) -> str:
        return f"{self.name}_truncate" if self.versions or self.keyless else "note_truncate"

    def _triggers(self) -> Iterator[Trigger]:
        table, leaves = self.relation.name, self.relation.leaves
        if self.decoded:
            return
        if self.kind is Kind.TOUCH:
            for each in (table, *leaves):
                yield Trigger(each, "touch", self.name)
            return
        yield Trigger(table, "rows", self.name)
        if self.relation.partitioned:
            for leaf in leaves:
                yield Trigger(leaf, "truncate", f"{self.name}_truncate")
        else:
            yield Trigger(table, "truncate", self._truncate_function)


def gain(relation: Relation, column: str) -> sql.Identifier:
    """The column of a log that says by how much a counter changed."""
    return sql.Identifier(f"a{relation.column(column).number}")


def trigger_name(install: Install, event: str) -> str:
    """A trigger's name: scoped by install, so that two installs can watch one table."""
    return f"{install.schema}_{event}"
