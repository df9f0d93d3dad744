"""Makes a node log what it must, and takes that back. Idempotent, and cheap when there is nothing to do.

A log that had to be begun anew (its triggers were gone, its table was made again, its key is another) gets a new id, by
which targets see that they have missed changes. Where only the types of the key's columns have changed, what is in the
log is made of the new types, and the log goes on. Locks: CREATE TRIGGER waits for the writers of the table, so a
snapshot taken after it sees or finds logged everything; the wait gives way and tries again. The schema that holds the
logs is made by `schema`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

import psycopg
from psycopg import sql

from replicator import postgres
from replicator.capture import notes, triggers
from replicator.capture.decoding import slot
from replicator.capture.needs import Kind, Need
from replicator.capture.schema import create_schema, drop_schema_if_empty, has_schema
from replicator.capture.triggers import SHAPE, LogSpec
from replicator.errors import SchemaMismatch
from replicator.failpoint import failpoint
from replicator.logs import log
from replicator.model import Capture, Install, TableName
from replicator.postgres import Connection
from replicator.relations import Relation

Present = set[tuple[TableName, str]]


@dataclass(frozen=True)
class Captured:
    """One log on one node. key: column names as logged in k1, k2 ...; empty for a touch log.

    purged: rows of transactions below this id are gone. counters: columns of which it holds by how much they changed.
    whole_from: all that was made of the table after this transaction is in it, where it `notes` what arrives.
    decoded: it is fed from the WAL.
    """

    table: TableName
    kind: Kind
    id: UUID
    relid: int
    log: str
    key: tuple[str, ...]
    types: tuple[str, ...]
    versions: bool
    purged: int = 0
    counters: tuple[str, ...] = ()
    whole_from: int = 0
    notes: bool = True
    decoded: bool = False


def ensure(
    connection: Connection,
    install: Install,
    wanted: Mapping[TableName, Need],
    relations: Mapping[TableName, Relation],
    capture: Capture = Capture.TRIGGERS,
) -> dict[tuple[TableName, Kind], Captured]:
    """Make the node (its connection in autocommit) log what is wanted of the relations; returns all its logs.

    Raises SchemaMismatch for a table whose changes cannot be logged in that way, LockedOut when one stays locked.
    """
    create_schema(connection, install)
    decodes = capture is Capture.WAL and any(Kind.ROWS in need.kinds for need in wanted.values())
    if decodes:
        _have_slot(connection, install)
    present = logs(connection, install)
    shapes = _shapes(connection, install)
    for relation in relations.values():
        need = wanted[relation.name]
        for kind in sorted(need.kinds):
            _check_key(relation, kind, need)
            spec = _spec(install, relation, kind, need, decoded=decodes and kind is Kind.ROWS)
            captured = present.get((relation.name, kind))
            if captured is None or shapes[captured.log] < SHAPE or not _complete(connection, spec, captured):
                postgres.patiently(partial(_build, connection, spec))
    found = logs(connection, install)
    if not decodes:
        _stop_decoding(connection, install, found)
    silent = [name for name in relations if (log := found.get((name, Kind.ROWS))) and not log.notes]
    if lacking := [name for name in silent if wanted[name].notes]:
        notes.begin(connection, install, lacking)
        return logs(connection, install)
    return found


def _stop_decoding(connection: Connection, install: Install, found: Mapping[tuple[TableName, Kind], Captured]) -> None:
    """Let the server keep no WAL for a slot that feeds no log."""
    if not any(captured.decoded for captured in found.values()) and slot.exists(connection, install):
        slot.drop(connection, install)


def _have_slot(connection: Connection, install: Install) -> None:
    """Have a slot that can be read from. Logs that one fed which is gone have missed changes, so they go before."""
    with slot.locked(connection, install):
        if slot.usable(connection, install):
            return
        for captured in logs(connection, install).values():
            if captured.decoded:
                log.warning("%s: the slot that fed its log is gone, so the log is begun anew", captured.table)
                postgres.patiently(partial(_drop_one, connection, install, captured))
        failpoint("decode.before-slot")
        slot.create(connection, install)
        failpoint("decode.after-slot")


def _spec(install: Install, relation: Relation, kind: Kind, need: Need, *, decoded: bool) -> LogSpec:
    versions = need.versions and kind is Kind.ROWS and bool(relation.key)
    names = {column.name for column in relation.written}
    counters = tuple(name for name in need.counters if name in names) if versions else ()
    notes = need.notes or not versions
    return LogSpec(
        install=install,
        relation=relation,
        kind=kind,
        versions=versions,
        counters=counters,
        notes=notes,
        decoded=decoded,
    )


def _shapes(connection: Connection, install: Install) -> dict[str, int]:
    """The shapes of the node's logs, by their names."""
    query = sql.SQL("select log_name, shape from {}.captured").format(sql.Identifier(install.schema))
    return dict(connection.execute(query))


def can_log(relation: Relation, need: Need) -> bool:
    """Whether the changes of a table can be logged as they must be."""
    return Kind.ROWS not in need.kinds or bool(relation.key) or need.versions


