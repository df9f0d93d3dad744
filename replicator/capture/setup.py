"""Makes a node log what it must, and takes that back. Idempotent, and cheap when there is nothing to do.

A log that had to be begun anew (its triggers were gone, its table was made again, its key changed) gets a new id, by
which targets see that they have missed changes. Locks: CREATE TRIGGER waits for the writers of the table, so a
snapshot taken after it sees or finds logged everything; the wait gives way and tries again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import LiteralString, cast
from uuid import UUID

from psycopg import sql

from replicator import postgres
from replicator.capture.needs import Kind, Need
from replicator.errors import SchemaMismatch
from replicator.model import Install, TableName
from replicator.postgres import Connection
from replicator.relations import Relation, identifier
from replicator.sql import queries, text

NAME_LIMIT = 63


@dataclass(frozen=True)
class Captured:
    """One log on one node. key: column names as logged in k1, k2 ...; empty for a touch log."""

    table: TableName
    kind: Kind
    id: UUID
    relid: int
    log: str
    key: tuple[str, ...]
    types: tuple[str, ...]
    versions: bool


def ensure(
    connection: Connection, install: Install, wanted: Mapping[TableName, Need], relations: Mapping[TableName, Relation]
) -> dict[tuple[TableName, Kind], Captured]:
    """Make the node (its connection in autocommit) log what is wanted; returns the logs, old and new.

    Raises SchemaMismatch for a keyless table that must log rows, LockedOut when a table stays locked.
    """
    _create_schema(connection, install)
    present = logs(connection, install)
    for relation in relations.values():
        for kind in sorted(wanted[relation.name].kinds):
            versions = wanted[relation.name].versions and kind is Kind.ROWS
            if kind is Kind.ROWS and not relation.key:
                raise SchemaMismatch(
                    f"{relation.name} has no primary key and no unique index on NOT NULL columns.",
                    hint="Give it one, or replicate it by fullcopy.",
                )
            if not _healthy(connection, install, present.get((relation.name, kind)), relation, kind, versions):
                postgres.patiently(lambda r=relation, k=kind, v=versions: _build(connection, install, r, k, v))
    return logs(connection, install)


def logs(connection: Connection, install: Install) -> dict[tuple[TableName, Kind], Captured]:
    """The logs that the node keeps for this install."""
    query = sql.SQL(
        "select schema_name, table_name, kind, id, relid, log_name, key_columns, key_types, versions from {}.captured"
    ).format(sql.Identifier(install.schema))
    found = {}
    for schema, name, kind, id_, relid, log, key, types, versions in connection.execute(query):
        table = TableName(schema, name)
        found[table, Kind(kind)] = Captured(table, Kind(kind), id_, int(relid), log, tuple(key), tuple(types), versions)
    return found


def _create_schema(connection: Connection, install: Install) -> None:
    query = "select to_regclass(%s) is not null"
    node = f'"{install.schema}".node'
    if postgres.fetch_one(connection, query, [node])[0]:
        return
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [install.lock_key("schema")])
        if not postgres.fetch_one(connection, query, [node])[0]:
            sequence = f'"{install.schema}".seq'
            connection.execute(
                sql.SQL(text("node/schema.sql")).format(
                    schema=sql.Identifier(install.schema), sequence=sql.Literal(sequence)
                )
            )


def _healthy(
    connection: Connection,
    install: Install,
    captured: Captured | None,
    relation: Relation,
    kind: Kind,
    versions: bool,
) -> bool:
    if captured is None or captured.relid != relation.oid or (versions and not captured.versions):
        return False
    if kind is Kind.ROWS and (captured.key, captured.types) != (relation.key, _key_types(relation)):
        return False
    wanted = {(table, name) for table, name, _ in _triggers(install, relation, kind, captured.versions)}
    return wanted <= _present_triggers(connection, install, relation)


def _present_triggers(connection: Connection, install: Install, relation: Relation) -> set[tuple[TableName, str]]:
    rows = connection.execute(
        "select n.nspname, c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " join pg_namespace n on n.oid = c.relnamespace where t.tgenabled in ('O', 'A') and t.tgname like %s"
        " and (n.nspname, c.relname) in (select * from unnest(%s::text[], %s::text[]))",
        [
            install.schema.replace("_", r"\_") + r"\_%",
            [table.schema for table in (relation.name, *relation.leaves)],
            [table.name for table in (relation.name, *relation.leaves)],
        ],
    )
    return {(TableName(schema, name), trigger) for schema, name, trigger in rows}


def _key_types(relation: Relation) -> tuple[str, ...]:
    return tuple(relation.column(name).type for name in relation.key)


def _build(connection: Connection, install: Install, relation: Relation, kind: Kind, versions: bool) -> None:
    """(Re)make one log and its triggers, in one transaction."""
    with postgres.translated(str(relation.name)), connection.transaction():
        postgres.give_way(connection)
        connection.execute("select pg_advisory_xact_lock(%s)", [install.lock_key("capture", str(relation.name))])
        captured = logs(connection, install).get((relation.name, kind))
        present = _present_triggers(connection, install, relation)
        if captured and _continues(install, captured, relation, present):
            _extend(connection, install, captured, relation, versions, present)
            return
        if captured:
            _drop(connection, install, captured)
        log = _log_name(relation.name, kind)
        _create_log(connection, install, relation, kind, log, versions)
        _create_functions(connection, install, relation, kind, log, versions)
        for table, name, function in _triggers(install, relation, kind, versions, log):
            _create_trigger(connection, install, table, name, function)
        connection.execute(
            sql.SQL(
                "insert into {}.captured values"
                " (%s, %s, %s, md5(random()::text || clock_timestamp()::text)::uuid, %s, %s, %s, %s, %s)"
            ).format(sql.Identifier(install.schema)),
            [
                *(relation.name.schema, relation.name.name, kind, relation.oid, log),
                list(relation.key) if kind is Kind.ROWS else [],
                list(_key_types(relation)) if kind is Kind.ROWS else [],
                versions,
            ],
        )


def _continues(install: Install, captured: Captured, relation: Relation, present: set[tuple[TableName, str]]) -> bool:
    """Whether the log has missed nothing: same table, same key, and its trigger on the root is in place."""
    if captured.relid != relation.oid:
        return False
    if captured.kind is Kind.ROWS and (captured.key, captured.types) != (relation.key, _key_types(relation)):
        return False
    roots = {
        (table, name)
        for table, name, _ in _triggers(install, relation, captured.kind, captured.versions)
        if table == relation.name
    }
    return roots <= present


def _extend(
    connection: Connection,
    install: Install,
    captured: Captured,
    relation: Relation,
    versions: bool,
    present: set[tuple[TableName, str]],
) -> None:
    """Give a log versions, or partitions that came since: their rows count as changed."""
    versions = versions or captured.versions
    if versions and not captured.versions:
        _create_key_index(connection, install, captured.log, len(captured.key))
        connection.execute(
            sql.SQL("update {}.captured set versions = true where log_name = %s").format(
                sql.Identifier(install.schema)
            ),
            [captured.log],
        )
    _create_functions(connection, install, relation, captured.kind, captured.log, versions)
    for table, name, function in _triggers(install, relation, captured.kind, versions, captured.log):
        if (table, name) not in present or name.endswith("_truncate"):
            _create_trigger(connection, install, table, name, function)
        if (table, name) not in present and table != relation.name:
            _log_all(connection, install, captured, table)


def _log_all(connection: Connection, install: Install, captured: Captured, table: TableName) -> None:
    keys, columns = _key_names(len(captured.key)), map(sql.Identifier, captured.key)
    if captured.kind is Kind.TOUCH:
        query = sql.SQL("insert into {log} default values")
    else:
        query = sql.SQL("insert into {log} ({keys}) select {columns} from only {table}")
    connection.execute(
        query.format(
            log=sql.Identifier(install.schema, captured.log),
            keys=sql.SQL(", ").join(keys),
            columns=sql.SQL(", ").join(columns),
            table=identifier(table),
        )
    )


def _log_name(table: TableName, kind: Kind) -> str:
    prefix = "delta" if kind is Kind.ROWS else "touch"
    name = f"{prefix}_{table.schema}_{table.name}"
    limit = NAME_LIMIT - len("_truncate")
    if len(name.encode()) <= limit and "." not in table.schema:
        return name
    digest = hashlib.sha256(f"{table.schema}\0{table.name}".encode()).hexdigest()[:10]
    head = name.encode()[: limit - 11].decode(errors="ignore")
    return f"{head}_{digest}"


def _key_names(count: int) -> list[sql.Identifier]:
    return [sql.Identifier(f"k{i + 1}") for i in range(count)]


def _create_log(
    connection: Connection, install: Install, relation: Relation, kind: Kind, log: str, versions: bool
) -> None:
    # format_type's output is the server's own quoting of a type's name.
    types = [sql.SQL(cast(LiteralString, t)) for t in _key_types(relation)] if kind is Kind.ROWS else []
    keys = [sql.SQL("{} {} not null, ").format(k, t) for k, t in zip(_key_names(len(types)), types, strict=True)]
    connection.execute(
        sql.SQL(
            "create table {log} ({keys} xid bigint not null default txid_current(),"
            " seq bigint not null default nextval({seq}::regclass),"
            " changed_at timestamptz not null default clock_timestamp(), origin int,"
            " onward boolean not null default true, primary key (xid, seq))"
        ).format(
            log=sql.Identifier(install.schema, log),
            keys=sql.Composed(keys),
            seq=sql.Literal(f'"{install.schema}".seq'),
        )
    )
    if versions:
        _create_key_index(connection, install, log, len(types))


def _create_key_index(connection: Connection, install: Install, log: str, keys: int) -> None:
    connection.execute(
        sql.SQL("create index on {} ({}, seq)").format(
            sql.Identifier(install.schema, log), sql.SQL(", ").join(_key_names(keys))
        )
    )


def _create_functions(
    connection: Connection, install: Install, relation: Relation, kind: Kind, log: str, versions: bool
) -> None:
    named = queries("node/triggers.sql")
    names = {
        "schema": sql.Identifier(install.schema),
        "log": sql.Identifier(install.schema, log),
        "function": sql.Identifier(install.schema, log),
        "truncate_function": sql.Identifier(install.schema, f"{log}_truncate"),
    }
    if kind is Kind.TOUCH:
        connection.execute(sql.SQL(named["touch_function"]).format(**names))
        return
    keys = sql.SQL(", ").join(_key_names(len(relation.key)))
    columns = [sql.Identifier(name) for name in relation.key]
    pairs = zip(columns, relation.equal, strict=True)
    template = named["versioned_row_function" if versions else "row_function"]
    connection.execute(
        sql.SQL(template).format(
            **names,
            keys=keys,
            old=sql.SQL(", ").join(sql.SQL("old.{}").format(c) for c in columns),
            new=sql.SQL(", ").join(sql.SQL("new.{}").format(c) for c in columns),
            same=sql.SQL(" and ").join(sql.SQL("old.{} {} new.{}").format(c, op.as_sql(), c) for c, op in pairs),
        )
    )
    if versions or relation.partitioned:
        _create_truncate_function(connection, names, keys, sql.SQL(", ").join(columns))


def _create_truncate_function(
    connection: Connection, names: Mapping[str, sql.Composable], keys: sql.Composable, columns: sql.Composable
) -> None:
    # The statement stands inside a string constant that format() reads: quotes and percent signs count twice there.
    def quoted(part: sql.Composable) -> sql.SQL:
        raw = part.as_string(connection).replace("'", "''").replace("%", "%%")
        return sql.SQL(cast(LiteralString, raw))

    connection.execute(
        sql.SQL(queries("node/triggers.sql")["truncate_function"]).format(
            truncate_function=names["truncate_function"],
            log_text=quoted(names["log"]),
            keys_text=quoted(keys),
            columns_text=quoted(columns),
            schema_text=quoted(names["schema"]),
        )
    )


def _triggers(
    install: Install, relation: Relation, kind: Kind, versions: bool, log: str = ""
) -> Iterator[tuple[TableName, str, str]]:
    """The triggers of a log: (table, trigger, function)."""
    prefix = install.schema
    if kind is Kind.TOUCH:
        for table in (relation.name, *relation.leaves):
            yield table, f"{prefix}_touch", log
        return
    yield relation.name, f"{prefix}_rows", log
    if relation.partitioned:
        for leaf in relation.leaves:
            yield leaf, f"{prefix}_truncate", f"{log}_truncate"
    else:
        yield relation.name, f"{prefix}_truncate", f"{log}_truncate" if versions else "note_truncate"


EVENTS = {
    "rows": "after insert or update or delete on {} for each row",
    "truncate": "before truncate on {} for each statement",
    "touch": "after insert or update or delete or truncate on {} for each statement",
}


def _create_trigger(connection: Connection, install: Install, table: TableName, name: str, function: str) -> None:
    event = cast(LiteralString, EVENTS[name.rsplit("_", 1)[1]])
    connection.execute(sql.SQL("drop trigger if exists {} on {}").format(sql.Identifier(name), identifier(table)))
    connection.execute(
        sql.SQL("create trigger {} {} execute procedure {}()").format(
            sql.Identifier(name),
            sql.SQL(event).format(identifier(table)),
            sql.Identifier(install.schema, function),
        )
    )


def _drop(connection: Connection, install: Install, captured: Captured) -> None:
    for function in (captured.log, f"{captured.log}_truncate"):
        connection.execute(
            sql.SQL("drop function if exists {}() cascade").format(sql.Identifier(install.schema, function))
        )
    table = [captured.table.schema, captured.table.name]
    if captured.kind is Kind.ROWS:
        _drop_note_trigger(connection, install, captured)
        connection.execute(
            sql.SQL("delete from {}.truncated where schema_name = %s and table_name = %s").format(
                sql.Identifier(install.schema)
            ),
            table,
        )
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(install.schema, captured.log)))
    connection.execute(
        sql.SQL("delete from {}.captured where schema_name = %s and table_name = %s and kind = %s").format(
            sql.Identifier(install.schema)
        ),
        [*table, captured.kind],
    )


def _drop_note_trigger(connection: Connection, install: Install, captured: Captured) -> None:
    # By oid: the table may have been renamed, or dropped, since.
    row = connection.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = %s",
        [captured.relid],
    ).fetchone()
    if row:
        connection.execute(
            sql.SQL("drop trigger if exists {} on {}").format(
                sql.Identifier(f"{install.schema}_truncate"), sql.Identifier(*row)
            )
        )


def release(
    connection: Connection, install: Install, keep: Collection[TableName] | Mapping[TableName, Need]
) -> list[TableName]:
    """Drop the triggers and logs of tables that are not kept; the schema too when nothing is left in it.

    keep: tables, or what they need (then a log of a kind that is no longer needed goes as well). The connection is in
    autocommit. Returns the tables released. Raises LockedOut when a table stays locked.
    """
    if not _has_schema(connection, install):
        return []
    released = [c for c in logs(connection, install).values() if not _kept(c, keep)]
    for captured in released:
        postgres.patiently(lambda c=captured: _drop_one(connection, install, c))
    _drop_schema_if_empty(connection, install)
    return [captured.table for captured in released]


def _kept(captured: Captured, keep: Collection[TableName] | Mapping[TableName, Need]) -> bool:
    if isinstance(keep, Mapping):
        need = keep.get(captured.table)
        return need is not None and captured.kind in need.kinds
    return captured.table in keep


def _drop_one(connection: Connection, install: Install, captured: Captured) -> None:
    with postgres.translated(str(captured.table)), connection.transaction():
        postgres.give_way(connection)
        _drop(connection, install, captured)


def _has_schema(connection: Connection, install: Install) -> bool:
    return bool(postgres.fetch_one(connection, "select to_regclass(%s) is not null", [f'"{install.schema}".node'])[0])


def _drop_schema_if_empty(connection: Connection, install: Install) -> None:
    schema = sql.Identifier(install.schema)
    in_use = sql.SQL(
        "select exists (select from {0}.captured) or exists (select from {0}.progress)"
        " or exists (select from {0}.progress_table)"
    ).format(schema)
    if not postgres.fetch_one(connection, in_use)[0]:
        connection.execute(sql.SQL("drop schema {} cascade").format(schema))
