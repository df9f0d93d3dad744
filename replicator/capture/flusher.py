"""Brings what a source has committed to its disk, over a connection of its own, which is opened when first needed."""

from __future__ import annotations

from collections.abc import Callable

from replicator.postgres import Connection


class Flusher:
    """open_one: opens a connection in autocommit that may write."""

    def __init__(self, open_one: Callable[[], Connection]) -> None:
        self._open = open_one
        self._connection: Connection | None = None

    def flush(self) -> None:
        """Bring everything that was committed so far to disk, by a commit with the newest transaction id of all."""
        if self._connection is None:
            self._connection = self._open()
            self._connection.execute("set synchronous_commit = local")  # this server's disk, and no other
        self._connection.execute("select pg_logical_emit_message(true, 'pgherd', '')")

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
