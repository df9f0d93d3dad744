"""The connection that writes on a target: it fires no ordinary trigger there, and gives way to everybody.

Its lock waits end before the server looks for deadlocks, so in a tangle with an application's transaction it is always
the replicator that fails, and tries again.
"""

from __future__ import annotations

import psycopg

from replicator.errors import ReplicatorError
from replicator.model import Link
from replicator.postgres import Connection, Connector, expect_many_rows, translate

LOCK_SHARE = 0.3


def open_target(connector: Connector, link: Link, purpose: str) -> Connection:
    """Connect to a link's target for writing, in autocommit. Raises as `Connector.open`, or when it lacks the right."""
    connection = connector.open(link.target, f"{link.sync.name} {purpose}", autocommit=True)
    try:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "select set_config('lock_timeout', greatest(10, %s * extract(epoch from"
            " current_setting('deadlock_timeout')::interval) * 1000)::int || 'ms', false)",
            [LOCK_SHARE],
        )
        expect_many_rows(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        connection.close()
        raise ReplicatorError(
            f"{link.target}: role {link.target.user} may not set session_replication_role.",
            hint="From PostgreSQL 15: GRANT SET ON PARAMETER session_replication_role; before, it must be a superuser.",
        ) from error
    except psycopg.Error as error:
        connection.close()
        raise translate(error, str(link.target)) from error
    return connection
