"""Reads batches from a node's change logs: which tables changed between two snapshots, and their rows.

All of a batch is read in one REPEATABLE READ transaction, so it is the state at that transaction's snapshot: a row
that changed ten thousand times travels once, and a key without a row is a deletion. Here it is asked; the questions are
composed in `look`, `changed` and `rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from psycopg import Cursor, IsolationLevel, RawCursor, sql
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from replicator.capture.captured import Captured
from replicator.capture.changed import changed_query
from replicator.capture.delta import Delta, carried
from replicator.capture.look import Opened, Probe, durability, look, opened, opening, probed
from replicator.capture.part import Part
from replicator.capture.rows import rows_query
from replicator.model import Link, TableName
from replicator.postgres import Answer, Connection, Transaction, affected, fetch_one
from replicator.question import Question
from replicator.snapshot import Snapshot

CHANGED_AT_ONCE = 200


class Source:
    """The reading side of one link, over a connection of its own in autocommit. Between masters rows have versions."""

    def __init__(self, connection: Connection, link: Link) -> None:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        self.connection = connection
        self._install = link.install
        self._authored = link.mutual
        self._carried = carried(link)
        self._look = Question(connection, look(self._install.schema).as_string())
        self._opened = opening(self._install.schema)
        self._asking: dict[TableName, str] = {}

    def close(self) -> None:
        """Drop the connection."""
        self.connection.close()

    def probe(self) -> Probe:
        """Look whether anything was logged."""
        return probed(*(value.decode() for value in self._look.ask()))

    @contextmanager
    def batch(self) -> Iterator[tuple[Transaction, Answer[Opened]]]:
        """The transaction whose snapshot bounds the batch, with joins by index, and a probe that goes with it."""
        with Transaction(self.connection, "begin isolation level repeatable read read only") as transaction:
            asked = self.connection.execute(self._opened, prepare=True)

            yield transaction, cache(lambda: opened(asked))

    def is_durable(self, snapshot: Snapshot) -> bool:
        """Whether a crash of the source cannot undo what a snapshot saw, nor hand out its transaction ids again.

        With synchronous_commit off a commit is seen before it is on disk. After a crash its id may be given to another
        transaction, which would then look as if it had been moved already. Inside `batch`.
        """
        return bool(fetch_one(self.connection, durability(snapshot))[0])

    def changed(self, deltas: Sequence[Delta]) -> Answer[list[Delta]]:
        """Those of the tables that have changes in the batch, with `truncated` filled in. Inside `batch`."""
        parts = [deltas[start : start + CHANGED_AT_ONCE] for start in range(0, len(deltas), CHANGED_AT_ONCE)]
        asked = [(part, self._ask_changed(part)) for part in parts]
        return lambda: [
            replace(part[number], truncated=truncated) for part, rows in asked for number, truncated in rows
        ]

    def _ask_changed(self, deltas: Sequence[Delta]) -> Cursor[TupleRow]:
        query, values = changed_query(self._install.schema, deltas, self._carried)
        return self.connection.execute(query, values, prepare=True)

    def ask_rows(self, delta: Delta, columns: Sequence[str], most: int) -> Answer[PGresult]:
        """What `rows` says, up to so many, in text form: a prepared question, which goes with others.

        Not for a table with counters in a swap, whose query is never the same.
        """
        name = delta.relation.name
        if name not in self._asking:
            rows = self.rows(replace(delta, by_parameters=True), columns)
            self._asking[name] = sql.SQL("select * from ({}) x limit {}").format(rows, sql.Literal(most)).as_string()
        cursor = RawCursor(self.connection)
        cursor.execute(self._asking[name], delta.parameters, prepare=True)
        return result_of(cursor)

    def rows(
        self, delta: Delta, columns: Sequence[str], retry: Sequence[str] = (), *, text: bool = False
    ) -> sql.Composed:
        """The query of a table's part of the batch, as `rows_query` has it; retry: further keys, as JSON objects."""
        part = Part(
            delta=delta,
            log=self._log(delta.captured),
            carried=self._carried,
            authored=self._authored,
            retry=retry,
        )
        return rows_query(part, columns, text=text)

    def _log(self, captured: Captured) -> sql.Composable:
        return sql.Identifier(self._install.schema, captured.log)


def result_of(cursor: Cursor[TupleRow]) -> Answer[PGresult]:
    """What was asked, as the server sends it."""

    def answer() -> PGresult:
        affected(cursor)
        assert cursor.pgresult
        return cursor.pgresult

    return answer
