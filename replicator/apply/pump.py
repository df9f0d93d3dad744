"""The pump: COPY out of one server into COPY into another. Bytes pass through, never rows, so memory stays flat.

The server sends a message a row. What is done for each of them here is what the pump costs, so rows are taken from
libpq itself, without a generator and an object each that the collector would look at, and joined in one buffer that is
used again and again. What the bytes are, and where they go, the callers know: `stage`, `table_copy`, `fullcopy`.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import LiteralString

import psycopg
from psycopg import errors, generators, sql
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait

from replicator.failpoint import failpoint
from replicator.postgres import Connection

CHUNK = 128 * 1024
"""Bytes that are written at once: the most that psycopg hands to libpq in one piece."""

Moved = Callable[[int], None]
"""Called with the number of bytes just moved; may raise to stop."""


def pump(
    source: Connection, query: sql.Composed, target: Connection, into: sql.Composed, *, binary: bool, moved: Moved
) -> int:
    """Copy a query's rows from one server into a table of another; returns the number of rows.

    Raises the driver's errors of either side, as they are.
    """
    form: LiteralString = " (format binary)" if binary else ""
    out_of = sql.SQL("copy ({}) to stdout{}").format(query, sql.SQL(form))
    copy_in = sql.SQL("copy {} from stdin{}").format(into, sql.SQL(form))
    with target.cursor() as writer:
        with source.cursor() as reader, writer.copy(copy_in) as sink, reader.copy(out_of):
            forward(source, sink, moved)
        return writer.rowcount


def forward(source: Connection, sink: psycopg.Copy, moved: Moved) -> None:
    """Move what is left of a COPY that the source is sending. Raises its error, as the driver has it."""
    buffer = BytesIO()
    size = CHUNK
    while size >= CHUNK:
        size = source.wait(_fill(source.pgconn, buffer))
        with buffer.getbuffer()[:size] as rows:
            sink.write(rows)
        moved(size)
    failpoint("stage.in-copy")


def _fill(source: PGconn, buffer: BytesIO) -> PQGen[int]:
    """Take rows, as they come, into the buffer from its beginning; their bytes. Less than CHUNK: there are no more."""
    buffer.seek(0)
    take, put = source.get_copy_data, buffer.write
    size = 0
    while size < CHUNK:
        length, row = take(1)
        if length > 0:
            put(row)
            size += length
        elif length == 0:
            while not (yield Wait.R):
                pass
            source.consume_input()
        else:
            yield from _end(source)
            break
    return size


def _end(source: PGconn) -> PQGen[None]:
    """Have the server's last word. Raises its error if it is one."""
    *_, result = yield from generators.fetch_many(source)
    if result.status != ExecStatus.COMMAND_OK:
        raise errors.error_from_result(result)
