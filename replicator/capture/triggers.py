"""The objects of one log on one node: its table, functions and triggers, as statements. What they are is `spec`'s.

Everything here runs inside the caller's transaction. Whether a log is kept or made anew is decided in `setup` and
`making`.
"""

from __future__ import annotations

from psycopg import sql

from replicator.capture import bell
from replicator.capture.needs import Kind
from replicator.capture.spec import EVENTS, LogSpec, Trigger, trigger_name
from replicator.model import Install, TableName
from replicator.postgres import Connection
from replicator.relations import identifier
from replicator.sql import queries

NO_OLD_ROW = 110000
"""Since then `old` is null where a trigger has no old row. Before, it may not be spoken of: that needs `IS_UPDATE`."""

IS_UPDATE = "tg_op operator(pg_catalog.=) 'UPDATE' and"


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
