"""Removes the rows of one log below a transaction id, a chunk in a transaction, and measures what is left."""

from __future__ import annotations

from datetime import datetime

from psycopg import sql

from replicator import postgres
from replicator.capture.captured import Captured
from replicator.capture.keys import match_keys
from replicator.capture.needs import Kind
from replicator.errors import LockedOut
from replicator.failpoint import failpoint
from replicator.model import Install
from replicator.postgres import Connection, fetch_one, translated
from replicator.purge.survey import Node
from replicator.relations import Relation
from replicator.signals import Stop
from replicator.verify.flight import PURGE

CHUNK = 50_000
"""Rows removed in one transaction."""

EXACT = 10_000
"""Rows up to which the rest of a log is counted, not estimated."""


def remove(node: Node, install: Install, captured: Captured, xid: int, stop: Stop) -> int:
    """Remove the rows of transactions below `xid`; how many. Raises ReplicatorErrors.

    Gives way: where an application or a comparison was quicker, the rest is left for the next time.
    """
    if captured.versions and captured.table not in node.relations:
        return 0  # the table is gone: its log goes when it is released
    _note_settled(node, install, captured, xid)
    total, rows = 0, CHUNK
    while rows == CHUNK and not stop.is_set():
        try:
            with translated(str(node.database)), node.connection.transaction():
                rows = _delete_some(node, install, captured, xid)
                failpoint("purge.before-commit")
        except LockedOut:
            break
        total += rows
        failpoint("purge.after-chunk")
    return total


def _delete_some(node: Node, install: Install, captured: Captured, xid: int) -> int:
    """Remove up to a chunk of a log's rows. In a transaction, which keeps comparisons from beginning meanwhile."""
    connection = node.connection
    postgres.give_way(connection)
    key = install.lock_key(PURGE)
    if not fetch_one(connection, "select pg_try_advisory_xact_lock(%s)", [key])[0]:
        raise LockedOut(f"{node.database}: a comparison is about to begin.")
    truncations = _delete_truncated(connection, install, captured, xid) if captured.kind is Kind.ROWS else 0
    old = sql.SQL(
        "l.ctid = any(array(select ctid from {log} where xid < {xid} order by xid, seq limit {chunk}))"
    ).format(log=sql.Identifier(install.schema, captured.log), xid=sql.Literal(xid), chunk=sql.Literal(CHUNK))
    query = (
        _delete_versions(install, captured, node.relations[captured.table], old)
        if captured.versions
        else _delete(install, captured, old)
    )
    rows = int(fetch_one(connection, query)[0])
    if rows or truncations:
        failpoint("purge.before-note")
        _note(connection, install, captured, xid)
    return rows


def _note_settled(node: Node, install: Install, captured: Captured, xid: int) -> None:
    """Leave word of what may go, for who purges by hand; where there is nothing, there is nothing to say."""
    query = sql.SQL(
        "update {captured} c set settled = %(xid)s, settled_on = %(here)s"
        " where c.log_name = %(log)s and (c.settled < %(xid)s or c.settled_on <> %(here)s)"
        " and (exists (select from {log} where xid < %(xid)s) or exists (select from {truncated} t"
        " where t.xid < %(xid)s and (t.schema_name, t.table_name) = (c.schema_name, c.table_name)))"
    ).format(
        captured=sql.Identifier(install.schema, "captured"),
        log=sql.Identifier(install.schema, captured.log),
        truncated=sql.Identifier(install.schema, "truncated"),
    )
    here = f"{node.origin.system_id}/{node.origin.database}"
    with translated(str(node.database)):
        node.connection.execute(query, {"xid": xid, "log": captured.log, "here": here})


def _note(connection: Connection, install: Install, captured: Captured, xid: int) -> None:
    """Leave word of what is gone, for a target that comes back from the past."""
    query = sql.SQL(
        "update {}.captured set purged = %s where schema_name = %s and table_name = %s and kind = %s and purged < %s"
    ).format(sql.Identifier(install.schema))
    connection.execute(query, [xid, captured.table.schema, captured.table.name, captured.kind, xid])


def _delete_truncated(connection: Connection, install: Install, captured: Captured, xid: int) -> int:
    query = sql.SQL("delete from {}.truncated where xid < %s and schema_name = %s and table_name = %s").format(
        sql.Identifier(install.schema)
    )
    return connection.execute(query, [xid, captured.table.schema, captured.table.name]).rowcount


def _delete(install: Install, captured: Captured, old: sql.Composed) -> sql.Composed:
    return sql.SQL("with gone as (delete from {} l where {} returning 1) select count(*) from gone").format(
        sql.Identifier(install.schema, captured.log), old
    )


VERSIONS = """
with gone as (
    delete from {log} l where {old} returning l.*
), raised as (
    update {node} set floor = (select max(changed_at) from gone) where floor < (select max(changed_at) from gone)
), last as (
    select xid, seq from gone order by xid desc, seq desc limit 1
), versions as (
    select l.xid, l.seq, l.changed_at, l.origin, (l.xid, l.seq) <= (select xid, seq from last) as goes,
           max(l.changed_at + case when l.origin is null then interval '0' else interval '1 microsecond' end)
               filter (where (l.xid, l.seq) <= (select xid, seq from last))
               over (partition by {keys} order by l.seq) as at
    from (select distinct {gone_keys} from gone g) g join {log} l on {same_key}
    where l.op <> '+'
), mended as (
    update {log} l set changed_at = v.at from versions v
    where (l.xid, l.seq) = (v.xid, v.seq) and not v.goes and v.origin is null and v.at > v.changed_at
)
select count(*) from gone
"""
"""What goes is the first of a log's rows. What stays is older than none of what goes of its key and came before it: one
pass over the rows of each key, for a row that changes all the time has as many versions as the log is long.
"""


def _delete_versions(install: Install, captured: Captured, relation: Relation, old: sql.Composed) -> sql.Composed:
    """Remove rows that were versions, without making anything that stays, or comes, older than they were."""
    keys = [sql.Identifier(f"k{number + 1}") for number in range(len(relation.key))]
    return sql.SQL(VERSIONS).format(
        log=sql.Identifier(install.schema, captured.log),
        node=sql.Identifier(install.schema, "node"),
        old=old,
        keys=sql.SQL(", ").join(sql.SQL("l.{}").format(key) for key in keys),
        gone_keys=sql.SQL(", ").join(sql.SQL("g.{}").format(key) for key in keys),
        same_key=match_keys(relation, "l", "g"),
    )


def measure(node: Node, install: Install, captured: Captured) -> tuple[int, datetime | None]:
    """How many rows a log holds, and the time of the first of them. Raises ReplicatorErrors."""
    query = sql.SQL(
        "select (select count(*) from (select from {log} limit {limit}) s),"
        " (select reltuples::bigint from pg_class where oid = {name}::regclass),"
        " (select changed_at from {log} order by xid, seq limit 1)"
    )
    table = sql.Identifier(install.schema, captured.log)
    name = sql.Literal(table.as_string(node.connection))
    with translated(str(node.database)):
        counted, estimate, oldest = fetch_one(
            node.connection, query.format(log=table, limit=sql.Literal(EXACT + 1), name=name)
        )
    return (int(counted) if counted <= EXACT else max(int(counted), int(estimate))), oldest
