"""Makes, mends or remakes one log and what feeds it. Whether that is called for is `setup`'s to say.

A log that had to be begun anew (its triggers were gone, its table was made again, its key is another) gets a new id, by
which targets see that they have missed changes. Where only the types of the key's columns have changed, what is in the
log is made of the new types, and the log goes on. Locks: CREATE TRIGGER waits for the writers of the table, so a
snapshot taken after it sees or finds logged everything; the wait gives way and tries again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import psycopg
from psycopg import sql

from replicator import postgres
from replicator.capture import triggers
from replicator.capture.captured import Captured, logs
from replicator.capture.decoding import slot
from replicator.capture.dropping import drop_log, drop_triggers
from replicator.capture.feeding import Present, live_triggers, same_key, was_fed
from replicator.capture.spec import SHAPE, LogSpec, trigger_name
from replicator.postgres import Connection


def make_log(connection: Connection, spec: LogSpec) -> None:
    """Make, mend or remake one log and its triggers, in one transaction. The connection is in autocommit.

    Raises LockedOut when the table stays locked.
    """
    postgres.patiently(partial(_make, connection, spec))


def _make(connection: Connection, spec: LogSpec) -> None:
    with postgres.translated(str(spec.relation.name)), connection.transaction():
        postgres.give_way(connection)
        connection.execute("select pg_advisory_xact_lock(%s)", [spec.install.lock_key("capture")])
        captured = logs(connection, spec.install).get((spec.relation.name, spec.kind))
        present = live_triggers(connection, spec)
        fed = captured and same_key(spec, captured) and was_fed(connection, spec, captured, present)
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
        missing = (trigger.table, trigger_name(spec.install, trigger.event)) not in present
        if missing or (gains_versions and trigger.event == "truncate"):
            triggers.create_trigger(connection, spec.install, trigger)
        if missing and trigger.table != spec.relation.name:
            triggers.log_all(connection, spec, trigger.table)


def _decode_on(connection: Connection, spec: LogSpec, captured: Captured) -> None:
    """Go on feeding a log from the WAL. What triggers have logged is in it: those who fired them have ended."""
    slot.publish(connection, spec.install, spec.relation)
    if not captured.decoded:
        drop_triggers(connection, spec.install, captured)
        query = sql.SQL("update {}.captured set decoded = true where log_name = %s")
        connection.execute(query.format(sql.Identifier(spec.install.schema)), [captured.log])
