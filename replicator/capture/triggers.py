"""The objects of one log on one node: its table, functions and triggers, as statements.

Everything here runs inside the caller's transaction. Whether a log is kept or made anew is decided in `setup` and
`making`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from replicator.capture import bell
from replicator.capture.needs import Kind
from replicator.model import Install, TableName
from replicator.postgres import Connection
from replicator.relations import Relation, identifier
from replicator.sql import queries

SHAPE = 6
"""Which columns and functions a log has. One that was made before is brought up to it."""

NO_OLD_ROW = 110000
"""Since then `old` is null where a trigger has no old row. Before, it may not be spoken of: that needs `IS_UPDATE`."""

IS_UPDATE = "tg_op operator(pg_catalog.=) 'UPDATE' and"

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


def create_log(connection: Connection, spec: LogSpec) -> None:
    """Make the log table."""
    # A type's name comes from the server's format_type, quoted by it.
    keys = [
        sql.SQL("{} {}{}, ").format(
            sql.Identifier(f"k{i + 1}"), sql.SQL(kind), sql.SQL("" if spec.keyless else " not null")
        )
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
    add_columns(connection, spec)
    if spec.versions:
        create_key_index(connection, spec)


def add_columns(connection: Connection, spec: LogSpec) -> None:
    """Add the columns that a swap needs, where they are missing.

    author: whose row it is, for a version that settled a conflict. source_xid: of a change that came from another
    master, the transaction that made it there. Then for each counter by how much it changed, and part: whether the row
    came before what its maker had counted on it (true), or that was added (false).
    """
    wanted: list[sql.Composable] = [sql.SQL("author int"), sql.SQL("source_xid bigint")] if spec.versions else []
    wanted += [sql.SQL("{} numeric").format(column) for column in spec.gains]
    wanted += [sql.SQL("part boolean")] if spec.gains else []
    if wanted:
        columns = sql.SQL(", ").join(sql.SQL("add column if not exists {}").format(column) for column in wanted)
        connection.execute(sql.SQL("alter table {} {}").format(spec.log, columns))


def create_key_index(connection: Connection, spec: LogSpec) -> None:
    """Let the latest version of a key be found."""
    connection.execute(sql.SQL("create index on {} ({}, seq)").format(spec.log, spec.columns))


def create_functions(connection: Connection, spec: LogSpec) -> None:
    """Make, or replace, the trigger functions."""
    function = sql.Identifier(spec.install.schema, spec.name)
    named = queries("node/triggers.sql")
    if spec.kind is Kind.TOUCH:
        connection.execute(sql.SQL(named["touch_function"]).format(function=function, log=spec.log, **_bell(spec)))
        return
    columns = [sql.Identifier(name) for name in spec.key]
    same = [
        sql.SQL("old.{0} {1} new.{0}").format(column, equal.as_sql())
        for column, equal in zip(columns, spec.relation.equal, strict=False)
    ]
    connection.execute(
        sql.SQL(named[_row_function(spec)]).format(
            at=sql.SQL(", changed_at" if spec.versions else ""),
            now=sql.SQL(", ({})").format(_now(spec)) if spec.versions else sql.SQL(""),
            updated=sql.SQL("" if connection.info.server_version >= NO_OLD_ROW else IS_UPDATE),
            function=function,
            log=spec.log,
            keys=spec.columns,
            old=sql.SQL(", ").join(sql.SQL("old.{}").format(column) for column in columns),
            new=sql.SQL(", ").join(sql.SQL("new.{}").format(column) for column in columns),
            same=sql.SQL(" and ").join(same),
            gains=sql.SQL(", ").join(spec.gains),
            gained=sql.SQL(", ").join(
                sql.SQL("new.{0} operator(pg_catalog.-) old.{0}").format(sql.Identifier(n)) for n in spec.counters
            ),
            counted=_counted(spec),
            **_bell(spec),
        )
    )
    if spec.versions or spec.relation.partitioned or spec.keyless:
        _create_truncate_function(connection, spec)


def _bell(spec: LogSpec) -> dict[str, sql.Composable]:
    return {"bell": sql.Literal(bell.lock_key(spec.install)), "channel": sql.Literal(bell.channel(spec.install))}


def _now(spec: LogSpec) -> sql.Composed:
    """The query for the time of a change: later than the floor as it is now, whatever the transaction's snapshot."""
    return sql.SQL(queries("node/triggers.sql")["now"]).format(schema=sql.Identifier(spec.install.schema))


def _row_function(spec: LogSpec) -> str:
    if spec.keyless:
        return "keyless_row_function"
    return "counting_row_function" if spec.versions and spec.counters else "row_function"


def _counted(spec: LogSpec) -> sql.Composable:
    """Statements that give `same_but` what may differ in an update of counters alone, and what follows from that."""
    names = [*spec.counters, *(column.name for column in spec.relation.columns if column.generated)]
    return sql.SQL(" ").join(sql.SQL("same_but.{0} := new.{0};").format(sql.Identifier(name)) for name in names)


def _create_truncate_function(connection: Connection, spec: LogSpec) -> None:
    def quoted(part: sql.Composable) -> sql.SQL:
        # It stands inside a string constant that format() reads: quotes and percent signs count twice there.
        return sql.SQL(part.as_string(connection).replace("'", "''").replace("%", "%%"))

    name = "keyless_truncate_function" if spec.keyless else "truncate_function"
    connection.execute(
        sql.SQL(queries("node/triggers.sql")[name]).format(
            truncate_function=sql.Identifier(spec.install.schema, f"{spec.name}_truncate"),
            log_text=quoted(spec.log),
            keys_text=quoted(spec.columns),
            columns_text=quoted(sql.SQL(", ").join(sql.Identifier(name) for name in spec.key)),
            now_text=quoted(_now(spec)),
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
