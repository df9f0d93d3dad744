"""What is asked of a source before any table: a cheap look whether anything was logged, and what opens a batch.

Composes the questions and reads the answers. Asking is left to `read`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from replicator.postgres import WAYS
from replicator.snapshot import Snapshot

LOOK = """
select (last_value + is_called::int)::text, txid_current_snapshot()::text, age('3'::xid)::text from {schema}.seq
"""
"""What a look at a source asks. A sequence that was never used shows the value that it will give first: is_called tells
the two apart. What is numbered has an id by then, so the next id is asked last. age() is the distance to that; ids are
32 bits there, and it has no other name.
"""

DURABLE: LiteralString = (
    "txid_status({newest}) = 'committed' and pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()"
)
"""Whether a transaction, and all that was written before this question, is on disk."""

OPENED = """
select looked.*, {durable},
       (select count(set_config('enable_' || way, 'off', true)) from unnest({ways}::text[]) way)
from ({look}) looked, txid_current_snapshot() s
"""
"""A look, of which the snapshot bounds the batch, and whether that is durable; from here on as
`postgres.expect_few_rows` has it."""


@dataclass(frozen=True)
class Probe:
    """A cheap look at a node. seq: grows with every logged change, committed or not.

    upcoming: the next transaction id to be given out. A snapshot's xmax is lower while the latest ids are in progress.
    """

    seq: int
    snapshot: Snapshot
    upcoming: int


@dataclass(frozen=True)
class Opened:
    """A batch's transaction as it begins. probe: its snapshot, and what had been logged a moment after that.

    durable: no crash of the source can undo what the snapshot sees (`Source.is_durable`).
    """

    probe: Probe
    durable: bool

    @property
    def snapshot(self) -> Snapshot:
        """What bounds the batch."""
        return self.probe.snapshot


def look(schema: str) -> sql.Composed:
    """The question of a look, at an install's schema."""
    return sql.SQL(LOOK).format(schema=sql.Identifier(schema))


def opening(schema: str) -> str:
    """The question that opens a batch."""
    newest = sql.SQL(DURABLE).format(newest=sql.SQL("txid_snapshot_xmax(s) - 1"))
    return sql.SQL(OPENED).format(look=look(schema), durable=newest, ways=sql.Literal(list(WAYS))).as_string()


def durability(snapshot: Snapshot) -> sql.Composed:
    """The question whether all that a snapshot saw is durable."""
    return sql.SQL("select " + DURABLE).format(newest=sql.Literal(snapshot.xmax - 1))


def probed(seq: str, text: str, age: str) -> Probe:
    """The answer to `LOOK`."""
    snapshot = Snapshot.parse(text)
    return Probe(int(seq), snapshot, upcoming=snapshot.xmax + (int(age) + 3 - snapshot.xmax) % 2**32)


def opened(asked: Cursor[TupleRow]) -> Opened:
    """The answer to `OPENED`."""
    *looked, durable, _ = asked.fetchall()[0]
    return Opened(probed(*looked), durable)
