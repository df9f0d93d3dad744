"""Whether a log is as it should be, and what feeds it there: its triggers, or the publication. Changes nothing."""

from __future__ import annotations

from dataclasses import replace

from replicator.capture.captured import Captured
from replicator.capture.decoding import slot
from replicator.capture.spec import EVENTS, LogSpec, trigger_name
from replicator.model import TableName
from replicator.postgres import Connection

Present = set[tuple[TableName, str]]


def complete(connection: Connection, spec: LogSpec, captured: Captured) -> bool:
    """Whether a log is as it should be, with all that feeds it."""
    if not _same_table(spec, captured) or (spec.versions and not captured.versions):
        return False
    if captured.counters != spec.counters or captured.decoded != spec.decoded:
        return False
    if spec.decoded:
        return slot.published(connection, spec.install, captured.relid)
    spec = replace(spec, versions=captured.versions)
    wanted = {(t.table, trigger_name(spec.install, t.event)) for t in spec.triggers}
    return wanted <= live_triggers(connection, spec)


def _same_table(spec: LogSpec, captured: Captured) -> bool:
    return same_key(spec, captured) and captured.types == spec.types


def same_key(spec: LogSpec, captured: Captured) -> bool:
    """Whether a log is of the table and the key that it should be of."""
    return (captured.relid, captured.key) == (spec.relation.oid, spec.key)


def live_triggers(connection: Connection, spec: LogSpec) -> Present:
    """The install's live triggers on the table and its partitions."""
    tables = (spec.relation.name, *spec.relation.leaves)
    rows = connection.execute(
        "select n.nspname, c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " join pg_namespace n on n.oid = c.relnamespace where t.tgenabled in ('O', 'A') and t.tgname = any(%s)"
        " and (n.nspname, c.relname) in (select * from unnest(%s::text[], %s::text[]))",
        [
            [trigger_name(spec.install, event) for event in EVENTS],
            [table.schema for table in tables],
            [table.name for table in tables],
        ],
    )
    return {(TableName(schema, name), trigger) for schema, name, trigger in rows}


def was_fed(connection: Connection, spec: LogSpec, captured: Captured, present: Present) -> bool:
    """Whether what feeds it was there all the time (the root table's triggers), so that the log has missed nothing.

    One that was fed from the WAL and is to be by triggers may have: what has not been decoded yet never will be.
    """
    if captured.decoded:
        return spec.decoded and slot.published(connection, spec.install, captured.relid)
    spec = replace(spec, decoded=False)
    return all(
        (trigger.table, trigger_name(spec.install, trigger.event)) in present
        for trigger in spec.triggers
        if trigger.table == spec.relation.name
    )
