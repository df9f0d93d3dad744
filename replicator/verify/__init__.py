"""Proves that the databases of a sync hold the same rows, or says exactly in which rows they differ. Changes nothing.

A table is digested by ranges on both sides; ranges that are not equal are walked row by row. Both sides are read in
one snapshot each while everything goes on, and `flight` tells a real difference from a change on its way, so that
neither load nor lag raises a false alarm. `digest` is the plain part: a table's digest on one server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg

from replicator.capture.flusher import Flusher
from replicator.differences import differences, lacking
from replicator.errors import Interrupted, ReplicatorError
from replicator.model import Install, Link, Sync, TableName, Topology
from replicator.postgres import Connection, Connector, translate
from replicator.relations import Relation, describe, restricted
from replicator.signals import Stop
from replicator.verify.compare import TableComparer, TableComparison, Verdict
from replicator.verify.details import ColumnDifference, Difference, What
from replicator.verify.digest import TableDigest, digest, table_digests
from replicator.verify.flight import Ends, Third
from replicator.verify.standing import compare_sequences

__all__ = [
    "ColumnDifference",
    "Difference",
    "TableComparison",
    "TableDigest",
    "Verdict",
    "What",
    "digest",
    "table_digests",
    "verify_link",
    "verify_sync",
]

Report = Callable[[str], None]

LOOKS = 3
"""How often rows on their way are looked at again once the link has caught up; a row that is still on its way then
changes all the time."""
POLL = 0.1


def verify_sync(
    topology: Topology,
    install: Install,
    sync: Sync,
    connector: Connector,
    *,
    report: Report,
    stop: Stop,
    tables: Collection[TableName] | None = None,
    limit: int = 10,
    patience: float = 30.0,
) -> list[TableComparison]:
    """Compare the tables of a sync (or those of them that are named) on its source and each of its targets.

    limit: differences listed per table. patience: seconds to wait for changes on their way. A link whose ends do not
    answer yields FAILED comparisons and does not keep the others from being compared. Raises Interrupted.
    """
    found: list[TableComparison] = []
    for link, back in pairs(topology, install, sync):
        wanted = [name for name in (*link.tables, *link.sequences) if tables is None or name in tables]
        if not link.active:
            idle = link.target if link.source.active else link.source
            found += [_failed(link, name, f"{idle.name} is declared inactive", Verdict.FAILED) for name in wanted]
            continue
        try:
            found += verify_link(
                link,
                back,
                connector,
                wanted,
                thirds=_thirds(topology, link) if back else (),
                report=report,
                stop=stop,
                limit=limit,
                patience=patience,
            )
        except Interrupted:
            raise
        except ReplicatorError as error:
            found += [_failed(link, name, str(error), Verdict.FAILED, error.exit_code) for name in wanted]
    return found


def _thirds(topology: Topology, link: Link) -> list[tuple[Link, Link]]:
    """The links to both ends from each other master of a swap."""
    ways = {(way.source.name, way.target.name): way for way in topology.links(link.install, link.sync)}
    others = [master.name for master in topology.masters(link.sync) if master not in (link.source, link.target)]
    return [(ways[name, link.source.name], ways[name, link.target.name]) for name in others]


def pairs(topology: Topology, install: Install, sync: Sync) -> Iterator[tuple[Link, Link | None]]:
    """The links to compare, each with the one that leads back when there is one: a swap's pair is compared once."""
    links = topology.links(install, sync)
    yield from ((link, None) for link in links if not link.mutual)
    ways = {(link.source.name, link.target.name): link for link in links if link.mutual}
    done: set[tuple[str, str]] = set()
    for (source, target), link in ways.items():
        if (target, source) not in done:
            done.add((source, target))
            yield link, ways[target, source]


def verify_link(
    link: Link,
    back: Link | None,
    connector: Connector,
    tables: Sequence[TableName],
    *,
    report: Report,
    stop: Stop,
    limit: int = 10,
    patience: float = 30.0,
    thirds: Sequence[tuple[Link, Link]] = (),
) -> list[TableComparison]:
    """Compare tables (and sequences) across one link, and the one that leads back if any. Raises ReplicatorErrors.

    thirds: the links to both ends from each other master of a swap.
    """
    with _ends(link, back, connector, thirds) as ends, _interruptible(ends, stop):
        found, comparers = _first_looks(ends, [name for name in tables if name not in link.sequences], report, limit)
        deadline = time.monotonic() + patience
        arrived = _settle(ends, comparers, report, stop, deadline)
        found += [comparer.result(arrived=comparer.table in arrived) for comparer in comparers]
        if not back:  # masters of a swap count for themselves
            found += compare_sequences(ends, [name for name in tables if name in link.sequences], stop, deadline)
    order = {name: number for number, name in enumerate(tables)}
    return sorted(found, key=lambda comparison: order[comparison.table])


