"""What waits in the WAL, for who only wants to know: counted without being kept."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import sql

from replicator.capture.decoding import messages, slot
from replicator.model import Install
from replicator.postgres import Connection

WAITING = """
with found as materialized (
    select get_byte(data, 0) as kind, xid::text as xid, data
    from {quiet} cross join lateral pg_logical_slot_peek_binary_changes(
        %(slot)s, null, coalesce(nullif(word, word)::int, %(most)s), 'proto_version', '1', 'publication_names',
        %(publication)s)
), mine as (
    select xid from found where kind = 84 or kind in (68, 73, 85) and
    {relid} = any(%(tables)s::bigint[])
)
select (select count(*) from mine), (select count(*) from found) >= %(most)s,
       (select extract(epoch from clock_timestamp() - timestamptz '2000-01-01 00:00:00+00')::float8
               - min(('x' || encode(substring(data from 10 for 8), 'hex'))::bit(64)::bigint) / 1e6
        from found where kind = 66 and xid in (select xid from mine))
"""
"""Of a transaction's beginning (B) the time of its commit follows its place: microseconds since 2000."""


def waiting(connection: Connection, install: Install, tables: Collection[int], most: int) -> tuple[int, bool, float]:
    """How many changes of those tables (by oid) no log has yet, of so many at the most; whether there are more messages
    than that; and how many seconds ago the first of them was committed.
    """
    with slot.locked(connection, install):
        if not slot.exists(connection, install):
            return 0, False, 0.0
        values = {
            "slot": slot.name(connection, install),
            "publication": f'"{slot.publication(install)}"',
            "most": most,
            "tables": list(tables),
        }
        row = connection.execute(
            sql.SQL(WAITING).format(quiet=slot.quiet(connection), relid=messages.number("data", "1")), values
        ).fetchone()
        count, more, seconds = row or (0, False, None)
        return int(count), bool(more), max(0.0, float(seconds or 0.0))
