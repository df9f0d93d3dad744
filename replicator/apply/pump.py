"""The pump: COPY out of one server into COPY into another. Bytes pass through, never rows, so memory stays flat.

The server sends a message a row. What is done for each of them here is what the pump costs, so rows are taken from
libpq itself, without a generator and an object each that the collector would look at, and joined in one buffer that is
used again and again. What the bytes are, and where they go, the callers know: `stage`, `table_copy`, `fullcopy`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from io import BytesIO
from typing import Protocol

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

FIRST, MOST = 2**20, 2**22
"""Bytes of the first portion, small so that the target begins early, and of any; they double in between."""

HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
"""What COPY's binary form begins and ends with."""

Moved = Callable[[int], None]
"""Called with the number of bytes just moved; may raise to stop."""


def pump(
    source: Connection, query: sql.Composed, target: Connection, into: sql.Composed, *, binary: bool, moved: Moved
) -> int:
    """Copy a query's rows from one server into a table of another; returns the number of rows.

    Raises the driver's errors of either side, as they are.
    """
    with target.cursor() as writer, source.cursor() as reader:
        out_of, into_it = copy_out(query, binary=binary), copy_in(into, binary=binary)
        with writer.copy(into_it) as sink, reader.copy(out_of):
            forward(source, sink, moved)
        return writer.rowcount


class Rows(Protocol):
    """What gives a statement's rows a portion at a time (`supply`)."""

    def forward(self, sink: psycopg.Copy, moved: Moved, most: float) -> bool: ...  # noqa: D102


def portions(
    source: Rows, target: Connection, into: sql.Composed, *, binary: bool, moved: Moved
) -> Generator[tuple[int, bool], None, None]:
    """As `pump`, but a portion of the rows at a time: how many they were, and whether there are more.

    The target is free for other statements in between, while the source goes on.
    """
    most, more, begun = FIRST, True, False
    while more:
        with target.cursor() as writer:
            with writer.copy(copy_in(into, binary=binary)) as sink:
                if binary and begun:
                    sink.write(HEADER)
                more = source.forward(sink, moved, most)
                if binary and more:
                    sink.write(TRAILER)
            yield writer.rowcount, more
        most, begun = min(2 * most, MOST), True


def copy_out(query: sql.Composed, *, binary: bool) -> sql.Composed:
    """The statement that gives a query's rows."""
    return sql.SQL("copy ({}) to stdout{}").format(query, _form(binary))


def copy_in(into: sql.Composed, *, binary: bool) -> sql.Composed:
    """The statement that takes rows into a table."""
    return sql.SQL("copy {} from stdin{}").format(into, _form(binary))


def _form(binary: bool) -> sql.SQL:
    return sql.SQL(" (format binary)" if binary else "")


def forward(source: Connection, sink: psycopg.Copy, moved: Moved) -> None:
    """Move what is left of a COPY that the source is sending. Raises the source's error, as the driver has it."""
    buffer, size = BytesIO(), CHUNK
    while size >= CHUNK:
        size = take_rows(source, buffer)
        with buffer.getbuffer()[:size] as rows:
            sink.write(rows)
        moved(size)
    all_read()


def take_rows(source: Connection, buffer: BytesIO) -> int:
    """Take rows of a COPY that the source is sending; their bytes, less than CHUNK at its end."""
    return source.wait(_fill(source.pgconn, buffer))


def all_read() -> None:
    """Where a table's rows have been read, by whatever way."""
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
