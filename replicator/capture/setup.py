"""Makes a node log what it must, and takes that back. Idempotent, and cheap when there is nothing to do.

Which of its logs lack something is found here; `making` makes one, `dropping` drops one, and the schema that holds them
is made by `schema`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from replicator.capture import notes
from replicator.capture.captured import Captured, logs, shapes
from replicator.capture.decoding import slot
from replicator.capture.dropping import drop_alone
from replicator.capture.feeding import complete
from replicator.capture.making import make_log
from replicator.capture.needs import Kind, Need
from replicator.capture.schema import create_schema, drop_schema_if_empty, has_schema
from replicator.capture.spec import SHAPE, LogSpec
from replicator.errors import SchemaMismatch
from replicator.failpoint import failpoint
from replicator.logs import log
from replicator.model import Capture, Install, TableName
from replicator.postgres import Connection
from replicator.relations import Relation


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
    shape_of = shapes(connection, install)
    for relation in relations.values():
        need = wanted[relation.name]
        for kind in sorted(need.kinds):
            _check_key(relation, kind, need)
            spec = _spec(install, relation, kind, need, decoded=decodes and kind is Kind.ROWS)
            captured = present.get((relation.name, kind))
            if captured is None or shape_of[captured.log] < SHAPE or not complete(connection, spec, captured):
                make_log(connection, spec)
    found = logs(connection, install)
    if not decodes:
        _stop_decoding(connection, install, found)
    silent = [name for name in relations if (known := found.get((name, Kind.ROWS))) and not known.notes]
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
                drop_alone(connection, install, captured)
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


def can_log(relation: Relation, need: Need) -> bool:
    """Whether the changes of a table can be logged as they must be."""
    return Kind.ROWS not in need.kinds or bool(relation.key) or need.versions


def _check_key(relation: Relation, kind: Kind, need: Need) -> None:
    if kind is Kind.ROWS and not can_log(relation, need):
        raise SchemaMismatch(
            f"{relation.name} has no primary key and no unique index on NOT NULL columns.",
            hint="Give it one, or replicate it by fullcopy.",
        )


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
        drop_alone(connection, install, captured)
    _stop_decoding(connection, install, logs(connection, install))
    drop_schema_if_empty(connection, install)
    return [captured.table for captured in released]


def _kept(captured: Captured, keep: Collection[TableName] | Mapping[TableName, Need]) -> bool:
    if isinstance(keep, Mapping):
        need = keep.get(captured.table)
        return need is not None and captured.kind in need.kinds
    return captured.table in keep