def _check_key(relation: Relation, kind: Kind, need: Need) -> None:
    if kind is Kind.ROWS and not can_log(relation, need):
        raise SchemaMismatch(
            f"{relation.name} has no primary key and no unique index on NOT NULL columns.",
            hint="Give it one, or replicate it by fullcopy.",
        )


def logs(connection: Connection, install: Install) -> dict[tuple[TableName, Kind], Captured]:
    """The logs that the node keeps for this install."""
    query = sql.SQL(
        "select schema_name, table_name, kind, id, relid, log_name, key_columns, key_types, versions, purged,"
        " counters, whole_from, notes, decoded from {}.captured"
    ).format(sql.Identifier(install.schema))
    found = {}
    for schema, name, kind, id_, relid, log_name, key, types, versions, purged, counters, *rest in connection.execute(
        query
    ):
        table = TableName(schema, name)
        found[table, Kind(kind)] = Captured(
            table,
            Kind(kind),
            id_,
            int(relid),
            log_name,
            tuple(key),
            tuple(types),
            versions,
            purged,
            tuple(counters),
            *rest,
        )
    return found


def _complete(connection: Connection, spec: LogSpec, captured: Captured | None) -> bool:
    if captured is None or not _same_table(spec, captured) or (spec.versions and not captured.versions):
        return False
    if captured.counters != spec.counters or captured.decoded != spec.decoded:
        return False
    if spec.decoded:
        return slot.published(connection, spec.install, captured.relid)
    spec = replace(spec, versions=captured.versions)
    wanted = {(t.table, triggers.trigger_name(spec.install, t.event)) for t in spec.triggers}
    return wanted <= _present(connection, spec)


def _same_table(spec: LogSpec, captured: Captured) -> bool:
    return _same_key(spec, captured) and captured.types == spec.types


def _same_key(spec: LogSpec, captured: Captured) -> bool:
    return (captured.relid, captured.key) == (spec.relation.oid, spec.key)


def _present(connection: Connection, spec: LogSpec) -> Present:
    """The install's live triggers on the table and its partitions."""
    tables = (spec.relation.name, *spec.relation.leaves)
    rows = connection.execute(
        "select n.nspname, c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " join pg_namespace n on n.oid = c.relnamespace where t.tgenabled in ('O', 'A') and t.tgname = any(%s)"
        " and (n.nspname, c.relname) in (select * from unnest(%s::text[], %s::text[]))",
        [
            [triggers.trigger_name(spec.install, event) for event in triggers.EVENTS],
            [table.schema for table in tables],
            [table.name for table in tables],
        ],
    )
    return {(TableName(schema, name), trigger) for schema, name, trigger in rows}


def _build(connection: Connection, spec: LogSpec) -> None:
    """Make, mend or remake one log and its triggers, in one transaction."""
    with postgres.translated(str(spec.relation.name)), connection.transaction():
        postgres.give_way(connection)
        connection.execute("select pg_advisory_xact_lock(%s)", [spec.install.lock_key("capture")])
        captured = logs(connection, spec.install).get((spec.relation.name, spec.kind))
        present = _present(connection, spec)
        fed = captured and _same_key(spec, captured) and _fed(connection, spec, captured, present)
        if captured and fed and _retyped(connection, spec, captured):
            _extend(connection, spec, captured, present)
        else:
            if captured:
                drop_log(connection, spec.install, captured)
            _create(connection, spec)


def _retyped(connection: Connection, spec: LogSpec, captured: Captured) -> bool:
    """Make the log's keys of the table's present types, if they are not; whether that is possible."""
    if captured.types == spec.types:
        return True
    actions = [
        sql.SQL("alter column {0} type {1} using {0}::{1}").format(sql.Identifier(f"k{i + 1}"), sql.SQL(kind))
        for i, kind in enumerate(spec.types)
        if kind != captured.types[i]
    ]
    try:
        with connection.transaction():
            connection.execute(sql.SQL("alter table {} {}").format(spec.log, sql.SQL(", ").join(actions)))
    except (psycopg.errors.CannotCoerce, psycopg.errors.DataError):
        return False
    connection.execute(
        sql.SQL("update {}.captured set key_types = %s where log_name = %s").format(
            sql.Identifier(spec.install.schema)
        ),
        [list(spec.types), captured.log],
    )
    return True


def _fed(connection: Connection, spec: LogSpec, captured: Captured, present: Present) -> bool:
    """Whether what feeds it was there all the time (the root table's triggers), so that the log has missed nothing.

    One that was fed from the WAL and is to be by triggers may have: what has not been decoded yet never will be.
    """
    if captured.decoded:
        return spec.decoded and slot.published(connection, spec.install, captured.relid)
    spec = replace(spec, decoded=False)
    return all(
        (trigger.table, triggers.trigger_name(spec.install, trigger.event)) in present
        for trigger in spec.triggers
        if trigger.table == spec.relation.name
    )


