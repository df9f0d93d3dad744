"""The objects of one log on one node: its table, functions and triggers, as statements.

Everything here runs inside the caller's transaction. When a log is made, kept or made anew is decided in `setup`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from replicator.capture.needs import Kind
from replicator.model import Install, TableName
from replicator.postgres import Connection
from replicator.relations import Relation, identifier
from replicator.sql import queries

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
    """A log as it should be. versions: with an index by key, and times that heed the floor."""

    install: Install
    relation: Relation
    kind: Kind
    versions: bool

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
        """The logged columns."""
        return self.relation.key if self.kind is Kind.ROWS else ()

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

    def _triggers(self) -> Iterator[Trigger]:
        table, leaves = self.relation.name, self.relation.leaves
        if self.kind is Kind.TOUCH:
            for each in (table, *leaves):
                yield Trigger(each, "touch", self.name)
            return
        yield Trigger(table, "rows", self.name)
        if self.relation.partitioned:
            for leaf in leaves:
                yield Trigger(leaf, "truncate", f"{self.name}_truncate")
        else:
            yield Trigger(table, "truncate", f"{self.name}_truncate" if self.versions else "note_truncate")


def trigger_name(install: Install, event: str) -> str:
    """A trigger's name: scoped by install, so that two installs can watch one table."""
    return f"{install.schema}_{event}"


def create_log(connection: Connection, spec: LogSpec) -> None:
    """Make the log table."""
    # A type's name comes from the server's format_type, quoted by it.
    keys = [
        sql.SQL("{} {} not null, ").format(sql.Identifier(f"k{i + 1}"), sql.SQL(kind))
        for i, kind in enumerate(spec.types)
    ]
    connection.execute(
        sql.SQL(
            "create table {log} ({keys} xid bigint not null default txid_current(),"
            " seq bigint not null default nextval({seq}::regclass),"
            " changed_at timestamptz not null default clock_timestamp(), origin int,"
            " op \"char\" not null default 'U', onward boolean not null default true, primary key (xid, seq))"
        ).format(log=spec.log, keys=sql.Composed(keys), seq=sql.Literal(f'"{spec.install.schema}".seq'))
    )
    if spec.versions:
        create_key_index(connection, spec)


def create_key_index(connection: Connection, spec: LogSpec) -> None:
    """Let the latest version of a key be found."""
    connection.execute(sql.SQL("create index on {} ({}, seq)").format(spec.log, spec.columns))


def create_functions(connection: Connection, spec: LogSpec) -> None:
    """Make, or replace, the trigger functions."""
    function = sql.Identifier(spec.install.schema, spec.name)
    named = queries("node/triggers.sql")
    if spec.kind is Kind.TOUCH:
        connection.execute(sql.SQL(named["touch_function"]).format(function=function, log=spec.log))
        return
    columns = [sql.Identifier(name) for name in spec.key]
    same = [
        sql.SQL("old.{0} {1} new.{0}").format(column, equal.as_sql())
        for column, equal in zip(columns, spec.relation.equal, strict=True)
    ]
    connection.execute(
        sql.SQL(named["versioned_row_function" if spec.versions else "row_function"]).format(
            schema=sql.Identifier(spec.install.schema),
            function=function,
            log=spec.log,
            keys=spec.columns,
            old=sql.SQL(", ").join(sql.SQL("old.{}").format(column) for column in columns),
            new=sql.SQL(", ").join(sql.SQL("new.{}").format(column) for column in columns),
            same=sql.SQL(" and ").join(same),
        )
    )
    if spec.versions or spec.relation.partitioned:
        _create_truncate_function(connection, spec)


def _create_truncate_function(connection: Connection, spec: LogSpec) -> None:
    def quoted(part: sql.Composable) -> sql.SQL:
        # It stands inside a string constant that format() reads: quotes and percent signs count twice there.
        return sql.SQL(part.as_string(connection).replace("'", "''").replace("%", "%%"))

    connection.execute(
        sql.SQL(queries("node/triggers.sql")["truncate_function"]).format(
            truncate_function=sql.Identifier(spec.install.schema, f"{spec.name}_truncate"),
            log_text=quoted(spec.log),
            keys_text=quoted(spec.columns),
            columns_text=quoted(sql.SQL(", ").join(sql.Identifier(name) for name in spec.key)),
            schema_text=quoted(sql.Identifier(spec.install.schema)),
        )
    )


def create_trigger(connection: Connection, install: Install, trigger: Trigger) -> None:
    """Make a trigger, in place of one of its name."""
    name = sql.Identifier(trigger_name(install, trigger.event))
    connection.execute(sql.SQL("drop trigger if exists {} on {}").format(name, identifier(trigger.table)))
    connection.execute(
        sql.SQL("create trigger {} {} execute procedure {}()").format(
            name,
            sql.SQL(EVENTS[trigger.event]).format(identifier(trigger.table)),
            sql.Identifier(install.schema, trigger.function),
        )
    )


def log_all(connection: Connection, spec: LogSpec, table: TableName) -> None:
    """Log every row of a partition that came since the log was made."""
    if spec.kind is Kind.TOUCH:
        connection.execute(sql.SQL("insert into {} default values").format(spec.log))
        return
    connection.execute(
        sql.SQL("insert into {} ({}) select {} from only {}").format(
            spec.log, spec.columns, sql.SQL(", ").join(sql.Identifier(n) for n in spec.key), identifier(table)
        )
    )
