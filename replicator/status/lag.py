"""How far each target is behind, measured on the nodes at this moment: all links at once, with short time-outs.

A change counts from the source's commit until the batch that brings it has committed on the target. Writes nowhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from psycopg import sql

from replicator import columns, progress
from replicator.capture import Captured, Kind
from replicator.capture.captured import logs
from replicator.capture.decoding.waiting import waiting
from replicator.capture.delta import carried, unseen
from replicator.errors import ReplicatorError
from replicator.model import Database, Link, SyncType, TableName
from replicator.postgres import Connection, Connector, fetch_one, translated
from replicator.snapshot import NOTHING, Snapshot

K = TypeVar("K")
T = TypeVar("T")
Key = tuple[str, str, str]

CONNECT_SECONDS = "2"
COUNT_MS = 1500
MEASURE_SECONDS = 5.0
FIRST_LOOK, COUNTED = 1000, 1_000_000
"""Changes counted: of each table at first, of all together if that was not enough."""


@dataclass(frozen=True)
class Unequal:
    """A table whose definitions differ. parked: nothing of it travels."""

    table: TableName
    parked: bool
    why: str


@dataclass(frozen=True)
class Lag:
    """How far a target is behind. rows: changes not yet there (more: at least that many), None when that is not known.

    seconds: age of the oldest of them, by the source's clock. problem: why something is not known.
    parked: keys set aside on the target. unequal: tables that are parked or travel without some columns, with why.
    tables: how many of the link's tables are there. away: the source does not answer, the target does.
    """

    rows: int | None = None
    more: bool = False
    seconds: float | None = None
    problem: str = ""
    parked: int | None = None
    tables: int = 0
    unequal: tuple[Unequal, ...] = ()
    away: bool = False


def key(link: Link) -> Key:
    """What a link is known by."""
    return link.sync.name, link.source.name, link.target.name


def measure(connector: Connector, links: Collection[Link]) -> dict[Key, Lag]:
    """The lag of each link, all at once. A node that does not answer is the `problem` of its links."""
    work = {key(link): _measurement(connector, link) for link in links}
    found = at_once(work, MEASURE_SECONDS)
    silent = Lag(problem=f"the nodes did not answer within {MEASURE_SECONDS:g} s")
    return {name: found.get(name, silent) for name in work}


def _measurement(connector: Connector, link: Link) -> Callable[[], Lag]:
    def work() -> Lag:
        try:
            return _lag(connector, link)
        except ReplicatorError as error:
            return Lag(problem=str(error))

    return work


def at_once(work: Mapping[K, Callable[[], T]], seconds: float) -> dict[K, T]:
    """Do all the work in threads; what is not done in that time is left out (its threads end by themselves)."""
    done: dict[K, T] = {}

    def do(name: K) -> None:
        done[name] = work[name]()

    threads = [threading.Thread(target=do, args=(name,), name="status", daemon=True) for name in work]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(done)


def hurried(database: Database) -> Database:
    """The database, connecting to which is soon given up."""
    return replace(database, options={**database.options, "connect_timeout": CONNECT_SECONDS})


def _lag(connector: Connector, link: Link) -> Lag:
    install = link.install
    with connector.open(hurried(link.target), "status", autocommit=True) as target, translated(str(link.target)):
        if not progress.exists(target, install):
            return Lag(problem="the first copy has not begun")
        seen = progress.followed(target, install, link.sync.name, link.source.name)()
        parked, unequal = _parked(target, link), _unequal(target, link)
    try:
        opened = connector.open(hurried(link.source), "status", autocommit=True)
    except ReplicatorError as error:
        return Lag(problem=str(error), parked=parked, unequal=unequal, away=True)
    with opened as source, translated(str(link.source)):
        source.execute("select set_config('statement_timeout', %s, false)", [str(COUNT_MS)])
        here = sum(table in seen for table in link.tables)
        return replace(_behind(source, link, seen), parked=parked, unequal=unequal, tables=here)


def unsent(connector: Connector, link: Link) -> Lag:
    """What a link has yet to bring, of tables whose copy is not done all that is logged. Raises ReplicatorErrors."""
    install = link.install
    with connector.open(hurried(link.target), "status", autocommit=True) as target, translated(str(link.target)):
        exists = progress.exists(target, install)
        seen = progress.followed(target, install, link.sync.name, link.source.name)() if exists else {}
        parked = _parked(target, link) if exists else 0
    with connector.open(hurried(link.source), "status", autocommit=True) as source, translated(str(link.source)):
        if not progress.exists(source, install):
            return Lag(rows=0, seconds=0.0, parked=parked)
        lag = _behind(source, link, {table: seen.get(table, NOTHING) for table in link.tables})
        return replace(lag, parked=parked)


def _parked(target: Connection, link: Link) -> int:
    query = sql.SQL("select count(*) from {}.parked where sync = %s and source = %s")
    names = [link.sync.name, link.source.name]
    return int(fetch_one(target, query.format(sql.Identifier(link.install.schema)), names)[0])


def _unequal(target: Connection, link: Link) -> tuple[Unequal, ...]:
    known = columns.read(target, link.install, link.sync.name, link.source.name)
    return tuple(
        Unequal(name, known[name].parked, known[name].note)
        for name in link.tables
        if name in known and known[name].note
    )


def _behind(source: Connection, link: Link, seen: Mapping[TableName, Snapshot]) -> Lag:
    """Count what the target has not seen. Tables whose first copy is not done are left out."""
    if not progress.exists(source, link.install) or not seen:
        return Lag(problem="the first copy is not done")
    kind = Kind.TOUCH if link.sync.type is SyncType.FULLCOPY else Kind.ROWS
    captured = logs(source, link.install)
    parts = [
        _unseen(link, captured[table, kind], since)
        for table, since in seen.items()
        if table in link.tables and (table, kind) in captured
    ]
    if not parts:
        return Lag(rows=0, seconds=0.0)
    rows, seconds, cut = _look(source, parts)
    if cut and (counted := _count(source, parts)) is not None:
        rows, cut = min(counted, COUNTED), counted > COUNTED
    decoded = [
        captured[table, kind].relid for table in seen if (table, kind) in captured and captured[table, kind].decoded
    ]
    if decoded:
        more_rows, more, first = waiting(source, link.install, decoded, COUNTED)
        rows, cut, seconds = rows + more_rows, cut or more, max(seconds, first)
    return Lag(rows=rows, more=cut, seconds=seconds)


def _unseen(link: Link, captured: Captured, since: Snapshot) -> sql.Composed:
    return sql.SQL("select l.changed_at from {} l where {} and {}").format(
        sql.Identifier(link.install.schema, captured.log), unseen("l.xid", since), sql.SQL(carried(link))
    )


def _look(source: Connection, parts: list[sql.Composed]) -> tuple[int, float, bool]:
    """Changes (up to FIRST_LOOK of each table), the age of the oldest, and whether a table has more."""
    limited = [
        sql.SQL("(select {} as part, x.changed_at from ({} limit {}) x)").format(
            sql.Literal(number), part, sql.Literal(FIRST_LOOK)
        )
        for number, part in enumerate(parts)
    ]
    query = sql.SQL(
        "select coalesce(sum(n), 0)::bigint, coalesce(extract(epoch from clock_timestamp() - min(oldest)), 0)::float8,"
        " coalesce(bool_or(n >= {}), false) from (select count(*) n, min(changed_at) oldest"
        " from ({}) y group by part) z"
    ).format(sql.Literal(FIRST_LOOK), sql.SQL(" union all ").join(limited))
    rows, seconds, cut = fetch_one(source, query)
    return int(rows), max(0.0, float(seconds)), bool(cut)


def _count(source: Connection, parts: list[sql.Composed]) -> int | None:
    """All changes, up to one more than COUNTED; None when that would take too long."""
    query = sql.SQL("select count(*) from ({} limit {}) x").format(
        sql.SQL(" union all ").join(parts), sql.Literal(COUNTED + 1)
    )
    try:
        with translated("status"):
            return int(fetch_one(source, query)[0])
    except ReplicatorError:
        return None
