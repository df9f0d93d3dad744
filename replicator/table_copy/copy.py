"""Copies whole tables to a target: by key range, in parallel, under one exported snapshot, restartable by range.

Each range is one transaction on the target: rows that are there already are compared and only differences written;
an empty range is filled by COPY as it comes. The snapshot is the position from which changes continue. A copy that is
taken up again runs under a newer snapshot but keeps the older position: the changes in between are replayed, which
does no harm where a batch carries rows as they are (`repeatable`). Which tables to copy is decided by the caller.
On a master, where applications write while it is filled, `meanwhile` compares.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import IsolationLevel, sql

from replicator import postgres, progress
from replicator.apply import diff, onward, park
from replicator.apply.pump import pump
from replicator.apply.session import open_target
from replicator.apply.stage import Stage
from replicator.apply.write import REFUSALS
from replicator.capture import Captured
from replicator.change import Counts
from replicator.errors import LockedOut
from replicator.failpoint import failpoint
from replicator.model import Link, TableName
from replicator.postgres import Connection, Connector, fetch_one
from replicator.progress import TablePosition, TableState
from replicator.relations import Relation
from replicator.signals import Stop
from replicator.snapshot import NOTHING, Snapshot
from replicator.table_copy import meanwhile, ranges
from replicator.table_copy.meanwhile import Own
from replicator.table_copy.meter import Meter, Report

WORKERS = 3 if (os.cpu_count() or 1) > 2 else 2
"""Ranges at a time. On a machine of two cores, which may have a server too, a third one costs an eighth of the rate."""

ATTEMPTS = 20


@dataclass(frozen=True)
class Pair:
    """One table of a link on both sides, and the source's log of it."""

    source: Relation
    target: Relation
    captured: Captured

    @property
    def name(self) -> TableName:
        """The table's name."""
        return self.source.name


def holds(position: TablePosition | None, pair: Pair, shared: Snapshot | None) -> bool:
    """Whether a table's position is one from which the pair's changes continue. shared: the sync-wide one.

    Not if the log is another one than it was, or no longer reaches back so far: a target that was restored from a
    backup, or that was not a target for a while, lies before what has been purged.
    """
    if position is None or position.state is TableState.COPYING or position.capture != pair.captured.id:
        return False
    return (position.snapshot or shared or NOTHING).xmin >= pair.captured.purged


@dataclass(frozen=True)
class Exported:
    """A snapshot that other connections can read under, and which transactions it sees."""

    name: str
    snapshot: Snapshot
    connection: Connection


@contextmanager
def exported(connector: Connector, link: Link) -> Iterator[Exported]:
    """Hold a snapshot of the link's source open."""
    connection = connector.open(link.source, f"{link.sync.name} snapshot", autocommit=True)
    with connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            query = "select pg_export_snapshot(), txid_current_snapshot()::text"
            name, snapshot = fetch_one(connection, query)
            yield Exported(name, Snapshot.parse(snapshot), connection)


@dataclass(frozen=True)
class _Unit:
    pair: Pair
    position: TablePosition
    number: int


def copy_tables(
    connector: Connector,
    link: Link,
    pairs: Sequence[Pair],
    snapshot: Exported,
    report: Report,
    stop: Stop,
    finish: Callable[[Connection], None] = lambda _: None,
    own: Mapping[TableName, Own] | None = None,
) -> Counts:
    """Copy tables whole and leave them COPIED. Raises what the servers say, translated; what is done stays done.

    finish: what is to be done on the target in the transaction that says so. own: what a master has of its own of them.
    """
    positions = begin(connector, link, pairs, snapshot)
    sizes = {pair.name: ranges.size(snapshot.connection, pair.source) for pair in pairs}
    units = _units(pairs, positions, sizes)
    meter = Meter(report, stop, len(units), sum(sizes.values()))
    report(f"copying {len(pairs)} tables in {len(units)} parts")
    counts = _run(units, lambda: _Worker(connector, link, snapshot, meter, own or {}), meter)
    failpoint("copy.before-end")
    with open_target(connector, link, "copy") as target, target.transaction():
        for pair in pairs:
            done = replace(positions[pair.name], state=TableState.COPIED, bounds=(), done=frozenset())
            progress.save_table(target, link, pair.name, done)
        finish(target)
        failpoint("copy.before-end-commit")
    failpoint("copy.after-end")
    return counts


