"""Makes a link ready: connects both ends, has definitions compared, has copied what the target never had.

Done at the start and again after every error, so it takes what is there as it finds it. Comparing is `fitting`'s,
copying is `missing`'s, moving batches is `batch`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from replicator import columns, progress
from replicator.apply.session import open_target
from replicator.capture import Captured, Kind, Source
from replicator.capture.bell import Bell
from replicator.capture.captured import logs
from replicator.capture.decoding.source import DecodingSource
from replicator.capture.flusher import Flusher
from replicator.capture.schema import create_schema
from replicator.change import Counts
from replicator.columns import Known
from replicator.failpoint import failpoint
from replicator.model import Capture, Link, Numbers, TableName
from replicator.postgres import Connection, expect_many_rows, plan_once
from replicator.progress import Origin, TablePosition, TableState
from replicator.sequences.masters import End, keep_apart
from replicator.sequences.shares import share
from replicator.snapshot import Snapshot
from replicator.syncrun.defined import Defined
from replicator.syncrun.definitions import filled
from replicator.syncrun.fitting import Fitted, fit
from replicator.syncrun.handover import take_over
from replicator.syncrun.job import Job
from replicator.syncrun.missing import copy_missing, find_missing
from replicator.table_copy import Pair
from replicator.table_copy.copy import holds
from replicator.table_copy.masters import open_joined


@dataclass
class Ready:
    """Both ends of a prepared link. position: the sync-wide one, None before the first batch.

    pairs: the tables that travel; of their columns those that travel. known: what is known of all tables' columns.
    fingerprints: of the source's and the target's definitions; defined: sees whether they have changed. tables: how
    far the target is with each table; one that it never had is not in it. wider: tables that have more columns on the
    target. filling: what is to be filled in.
    held: tables of which the source sends nothing yet, for others are filling it, or columns in it. blocked: those
    at which an application has stood in the way. stages: the staging tables that the target's session has.
    lately: some of the tables that had few rows in the last batch. vain: batches in a row that had nothing.
    """

    source: Source
    bell: Bell
    flusher: Flusher
    target: Connection
    pairs: Mapping[TableName, Pair]
    position: Snapshot | None
    origin: Origin
    fingerprints: tuple[str, str]
    defined: Defined
    known: Mapping[TableName, Known]
    wider: Collection[TableName]
    target_logs: Mapping[tuple[TableName, Kind], Captured]
    tables: dict[TableName, TablePosition] = field(default_factory=dict)
    filling: dict[TableName, Known] = field(default_factory=dict)
    held: set[TableName] = field(default_factory=set)
    blocked: set[TableName] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)
    lately: Sequence[TableName] = ()
    vain: int = 0

    def has(self, name: TableName) -> bool:
        """Whether the target has the table, by the log that feeds it now."""
        return holds(self.tables.get(name), self.pairs[name], self.position)

    @property
    def unequal(self) -> bool:
        """Whether a definition is expected to change: a table is parked, or travels without some columns."""
        return any(known.note for known in self.known.values())

    @property
    def late(self) -> bool:
        """Whether there are tables that do not share the sync's position."""
        return any(at.state is not TableState.LIVE for at in self.tables.values())

    def put_first(self, name: TableName) -> None:
        """Write this table before the others from now on."""
        self.pairs = {name: self.pairs[name], **self.pairs}
        self.blocked.add(name)

    def look_for_tables(self, job: Job) -> None:
        """Read anew how far the target is; in a swap the runner of another link may have joined tables."""
        link = job.link
        if job.third:
            known = progress.tables(self.target, link.install, link.sync.name, link.source.name)
            open_joined(self.source.connection, self.target, link, list(self.pairs.values()), known)
        known = progress.tables(self.target, link.install, link.sync.name, link.source.name)
        self.tables = {
            name: known[name] for name, pair in self.pairs.items() if holds(known.get(name), pair, self.position)
        }

    def close(self) -> None:
        """Drop all connections."""
        self.bell.leave()
        self.source.close()
        self.target.close()
        self.flusher.close()


