"""One batch of a link: read in one transaction of the source, written in one of the target, position and all.

The stages of a table's changes are `capture.read`, `apply.stage`, then `apply.write` on a slave, `apply.swap` on
another master; a whole copy is `fullcopy`'s, new columns are `filling`'s, and which tables stay behind is `holding`'s.
This module puts them in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from replicator import postgres, progress, relations, succession
from replicator.apply import onward, park, swap, write
from replicator.apply.arrival import Arrival, Third
from replicator.apply.stage import Stage
from replicator.capture import Delta, Kind, bell
from replicator.capture.read import make_durable
from replicator.change import Counts
from replicator.columns import Known
from replicator.errors import Transient
from replicator.failpoint import failpoint
from replicator.hook import Moment
from replicator.model import TableName
from replicator.postgres import Connection
from replicator.snapshot import NOTHING, Snapshot
from replicator.syncrun import fullcopy, holding
from replicator.syncrun.definitions import DefinitionChanged, TableRefused
from replicator.syncrun.filling import fill_in
from replicator.syncrun.job import Job
from replicator.syncrun.ready import Ready
from replicator.table_copy import Pair


@dataclass(frozen=True)
class Landed:
    """A batch that is done. snapshot: what the target has now, or had already when nothing was to be written.

    early: some of it waits for rows that other masters are to send. tables: those that it was about.
    """

    counts: Counts
    snapshot: Snapshot
    saved: bool
    early: bool = False
    tables: tuple[TableName, ...] = ()


class Batch:
    """One attempt at one batch.

    kicked: a fullcopy copies everything. careful: look for rows that the target refuses, and set them aside.
    due: move the position even if nothing changed. small: it cannot hold more than a thousand changes.
    Tables are written in the order of `ready.pairs`; `at` is the one that was being written last.
    """

    def __init__(self, job: Job, ready: Ready, *, kicked: bool, careful: bool, due: bool, small: bool) -> None:
        self._job, self._link, self._ready = job, job.link, ready
        self._kicked, self._careful, self._due, self._small = kicked, careful, due, small
        self.at: TableName | None = None
        self._waiting: Mapping[TableName, park.Waiting] = {}
        self._seen: Mapping[TableName, Snapshot] = {}
        self._knows: Mapping[str, Snapshot] = {}
        self._unmet: Mapping[TableName, Mapping[str, Sequence[str]]] = {}
        self._will: succession.Will | None = None
        self._told: Mapping[str, Mapping[str, Snapshot]] = {}
        self._created: set[str] = set()
        self._early = 0
        self._of_thirds: Mapping[int, Mapping[TableName, Snapshot]] | None = None

    def land(self) -> Landed:
        """Read and write it. Raises the drivers' errors; then nothing of it has happened."""
        ready = self._ready
        with ready.source.batch(few_rows=self._small) as snapshot:
            failpoint("read.after-snapshot")
            self._waiting = park.waiting(ready.target, self._link)
            if self._job.swap:
                ready.held = holding.unfilled(self._link, ready)
            self._job.hooks.at(Moment.BEFORE_CHECK_ROWS, ready.target)
            changed = self._changed()
            if not changed and not self._must_save(snapshot):
                return Landed(Counts(), snapshot, saved=False)
            self._check_definitions(ready.source.connection, ready.fingerprints[0])
            if self._job.swap:
                # What the source had seen of the target, as of this very batch.
                self._seen = progress.followed(
                    ready.source.connection, self._link.install, self._link.sync.name, self._link.target.name
                )
                self._unmet = park.unmet(ready.source.connection, self._link)
                if self._job.thirds:
                    self._knows = progress.standing(ready.source.connection, self._link.install, self._link.sync.name)
            if self._link.led:
                self._will = succession.draw_up(ready.source.connection, self._link.install, self._link.sync.name)
            failpoint("read.before-write")
            self._hooks(Moment.BEFORE_TXN, changed)
            counts = self._write(changed, snapshot)
            tables = tuple(delta.relation.name for delta in changed)
            return Landed(counts, snapshot, saved=True, early=self._early > 0, tables=tables)

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

    def _check_definitions(self, connection: Connection, known: str) -> None:
        if relations.fingerprint(connection, self._link.tables) != known:
            raise DefinitionChanged(f"{self._link}: a table's definition changed; looking again.")

    # --- what is in it ------------------------------------------------------------------------------------------

    def _changed(self) -> list[Delta]:
        held = self._ready.held
        known = [self._delta(name) for name in self._ready.pairs if self._ready.has(name) and name not in held]
        if self._job.kind is Kind.ROWS:
            changed = self._ready.source.changed(known)
            return changed + self._to_retry(known, {delta.relation.name for delta in changed})
        new = [self._delta(name) for name in self._ready.pairs if not self._ready.has(name)]
        return (known if self._kicked else self._ready.source.changed(known)) + new

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
            link, target = self._link, self._ready.target
            self._of_thirds = {
                third.id: progress.followed(target, link.install, link.sync.name, third.name)
                for third in self._job.thirds
            }
        return {number: seen[pair.name] for number, seen in self._of_thirds.items() if pair.name in seen}

    def _to_retry(self, known: Sequence[Delta], changed: set[TableName]) -> list[Delta]:
        wanted = {name for name, waiting in self._waiting.items() if waiting.retry} - changed
        return [delta for delta in known if delta.relation.name in wanted]

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self, changed: Sequence[Delta], snapshot: Snapshot) -> Counts:
        ready, counts = self._ready, Counts()
        order = {name: place for place, name in enumerate(ready.pairs)}
        with postgres.transaction(ready.target, few_rows=self._small):
            failpoint("lock.before-position")
            self._check_position()
            failpoint("lock.after-position")
            self._check_definitions(ready.target, ready.fingerprints[1])
            if self._job.thirds:
                self._told = progress.told(ready.target, self._link.install, self._link.sync.name)
            self._hooks(Moment.BEFORE_ROWS, changed)
            for delta in sorted(changed, key=lambda delta: order[delta.relation.name]):
                self._job.stop.raise_if_set()
                self.at = delta.relation.name
                failpoint("apply.before-table")
                written = self._write_table(delta)
                self._hooks(Moment.AFTER_TABLE_SYNC, [delta], written)
                counts += written
            filling = dict(ready.filling)
            for name in ready.filling:
                self.at = name
                counts += self._fill_in(name, filling)
            self._hooks(Moment.AFTER_ROWS, changed, counts)
            failpoint("save.before-tables")
            names = [delta.relation.name for delta in changed]
            live = holding.stay_behind(self._link, ready) | holding.go_live(self._link, ready, names)
            failpoint("save.before-position")
            if self._job.swap or self._link.sync.makedelta:
                bell.ring(ready.target, self._link.install)
            progress.save(ready.target, self._link, snapshot, ready.origin, self._knows)
            if self._link.led:
                succession.keep(ready.target, self._link, self._will)
            failpoint("save.after-position")
            self._make_durable(snapshot)
            failpoint("commit.before")
        failpoint("commit.after")
        ready.stages |= self._created
        ready.tables |= live
        ready.filling = filling
        ready.position = snapshot
        return counts

    def _make_durable(self, snapshot: Snapshot) -> None:
        """Never let the target be ahead of what the source keeps through a crash."""
        if not self._ready.source.is_durable(snapshot):
            failpoint("commit.before-durable")
            make_durable(self._ready.flusher(self._job))
            failpoint("commit.after-durable")

    def _check_position(self) -> None:
        """Keep other runs of this link out, and refuse to go on from where the target is not."""
        link, target = self._link, self._ready.target
        if self._ready.position is None:  # there is no row to lock yet
            key = link.install.lock_key("link", link.sync.name, link.source.name)
            target.execute("select pg_advisory_xact_lock(%s)", [key])
        there = progress.read(target, link.install, link.sync.name, link.source.name, lock=True)
        if (there.snapshot if there else None) != self._ready.position:
            raise Transient(f"{link}: another run has moved the position; looking again.")
        if self._job.swap and link.source.name != link.lead:
            # The lead may be copying over a table, and setting where this link goes on.
            held = progress.tables(target, link.install, link.sync.name, link.source.name)
            if any(held.get(name) != at for name, at in self._ready.tables.items()):
                raise Transient(f"{link}: a table is being copied anew; looking again.")

    def _write_table(self, delta: Delta) -> Counts:
        pair = self._ready.pairs[delta.relation.name]
        if self._job.kind is Kind.TOUCH:
            return fullcopy.copy_whole(self._job, self._ready, pair, careful=self._careful)
        target, waiting = self._ready.target, self._waiting.get(pair.name)
        if self._careful and pair.name in self._ready.wider:
            # Care deletes rows and inserts them again: what only the target has in them would be gone.
            raise TableRefused(pair.name, "rows were refused while it has columns on the target only")
        deleted = self._empty(pair) if delta.truncated else 0
        retry = waiting.retry if waiting else ()
        stage = self._staged(pair, delta, retry)
        held = park.hold_back(target, self._link, stage, retry) if waiting and not delta.truncated else 0
        if stage.gains and delta.had:
            self._early += park.hold_early(target, self._link, stage)
        if self._job.swap:
            counts = self._write_on_master(pair, stage)
        else:
            counts = write.write(target, self._link, stage, careful=self._careful)
            onward.note_stage(target, self._link, stage, truncated=delta.truncated)
        if retry:
            park.forget_retried(target, self._link, pair.name, retry)
        return counts + Counts(deleted=deleted, parked=held)

    def _write_on_master(self, pair: Pair, stage: Stage) -> Counts:
        return swap.write_resolved(self._arrival(pair, stage), careful=self._careful)

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
        )

    def _fill_in(self, name: TableName, filling: dict[TableName, Known]) -> Counts:
        pair = self._ready.pairs[name]
        arrival = self._arrival(pair, Stage(pair.target)) if self._job.swap else None
        return fill_in(self._job, self._ready, name, filling, arrival, careful=self._careful)

    def _empty(self, pair: Pair) -> int:
        park.drop_all(self._ready.target, self._link, pair.name)
        deleted = self._ready.target.execute(sql.SQL("delete from {}").format(pair.target.rows)).rowcount
        failpoint("apply.after-emptying")
        return deleted

    def _staged(self, pair: Pair, delta: Delta, retry: Sequence[str]) -> Stage:
        gains = pair.captured.counters if self._job.swap else ()
        stage = Stage(pair.target, versioned=self._job.swap, gains=gains)
        try:
            with self._ready.target.transaction() if self._careful else nullcontext():
                return self._fill(pair, delta, stage, retry)
        except psycopg.errors.DataError:
            if not self._careful:
                raise
            # A value that the target's types cannot even hold: staged as text it can be found and set aside.
            return self._fill(pair, delta, replace(stage, text=True), retry)

    def _fill(self, pair: Pair, delta: Delta, stage: Stage, retry: Sequence[str]) -> Stage:
        if stage.local_name not in self._ready.stages:
            stage.create(self._ready.target)
            if not self._careful:  # with care, a savepoint may take it back
                self._created.add(stage.local_name)
        source = self._ready.source
        failpoint("stage.before-fill")
        query = source.rows(delta, stage.names, retry, text=stage.text)
        stage.fill(source.connection, query, self._ready.target, self._job.moved, binary=pair.source.binary)
        failpoint("stage.after-fill")
        return stage
