"""One batch of a link: read in one transaction of the source, written in one of the target, position and all.

The stages of a table's changes are `capture.read`, `apply.stage`, then `apply.write` on a slave, `apply.swap` on
another master; what is in a batch is `contents`', a whole copy is `fullcopy`'s, new columns are `filling`'s, and which
tables stay behind is `holding`'s. This module puts them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import groupby, islice

import psycopg
from psycopg import sql
from psycopg.pq.abc import PGresult

from replicator import postgres, progress, relations, succession
from replicator.apply import onward, park, swap, write
from replicator.apply.arrival import Arrival, Third
from replicator.apply.stage import ANYTHING, Holds, Stage
from replicator.apply.supply import Supply
from replicator.capture import Delta, Kind, bell, notes
from replicator.capture.look import Opened, Probe
from replicator.change import Counts
from replicator.columns import Known
from replicator.failpoint import failpoint
from replicator.hook import Moment
from replicator.model import TableName
from replicator.postgres import Answer, Transaction, affected
from replicator.snapshot import NOTHING, Snapshot
from replicator.syncrun import fullcopy, holding
from replicator.syncrun.contents import Contents
from replicator.syncrun.definitions import DefinitionChanged, TableRefused
from replicator.syncrun.filling import fill_in
from replicator.syncrun.job import Job
from replicator.syncrun.ready import Ready
from replicator.syncrun.staging import Staging
from replicator.table_copy import Pair

FEW = 1000
"""How many changes a small batch holds at most."""

ASKED_FOR = 4
"""Of how many tables rows are asked for before it is known whether they have any."""

VAIN = 3
"""After so many batches in a row without a change (others write, to tables of other syncs) nothing is taken for likely:
to lock the position costs the target a transaction id.
"""


@dataclass(frozen=True)
class Landed:
    """A batch that is done. snapshot: what the target has now, or had already when nothing was to be written.

    probe: of the source, with the snapshot. early: some of it waits for rows that other masters are to send.
    tables: those that it was about.
    """

    counts: Counts
    probe: Probe
    snapshot: Snapshot
    saved: bool
    early: bool = False
    tables: tuple[TableName, ...] = ()


class Batch:
    """One attempt at one batch.

    kicked: a fullcopy copies everything. careful: look for rows that the target refuses, and set them aside.
    due: move the position even if nothing changed. known: a probe; all that was logged before it has arrived.
    Tables are written in the order of `ready.pairs`.

    Both ends are asked at once, and awaited only where an answer is needed (`postgres.Transaction`): a small batch
    costs few round trips. One of which every statement is sent before any is awaited is `quick`.
    """

    def __init__(self, job: Job, ready: Ready, *, kicked: bool, careful: bool, due: bool, known: Probe | None) -> None:
        self._job, self._link, self._ready = job, job.link, ready
        self._careful, self._due, self._known = careful, due, known
        self._few = self._quick = False
        self._waiting: Mapping[TableName, park.Waiting] = {}
        self._seen: Mapping[TableName, Snapshot] = {}
        self._knows: Mapping[str, Snapshot] = {}
        self._unmet: Mapping[TableName, Mapping[str, Sequence[str]]] = {}
        self._will: succession.Will | None = None
        self._told: Mapping[str, Mapping[str, Snapshot]] = {}
        self._silent: Collection[TableName] = ()
        self._current: TableName | None = None
        self._written: dict[TableName, Answer[Counts]] = {}
        self._asked: Mapping[TableName, Answer[PGresult]] = {}
        self._early = 0
        self._contents = Contents(job, ready, kicked=kicked)

    def land(self) -> Landed:
        """Read and write it. Raises the drivers' errors; then nothing of it has happened."""
        ready, hooks = self._ready, self._job.hooks
        with ExitStack() as stack:
            reading, opened = stack.enter_context(ready.source.batch())
            # Hooks that come before the target's transaction have one of their own.
            early = None if hooks else stack.enter_context(Transaction(ready.target))
            if hooks:
                opened()
                hooks.at(Moment.BEFORE_CHECK_ROWS, ready.target)
            likely = ready.vain < VAIN
            changed, others = self._contents.ask(), self._ask_others()
            fingerprint = relations.fingerprint(ready.source.connection, self._link.tables)
            self._asked = self._contents.ask_rows() if likely and self._plain else {}
            # What the source answers is awaited first, so it is asked first.
            waiting = cache(park.waiting(ready.target, self._link))
            position = self._ask_position(few=True) if likely and early and self._job.apart else None
            try:
                reading.leave()
            except psycopg.errors.FeatureNotSupported as error:  # of a cached plan: its result would have other types
                raise DefinitionChanged from error
            begun, found = opened(), changed()
            failpoint("read.after-snapshot")
            if hooks or not found:
                found = self._with_retried(found, waiting())
            if not found and not self._must_save(begun.snapshot):
                ready.vain += 1
                if early:
                    early.end_unwritten()
                return Landed(Counts(), begun.probe, begun.snapshot, saved=False)
            self._check_definitions(fingerprint(), ready.fingerprints[0])
            others()
            if self._link.led:
                self._will = succession.draw_up(ready.source.connection, self._link.install, self._link.sync.name)
            self._expect(begun.probe)
            failpoint("read.before-write")
            self._hooks(Moment.BEFORE_TXN, found)
            writing = early or stack.enter_context(Transaction(ready.target))
            self._take_position(position, writing)
            found = self._with_retried(found, waiting())
            counts = self._write(found, begun, writing)
            tables = tuple(delta.relation.name for delta in found)
            return Landed(counts, begun.probe, begun.snapshot, saved=True, early=self._early > 0, tables=tables)

    def _with_retried(self, changed: list[Delta], waiting: Mapping[TableName, park.Waiting]) -> list[Delta]:
        """And the tables of which parked keys are to be tried again. Changes wait for no answer of the target's."""
        self._waiting = waiting
        return changed + self._contents.retried(waiting, {delta.relation.name for delta in changed})

    def _expect(self, probe: Probe) -> None:
        """Find out how large the batch may be; the source's transaction began as for a small one."""
        # Every logged change takes a number, so the numbers taken since the last batch bound what this one holds.
        few = self._known is not None and probe.seq - self._known.seq <= FEW
        # A whole copy is large however little was logged, and so may be what a table has waited with.
        self._few = few and self._job.kind is Kind.ROWS and not self._ready.late
        self._quick = self._few and self._plain
        if not self._few:
            postgres.expect_few_rows(self._ready.source.connection, few=False)

    @property
    def _plain(self) -> bool:
        """Whether nothing but the rows decides what is done."""
        return not (self._careful or self._job.hooks or self._job.resolvers or self._ready.filling)

    def _ask_others(self) -> Callable[[], None]:
        """Learn what the source knows of other masters, as of this very batch."""
        source, link = self._ready.source.connection, self._link
        if not self._job.swap:
            return lambda: None
        seen = progress.followed(source, link.install, link.sync.name, link.target.name)
        unmet, knows = park.unmet(source, link), progress.standing(source, link.install, link.sync.name)

        def learn() -> None:
            self._seen, self._unmet = seen(), unmet()
            self._knows = knows() if self._job.thirds else {}

        return learn

    def _ask_position(self, *, few: bool) -> Callable[[], None]:
        """Keep other runs out of the position, and see that the target and its definitions are as they were."""
        if few:
            postgres.expect_few_rows(self._ready.target)
        fingerprint, told, silent = holding.take(self._job, self._ready), self._ask_told(), self._ask_silent()

        def answer() -> None:
            self._check_definitions(fingerprint(), self._ready.fingerprints[1])
            self._told, self._silent = told(), silent()

        return answer

    def _take_position(self, asked: Callable[[], None] | None, writing: Transaction) -> None:
        """Await that, asking unless it was asked ahead for what would be few rows; and be ready to write."""
        position = asked or self._ask_position(few=self._few)
        if asked and not self._few:
            postgres.expect_few_rows(self._ready.target, few=False)
        if not self._quick:
            writing.leave()
        position()

    def _ask_told(self) -> Answer[Mapping[str, Mapping[str, Snapshot]]]:
        """Learn what other masters told the target of their positions."""
        if not self._job.thirds:
            return dict
        return progress.told(self._ready.target, self._link.install, self._link.sync.name)

    def _ask_silent(self) -> Answer[Collection[TableName]]:
        """Learn what need not be noted on the target, of what need not be when it was last looked at."""
        logs, mine = self._ready.target_logs, () if not self._job.swap or self._link.onward else self._ready.pairs
        silent = [name for name in mine if not logs[name, Kind.ROWS].notes]
        return notes.ask_silent(self._ready.target, self._link.install, silent) if silent else tuple

    @property
    def at(self) -> TableName | None:
        """The table that was being written when an error came."""
        for name, counts in self._written.items():
            try:
                counts()
            except psycopg.Error:
                return name
        return self._current

    def _hooks(self, moment: Moment, changed: Sequence[Delta], counts: Counts | None = None) -> None:
        """Run the hooks of a moment, if the batch has changes."""
        if self._job.hooks and changed:
            facts = {} if counts is None else {"counts": vars(counts)}
            self._job.hooks.at(moment, self._ready.target, [delta.relation.name for delta in changed], **facts)

    def _must_save(self, snapshot: Snapshot) -> bool:
        ready = self._ready
        if ready.position is None or ready.filling or holding.catching_up(ready):
            return True
        return self._due and snapshot != ready.position

    def _check_definitions(self, found: str, known: str) -> None:
        if found != known:
            raise DefinitionChanged(f"{self._link}: a table's definition changed; looking again.")

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self, changed: Sequence[Delta], opened: Opened, writing: Transaction) -> Counts:
        ready, link, filled = self._ready, self._link, Counts()
        staging = Staging(self._job, ready, writing, self._careful, self._quick, self._asked)
        order = {name: place for place, name in enumerate(ready.pairs)}
        self._hooks(Moment.BEFORE_ROWS, changed)
        for large, deltas in groupby(sorted(changed, key=lambda delta: order[delta.relation.name]), self._large):
            run = list(deltas)
            with staging.supply(run) if large else nullcontext() as supply:
                for delta in run:
                    self._write_changes(delta, staging, supply)
        filling = dict(ready.filling)
        for name in ready.filling:
            self._current = name
            filled += self._fill_in(name, filling)
        if self._job.hooks:
            self._hooks(Moment.AFTER_ROWS, changed, self._counts() + filled)
        failpoint("save.before-tables")
        names = [delta.relation.name for delta in changed]
        live = holding.stay_behind(link, ready) | holding.go_live(link, ready, names)
        failpoint("save.before-position")
        if self._job.swap or link.sync.makedelta:
            bell.ring(ready.target, link.install)
        progress.save(ready.target, link, opened.snapshot, ready.origin, self._knows)
        if link.led:
            succession.keep(ready.target, link, self._will)
        failpoint("save.after-position")
        self._make_durable(opened)
        failpoint("commit.before")
        writing.commit()
        failpoint("commit.after")
        ready.vain = 0 if changed else ready.vain + 1
        ready.stages |= staging.created
        few = (name for name in staging.few if not (self._job.swap and ready.pairs[name].captured.counters))
        ready.lately = list(islice(few, ASKED_FOR))
        ready.tables |= live
        ready.filling = filling
        ready.position = opened.snapshot
        return self._counts() + filled

    def _counts(self) -> Counts:
        return sum((written() for written in self._written.values()), Counts())

    def _make_durable(self, opened: Opened) -> None:
        """Never let the target be ahead of what the source keeps through a crash."""
        if not (opened.durable or self._ready.source.is_durable(opened.snapshot)):
            failpoint("commit.before-durable")
            self._ready.flusher.flush()
            failpoint("commit.after-durable")

    def _write_changes(self, delta: Delta, staging: Staging, supply: Supply | None) -> None:
        self._job.stop.raise_if_set()
        self._current = delta.relation.name
        failpoint("apply.before-table")
        self._written[self._current] = written = self._write_table(delta, staging, supply)
        if self._job.hooks:
            self._hooks(Moment.AFTER_TABLE_SYNC, [delta], written())

    def _write_table(self, delta: Delta, staging: Staging, supply: Supply | None) -> Answer[Counts]:
        pair = self._ready.pairs[delta.relation.name]
        if self._job.kind is Kind.TOUCH:
            return _known(fullcopy.copy_whole(self._job, self._ready, pair, careful=self._careful))
        target, waiting = self._ready.target, self._waiting.get(pair.name)
        if self._careful and pair.name in self._ready.wider:
            # Care deletes rows and inserts them again: what only the target has in them would be gone.
            raise TableRefused(pair.name, "rows were refused while it has columns on the target only")
        deleted = self._empty(pair) if delta.truncated else 0
        if supply:
            return _known(self._write_portions(pair, delta, staging, supply) + Counts(deleted=deleted))
        retry = waiting.retry if waiting else ()
        given = not (waiting or self._job.swap or self._link.onward)
        stage, holds = staging.stage(pair, delta, retry, given=given)
        held = park.hold_back(target, self._link, stage, retry) if waiting and not delta.truncated else 0
        if stage.gains and delta.had:
            log = self._ready.target_logs[pair.name, Kind.ROWS].log
            self._early += park.hold_early(target, self._link, stage, sql.Identifier(self._link.install.schema, log))
        counts = self._write_staged(pair, staging, stage, holds, truncated=delta.truncated)
        if retry:
            park.forget_retried(target, self._link, pair.name, retry)
        return cache(lambda: counts() + Counts(deleted=deleted, parked=held))

    def _large(self, delta: Delta) -> bool:
        """Whether a table is written a portion at a time: nothing is to be looked at that may be in another one."""
        pair = self._ready.pairs[delta.relation.name]
        if self._few or self._careful or self._job.kind is Kind.TOUCH or pair.name in self._waiting:
            return False
        if not pair.source.key or Stage(pair.target).replaces:
            return False
        # Between masters the table may have to be locked, which where applications stand in the way comes first.
        return not self._job.swap or not (pair.captured.counters or pair.name in self._ready.blocked)

    def _write_portions(self, pair: Pair, delta: Delta, staging: Staging, supply: Supply) -> Counts:
        """Write a portion of a table's changes while the source gets the next ones ready."""
        counts, truncated = Counts(), delta.truncated
        with staging.portions(pair, supply) as portions:
            for stage in portions:
                counts += self._write_staged(pair, staging, stage, ANYTHING, truncated=truncated)()
                truncated = False
        return counts

    def _write_staged(
        self, pair: Pair, staging: Staging, stage: Stage, holds: Holds, *, truncated: bool
    ) -> Answer[Counts]:
        if self._job.swap:
            staging.writing.leave()  # what may be taken back, or decided by what is there, is awaited by itself
            return _known(swap.write_resolved(self._arrival(pair, stage), careful=self._careful))
        counts = write.write(self._ready.target, self._link, stage, holds=holds, careful=self._careful)
        onward.note_stage(self._ready.target, self._link, stage, truncated=truncated)
        return counts

    def _arrival(self, pair: Pair, stage: Stage) -> Arrival:
        job = self._job
        return Arrival(
            connection=self._ready.target,
            link=self._link,
            stage=stage,
            log=self._ready.target_logs[pair.name, Kind.ROWS],
            seen=self._seen.get(pair.name, NOTHING),
            thirds=[
                Third(
                    node=third.id,
                    seen=self._knows.get(third.name),
                    told=self._told.get(third.name, {}).get(self._link.source.name),
                )
                for third in job.thirds
            ],
            rule=job.rules[pair.name],
            resolver=job.resolvers.get(pair.name),
            names=job.names,
            unmet=self._unmet.get(pair.name, {}),
            wary=pair.name in self._ready.blocked,
            silent=pair.name in self._silent,
        )

    def _fill_in(self, name: TableName, filling: dict[TableName, Known]) -> Counts:
        pair = self._ready.pairs[name]
        arrival = self._arrival(pair, Stage(pair.target)) if self._job.swap else None
        return fill_in(self._job, self._ready, name, filling, arrival, careful=self._careful)

    def _empty(self, pair: Pair) -> int:
        park.drop_all(self._ready.target, self._link, pair.name)
        deleted = affected(self._ready.target.execute(sql.SQL("delete from {}").format(pair.target.rows)))
        failpoint("apply.after-emptying")
        return deleted


def _known(counts: Counts) -> Answer[Counts]:
    return lambda: counts
