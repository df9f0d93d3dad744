"""Questions that are asked again and again, most of all by processes that have nothing else to do.

A process that has slept finds the processor's caches cold: what counts then is how much code a question runs through.
By libpq alone one takes a quarter of the time that it takes by psycopg (110 instead of 400 us where that was measured).
"""

from __future__ import annotations

import itertools

import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from replicator.postgres import Connection

FORGOTTEN = b"26000"
"""What the server says of a statement that is not prepared: psycopg has all forgotten after a rollback or DDL."""

_numbers = itertools.count(1)


class Question:
    """A query without parameters whose answer is one row, prepared on a connection in autocommit.

    Not to be asked in a transaction or a pipeline.
    """

    def __init__(self, connection: Connection, query: str) -> None:
        self._connection, self._query = connection, query
        self._name = b""

    def ask(self) -> tuple[bytes, ...]:
        """The row's values in their text form, null as empty: one round trip. Raises the driver's errors."""
        result = self._answer()
        if result.error_field(DiagnosticField.SQLSTATE) == FORGOTTEN:
            self._name = b""
            result = self._answer()
        self._check(result, ExecStatus.TUPLES_OK)
        return tuple(result.get_value(0, column) or b"" for column in range(result.nfields))

    def _answer(self) -> PGresult:
        pgconn = self._connection.pgconn
        if not self._name:
            name = b"pgherd_%d" % next(_numbers)
            self._check(pgconn.prepare(name, self._query.encode()), ExecStatus.COMMAND_OK)
            self._name = name
        return pgconn.exec_prepared(self._name, None)

    def _check(self, result: PGresult, wanted: ExecStatus) -> None:
        if result.status != wanted:
            if self._connection.pgconn.status == ConnStatus.BAD:
                raise psycopg.OperationalError(self._connection.pgconn.get_error_message())
            raise errors.error_from_result(result, encoding="utf-8")