def _first_looks(
    ends: Ends, tables: Sequence[TableName], report: Report, limit: int
) -> tuple[list[TableComparison], list[TableComparer]]:
    """The tables that cannot be compared, and the comparisons that have begun of the others."""
    ours, theirs = describe(ends.source, tables), describe(ends.target, tables)
    incomparable, comparers = [], []
    for number, table in enumerate(tables):
        if problem := _incomparable(ends.link, table, ours.get(table), theirs.get(table)):
            incomparable.append(_failed(ends.link, table, problem, Verdict.DIFFERS))
            continue
        report(f"{ends.link}: comparing {table} ({number + 1} of {len(tables)})")
        common = {column.name for column in ours[table].columns} & {column.name for column in theirs[table].columns}
        sides = restricted(ours[table], common), restricted(theirs[table], common)
        comparers.append(TableComparer(ends, *sides, limit, without=_without(ends.link, ours[table], theirs[table])))
        comparers[-1].look()
    return incomparable, comparers


@contextmanager
def _ends(
    link: Link, back: Link | None, connector: Connector, thirds: Sequence[tuple[Link, Link]] = ()
) -> Iterator[Ends]:
    opened: list[Connection] = []
    flusher = Flusher(lambda: connector.open(link.source, "verify flush", autocommit=True))
    try:
        for database in (link.source, link.target, link.target):
            opened.append(connector.open(database, "verify", autocommit=True))
        others = [_third(ways, connector) for ways in thirds]
        opened += [third.connection for third in others if third.connection]
        try:
            yield Ends(link, back, opened[0], opened[1], opened[2], others, flusher)
        except psycopg.Error as error:
            raise translate(error, str(link)) from error
    finally:
        flusher.close()
        for connection in opened:
            connection.close()


def _third(ways: tuple[Link, Link], connector: Connector) -> Third:
    """A third master. One that does not answer keeps nobody from comparing the others."""
    try:
        return Third(ways, connector.open(ways[0].source, "verify", autocommit=True))
    except ReplicatorError as error:
        return Third(ways, None, f"{ways[0].source.name} does not tell what it has sent: {error}")


@contextmanager
def _interruptible(ends: Ends, stop: Stop) -> Iterator[None]:
    """Let a stop request cancel the statement that is being waited for: a large table's digest takes minutes."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL):
            for connection in ends.connections if stop.is_set() else ():
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=5)

    watcher = threading.Thread(target=watch, name="verify-watch", daemon=True)
    watcher.start()
    try:
        yield
    except psycopg.Error as error:
        if stop.is_set():
            raise Interrupted("the comparison was interrupted.") from error
        raise
    finally:
        done.set()
        watcher.join()


def _incomparable(link: Link, table: TableName, ours: Relation | None, theirs: Relation | None) -> str:
    """Why a table's rows cannot be compared; empty when they can."""
    for relation, database in ((ours, link.source), (theirs, link.target)):
        if relation is None:
            return f"{table} does not exist on {database.name}"
    assert ours
    assert theirs
    apart = lacking(ours, theirs) + lacking(theirs, ours)
    if apart and (not ours.key or set(apart) & set(ours.key)):
        return "; ".join(differences(ours, theirs, keyed=False))
    return ""


def _without(link: Link, ours: Relation, theirs: Relation) -> str:
    """What a comparison leaves out, as a clause: the columns that one side has alone."""
    sides = ((link.source.name, lacking(ours, theirs)), (link.target.name, lacking(theirs, ours)))
    return " and ".join(f"without {', '.join(names)}, which only {database} has" for database, names in sides if names)


def _settle(
    ends: Ends, comparers: Sequence[TableComparer], report: Report, stop: Stop, deadline: float
) -> set[TableName]:
    """Wait for what was on its way and look again; the tables whose earlier changes have all come over."""
    arrived: set[TableName] = set()
    for _ in range(LOOKS):
        pending = [comparer for comparer in comparers if comparer.in_flight]
        if not pending:
            break
        rows = sum(comparer.in_flight for comparer in pending)
        report(f"{ends.link}: waiting for the changes of {rows} rows")
        over = _wait(ends, pending, stop, deadline)
        for comparer in pending:
            if comparer.table in over:  # of the others, nothing better can be said than the first time
                report(f"{ends.link}: looking at {comparer.table} again")
                comparer.look()
        arrived = (arrived - {comparer.table for comparer in pending}) | over
        if len(over) < len(pending):
            break
    return arrived


def _wait(ends: Ends, pending: Sequence[TableComparer], stop: Stop, deadline: float) -> set[TableName]:
    """Those of the tables whose changes, as last looked at, have come over before the deadline."""
    left = {comparer.table: comparer for comparer in pending}
    while True:
        left = {table: comparer for table, comparer in left.items() if not ends.arrived(table, comparer.seen)}
        if not left or time.monotonic() >= deadline:
            return {comparer.table for comparer in pending} - left.keys()
        stop.wait(POLL)
        stop.raise_if_set()


def _failed(link: Link, table: TableName, note: str, verdict: Verdict, exit_code: int = 0) -> TableComparison:
    return TableComparison(
        sync=link.sync.name,
        table=table,
        source=link.source.name,
        target=link.target.name,
        verdict=verdict,
        note=note,
        exit_code=exit_code,
    )
