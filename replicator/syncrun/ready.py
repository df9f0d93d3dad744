"""Makes a link ready: connects both ends, has definitions compared, copies what the target never had.

Done at the start and again after every error, so it takes what is there as it finds it. Moving batches is `batch`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from replicator import columns, progress
from replicator.apply.resolver import Resolver, resolver
from replicator.apply.session import open_target
from replicator.capture import Captured, Kind, Source
from replicator.capture.bell import Bell
from replicator.capture.read import prepare_flusher
from replicator.capture.setup import create_schema, logs
from replicator.change import Counts
from replicator.columns import Known
from replicator.conflict import Rule, rule
from replicator.failpoint import failpoint
from replicator.hooks import Hooks
from replicator.model import Database, Link, Numbers, OneTimeCopy, SyncType, TableName, Topology
from replicator.postgres import Connection, Connector, expect_many_rows
from replicator.progress import Origin, TablePosition, TableState
from replicator.sequences.masters import End, keep_apart
from replicator.sequences.shares import share
from replicator.signals import Stop
from replicator.snapshot import Snapshot
from replicator.syncrun.definitions import filled
from replicator.syncrun.fitting import Fitted, fit
from replicator.table_copy import Pair, copy_tables, join
from replicator.table_copy.copy import exported, holds
from replicator.table_copy.join import reverse
from replicator.table_copy.masters import open_joined
from replicator.table_copy.meanwhile import Judges

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
        return self.link.mutual

    @cached_property
    def thirds(self) -> tuple[Database, ...]:
        """The other masters of a swap, besides the link's two."""
        if not self.swap:
            return ()
        return tuple(
            member
            for member in self.topology.masters(self.link.sync)
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

    @cached_property
    def hooks(self) -> Hooks:
        """What runs at the moments of its runs."""
        return Hooks(self.link, self.stop)

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

    pairs: the tables that travel; of their columns those that travel. known: what is known of all tables' columns.
    fingerprints: of the source's and the target's definitions. tables: how far the target is with each table; one that
    it never had is not in it. wider: tables that have more columns on the target. filling: what is to be filled in.
    held: tables of which the source sends nothing yet, for others are filling it, or columns in it. blocked: those
    at which an application has stood in the way. stages: the staging tables that the target's session has.
    """

    source: Source
    bell: Bell
    target: Connection
    pairs: Mapping[TableName, Pair]
    position: Snapshot | None
    origin: Origin
    fingerprints: tuple[str, str]
    known: Mapping[TableName, Known]
    wider: Collection[TableName]
    target_logs: Mapping[tuple[TableName, Kind], Captured]
    tables: dict[TableName, TablePosition] = field(default_factory=dict)
    filling: dict[TableName, Known] = field(default_factory=dict)
    held: set[TableName] = field(default_factory=set)
    blocked: set[TableName] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)
    _flusher: Connection | None = None

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

    def flusher(self, job: Job) -> Connection:
        """A second connection to the source, which may write; opened when first needed."""
        if self._flusher is None:
            self._flusher = job.connector.open(job.link.source, f"{job.link.sync.name} flush", autocommit=True)
            prepare_flusher(self._flusher)
        return self._flusher

    def close(self) -> None:
        """Drop all connections."""
        for connection in (self.source.connection, self.target, self._flusher):
            if connection is not None:
                connection.close()


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
    job.report("comparing tables")
    create_schema(target, link.install)
    held = progress.tables(target, link.install, link.sync.name, link.source.name)
    fitted = fit(link, job.topology, source, target, held, job.report)
    failpoint("prepare.after-capture")
    fitted.park(refused)
    origin = _accept(job, source, target, overwrite)
    missing = _missing(job, source, target, fitted, overwrite)
    fitted.keep(target, link)
    _stay_behind(link, target, [name for name, known in fitted.known.items() if known.parked])
    _copy_again(job, target, fitted)
    counts, copied = _copy_missing(job, (source, target), missing, overwrite)
    failpoint("prepare.after-copy")
    _share_numbers(job, source, target)
    position = progress.read(target, link.install, link.sync.name, link.source.name)
    ready = Ready(
        source=Source(source, link.install, authored=job.swap),
        bell=Bell(source, link.install),
        target=target,
        pairs=fitted.pairs,
        position=position.snapshot if position else None,
        origin=origin,
        fingerprints=fitted.fingerprints,
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


def _missing(job: Job, source: Connection, target: Connection, fitted: Fitted, overwrite: bool) -> list[Pair]:
    """The tables that the target is to get or to get anew; those that it cannot are parked."""
    link = job.link
    position = progress.read(target, link.install, link.sync.name, link.source.name)
    shared = position.snapshot if position else None
    known = progress.tables(target, link.install, link.sync.name, link.source.name)
    if job.swap and not overwrite:
        fitted.park(_lost(job, fitted.pairs.values(), known, shared))
    missing = [pair for pair in fitted.pairs.values() if overwrite or not holds(known.get(pair.name), pair, shared)]
    if job.swap and link.source.name == link.lead:
        missing = _with_broken_off(job, source, missing, fitted.pairs)
    if job.kind is Kind.ROWS:
        why = f"it is to be copied, and {link.target.name} has columns more, whose values that would lose"
        fitted.park({pair.name: why for pair in missing if pair.name in fitted.wider})
    return [pair for pair in missing if pair.name in fitted.pairs]


def _copy_missing(
    job: Job, ends: tuple[Connection, Connection], missing: Sequence[Pair], overwrite: bool
) -> tuple[Counts, tuple[str, ...]]:
    """Copy, join or accept the tables that the target does not have."""
    link, (_, target) = job.link, ends
    as_equal = link.sync.onetimecopy is OneTimeCopy.OFF
    follows_lead = job.swap and link.source.name != link.lead
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
            Judges(job.rules, job.resolvers, job.names),
            thirds=job.thirds,
            overwrite=overwrite,
        )
    with exported(job.connector, job.link) as here, exported(job.connector, back_link) as there:
        with open_target(job.connector, back_link, "join") as writer:
            _take_as_equal(back_link, writer, back, there.snapshot)
        _take_as_equal(job.link, target, missing, here.snapshot)
    return Counts()


def _lost(
    job: Job, pairs: Iterable[Pair], known: Mapping[TableName, TablePosition], shared: Snapshot | None
) -> dict[TableName, str]:
    """Tables of which changes of a master were missed, with what to do."""
    had = {name for name, position in known.items() if position.state is not TableState.COPYING}
    link = job.link
    return {
        pair.name: f"on {link.source.name} its change log was begun anew, or no longer reaches back to where"
        f" {link.target.name} is: changes are lost. Compare with `replicator verify {link.sync.name}`, then copy anew:"
        f" `replicator update sync {link.sync.name} --onetimecopy always`"
        for pair in pairs
        if pair.name in had and not holds(known[pair.name], pair, shared)
    }


def _with_broken_off(
    job: Job, source: Connection, missing: Sequence[Pair], pairs: Mapping[TableName, Pair]
) -> list[Pair]:
    """Also the tables of which the source was being filled from the target: these flow the other way already."""
    back = progress.tables(source, job.link.install, job.link.sync.name, job.link.target.name)
    broken_off = {name for name, at in back.items() if at.state is TableState.COPYING}
    wanted = {pair.name for pair in missing} | broken_off
    return [pair for name, pair in pairs.items() if name in wanted]


def _take_as_equal(link: Link, target: Connection, pairs: Sequence[Pair], snapshot: Snapshot) -> None:
    with target.transaction():
        for pair in pairs:
            at = TablePosition(TableState.COPIED, pair.captured.id, snapshot)
            progress.save_table(target, link, pair.name, at)
