"""The bell: how a link that has nothing to do hears at once of the first change, at no cost while there are many.

A NOTIFY in every writing transaction would be heard at once, but makes commits wait for each other. So writers notify
only while somebody listens who is otherwise idle, and an advisory lock tells them so. A link that has looked and found
nothing takes the lock (`arm`) and looks once more. The triggers try to share the lock until the end of their
transaction: where that fails somebody listens, so they notify; where it works, the lock cannot be taken before they
have committed, and a link that failed to take it looks again soon, as it does while there is traffic.

So no change between looking and listening is missed. Of several links one holds the lock, and all hear the bell; who
lets go rings it, so that another takes the lock. Changes that links write fire no trigger: `ring` is for those. Should
a holder vanish without a word the others are late, not lost: links look now and then all the same. The bell decides
how soon rows move, never whether.
"""

from __future__ import annotations

from psycopg import Notify, sql

from replicator.model import Install
from replicator.postgres import Connection, fetch_one


def lock_key(install: Install) -> int:
    """The advisory lock of each node that tells writers whether to notify."""
    return install.lock_key("bell")


def channel(install: Install) -> str:
    """The channel of the bell."""
    return f"{install.schema}_changed"


def ring(connection: Connection, install: Install) -> None:
    """Ring for changes that were logged by no trigger, in their transaction; if somebody listens."""
    query = sql.SQL("select pg_notify({}, '') where not pg_try_advisory_xact_lock_shared({})")
    connection.execute(query.format(sql.Literal(channel(install)), sql.Literal(lock_key(install))))


class Bell:
    """One link's hearing, on its connection to the source (in autocommit)."""

    def __init__(self, connection: Connection, install: Install) -> None:
        self._connection, self._install = connection, install
        self._listens = self._armed = self._rang = False
        # Two-phase commit refuses transactions that notify: applications may depend on it, so nothing rings there.
        query = "select current_setting('max_prepared_transactions') = '0'"
        self._allowed = bool(fetch_one(connection, query)[0])
        connection.add_notify_handler(self._hear)

    def _hear(self, heard: Notify) -> None:
        self._rang = self._rang or heard.pid != self._connection.info.backend_pid

    def arm(self) -> bool:
        """Listen, and see that writers ring from now on; look once more after it. False: it must be tried again."""
        if not self._allowed:
            return False
        if not self._listens:
            self._connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel(self._install))))
            self._listens = True
        if self._armed:
            return True
        key = lock_key(self._install)
        query = sql.SQL("select pg_try_advisory_lock({})").format(sql.Literal(key))
        self._armed = bool(fetch_one(self._connection, query)[0])
        return self._armed or self._another_holds(key)

    def _another_holds(self, key: int) -> bool:
        """Whether another link keeps the lock, rather than writers who share it."""
        query = (
            "select exists (select from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and granted"
            " and database = (select oid from pg_database where datname = current_database())"
            " and classid::bigint = %s and objid::bigint = %s and objsubid = 1)"
        )
        halves = [key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF]
        return bool(fetch_one(self._connection, query, halves)[0])

    def disarm(self) -> None:
        """Let go of the lock, and tell the others who listen."""
        if self._armed:
            self._armed = False
            query = sql.SQL("select pg_advisory_unlock({}), pg_notify({}, '')")
            self._connection.execute(
                query.format(sql.Literal(lock_key(self._install)), sql.Literal(channel(self._install)))
            )

    def rang(self) -> bool:
        """Whether it has rung since the last answer. Costs no round trip; raises the driver's errors."""
        pgconn = self._connection.pgconn
        pgconn.consume_input()
        while heard := pgconn.notifies():
            self._rang = self._rang or heard.be_pid != pgconn.backend_pid
        rang, self._rang = self._rang, False
        return rang

    def fileno(self) -> int:
        """The socket at which it can be heard."""
        return self._connection.fileno()
