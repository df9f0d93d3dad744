"""What is in a batch: tables that changed on the source, that are to be copied as a whole, that wait to be tried again.

How far the target is with each is `ready`'s; what becomes of them `batch`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from psycopg.pq.abc import PGresult

from replicator import progress
from replicator.apply import parcel, park
from replicator.apply.stage import Stage
from replicator.capture import Delta, Kind
from replicator.model import TableName
from replicator.postgres import Answer
from replicator.snapshot import NOTHING, Snapshot
from replicator.syncrun import holding
from replicator.syncrun.job import Job
from replicator.syncrun.ready import Ready
from replicator.table_copy import Pair


class Contents:
    """Asks for the contents of a batch, inside its transaction on the source. kicked: a fullcopy copies everything."""

    def __init__(self, job: Job, ready: Ready, *, kicked: bool) -> None:
        self._job, self._ready, self._kicked = job, ready, kicked
        self._of_thirds: Mapping[int, Mapping[TableName, Snapshot]] | None = None

    def ask(self) -> Answer[list[Delta]]:
        """What has changed on the source, and what is to be copied as a whole."""
        ready = self._ready
        unfilled = holding.unfilled(self._job.link, ready) if self._job.swap else None
        known = [self._delta(name) for name in ready.pairs if ready.has(name)]
        ask = self._job.kind is Kind.ROWS or not self._kicked
        asked = ready.source.changed(known) if ask else lambda: known

        def answer() -> list[Delta]:
            ready.held = unfilled() if unfilled else ready.held
            changed = [delta for delta in asked() if delta.relation.name not in ready.held]
            if self._job.kind is Kind.ROWS:
                return changed
            return changed + [self._delta(name) for name in ready.pairs if not ready.has(name)]

        return answer

    def ask_rows(self) -> Mapping[TableName, Answer[PGresult]]:
        """Ask for rows of the tables that had a few in the last batch, for they may well have some again.

        Who waits for the answer to `ask` first waits for one round trip more.
        """
        ready = self._ready
        return {
            name: ready.source.ask_rows(self._delta(name), Stage(ready.pairs[name].target).names, parcel.FEW + 1)
            for name in ready.lately
            if ready.has(name)
        }

    def retried(self, waiting: Mapping[TableName, park.Waiting], changed: Collection[TableName]) -> list[Delta]:
        """The tables of which parked keys are to be tried again, besides those that have changed."""
        ready = self._ready
        if self._job.kind is not Kind.ROWS:
            return []
        wanted = {name for name, of_table in waiting.items() if of_table.retry} - {*changed, *ready.held}
        return [self._delta(name) for name in ready.pairs if name in wanted and ready.has(name)]

    def _delta(self, name: TableName) -> Delta:
        pair = self._ready.pairs[name]
        since = self._ready.position or NOTHING
        if self._ready.has(name):
            since = self._ready.tables[name].snapshot or since
        return Delta(relation=pair.source, captured=pair.captured, since=since, had=self._had(pair))

    def _had(self, pair: Pair) -> Mapping[int, Snapshot]:
        """What the target has of the third masters; asked where it matters."""
        if not pair.captured.counters:
            return {}
        if self._of_thirds is None:
            link, target = self._job.link, self._ready.target
            self._of_thirds = {
                third.id: progress.followed(target, link.install, link.sync.name, third.name)()
                for third in self._job.thirds
            }
        return {number: seen[pair.name] for number, seen in self._of_thirds.items() if pair.name in seen}
