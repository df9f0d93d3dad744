"""Reads the rows of one query after another ahead of whoever takes them, in a thread of its own.

While the target writes, the source goes on: with the rest of a table's rows, then with the next table, whose changed
keys it has to find first. How rows are taken from libpq, and what a portion is, is the `pump`'s.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from typing import Self

import psycopg
from psycopg import sql

from replicator.apply.pump import CHUNK, Moved, all_read, take_rows
from replicator.logs import log
from replicator.postgres import Connection

AHEAD = 64
"""How many pieces (of `pump.CHUNK` bytes) are read ahead at the most: memory stays flat."""

PATIENCE = 0.1
"""Seconds until the query is cancelled that a reader waits for, whose rows nobody wants any more."""

Piece = tuple[BytesIO, int]
"""A buffer that is used again, and how much of it is filled; less than CHUNK at the end of a query."""


class Closed(Exception):
    """Nobody takes the rows."""


class Supply:
    """The rows of COPY statements, in order. Inside the context the connection is the reader's.

    Raises the source's errors, as they are, where the rows would have come.
    """

    def __init__(self, source: Connection, statements: Sequence[sql.Composed]) -> None:
        self._source, self._statements = source, statements
        self._pieces: deque[Piece | BaseException] = deque()
        self._spare: deque[BytesIO] = deque()
        self._changed = threading.Condition()
        self._closed = False
        name = f"{threading.current_thread().name}: reads ahead"
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            with suppress(psycopg.Error, OSError):
                self._source.cancel_safe(timeout=2.0)
            self._thread.join()

    def forward(self, sink: psycopg.Copy, moved: Moved, most: float) -> bool:
        """Move what is left of a statement's rows, or a little more than `most` bytes; whether there may be more."""
        total = 0
        while total < most:
            buffer, size = self._take()
            with buffer.getbuffer()[:size] as rows:
                sink.write(rows)
            self._spare.append(buffer)
            moved(size)
            total += size
            if size < CHUNK:
                all_read()
                return False
        return True

    def _take(self) -> Piece:
        with self._changed:
            self._changed.wait_for(lambda: self._pieces)
            piece = self._pieces.popleft()
            self._changed.notify_all()
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def _read(self) -> None:
        try:
            for statement in self._statements:
                with self._source.cursor() as reader, reader.copy(statement):
                    while self._give():
                        pass
        except Closed:
            pass
        except BaseException as error:  # whatever it is, who takes the rows must hear of it
            if not self._closed:
                self._put(error)
            elif not isinstance(error, psycopg.Error):
                log.warning("while reading ahead, and stopping: %r", error)

    def _give(self) -> bool:
        """Read a piece; whether there may be more of the statement's rows."""
        buffer = self._spare.popleft() if self._spare else BytesIO()
        size = take_rows(self._source, buffer)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._pieces) < AHEAD)
            if self._closed:
                raise Closed
        self._put((buffer, size))
        return size >= CHUNK

    def _put(self, piece: Piece | BaseException) -> None:
        with self._changed:
            self._pieces.append(piece)
            self._changed.notify_all()