def make_ready(job: Job, *, overwrite: bool, refused: Mapping[TableName, str]) -> tuple[Ready, Counts, tuple[str, ...]]:
    """Everything that must be before the first batch; also what was copied, and which tables.

    overwrite: copy every table, whatever the target has. refused: tables to be parked, and why. Raises SourceReplaced,
    NotPrimary, SchemaMismatch (two masters meet and hold different rows), and what connecting and the servers raise.
    """
    link = job.link
    source = job.connector.open(link.source, f"{link.sync.name} read", autocommit=True)
    try:
        expect_many_rows(source)
        target = open_target(job.connector, link, "write")
    except BaseException:
        source.close()
        raise
    try:
        return _make_ready(job, source, target, overwrite, refused)
    except BaseException:
        source.close()
        target.close()
        raise


def _make_ready(
    job: Job, source: Connection, target: Connection, overwrite: bool, refused: Mapping[TableName, str]
) -> tuple[Ready, Counts, tuple[str, ...]]:
    link = job.link
    plan_once(source)
    plan_once(target)
    job.report("comparing tables")
    create_schema(target, link.install)
    take_over(job, source, target)
    held = progress.tables(target, link.install, link.sync.name, link.source.name)
    fitted = fit(link, job.topology, source, target, held, job.report)
    failpoint("prepare.after-capture")
    fitted.park(refused)
    origin = _accept(job, source, target, overwrite)
    missing = find_missing(job, source, target, fitted, overwrite)
    fitted.keep(target, link)
    _stay_behind(link, target, [name for name, known in fitted.known.items() if known.parked])
    _copy_again(job, target, fitted)
    counts, copied = copy_missing(job, (source, target), missing, overwrite)
    failpoint("prepare.after-copy")
    _share_numbers(job, source, target)
    position = progress.read(target, link.install, link.sync.name, link.source.name)
    flusher = Flusher(lambda: job.connector.open(link.source, f"{link.sync.name} flush", autocommit=True))
    decodes = link.source.capture is Capture.WAL and job.kind is Kind.ROWS
    ready = Ready(
        source=DecodingSource(source, link, flusher.flush) if decodes else Source(source, link),
        bell=Bell(source, link.install, rings=not decodes),
        flusher=flusher,
        target=target,
        pairs=fitted.pairs,
        position=position.snapshot if position else None,
        origin=origin,
        fingerprints=fitted.fingerprints,
        defined=Defined(source, target, link.tables, fitted.fingerprints),
        known=fitted.known,
        wider=fitted.wider,
        target_logs=logs(target, link.install),
    )
    if job.kind is Kind.ROWS:
        ready.filling = {name: fitted.known[name] for name in fitted.pairs if fitted.known[name].due}
    ready.look_for_tables(job)
    return ready, counts, copied


def _stay_behind(link: Link, target: Connection, parked: Collection[TableName]) -> None:
    """Let parked tables keep the position that the others leave: from there they go on one day."""
    with target.transaction():
        position = progress.read(target, link.install, link.sync.name, link.source.name, lock=True)
        if position and parked:
            progress.hold(target, link, parked, position.snapshot)


def _share_numbers(job: Job, source: Connection, target: Connection) -> None:
    """Keep the two masters from handing out one number; of the two links between them, one sees to it."""
    link = job.link
    if not job.swap or link.sync.sequences is Numbers.NONE or link.source.id > link.target.id:
        return
    members = job.topology.masters(link.sync)
    ends = [
        End(database, connection, share(link.sync, members, database))
        for database, connection in ((link.source, source), (link.target, target))
    ]
    if changed := keep_apart(ends[0], ends[1], link.tables, link.sequences):
        job.report(f"gave both masters numbers of their own: {', '.join(map(str, changed))}")


def _copy_again(job: Job, target: Connection, fitted: Fitted) -> None:
    """A fullcopy fills new columns in by its next copy."""
    link, due = job.link, [name for name in fitted.pairs if fitted.known[name].due]
    if job.kind is Kind.TOUCH and due:
        with target.transaction():
            progress.forget(target, link.install, link.sync.name, link.source.name, due)
            columns.save(target, link, {name: filled(fitted.known[name]) for name in due})


def _accept(job: Job, source: Connection, target: Connection, overwrite: bool) -> Origin:
    """The source's identity, which must be the one that the target follows unless everything is copied anew."""
    link = job.link
    origin = progress.origin(source, link.install)
    position = progress.read(target, link.install, link.sync.name, link.source.name)
    if position is None or (position.origin == origin and not overwrite):
        return origin
    if not overwrite:
        progress.check_same(link, position.origin, origin)
    if position.origin != origin or job.kind is Kind.TOUCH:
        failpoint("prepare.before-forget")
        progress.forget(target, link.install, link.sync.name, link.source.name)
    return origin
