"""One link at work: makes both ends ready, looks whether there is something to move, moves one batch.

    capture.read ─▶ stage ─▶ write | swap.write_resolved ─▶ progress.save ─▶ commit

A batch is read in one transaction of the source and written in one of the target, which also moves the position: it
lands whole or not at all. When to run, and what to do after an error, is the controller's business.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from replicator import capture, postgres, progress, relations, sequences
from replicator.apply import diff, onward, park, swap, write
from replicator.apply.session import open_target
from replicator.apply.stage import Stage, pump
from replicator.capture import Delta, Kind, Source
from replicator.capture.read import Probe
from replicator.capture.setup import create_schema
from replicator.change import Counts, RunResult
from replicator.errors import CaptureMissing, LockedOut, SchemaMismatch, Transient
from replicator.model import CopyMethod, Link, OneTimeCopy, SyncType, TableName, Topology
from replicator.postgres import Connection, Connector
from replicator.progress import Origin, TablePosition, TableState
from replicator.relations import Relation
from replicator.signals import Stop
from replicator.snapshot import NOTHING, Snapshot
from replicator.table_copy import Pair, copy_tables, join
from replicator.table_copy.copy import exported
from replicator.table_copy.join import reverse

Report = Callable[[str], None]

HEARTBEAT = 30.0
"""Seconds after which an idle link moves its position too, so that purging can go on and index ranges stay short."""

SEQUENCES_EVERY = 2.0
JOINED_EVERY = 0.5

ATTEMPTS = 8

GAVE_WAY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


@dataclass
class _Ready:
    """What a prepared link knows. position: the sync-wide one, None before the first batch."""

    source: Source
    target: Connection
    pairs: dict[TableName, Pair]
    tables: dict[TableName, TablePosition]
    position: Snapshot | None
    origin: Origin
    fingerprint: str
    target_logs: Mapping[tuple[TableName, Kind], capture.Captured]
    probe: Probe | None = None
    snapshot: Snapshot = NOTHING
    saved_at: float = 0.0
    sequences: sequences.Standing | None = None
    sequences_at: float = 0.0
    joined_at: float = 0.0


class LinkRunner:
    """Runs one link; belongs to one thread. After any error: close, wait, and begin again with `prepare`."""

    def __init__(self, link: Link, topology: Topology, connector: Connector, stop: Stop, report: Report) -> None:
        self.link = link
        self._topology = topology
        self._connector = connector
        self._stop = stop
        self._report = report
        self._ready: _Ready | None = None
        self._overwrite = link.sync.onetimecopy is OneTimeCopy.ALWAYS
        self._kind = Kind.TOUCH if link.sync.type is SyncType.FULLCOPY else Kind.ROWS

    # --- making ready -------------------------------------------------------------------------------------------

    def prepare(self) -> RunResult:
        """Connect, install capture, compare definitions, copy what the target never had. Idempotent.

        Raises SchemaMismatch, SourceReplaced, NotPrimary, CaptureMissing and what connecting raises.
        """
        began = time.monotonic()
        self.close()
        with self._translated():
            source = self._connector.open(self.link.source, f"{self.link.sync.name} read", autocommit=True)
            try:
                target = open_target(self._connector, self.link, "write")
            except BaseException:
                source.close()
                raise
            try:
                copied = self._make_ready(source, target)
            except BaseException:
                source.close()
                target.close()
                raise
        return RunResult(counts=copied[0], copied=copied[1], seconds=time.monotonic() - began)

    def _make_ready(self, source: Connection, target: Connection) -> tuple[Counts, tuple[str, ...]]:
        link = self.link
        self._report("comparing tables")
        pairs = self._compare(source, target)
        create_schema(target, link.install)
        origin = progress.origin(source, link.install)
        position = progress.read(target, link.install, link.sync.name, link.source.name)
        if position and not self._overwrite:
            progress.check_same(link, position.origin, origin)
        elif position:
            self._start_over(target, origin)
        counts, copied = self._copy_missing(source, target, pairs)
        position = progress.read(target, link.install, link.sync.name, link.source.name)
        known = progress.tables(target, link.install, link.sync.name, link.source.name)
        self._ready = _Ready(
            source=Source(source, link.install, authored=link.sync.type is SyncType.SWAP),
            target=target,
            pairs=pairs,
            tables={name: at for name, at in known.items() if name in pairs},
            position=position.snapshot if position else None,
            origin=origin,
            fingerprint=relations.fingerprint(source, [pair.source for pair in pairs.values()]),
            target_logs=capture.setup.logs(target, link.install),
        )
        self._overwrite = False
        return counts, copied

    def _compare(self, source: Connection, target: Connection) -> dict[TableName, Pair]:
        """Both sides' tables, with capture in place on the source (in a swap, on both)."""
        link = self.link
        ours, theirs = relations.describe(source, link.tables), relations.describe(target, link.tables)
        faults = [f"{name} is missing on {link.source.name}" for name in link.tables if name not in ours]
        faults += [f"{name} is missing on {link.target.name}" for name in link.tables if name not in theirs]
        for name in ours.keys() & theirs.keys():
            found = relations.differences(ours[name], theirs[name], keyed=self._kind is Kind.ROWS)
            faults += [f"{name}: {difference}" for difference in found]
        if faults:
            raise SchemaMismatch(f"{link}: {'; '.join(sorted(faults))}.", hint="Make the definitions equal.")
        logs = self._capture(source, link.source.name, ours)
        if link.sync.type is SyncType.SWAP:
            self._capture(target, link.target.name, theirs)
        return {name: Pair(ours[name], theirs[name], logs[name, self._kind]) for name in link.tables}

    def _capture(
        self, connection: Connection, database: str, tables: Mapping[TableName, Relation]
    ) -> dict[tuple[TableName, Kind], capture.Captured]:
        wanted = capture.needs(self._topology, database)
        return capture.ensure(connection, self.link.install, wanted, tables)

    def _start_over(self, target: Connection, origin: Origin) -> None:
        """Accept a source that was made anew: what was known of the old one is void."""
        link = self.link
        with target.transaction():
            progress.forget(target, link.install, link.sync.name, link.source.name)
            progress.save(target, link, NOTHING, origin)

    # --- first copies -------------------------------------------------------------------------------------------

    def _copy_missing(
        self, source: Connection, target: Connection, pairs: Mapping[TableName, Pair]
    ) -> tuple[Counts, tuple[str, ...]]:
        link = self.link
        known = progress.tables(target, link.install, link.sync.name, link.source.name)
        missing = [pair for pair in pairs.values() if self._overwrite or not _has(known.get(pair.name), pair)]
        if link.sync.type is SyncType.SWAP:
            return self._join_missing(source, target, missing, known)
        as_equal = link.sync.onetimecopy is OneTimeCopy.OFF
        if not missing or (self._kind is Kind.TOUCH and not as_equal):
            return Counts(), ()  # a fullcopy's first copy is a run like any other
        with exported(self._connector, link) as snapshot:
            if as_equal:
                self._take_as_equal(target, missing, snapshot.snapshot)
                return Counts(), ()
            counts = copy_tables(self._connector, link, missing, snapshot, self._report, self._stop)
        return counts, tuple(str(pair.name) for pair in missing)

    def _join_missing(
        self,
        source: Connection,
        target: Connection,
        missing: Sequence[Pair],
        known: Mapping[TableName, TablePosition],
    ) -> tuple[Counts, tuple[str, ...]]:
        link = self.link
        lost = [str(p.name) for p in missing if p.name in known and known[p.name].state is not TableState.COPYING]
        if lost and not self._overwrite:
            raise CaptureMissing(
                f"{link}: on {link.source.name} the change log of {', '.join(lost)} was begun anew: changes are lost.",
                hint=f"Compare with `replicator verify {link.sync.name}`, then copy anew:"
                f" `replicator update sync {link.sync.name} --onetimecopy always`.",
            )
        if not missing or link.source.name != link.lead:
            return Counts(), ()
        back_link = reverse(link)
        logs = self._capture(target, link.target.name, {pair.name: pair.target for pair in missing})
        back = [Pair(pair.target, pair.source, logs[pair.name, Kind.ROWS]) for pair in missing]
        create_schema(source, link.install)
        if link.sync.onetimecopy is OneTimeCopy.OFF:
            with exported(self._connector, link) as here, exported(self._connector, back_link) as there:
                with open_target(self._connector, back_link, "join") as writer:
                    self._take_as_equal(writer, back, there.snapshot, back_link)
                self._take_as_equal(target, missing, here.snapshot)
            return Counts(), ()
        counts = join(self._connector, link, missing, back, self._report, self._stop, overwrite=self._overwrite)
        return counts, tuple(str(pair.name) for pair in missing)

    def _take_as_equal(
        self, target: Connection, pairs: Sequence[Pair], snapshot: Snapshot, link: Link | None = None
    ) -> None:
        with target.transaction():
            for pair in pairs:
                at = TablePosition(TableState.COPIED, pair.captured.id, snapshot)
                progress.save_table(target, link or self.link, pair.name, at)

    # --- looking ------------------------------------------------------------------------------------------------

    def pending(self) -> bool:
        """Whether there may be something to move: one round trip. False, too, while the link is not prepared."""
        ready = self._ready
        if ready is None:
            return False
        with self._translated():
            now = time.monotonic()
            probe = ready.source.probe()
            if ready.probe is None or probe.seq != ready.probe.seq:
                return True
            if not ready.snapshot.settled and probe.snapshot != ready.snapshot:
                return True
            if now - ready.saved_at > HEARTBEAT and probe.snapshot != ready.snapshot:
                return True
            return self._joined_meanwhile(ready, now) or self._sequences_moved(ready, now)

    def _joined_meanwhile(self, ready: _Ready, now: float) -> bool:
        """Whether the lead link has joined a table that this one waits for."""
        if len(ready.tables) == len(ready.pairs) or self._kind is Kind.TOUCH or now - ready.joined_at < JOINED_EVERY:
            return False
        ready.joined_at = now
        before = len(ready.tables)
        self._look_for_joined(ready)
        return len(ready.tables) > before

    def _sequences_moved(self, ready: _Ready, now: float) -> bool:
        if not self.link.sequences or now - ready.sequences_at < SEQUENCES_EVERY:
            return False
        ready.sequences_at = now
        return sequences.read(ready.source.connection, self.link.sequences) != ready.sequences

    # --- moving -------------------------------------------------------------------------------------------------

    def run(self, kicked: bool = False) -> RunResult:
        """Move one batch; a fullcopy copies what changed, or everything when kicked. Prepares first if need be."""
        prepared = self.prepare() if self._ready is None else RunResult()
        assert self._ready is not None
        began = time.monotonic()
        with self._translated():
            self._carry_sequences(self._ready)
            counts = self._batch_patiently(self._ready, kicked)
        return RunResult(
            counts=prepared.counts + counts,
            seconds=prepared.seconds + time.monotonic() - began,
            copied=prepared.copied,
        )

    def _batch_patiently(self, ready: _Ready, kicked: bool) -> Counts:
        """One batch; again when it gave way to an application, and with care when a row was refused."""
        careful = False
        for attempt in range(ATTEMPTS):
            try:
                return self._batch(ready, kicked=kicked, careful=careful)
            except write.REFUSALS:
                if careful:
                    raise
                careful = True
            except (LockedOut, *GAVE_WAY) as error:
                if attempt == ATTEMPTS - 1:
                    raise
                self._report(f"gave way to an application, tries again: {str(error).splitlines()[0]}")
                self._stop.wait(0.01 * 2**attempt * (0.5 + random.random()))
                self._stop.raise_if_set()
        raise AssertionError

    def _carry_sequences(self, ready: _Ready) -> None:
        if not self.link.sequences or self.link.sync.type is SyncType.SWAP:
            return
        standing = sequences.read(ready.source.connection, self.link.sequences)
        known = ready.sequences or {}
        sequences.write(ready.target, {name: at for name, at in standing.items() if known.get(name) != at})
        ready.sequences = standing

    def _batch(self, ready: _Ready, *, kicked: bool, careful: bool) -> Counts:
        # In this order: what is logged after the probe is seen by the next one, what is before it by this batch.
        probe = ready.source.probe()
        if any(name not in ready.tables for name in ready.pairs):
            self._look_for_joined(ready)
        with ready.source.batch() as snapshot:
            deltas = self._deltas(ready)
            changed = self._changed(ready, deltas, kicked)
            if changed or self._due(ready, snapshot):
                self._check_definitions(ready)
                counts = self._write(ready, changed, snapshot, careful)
            else:
                counts = Counts()
        ready.probe, ready.snapshot = probe, snapshot
        return counts

    def _look_for_joined(self, ready: _Ready) -> None:
        """The lead link joins tables; the other direction finds them here."""
        link = self.link
        known = progress.tables(ready.target, link.install, link.sync.name, link.source.name)
        ready.tables = {name: at for name, at in known.items() if name in ready.pairs and _has(at, ready.pairs[name])}

    def _deltas(self, ready: _Ready) -> list[Delta]:
        at = ready.position or NOTHING
        return [
            Delta(relation=pair.source, captured=pair.captured, since=ready.tables[name].snapshot or at)
            for name, pair in ready.pairs.items()
            if name in ready.tables
        ]

    def _changed(self, ready: _Ready, deltas: Sequence[Delta], kicked: bool) -> list[Delta]:
        if self._kind is Kind.ROWS:
            changed = ready.source.changed(deltas)
            return changed + self._to_retry(ready, deltas, changed)
        fresh = [
            Delta(relation=pair.source, captured=pair.captured, since=NOTHING)
            for name, pair in ready.pairs.items()
            if not _has(ready.tables.get(name), pair)
        ]
        if kicked:
            return [*(d for d in deltas if d.relation.name not in {f.relation.name for f in fresh}), *fresh]
        known = [
            delta for delta in deltas if _has(ready.tables.get(delta.relation.name), ready.pairs[delta.relation.name])
        ]
        return [*ready.source.changed(known), *fresh]

    def _to_retry(self, ready: _Ready, deltas: Sequence[Delta], changed: Iterable[Delta]) -> list[Delta]:
        present = {delta.relation.name for delta in changed}
        waiting = park.waiting(ready.target, self.link)
        return [
            delta
            for delta in deltas
            if delta.relation.name not in present
            and (here := waiting.get(delta.relation.name)) is not None
            and here.retry
        ]

    def _due(self, ready: _Ready, snapshot: Snapshot) -> bool:
        if ready.position is None or any(t.state is TableState.COPIED for t in ready.tables.values()):
            return True
        return time.monotonic() - ready.saved_at > HEARTBEAT and snapshot != ready.position

    def _check_definitions(self, ready: _Ready) -> None:
        now = relations.fingerprint(ready.source.connection, [pair.source for pair in ready.pairs.values()])
        if now != ready.fingerprint:
            raise Transient(f"{self.link}: a table's definition changed; looking again.")

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self, ready: _Ready, changed: Sequence[Delta], snapshot: Snapshot, careful: bool) -> Counts:
        link, counts = self.link, Counts()
        with ready.target.transaction():
            self._check_position(ready)
            waiting = park.waiting(ready.target, link) if changed else {}
            seen = self._seen_by_source(ready) if changed and link.sync.type is SyncType.SWAP else {}
            for delta in changed:
                self._stop.raise_if_set()
                counts += self._write_table(ready, delta, waiting.get(delta.relation.name), seen, careful)
            live = self._go_live(ready, changed)
            progress.save(ready.target, link, snapshot, ready.origin)
        ready.tables |= live
        ready.position, ready.saved_at = snapshot, time.monotonic()
        return counts

    def _check_position(self, ready: _Ready) -> None:
        """Keep other runs of this link out, and refuse to go on from where the target is not."""
        link = self.link
        there = progress.read(ready.target, link.install, link.sync.name, link.source.name, lock=True)
        if (there.snapshot if there else None) != ready.position:
            raise Transient(f"{link}: another run has moved the position; looking again.")

    def _seen_by_source(self, ready: _Ready) -> dict[TableName, Snapshot]:
        """What the source had seen of the target when this batch was read (in the batch's own transaction)."""
        link = self.link
        return progress.followed(ready.source.connection, link.install, link.sync.name, link.target.name)

    def _write_table(
        self,
        ready: _Ready,
        delta: Delta,
        waiting: park.Waiting | None,
        seen: Mapping[TableName, Snapshot],
        careful: bool,
    ) -> Counts:
        pair = ready.pairs[delta.relation.name]
        if self._kind is Kind.TOUCH:
            return self._copy_whole(ready, pair, careful)
        deleted = self._empty(ready, pair) if delta.truncated else 0
        stage = self._fill(ready, pair, delta, waiting, careful)
        held = park.hold_back(ready.target, self.link, stage) if waiting and not delta.truncated else 0
        if self.link.sync.type is SyncType.SWAP:
            log = ready.target_logs[pair.name, Kind.ROWS]
            counts = swap.write_resolved(
                ready.target,
                self.link,
                stage,
                log,
                seen.get(pair.name, NOTHING),
                self._topology.databases[self.link.lead].id,
                careful=careful,
            )
        else:
            counts = write.write(ready.target, self.link, stage, careful=careful)
            onward.note_stage(ready.target, self.link, stage, truncated=delta.truncated)
        return counts + Counts(deleted=deleted, parked=held)

    def _empty(self, ready: _Ready, pair: Pair) -> int:
        park.drop_all(ready.target, self.link, pair.name)
        return ready.target.execute(sql.SQL("delete from {}").format(pair.target.rows)).rowcount

    def _fill(self, ready: _Ready, pair: Pair, delta: Delta, waiting: park.Waiting | None, careful: bool) -> Stage:
        versioned = self.link.sync.type is SyncType.SWAP
        retry = waiting.retry if waiting else ()
        stage = Stage(pair.target, versioned=versioned)
        try:
            with ready.target.transaction() if careful else _nothing():
                self._fill_as(ready, pair, delta, stage, retry)
        except psycopg.errors.DataError:
            if not careful:
                raise
            # A value that the target's types cannot even hold: staged as text it can be found and set aside.
            stage = replace(stage, text=True)
            self._fill_as(ready, pair, delta, stage, retry)
        return stage

    def _fill_as(self, ready: _Ready, pair: Pair, delta: Delta, stage: Stage, retry: Sequence[str]) -> None:
        stage.create(ready.target)
        query = ready.source.rows(delta, stage.names, retry, text=stage.text)
        stage.fill(ready.source.connection, query, ready.target, self._moved, binary=pair.source.binary)

    def _copy_whole(self, ready: _Ready, pair: Pair, careful: bool) -> Counts:
        """One table of a fullcopy."""
        self._report(f"copying {pair.name}")
        stage = Stage(pair.target, text=careful)
        method = self.link.sync.copymethod
        park.drop_all(ready.target, self.link, pair.name)
        deleted = 0
        if method is not CopyMethod.DIFF:
            emptying = "truncate {}" if method is CopyMethod.TRUNCATE else "delete from {}"
            table = pair.target.identifier if method is CopyMethod.TRUNCATE else pair.target.rows
            deleted = max(0, ready.target.execute(sql.SQL(emptying).format(table)).rowcount)
        if method is CopyMethod.DIFF or careful:
            counts = self._copy_staged(ready, pair, stage, careful)
        else:
            counts = Counts(inserted=self._pump_whole(ready, pair, stage))
        onward.note_stage(ready.target, self.link, stage)
        return counts + Counts(deleted=deleted)

    def _copy_staged(self, ready: _Ready, pair: Pair, stage: Stage, careful: bool) -> Counts:
        stage.create(ready.target)
        query = sql.SQL("select {}, x.* from ({}) x").format(
            sql.SQL("'false'" if stage.text else "false"), _whole(pair, stage)
        )
        stage.fill(ready.source.connection, query, ready.target, self._moved, binary=pair.source.binary)
        return diff.replace_different(ready.target, self.link, stage, sql.SQL("true"), careful=careful)

    def _pump_whole(self, ready: _Ready, pair: Pair, stage: Stage) -> int:
        into = sql.SQL("{} ({})").format(
            pair.target.identifier, sql.SQL(", ").join(sql.Identifier(name) for name in stage.names)
        )
        binary = pair.source.binary and pair.target.binary
        query = _whole(pair, stage)
        return pump(ready.source.connection, query, ready.target, into, binary=binary, moved=self._moved)

    def _moved(self, _size: int) -> None:
        self._stop.raise_if_set()

    def _go_live(self, ready: _Ready, changed: Sequence[Delta]) -> dict[TableName, TablePosition]:
        """Let tables that were copied, or are new to a fullcopy, share the sync's position from here on."""
        copied = [name for name, at in ready.tables.items() if at.state is TableState.COPIED]
        progress.go_live(ready.target, self.link, copied)
        live = {name: TablePosition(TableState.LIVE, ready.pairs[name].captured.id, None) for name in copied}
        if self._kind is Kind.TOUCH:
            for delta in changed:
                at = TablePosition(TableState.LIVE, delta.captured.id, None)
                if ready.tables.get(delta.relation.name) != at:
                    progress.save_table(ready.target, self.link, delta.relation.name, at)
                    live[delta.relation.name] = at
        return live

    # --- ending -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Drop both connections. Idempotent, raises nothing."""
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.source.connection.close()
            ready.target.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise postgres.translate(error, str(self.link)) from error


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _has(position: TablePosition | None, pair: Pair) -> bool:
    """Whether the target has the table, by the log that is there now."""
    return position is not None and position.state is not TableState.COPYING and position.capture == pair.captured.id


def _whole(pair: Pair, stage: Stage) -> sql.Composed:
    values = [
        sql.SQL("t.{}::{}").format(
            sql.Identifier(name), sql.SQL("text" if stage.text else pair.source.column(name).stage_type)
        )
        for name in stage.names
    ]
    return sql.SQL("select {} from {} t").format(sql.SQL(", ").join(values), pair.source.rows)