def begin(
    connector: Connector, link: Link, pairs: Sequence[Pair], snapshot: Exported
) -> dict[TableName, TablePosition]:
    """Note that tables are to be copied, and in which ranges. One whose copy was begun before stays as it is."""
    failpoint("copy.before-begin")
    with open_target(connector, link, "copy") as target:
        known = progress.tables(target, link.install, link.sync.name, link.source.name)
        positions = {pair.name: _begin(target, link, pair, known.get(pair.name), snapshot) for pair in pairs}
    failpoint("copy.after-begin")
    return positions


def repeatable(link: Link, pair: Pair) -> bool:
    """Whether changes may arrive twice, so that a copy that was broken off can go on where it was.

    Not in a swap where rows have no key, or counters add up. There all is compared anew under the new snapshot, from
    which changes then continue.
    """
    return not link.mutual or bool(pair.source.key and not pair.captured.counters)


def _begin(
    target: Connection, link: Link, pair: Pair, known: TablePosition | None, snapshot: Exported
) -> TablePosition:
    going_on = known and known.state is TableState.COPYING and known.capture == pair.captured.id
    if known and going_on and repeatable(link, pair):
        return known
    bounds = ranges.cut(snapshot.connection, pair.source)
    position = TablePosition(TableState.COPYING, pair.captured.id, snapshot.snapshot, bounds)
    with target.transaction():
        progress.save_table(target, link, pair.name, position)
        # In a swap those of other masters too: what they hold is in the copy, or comes again.
        park.drop_all(target, link, pair.name, of_all=link.mutual)
    return position


def _units(
    pairs: Sequence[Pair], positions: Mapping[TableName, TablePosition], sizes: Mapping[TableName, int]
) -> list[_Unit]:
    """What is left to do, the largest first: else one that cannot be cut may begin when the others are done."""
    units = [
        _Unit(pair, positions[pair.name], number)
        for pair in pairs
        for number in range(len(positions[pair.name].bounds) + 1)
        if number not in positions[pair.name].done
    ]
    return sorted(units, key=lambda unit: -sizes[unit.pair.name] / (len(unit.position.bounds) + 1))


