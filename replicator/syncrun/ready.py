"""Makes a link ready: connects both ends, compares definitions, installs capture, copies what the target never had.

Done at the start and again after every error, so it takes what is there as it finds it. Moving batches is `batch`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from replicator import capture, progress, relations
from replicator.apply.resolver import Resolver, resolver
from replicator.apply.session import open_target
from replicator.capture import Captured, Kind, Source
from replicator.capture.setup import create_schema, logs
from replicator.change import Counts
from replicator.conflict import Rule, rule
from replicator.errors import CaptureMissing, SchemaMismatch
from replicator.model import Database, Link, OneTimeCopy, SyncType, TableName, Topology
from replicator.postgres import Connection, Connector
from replicator.progress import Origin, TablePosition, TableState
from replicator.relations import Relation
from replicator.signals import Stop
from replicator.snapshot import NOTHING, Snapshot
from replicator.table_copy import Pair, copy_tables, join
from replicator.table_copy.copy import exported
from replicator.table_copy.join import reverse
from replicator.table_copy.masters import open_joined

Report = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A link, and what its runs need from the process around them. report: takes a short phrase on what is going on."""

    link: Link
    topology: Topology
    connector: Connector
    stop: Stop
    report: Report

    @property
    def swap(self) -> bool:
        """Whether both ends are masters."""
        return self.link.sync.type is SyncType.SWAP

    @cached_property
    def thirds(self) -> tuple[Database, ...]:
        """The other masters of a swap, besides the link's two."""
        if not self.swap:
            return ()
        return tuple(
            member
            for member in self.topology.members(self.link.sync)
            if member not in (self.link.source, self.link.target)
        )

    @property
    def third(self) -> bool:
        """Whether both ends are masters that have their tables from a third one, the lead."""
        return self.swap and self.link.lead not in (self.link.source.name, self.link.target.name)

    @cached_property
    def names(self) -> Mapping[int, str]:
        """The databases' names, by number."""
        return {database.id: database.name for database in self.topology.databases.values()}

    @cached_property
    def rules(self) -> Mapping[TableName, Rule]:
        """Who wins a conflict, by table."""
        sync = self.link.sync
        return {table: rule(self.topology, sync, sync.strategy_of(table)) for table in self.link.tables}

    @cached_property
    def resolvers(self) -> Mapping[TableName, Resolver]:
        """Who asks the functions that decide conflicts, by table; one for each function."""
        strategies = {table: self.link.sync.strategy_of(table) for table in self.link.tables}
        seconds = self.connector.config.function_timeout
        made = {strategy: resolver(strategy, seconds) for strategy in set(strategies.values())}
        return {table: found for table, strategy in strategies.items() if (found := made[strategy])}

    @property
    def kind(self) -> Kind:
        """The log that the link reads."""
        return Kind.TOUCH if self.link.sync.type is SyncType.FULLCOPY else Kind.ROWS

    def moved(self, _size: int) -> None:
        """Called as bytes pass: the place where a long copy notices a stop."""
        self.stop.raise_if_set()


@dataclass
class Ready:
    """Both ends of a prepared link. position: the sync-wide one, None before the first batch.

    tables: how far the target is with each table; one that it never had is not in it.
    """

    source: Source
    target: Connection
    pairs: Mapping[TableName, Pair]
    position: Snapshot | None
    origin: Origin
    fingerprint: str
    target_logs: Mapping[tuple[TableName, Kind], Captured]
    tables: dict[TableName, TablePosition] = field(default_factory=dict)
    _flusher: Connection | None = None

    def has(self, name: TableName) -> bool:
        """Whether the target has the table, by the log that feeds it now."""
        return holds(self.tables.get(name), self.pairs[name], self.position)

    def put_first(self, name: TableName) -> None:
        """Write this table before the others from now on."""
        self.pairs = {name: self.pairs[name], **self.pairs}

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

    def flusher(self, job: Job) -> Connection:
        """A second connection to the source, which may write; opened when first needed."""
        if self._flusher is None:
            self._flusher = job.connector.open(job.link.source, f"{job.link.sync.name} flush", autocommit=True)
        return self._flusher

    def close(self) -> None:
        """Drop all connections."""
        for connection in (self.source.connection, self.target, self._flusher):
            if connection is not None:
                connection.close()


def holds(position: TablePosition | None, pair: Pair, shared: Snapshot | None) -> bool:
    """Whether a table's position is one from which the pair's changes continue. shared: the sync-wide one.

    Not if the log is another one than it was, or no longer reaches back so far: a target that was restored from a
    backup, or that was not a target for a while, lies before what has been purged.
    """
    if position is None or position.state is TableState.COPYING or position.capture != pair.captured.id:
        return False
    return (position.snapshot or shared or NOTHING).xmin >= pair.captured.purged


def make_ready(job: Job, *, overwrite: bool) -> tuple[Ready, Counts, tuple[str, ...]]:
    """Everything that must be before the first batch; also what was copied, and which tables.

    overwrite: copy every table, whatever the target has. Raises SchemaMismatch, SourceReplaced, NotPrimary,
    CaptureMissing, and what connecting and the servers raise.
    """
    link = job.link
    source = job.connector.open(link.source, f"{link.sync.name} read", autocommit=True)
    try:
        target = open_target(job.connector, link, "write")
    except BaseException:
        source.close()
        raise
    try:
        return _make_ready(job, source, target, overwrite)
    except BaseException:
        source.close()
        target.close()
        raise


