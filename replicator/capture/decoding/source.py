"""The reading side of a link whose source is captured from the WAL.

As the one that reads logs of triggers, but each batch decodes what no log has yet and reads that with them, and looks
go by how far the WAL is written. Decoding begins each time at an older place, so a source where that takes long is
asked the less often: it computes for a fifth of the time at the most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from psycopg import RawCursor, sql
from psycopg.pq.abc import PGresult

from replicator.capture.captured import Captured
from replicator.capture.decoding import slot
from replicator.capture.decoding.decoder import Decoder, seen_by
from replicator.capture.decoding.mover import Mover
from replicator.capture.delta import Delta, unseen
from replicator.capture.look import Opened, Probe, opened
from replicator.capture.read import Source, result_of
from replicator.model import Link
from replicator.postgres import Answer, Connection, Transaction
from replicator.question import Question
from replicator.snapshot import Snapshot

REST, LONGEST_REST = 4.0, 10.0
"""For how many times as long as decoding took the source is left alone; seconds at the most."""


class DecodingSource(Source):
    """As `Source`. flush: brings to disk what was committed on the source."""

    def __init__(self, connection: Connection, link: Link, flush: Callable[[], None]) -> None:
        self._decoder = Decoder(connection, link.install, flush)
        self._mover = Mover(connection, link.install, self._decoder)
        super().__init__(connection, link)
        self._written = Question(connection, "select pg_current_wal_insert_lsn()")
        self._probed: Probe | None = None
        self._rests_until = 0.0

    def probe(self) -> Probe:
        """Look whether anything was written. While the source is left alone it is as at the last batch."""
        if self._probed and time.monotonic() < self._rests_until:
            return self._probed
        probe = super().probe()
        (written,) = self._written.ask()
        # What is decoded is counted already, as it will be when the logs have it; whether there is more shows then.
        return probe if written.decode() == self._decoder.until else replace(probe, seq=probe.seq + 1)

    @contextmanager
    def batch(self) -> Iterator[tuple[Transaction, Answer[Opened]]]:
        """As `Source.batch`; what was decoded goes into the logs when it has ended."""
        decoder = self._decoder
        with ExitStack() as held:
            held.enter_context(slot.locked(self.connection, self._install))
            with Transaction(self.connection, "begin isolation level repeatable read") as transaction:
                asked = opened(self.connection.execute(self._opened, prepare=True))
                decoder.decode(asked.probe.upcoming)
                held.close()
                begun = replace(asked, probe=replace(asked.probe, seq=asked.probe.seq + decoder.rows))
                self._probed = begun.probe
                yield transaction, lambda: begun
        self._mover.keep()
        self._rests_until = time.monotonic() + min(REST * (decoder.seconds + self._mover.seconds), LONGEST_REST)

    def changed(self, deltas: Sequence[Delta]) -> Answer[list[Delta]]:
        """As `Source.changed`."""
        logged, decoded = super().changed(deltas), self._decoded(deltas)

        def answer() -> list[Delta]:
            found = {delta.relation.name: delta for delta in logged()}
            for delta, truncated in decoded:
                known = found.get(delta.relation.name, delta)
                found[delta.relation.name] = replace(known, truncated=known.truncated or truncated)
            return list(found.values())

        return answer

    def _decoded(self, deltas: Sequence[Delta]) -> list[tuple[Delta, bool]]:
        """Those of the tables of which something was decoded for the batch, and whether they were truncated."""
        mine = [delta for delta in deltas if delta.captured.relid in self._decoder.changed]
        seen = seen_by(self._snapshot)
        found = {
            since: self._decoder.emptied(sql.SQL("{} and {}").format(seen, unseen("l.xid", since)))
            for since in {delta.since for delta in mine}
        }
        return [
            (delta, found[delta.since][delta.captured.relid])
            for delta in mine
            if delta.captured.relid in found[delta.since]
        ]

    def ask_rows(self, delta: Delta, columns: Sequence[str], most: int) -> Answer[PGresult]:
        """As `Source.ask_rows`; a question that holds what was decoded is never the same."""
        if delta.captured.relid not in self._decoder.changed:
            return super().ask_rows(delta, columns, most)
        query = sql.SQL("select * from ({}) x limit {}").format(self.rows(delta, columns), sql.Literal(most))
        cursor = RawCursor(self.connection)
        cursor.execute(query)
        return result_of(cursor)

    @property
    def _snapshot(self) -> Snapshot:
        assert self._probed
        return self._probed.snapshot

    def _log(self, captured: Captured) -> sql.Composable:
        """The log, with what was decoded of it for the batch."""
        log = super()._log(captured)
        if captured.relid not in self._decoder.changed:
            return log
        return self._decoder.with_log(captured, log, seen_by(self._snapshot))
