"""The bell: how a link that has nothing to do hears at once of the first change, at no cost while there are many.

A NOTIFY in every writing transaction would be heard at once, but makes commits wait for each other. So writers notify
only while somebody listens who is otherwise idle, and an advisory lock tells them so. A link that has looked and found
nothing takes the lock (`arm`) and looks once more. The triggers try to share the lock until the end of their
transaction: where that fails somebody listens, so they notify; where it works, the lock cannot be taken before they
have committed, and a link that failed to take it looks again soon, as it does while there is traffic.

So no change between looking and listening is missed by the one who holds the lock. Others who listen hear the bell
too, but not once the holder has let go; and changes that other links write fire no trigger (`ring` is for those). So
links look now and then all the same, and the bell decides how soon rows move, never whether.
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

    def _hear(self, _: Notify) -> None:
        self._rang = True

    def arm(self) -> bool:
        """Listen, and have writers ring from now on; look once more after it. False: it must be tried again."""
        if not self._allowed:
            return False
        if not self._listens:
            self._connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel(self._install))))
            self._listens = True
        if not self._armed:
            key = sql.Literal(lock_key(self._install))
            query = sql.SQL("select pg_try_advisory_lock({})").format(key)
            self._armed = bool(fetch_one(self._connection, query)[0])
        return self._armed

    def disarm(self) -> None:
        """Have writers ring no more."""
        if self._armed:
            self._armed = False
            key = sql.Literal(lock_key(self._install))
            self._connection.execute(sql.SQL("select pg_advisory_unlock({})").format(key))

    def rang(self) -> bool:
        """Whether it has rung since the last answer. Costs no round trip; raises the driver's errors."""
        pgconn = self._connection.pgconn
        pgconn.consume_input()
        while pgconn.notifies():
            self._rang = True
        rang, self._rang = self._rang, False
        return rang

    def fileno(self) -> int:
        """The socket at which it can be heard."""
        return self._connection.fileno()