def _create(connection: Connection, spec: LogSpec) -> None:
    triggers.create_log(connection, spec)
    if spec.decoded:
        slot.publish(connection, spec.install, spec.relation)
    else:
        triggers.create_functions(connection, spec)
    for trigger in spec.triggers:
        triggers.create_trigger(connection, spec.install, trigger)
    connection.execute(
        sql.SQL(
            "insert into {}.captured (schema_name, table_name, kind, id, relid, log_name, key_columns, key_types,"
            " versions, counters, notes, shape, decoded) values"
            " (%s, %s, %s, md5(random()::text || clock_timestamp()::text)::uuid, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        ).format(sql.Identifier(spec.install.schema)),
        [
            *(spec.relation.name.schema, spec.relation.name.name, spec.kind, spec.relation.oid, spec.name),
            *(list(spec.key), list(spec.types), spec.versions, list(spec.counters), spec.notes, SHAPE, spec.decoded),
        ],
    )


def _extend(connection: Connection, spec: LogSpec, captured: Captured, present: Present) -> None:
    """Give a log versions, counters, a newer shape, or partitions that came since: their rows count as changed."""
    gains_versions = spec.versions and not captured.versions
    spec = replace(spec, versions=spec.versions or captured.versions)
    triggers.add_columns(connection, spec)
    if gains_versions:
        triggers.create_key_index(connection, spec)
    connection.execute(
        sql.SQL("update {}.captured set versions = %s, counters = %s, shape = %s where log_name = %s").format(
            sql.Identifier(spec.install.schema)
        ),
        [spec.versions, list(spec.counters), SHAPE, captured.log],
    )
    if spec.decoded:
        _decode_on(connection, spec, captured)
        return
    triggers.create_functions(connection, spec)
    for trigger in spec.triggers:
        missing = (trigger.table, triggers.trigger_name(spec.install, trigger.event)) not in present
        if missing or (gains_versions and trigger.event == "truncate"):
            triggers.create_trigger(connection, spec.install, trigger)
        if missing and trigger.table != spec.relation.name:
            triggers.log_all(connection, spec, trigger.table)


def _decode_on(connection: Connection, spec: LogSpec, captured: Captured) -> None:
    """Go on feeding a log from the WAL. What triggers have logged is in it: those who fired them have ended."""
    slot.publish(connection, spec.install, spec.relation)
    if not captured.decoded:
        _drop_triggers(connection, spec.install, captured)
        query = sql.SQL("update {}.captured set decoded = true where log_name = %s")
        connection.execute(query.format(sql.Identifier(spec.install.schema)), [captured.log])


def release(
    connection: Connection, install: Install, keep: Collection[TableName] | Mapping[TableName, Need]
) -> list[TableName]:
    """Drop the triggers and logs of tables that are not kept; the schema too when nothing is left in it.

    keep: tables, or what they need (then a log of a kind that is no longer needed goes as well). The connection is in
    autocommit. Returns the tables released. Raises LockedOut when a table stays locked.
    """
    if not has_schema(connection, install):
        return []
    released = [captured for captured in logs(connection, install).values() if not _kept(captured, keep)]
    for captured in released:
        postgres.patiently(partial(_drop_one, connection, install, captured))
    _stop_decoding(connection, install, logs(connection, install))
    drop_schema_if_empty(connection, install)
    return [captured.table for captured in released]


def _kept(captured: Captured, keep: Collection[TableName] | Mapping[TableName, Need]) -> bool:
    if isinstance(keep, Mapping):
        need = keep.get(captured.table)
        return need is not None and captured.kind in need.kinds
    return captured.table in keep


def _drop_one(connection: Connection, install: Install, captured: Captured) -> None:
    with postgres.translated(str(captured.table)), connection.transaction():
        postgres.give_way(connection)
        drop_log(connection, install, captured)


def drop_log(connection: Connection, install: Install, captured: Captured) -> None:
    """Drop a log and what feeds it, in a transaction that gives way."""
    schema = sql.Identifier(install.schema)
    if captured.decoded:
        slot.withdraw(connection, install, captured.relid)
    _drop_triggers(connection, install, captured)
    table = [captured.table.schema, captured.table.name]
    if captured.kind is Kind.ROWS:
        connection.execute(
            sql.SQL("delete from {}.truncated where schema_name = %s and table_name = %s").format(schema), table
        )
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(install.schema, captured.log)))
    connection.execute(
        sql.SQL("delete from {}.captured where schema_name = %s and table_name = %s and kind = %s").format(schema),
        [*table, captured.kind],
    )


def _drop_triggers(connection: Connection, install: Install, captured: Captured) -> None:
    for function in (captured.log, f"{captured.log}_truncate"):
        # Takes the triggers with it, on every partition, whatever the table is called by now.
        connection.execute(
            sql.SQL("drop function if exists {}() cascade").format(sql.Identifier(install.schema, function))
        )
    if captured.kind is Kind.ROWS:
        _drop_note_trigger(connection, install, captured)


def _drop_note_trigger(connection: Connection, install: Install, captured: Captured) -> None:
    # Its function serves all tables, so it does not go by itself. By oid: the table may have another name now.
    row = connection.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = %s",
        [captured.relid],
    ).fetchone()
    if row:
        name = sql.Identifier(triggers.trigger_name(install, "truncate"))
        connection.execute(sql.SQL("drop trigger if exists {} on {}").format(name, sql.Identifier(*row)))
