"""Writes the tables of a batch on the target, one after the other, within the transaction that `batch` has begun there.

A table's changes go by `staging`, then by `apply.write` on a slave, `apply.swap` on another master, as a whole or a
portion at a time. A whole copy is `fullcopy`'s, new columns are `filling`'s; the position and the commit are `batch`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import groupby

import psycopg
from psycopg import sql

from replicator.apply import onward, park, swap, write
from replicator.apply.stage import ANYTHING, Holds, Stage
from replicator.apply.supply import Supply
from replicator.capture import Delta, Kind
from replicator.change import Counts
from replicator.columns import Known
from replicator.failpoint import failpoint
from replicator.hook import Moment
from replicator.model import TableName
from replicator.postgres import Answer, affected
from replicator.syncrun import fullcopy
from replicator.syncrun.definitions import TableRefused
from replicator.syncrun.filling import fill_in
from replicator.syncrun.job import Job
from replicator.syncrun.knowledge import Knowledge
from replicator.syncrun.ready import Ready
from replicator.syncrun.staging import Staging
from replicator.table_copy import Pair


class Delivery:
    """What a batch writes, and how far it is. Tables are written in the order of `ready.pairs`.

    knowledge: by which changes are judged on another master. waiting: what is parked, by table. few: the batch is
    small, and no table of it large.
    """

    def __init__(
        self,
        job: Job,
        ready: Ready,
        staging: Staging,
        knowledge: Knowledge,
        waiting: Mapping[TableName, park.Waiting],
        *,
        few: bool,
    ) -> None:
        self._job, self._link, self._ready = job, job.link, ready
        self._staging, self._careful = staging, staging.careful
        self._knowledge, self._waiting, self._few = knowledge, waiting, few
        self._current: TableName | None = None
        self._written: dict[TableName, Answer[Counts]] = {}
        self.early = 0  # changes that are held back, for they wait for rows that other masters are to send

    @property
    def at(self) -> TableName | None:
        """The table that was being written when an error came."""
        for name, counts in self._written.items():
            try:
                counts()
            except psycopg.Error:
                return name
        return self._current

    def counts(self) -> Counts:
        """What was done to the tables that have changed. Awaited: before the commit it costs a round trip."""
        return sum((written() for written in self._written.values()), Counts())

    def write(self, changed: Sequence[Delta]) -> None:
        """Write what has changed. Raises TableRefused, and the drivers' errors."""
        order = {name: place for place, name in enumerate(self._ready.pairs)}
        for large, deltas in groupby(sorted(changed, key=lambda delta: order[delta.relation.name]), self._large):
            run = list(deltas)
            with self._staging.supply(run) if large else nullcontext() as supply:
                for delta in run:
                    self._write_changes(delta, supply)

    def fill_in(self, filling: dict[TableName, Known]) -> Counts:
        """Fill a part of the values of new columns in. `filling` says what is left to bring, before and after."""
        filled = Counts()
        for name in self._ready.filling:
            self._current = name
            filled += self._fill_in(name, filling)
        return filled

    def _fill_in(self, name: TableName, filling: dict[TableName, Known]) -> Counts:
        pair = self._ready.pairs[name]
        arrival = self._knowledge.arrival(pair, Stage(pair.target)) if self._job.swap else None
        return fill_in(self._job, self._ready, name, filling, arrival, careful=self._careful)

    def _large(self, delta: Delta) -> bool:
        """Whether a table is written a portion at a time: nothing is to be looked at that may be in another one."""
        pair = self._ready.pairs[delta.relation.name]
        if self._few or self._careful or self._job.kind is Kind.TOUCH or pair.name in self._waiting:
            return False
        if not pair.source.key or Stage(pair.target).replaces:
            return False
        # Between masters the table may have to be locked, which where applications stand in the way comes first.
        return not self._job.swap or not (pair.captured.counters or pair.name in self._ready.blocked)

    # --- one table ----------------------------------------------------------------------------------------------

    def _write_changes(self, delta: Delta, supply: Supply | None) -> None:
        self._job.stop.raise_if_set()
        self._current = name = delta.relation.name
        failpoint("apply.before-table")
        self._written[name] = written = self._write_table(delta, supply)
        if self._job.hooks:
            self._job.hooks.at(Moment.AFTER_TABLE_SYNC, self._ready.target, [name], counts=vars(written()))

    def _write_table(self, delta: Delta, supply: Supply | None) -> Answer[Counts]:
        pair = self._ready.pairs[delta.relation.name]
        if self._job.kind is Kind.TOUCH:
            return _known(fullcopy.copy_whole(self._job, self._ready, pair, careful=self._careful))
        if self._careful and pair.name in self._ready.wider:
            # Care deletes rows and inserts them again: what only the target has in them would be gone.
            raise TableRefused(pair.name, "rows were refused while it has columns on the target only")
        deleted = self._empty(pair) if delta.truncated else 0
        if supply:
            return _known(self._write_portions(pair, delta, supply) + Counts(deleted=deleted))
        return self._write_at_once(pair, delta, deleted)

    def _write_at_once(self, pair: Pair, delta: Delta, deleted: int) -> Answer[Counts]:
        """Write all of a table's changes, less those that are to wait. deleted: rows that are gone already."""
        target, waiting = self._ready.target, self._waiting.get(pair.name)
        retry = waiting.retry if waiting else ()
        given = not (waiting or self._job.swap or self._link.onward)
        stage, holds = self._staging.stage(pair, delta, retry, given=given)
        held = park.hold_back(target, self._link, stage, retry) if waiting and not delta.truncated else 0
        if stage.gains and delta.had:
            log = self._ready.target_logs[pair.name, Kind.ROWS].log
            self.early += park.hold_early(target, self._link, stage, sql.Identifier(self._link.install.schema, log))
        counts = self._write_staged(pair, stage, holds, truncated=delta.truncated)
        if retry:
            park.forget_retried(target, self._link, pair.name, retry)
        return cache(lambda: counts() + Counts(deleted=deleted, parked=held))

    def _write_portions(self, pair: Pair, delta: Delta, supply: Supply) -> Counts:
        """Write a portion of a table's changes while the source gets the next ones ready."""
        counts, truncated = Counts(), delta.truncated
        with self._staging.portions(pair, supply) as portions:
            for stage in portions:
                counts += self._write_staged(pair, stage, ANYTHING, truncated=truncated)()
                truncated = False
        return counts

    def _write_staged(self, pair: Pair, stage: Stage, holds: Holds, *, truncated: bool) -> Answer[Counts]:
        if self._job.swap:
            self._staging.writing.leave()  # what may be taken back, or decided by what is there, is awaited by itself
            return _known(swap.write_resolved(self._knowledge.arrival(pair, stage), careful=self._careful))
        counts = write.write(self._ready.target, self._link, stage, holds=holds, careful=self._careful)
        onward.note_stage(self._ready.target, self._link, stage, truncated=truncated)
        return counts

    def _empty(self, pair: Pair) -> int:
        park.drop_all(self._ready.target, self._link, pair.name)
        deleted = affected(self._ready.target.execute(sql.SQL("delete from {}").format(pair.target.rows)))
        failpoint("apply.after-emptying")
        return deleted


def _known(counts: Counts) -> Answer[Counts]:
    return lambda: counts