def _make_ready(
    job: Job, source: Connection, target: Connection, overwrite: bool
) -> tuple[Ready, Counts, tuple[str, ...]]:
    link = job.link
    job.report("comparing tables")
    pairs = _compare(job, source, target)
    create_schema(target, link.install)
    origin = _accept(job, source, target, overwrite)
    counts, copied = _copy_missing(job, (source, target), pairs, overwrite)
    position = progress.read(target, link.install, link.sync.name, link.source.name)
    ready = Ready(
        source=Source(source, link.install, authored=job.swap),
        target=target,
        pairs=pairs,
        position=position.snapshot if position else None,
        origin=origin,
        fingerprint=relations.fingerprint(source, [pair.source for pair in pairs.values()]),
        target_logs=logs(target, link.install),
    )
    ready.look_for_tables(job)
    return ready, counts, copied


def _compare(job: Job, source: Connection, target: Connection) -> dict[TableName, Pair]:
    """Both sides' tables, with capture in place on the source (in a swap, on both)."""
    link = job.link
    ours, theirs = relations.describe(source, link.tables), relations.describe(target, link.tables)
    faults = [f"{name} is missing on {link.source.name}" for name in link.tables if name not in ours]
    faults += [f"{name} is missing on {link.target.name}" for name in link.tables if name not in theirs]
    for name in ours.keys() & theirs.keys():
        found = relations.differences(ours[name], theirs[name], keyed=job.kind is Kind.ROWS)
        faults += [f"{name}: {difference}" for difference in found]
    if faults:
        raise SchemaMismatch(f"{link}: {'; '.join(sorted(faults))}.", hint="Make the definitions equal.")
    captured = _capture(job, source, link.source.name, ours)
    if job.swap:
        _capture(job, target, link.target.name, theirs)
    return {name: Pair(ours[name], theirs[name], captured[name, job.kind]) for name in link.tables}


def _capture(
    job: Job, connection: Connection, database: str, tables: Mapping[TableName, Relation]
) -> dict[tuple[TableName, Kind], Captured]:
    wanted = capture.needs(job.topology, database)
    return capture.ensure(connection, job.link.install, wanted, tables)


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
        progress.forget(target, link.install, link.sync.name, link.source.name)
    return origin


def _copy_missing(
    job: Job, ends: tuple[Connection, Connection], pairs: Mapping[TableName, Pair], overwrite: bool
) -> tuple[Counts, tuple[str, ...]]:
    """Copy, join or accept the tables that the target does not have."""
    link, (_, target) = job.link, ends
    position = progress.read(target, link.install, link.sync.name, link.source.name)
    shared = position.snapshot if position else None
    known = progress.tables(target, link.install, link.sync.name, link.source.name)
    missing = [pair for pair in pairs.values() if overwrite or not holds(known.get(pair.name), pair, shared)]
    if job.swap:
        _check_not_lost(job, missing, known, overwrite)
    follows_lead = job.swap and link.source.name != link.lead
    as_equal = link.sync.onetimecopy is OneTimeCopy.OFF
    if not missing or follows_lead or (job.kind is Kind.TOUCH and not as_equal):
        return Counts(), ()  # in a swap the lead's link does it for both; a fullcopy's first copy is a run like any
    counts = _join(job, ends, missing, as_equal, overwrite) if job.swap else _copy(job, target, missing, as_equal)
    return counts, () if as_equal else tuple(str(pair.name) for pair in missing)


def _copy(job: Job, target: Connection, missing: Sequence[Pair], as_equal: bool) -> Counts:
    with exported(job.connector, job.link) as snapshot:
        if as_equal:
            _take_as_equal(job.link, target, missing, snapshot.snapshot)
            return Counts()
        return copy_tables(job.connector, job.link, missing, snapshot, job.report, job.stop)


def _join(
    job: Job, ends: tuple[Connection, Connection], missing: Sequence[Pair], as_equal: bool, overwrite: bool
) -> Counts:
    source, target = ends
    back_link = reverse(job.link)
    captured = logs(target, job.link.install)
    back = [Pair(pair.target, pair.source, captured[pair.name, Kind.ROWS]) for pair in missing]
    create_schema(source, job.link.install)
    if not as_equal:
        return join(
            job.connector,
            job.link,
            missing,
            back,
            job.report,
            job.stop,
            thirds=job.thirds,
            overwrite=overwrite,
        )
    with exported(job.connector, job.link) as here, exported(job.connector, back_link) as there:
        with open_target(job.connector, back_link, "join") as writer:
            _take_as_equal(back_link, writer, back, there.snapshot)
        _take_as_equal(job.link, target, missing, here.snapshot)
    return Counts()


def _check_not_lost(
    job: Job, missing: Sequence[Pair], known: Mapping[TableName, TablePosition], overwrite: bool
) -> None:
    lost = [str(p.name) for p in missing if p.name in known and known[p.name].state is not TableState.COPYING]
    if lost and not overwrite:
        link = job.link
        raise CaptureMissing(
            f"{link}: on {link.source.name} the change log of {', '.join(lost)} was begun anew, or no longer reaches"
            f" back to where {link.target.name} is: changes are lost.",
            hint=f"Compare with `replicator verify {link.sync.name}`, then copy anew:"
            f" `replicator update sync {link.sync.name} --onetimecopy always`.",
        )


def _take_as_equal(link: Link, target: Connection, pairs: Sequence[Pair], snapshot: Snapshot) -> None:
    with target.transaction():
        for pair in pairs:
            at = TablePosition(TableState.COPIED, pair.captured.id, snapshot)
            progress.save_table(target, link, pair.name, at)
