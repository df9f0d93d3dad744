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

import time
from contextlib import suppress

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from replicator.hearing import Hearing
from replicator.model import Install
from replicator.postgres import Connection, fetch_one

ASKED_ANEW = 10.0
"""Seconds after which a link that relies on another one's lock sees whether that is still there."""


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
    """One link's hearing, on its connection to the source (in autocommit). rings: writers ring it there."""

    def __init__(self, connection: Connection, install: Install, *, rings: bool = True) -> None:
        self._connection, self._install = connection, install
        self._hearing = Hearing(connection, channel(install), own=False)
        self._armed = False
        self._relied_at: float | None = None
        # Two-phase commit refuses transactions that notify: applications may depend on it, so nothing rings there.
        query = "select current_setting('max_prepared_transactions') = '0'"
        self._allowed = rings and bool(fetch_one(connection, query)[0])

    def arm(self) -> bool:
        """Listen, and see that writers ring from now on; look once more after it. False: it must be tried again.

        Costs no round trip while it is armed.
        """
        if not self._allowed:
            return False
        self._hearing.listen()
        if self._armed or self._relies():
            return True
        self._armed, another = fetch_one(self._connection, self._take())
        self._relied_at = time.monotonic() if another else None
        return self._armed or bool(another)

    def _relies(self) -> bool:
        """Whether another link was seen to keep the lock, not long ago."""
        return self._relied_at is not None and time.monotonic() - self._relied_at < ASKED_ANEW

    def _take(self) -> sql.Composed:
        """Try to take the lock: whether that worked, and if not, whether a link keeps it rather than writers."""
        key = lock_key(self._install)
        return sql.SQL(
            "select mine, not mine and exists (select from pg_locks where locktype = 'advisory' and granted"
            " and mode = 'ExclusiveLock' and objsubid = 1 and classid::bigint = {} and objid::bigint = {}"
            " and database = (select oid from pg_database where datname = current_database()))"
            " from (select pg_try_advisory_lock({}) as mine) taken"
        ).format(sql.Literal(key >> 32 & 0xFFFFFFFF), sql.Literal(key & 0xFFFFFFFF), sql.Literal(key))

    def disarm(self) -> None:
        """Let go of the lock, and tell the others who listen."""
        if self._armed:
            self._armed = False
            self._connection.execute(self._release())

    def leave(self) -> None:
        """The same where the connection is about to be closed: without waiting for an answer, and without errors."""
        if self._armed and self._connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._armed = False
            with suppress(psycopg.Error):
                self._connection.pgconn.send_query(self._release().as_bytes(self._connection))
                self._connection.pgconn.flush()

    def _release(self) -> sql.Composed:
        query = sql.SQL("select pg_advisory_unlock({}), pg_notify({}, '')")
        return query.format(sql.Literal(lock_key(self._install)), sql.Literal(channel(self._install)))

    def rang(self) -> bool:
        """Whether it has rung since the last answer. Costs no round trip; raises the driver's errors."""
        rang = self._hearing.heard()
        if rang:
            self._relied_at = None  # it may have been the other link, letting go
        return rang
