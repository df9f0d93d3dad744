"""Hears what a server announces by NOTIFY on a connection, without a round trip. Waiting for it is left to others."""

from __future__ import annotations

from psycopg import Notify, sql

from replicator.postgres import Connection


class Hearing:
    """The notifications of one channel, on a connection in autocommit. own: those of this connection count too."""

    def __init__(self, connection: Connection, channel: str, *, own: bool) -> None:
        self._connection, self._channel, self._own = connection, channel, own
        self._listens = self._heard = False
        connection.add_notify_handler(self._hear)

    def listen(self) -> None:
        """Begin to hear. Idempotent."""
        if not self._listens:
            self._connection.execute(sql.SQL("listen {}").format(sql.Identifier(self._channel)))
            self._listens = True

    def heard(self) -> bool:
        """Whether there was a notification since the last answer. Raises the driver's error when it is broken."""
        pgconn = self._connection.pgconn
        pgconn.consume_input()
        while notify := pgconn.notifies():
            self._note(notify.be_pid)
        heard, self._heard = self._heard, False
        return heard

    def fileno(self) -> int:
        """The socket at which there is something to read when there is something to hear."""
        return self._connection.fileno()

    def _hear(self, notify: Notify) -> None:
        """What comes with the answer to a statement."""
        self._note(notify.pid)

    def _note(self, pid: int) -> None:
        self._heard = self._heard or self._own or pid != self._connection.info.backend_pid
