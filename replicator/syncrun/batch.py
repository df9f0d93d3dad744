"""One batch of a link: read in one transaction of the source, written in one of the target, position and all.

What is in a batch is `contents`', what both ends know of other masters `knowledge`'s, the writing of its tables
`delivery`'s, what is saved with them `saving`'s, and the locking of the position `holding`'s. This module puts them in
order, and decides how much is asked ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import islice

import psycopg
from psycopg.pq.abc import PGresult

from replicator import postgres, relations
from replicator.apply import park
from replicator.capture import Delta, Kind
from replicator.capture.look import Opened, Probe
from replicator.change import Counts
from replicator.columns import Known
from replicator.failpoint import failpoint
from replicator.hook import Moment
from replicator.model import TableName
from replicator.postgres import Answer, Transaction
from replicator.snapshot import Snapshot
from replicator.syncrun import holding
from replicator.syncrun.contents import Contents
from replicator.syncrun.definitions import DefinitionChanged
from replicator.syncrun.delivery import Delivery
from replicator.syncrun.job import Job
from replicator.syncrun.knowledge import Knowledge
from replicator.syncrun.ready import Ready
from replicator.syncrun.saving import Saving
from replicator.syncrun.staging import Staging

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


@dataclass(frozen=True)
class _Asked:
    """What both ends were asked, to be awaited where an answer is needed.

    position: None where it is to be asked later.
    """

    changed: Answer[list[Delta]]
    others: Callable[[], None]
    fingerprint: Answer[str]
    waiting: Answer[Mapping[TableName, park.Waiting]]
    position: Callable[[], None] | None


class Batch:
    """One attempt at one batch.

    kicked: a fullcopy copies everything. careful: look for rows that the target refuses, and set them aside.
    due: move the position even if nothing changed. known: a probe; all that was logged before it has arrived.

    Both ends are asked at once, and awaited only where an answer is needed (`postgres.Transaction`): a small batch
    costs few round trips. One of which every statement is sent before any is awaited is `quick`.
    """

    def __init__(self, job: Job, ready: Ready, *, kicked: bool, careful: bool, due: bool, known: Probe | None) -> None:
        self._job, self._link, self._ready = job, job.link, ready
        self._careful, self._known = careful, known
        self._few = self._quick = False
        self._waiting: Mapping[TableName, park.Waiting] = {}
        self._rows: Mapping[TableName, Answer[PGresult]] = {}
        self._contents = Contents(job, ready, kicked=kicked)
        self._knowledge = Knowledge(job, ready)
        self._saving = Saving(job, ready, self._knowledge, due=due)
        self._delivery: Delivery | None = None

    @property
    def at(self) -> TableName | None:
        """The table that was being written when an error came."""
        return self._delivery.at if self._delivery else None

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
            asked = self._ask(begun=early is not None)
            try:
                reading.leave()
            except psycopg.errors.FeatureNotSupported as error:  # of a cached plan: its result would have other types
                raise DefinitionChanged from error
            begun, found = opened(), asked.changed()
            failpoint("read.after-snapshot")
            if hooks or not found:
                found = self._with_retried(found, asked.waiting())
            if not found and not self._saving.must(begun.snapshot):
                return self._end_in_vain(begun, early)
            self._learn(asked, begun.probe)
            failpoint("read.before-write")
            self._hooks(Moment.BEFORE_TXN, found)
            writing = early or stack.enter_context(Transaction(ready.target))
            self._take_position(asked.position, writing)
            found = self._with_retried(found, asked.waiting())
            return self._landed(begun, found, self._write(found, begun, writing))

    def _landed(self, begun: Opened, found: Sequence[Delta], counts: Counts) -> Landed:
        early = self._delivery is not None and self._delivery.early > 0
        tables = tuple(delta.relation.name for delta in found)
        return Landed(counts, begun.probe, begun.snapshot, saved=True, early=early, tables=tables)

    def _end_in_vain(self, begun: Opened, early: Transaction | None) -> Landed:
        """Leave the target as it is: there is nothing to write. early: its transaction, if it has begun."""
        self._ready.vain += 1
        if early:
            early.end_unwritten()
        return Landed(Counts(), begun.probe, begun.snapshot, saved=False)

    # --- what is asked ------------------------------------------------------------------------------------------

    def _ask(self, *, begun: bool) -> _Asked:
        """Ask both ends. begun: the target's transaction has."""
        ready, likely = self._ready, self._ready.vain < VAIN
        changed, others = self._contents.ask(), self._knowledge.ask_source()
        fingerprint = relations.fingerprint(ready.source.connection, self._link.tables)
        self._rows = self._contents.ask_rows() if likely and self._plain else {}
        # What the source answers is awaited first, so it is asked first.
        waiting = cache(park.waiting(ready.target, self._link))
        position = self._ask_position(few=True) if likely and begun and self._job.apart else None
        return _Asked(changed, others, fingerprint, waiting, position)

    def _learn(self, asked: _Asked, probe: Probe) -> None:
        """Await what else the source was asked, now that there is something to write, and prepare for its size."""
        self._check_definitions(asked.fingerprint(), self._ready.fingerprints[0])
        asked.others()
        self._saving.read()
        self._expect(probe)

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

    def _ask_position(self, *, few: bool) -> Callable[[], None]:
        """Keep other runs out of the position, and see that the target and its definitions are as they were."""
        if few:
            postgres.expect_few_rows(self._ready.target)
        fingerprint, others = holding.take(self._job, self._ready), self._knowledge.ask_target()

        def answer() -> None:
            self._check_definitions(fingerprint(), self._ready.fingerprints[1])
            others()

        return answer

    def _take_position(self, asked: Callable[[], None] | None, writing: Transaction) -> None:
        """Await that, asking unless it was asked ahead for what would be few rows; and be ready to write."""
        position = asked or self._ask_position(few=self._few)
        if asked and not self._few:
            postgres.expect_few_rows(self._ready.target, few=False)
        if not self._quick:
            writing.leave()
        position()

    def _check_definitions(self, found: str, known: str) -> None:
        if found != known:
            raise DefinitionChanged(f"{self._link}: a table's definition changed; looking again.")

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self, changed: Sequence[Delta], opened: Opened, writing: Transaction) -> Counts:
        job, ready = self._job, self._ready
        staging = Staging(job, ready, writing, self._careful, self._quick, self._rows)
        delivery = Delivery(job, ready, staging, self._knowledge, self._waiting, few=self._few)
        self._delivery, filling = delivery, dict(ready.filling)
        filled = self._deliver(delivery, changed, filling)
        self._saving.save(changed, opened)
        failpoint("commit.before")
        writing.commit()
        failpoint("commit.after")
        ready.vain = 0 if changed else ready.vain + 1
        self._note_staged(staging)
        ready.filling = filling
        self._saving.note(opened.snapshot)
        return delivery.counts() + filled

    def _deliver(self, delivery: Delivery, changed: Sequence[Delta], filling: dict[TableName, Known]) -> Counts:
        """Write the rows; how many values of new columns were filled in."""
        self._hooks(Moment.BEFORE_ROWS, changed)
        delivery.write(changed)
        filled = delivery.fill_in(filling)
        if self._job.hooks:
            self._hooks(Moment.AFTER_ROWS, changed, delivery.counts() + filled)
        return filled

    def _hooks(self, moment: Moment, changed: Sequence[Delta], counts: Counts | None = None) -> None:
        """Run the hooks of a moment, if the batch has changes."""
        if self._job.hooks and changed:
            facts = {} if counts is None else {"counts": vars(counts)}
            self._job.hooks.at(moment, self._ready.target, [delta.relation.name for delta in changed], **facts)

    def _note_staged(self, staging: Staging) -> None:
        """Note which staging tables there are from now on, and of which tables to ask for rows the next time."""
        ready = self._ready
        ready.stages |= staging.created
        few = (name for name in staging.few if not (self._job.swap and ready.pairs[name].captured.counters))
        ready.lately = list(islice(few, ASKED_FOR))