def _run(units: Sequence[_Unit], begin_work: Callable[[], _Worker], meter: Meter) -> Counts:
    counts = Counts()
    with ThreadPoolExecutor(min(WORKERS, max(len(units), 1)), thread_name_prefix="copy") as pool, ExitStack() as stack:
        local = threading.local()

        def work(unit: _Unit) -> Counts:
            if not hasattr(local, "worker"):
                local.worker = stack.enter_context(begin_work())
            worker: _Worker = local.worker
            return worker.copy(unit)

        futures = [pool.submit(work, unit) for unit in units]
        try:
            for future in as_completed(futures):
                done = future.result()
                counts += done
                meter.finished(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return counts


Way = Callable[[_Unit, sql.Composable], Counts]
"""Brings a range's rows, by the condition for the target's, inside the range's transaction."""


class _Worker:
    """Two connections of one thread: the source under the shared snapshot, the target."""

    def __init__(
        self, connector: Connector, link: Link, snapshot: Exported, meter: Meter, own: Mapping[TableName, Own]
    ) -> None:
        self._link, self._meter, self._own = link, meter, own
        self._source = connector.open(link.source, f"{link.sync.name} copy")
        try:
            self._source.execute("set transaction isolation level repeatable read, read only")
            self._source.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot.name)))
            self._target = open_target(connector, link, "copy")
        except BaseException:
            self._source.close()
            raise

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()
        self._target.close()

    def copy(self, unit: _Unit) -> Counts:
        """One range, in one transaction on the target; again with care when a row was refused."""
        ways = [self._fill, self._fill_carefully]
        if unit.pair.name in self._own:  # it may have been refused because of what an application wrote meanwhile
            ways.insert(1, self._merge)
        with postgres.translated(f"{self._link}: {unit.pair.name}"):
            for way in ways[:-1]:
                try:
                    return self._patiently(unit, way)
                except REFUSALS:
                    continue
            return self._patiently(unit, ways[-1])

    def _patiently(self, unit: _Unit, way: Way) -> Counts:
        """Again while an application was quicker, or stands in the way."""

        def work() -> Counts:
            self._meter.moved(0)
            try:
                return self._copy(unit, way)
            except psycopg.errors.LockNotAvailable as error:
                raise LockedOut(str(error)) from error

        return postgres.patiently(work, attempts=ATTEMPTS)

    def _copy(self, unit: _Unit, fill: Way) -> Counts:
        name, where = unit.pair.name, self._where(unit)
        noted = where
        own = self._own.get(name)
        if own and unit.pair.target.key:
            # What was written here is in its log as that, and must stay the newest of its row.
            noted = sql.SQL("{} and {}").format(where, meanwhile.untouched(self._link, own, unit.pair.target))
        with self._target.transaction():
            onward.note_range(self._target, self._link, unit.pair.target, noted)
            counts = fill(unit, where)
            onward.note_range(self._target, self._link, unit.pair.target, noted)
            progress.add_range(self._target, self._link, name, unit.number)
            failpoint("copy.in-range")
        failpoint("copy.after-range")
        return counts

    @staticmethod
    def _where(unit: _Unit) -> sql.Composable:
        return ranges.condition(unit.pair.target, unit.position.bounds, unit.number)

    def _fill(self, unit: _Unit, where: sql.Composable) -> Counts:
        target, own = unit.pair.target, self._own.get(unit.pair.name)
        some = sql.SQL("select exists (select from {} t where {})").format(target.rows, where)
        if fetch_one(self._target, some)[0] or (own and meanwhile.anything(self._target, self._link, own)):
            return self._merge(unit, where)
        stage = Stage(target)
        into = sql.SQL("{} ({})").format(
            target.identifier, sql.SQL(", ").join(sql.Identifier(name) for name in stage.names)
        )
        source = unit.pair.source
        query = sql.SQL("select {} from {} t where {}").format(
            self._values(unit, stage), source.rows, ranges.condition(source, unit.position.bounds, unit.number)
        )
        binary = target.binary and source.binary
        return Counts(inserted=pump(self._source, query, self._target, into, binary=binary, moved=self._meter.moved))

    def _fill_carefully(self, unit: _Unit, where: sql.Composable) -> Counts:
        return self._merge(unit, where, careful=True)

    def _merge(self, unit: _Unit, where: sql.Composable, *, careful: bool = False) -> Counts:
        """Compare with what is there. With care values come as text: one that no type holds can be found so."""
        pair, own = unit.pair, self._own.get(unit.pair.name)
        stage = own.stage(pair.target, text=careful) if own else Stage(pair.target, text=careful)
        stage.create(self._target)
        source_where = ranges.condition(pair.source, unit.position.bounds, unit.number)
        values = self._values(unit, stage)
        query = meanwhile.staged_rows(self._link, pair.captured, pair.source, stage, values, source_where)
        stage.fill(self._source, query, self._target, self._meter.moved, binary=pair.source.binary)
        if own is None:
            return diff.replace_different(self._target, self._link, stage, where, careful=careful)
        return meanwhile.merge(self._target, self._link, own, stage, where, careful=careful)

    @staticmethod
    def _values(unit: _Unit, stage: Stage) -> sql.Composed:
        source = unit.pair.source
        return sql.SQL(", ").join(
            sql.SQL("t.{}::{}").format(
                sql.Identifier(name), sql.SQL("text" if stage.text else source.column(name).stage_type)
            )
            for name in stage.names
        )
