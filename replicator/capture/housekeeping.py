"""The functions by which a person purges a node's change logs: one for each install, and one in front of them all.

What they may remove is decided by `purge`, which leaves word of it on the node; how they remove it stands in
`sql/node/purge.sql`.
"""

from __future__ import annotations

from psycopg import sql

from replicator.model import Install
from replicator.postgres import Connection
from replicator.sql import text

PURGE = "purge"
"""What `Install.lock_key` is given for the lock that keeps purges and comparisons apart, on each node."""

DROP_FRONT = """
do $do$
begin
    if to_regprocedure('bucardo.bucardo_purge_delta(interval)') is null
       or obj_description(to_regprocedure('bucardo.bucardo_purge_delta(interval)'), 'pg_proc') not like 'pgherd:%'
       or exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                  where p.proname = 'purge_delta' and n.nspname ~ '^pgherd(_|$)') then
        return;
    end if;
    drop function bucardo.bucardo_purge_delta(interval);
    if obj_description(to_regnamespace('bucardo'), 'pg_namespace') like 'pgherd:%' then
        begin
            drop schema bucardo;
        exception when dependent_objects_still_exist then
            return;  -- something else is in it
        end;
    end if;
exception when insufficient_privilege then
    return;  -- another role's: it does no harm
end
$do$
"""


def create(connection: Connection, install: Install) -> None:
    """Make them, or bring them up to date. In the transaction that makes or upgrades the install's schema."""
    connection.execute(
        sql.SQL(text("node/purge.sql")).format(
            schema=sql.Identifier(install.schema),
            schema_text=sql.Literal(install.schema),
            lock=sql.Literal(install.lock_key(PURGE)),
        )
    )


def drop_front(connection: Connection) -> None:
    """Drop the one in front, if no install is left in the database. After the last one's schema has gone."""
    connection.execute(DROP_FRONT)
