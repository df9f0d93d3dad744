"""What change logs keep for targets that are far behind: how old it is, about how much, and on which sources.

Derived from the targets' positions and the logs at this moment. A target that does not answer has its position with it,
so it counts as having nothing. Cheap: of a log that is long, rows and bytes are estimated from the server's statistics
and from the log's sequence numbers. Writes nowhere. Which of it is worth a warning is said by the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from psycopg import sql

from replicator import progress
from replicator.capture import Captured, Kind
from replicator.capture.captured import logs
from replicator.capture.delta import carried, unseen
from replicator.config import Config
from replicator.errors import ReplicatorError, Unreachable
from replicator.model import Database, Link, SyncType, TableName
from replicator.postgres import Connection, Connector, fetch_one, translated
from replicator.snapshot import NOTHING, Snapshot
from replicator.status.lag import COUNT_MS, MEASURE_SECONDS, at_once, hurried

EXACT = 10_000
"""Rows up to which they are counted."""


@dataclass(frozen=True)
class Kept:
    """What one source keeps for a target, over all tables of a sync. rows, bytes: about, unless `exact`."""

    source: str
    rows: int
    bytes: int
    exact: bool

    def __str__(self) -> str:
        return f"{'' if self.exact else 'about '}{self.rows} rows, {size(self.bytes)} on {self.source}"


@dataclass(frozen=True)
class Burden:
    """What is kept for one target of a sync. seconds: the age of the oldest change that it lacks. why: a clause."""

    sync: str
    target: str
    seconds: float
    kept: tuple[Kept, ...]
    why: str = ""

    @property
    def bytes(self) -> int:
        """On all sources."""
        return sum(kept.bytes for kept in self.kept)

    def __str__(self) -> str:
        behind = f"{self.target} is {length(self.seconds)} behind{f' ({self.why})' if self.why else ''}"
        kept = "; ".join(map(str, self.kept))
        return (
            f"{behind}. Change logs kept for it: {kept}. Bring it back, or let it go:"
            f" `replicator remove-node {self.sync} {self.target}`."
        )


def late(burdens: Iterable[Burden], config: Config) -> list[Burden]:
    """Those that are worth a warning. Pure."""
    return [
        burden
        for burden in burdens
        if burden.seconds > config.warn_behind.total_seconds() or burden.bytes > config.warn_kept
    ]


@dataclass
class _Part:
    """What one log keeps for one link."""

    rows: int
    bytes: int
    seconds: float
    exact: bool


@dataclass
class _Target:
    """A target's positions, by sync and source; why: it does not answer."""

    seen: dict[tuple[str, str], Mapping[TableName, Snapshot]] = field(default_factory=dict)
    why: str = ""


def measure(connector: Connector, links: Collection[Link]) -> list[Burden]:
    """What is kept for the targets of links. Sources that do not answer are left out: nobody knows what they keep."""
    links = [link for link in links if link.source.active]
    targets = at_once(
        {name: _positions(connector, [link for link in links if link.target.name == name]) for name in _names(links)},
        MEASURE_SECONDS,
    )
    work = {
        link.source.name: _source(connector, [one for one in links if one.source == link.source], targets)
        for link in links
    }
    found = at_once(work, MEASURE_SECONDS)
    parts = {link: part for name in work for link, part in found.get(name, [])}
    return [
        burden
        for sync, target in dict.fromkeys((link.sync.name, link.target.name) for link in links)
        if (burden := _sum(sync, target, parts, targets))
    ]


def _names(links: Collection[Link]) -> list[str]:
    return list(dict.fromkeys(link.target.name for link in links))


def _sum(
    sync: str, target: str, parts: Mapping[tuple[str, str, str], _Part], targets: Mapping[str, _Target]
) -> Burden | None:
    mine = {source: part for (name, source, to), part in parts.items() if (name, to) == (sync, target) and part.rows}
    if not mine:
        return None
    kept = tuple(Kept(source, part.rows, part.bytes, part.exact) for source, part in mine.items())
    why = targets[target].why if target in targets else f"{target} does not answer"
    return Burden(sync, target, max(part.seconds for part in mine.values()), kept, why)


def _positions(connector: Connector, links: list[Link]) -> Callable[[], _Target]:
    target: Database = links[0].target

    def work() -> _Target:
        if not target.active:
            return _Target(why="it is declared inactive")
        found = _Target()
        try:
            with connector.open(hurried(target), "status", autocommit=True) as connection, translated(str(target)):
                if progress.exists(connection, links[0].install):
                    for link in links:
                        name = (link.sync.name, link.source.name)
                        found.seen[name] = progress.followed(connection, link.install, *name)()
        except Unreachable:
            return _Target(why="it does not answer")
        except ReplicatorError as error:
            return _Target(why=str(error))
        if any(link.sync.paused for link in links):
            found.why = "the sync is paused"
        return found

    return work


def _source(
    connector: Connector, links: list[Link], targets: Mapping[str, _Target]
) -> Callable[[], list[tuple[tuple[str, str, str], _Part]]]:
    def work() -> list[tuple[tuple[str, str, str], _Part]]:
        found = []
        source = links[0].source
        try:
            with connector.open(hurried(source), "status", autocommit=True) as connection, translated(str(source)):
                if not progress.exists(connection, links[0].install):
                    return []
                connection.execute("select set_config('statement_timeout', %s, false)", [str(COUNT_MS)])
                captured = logs(connection, links[0].install)
                for link in links:
                    seen = targets.get(link.target.name, _Target()).seen.get((link.sync.name, source.name), {})
                    found.append(
                        ((link.sync.name, source.name, link.target.name), _of_link(connection, link, captured, seen))
                    )
        except ReplicatorError:
            return found
        return found

    return work


def _of_link(
    connection: Connection,
    link: Link,
    captured: Mapping[tuple[TableName, Kind], Captured],
    seen: Mapping[TableName, Snapshot],
) -> _Part:
    kind = Kind.TOUCH if link.sync.type is SyncType.FULLCOPY else Kind.ROWS
    total = _Part(0, 0, 0.0, exact=True)
    for table in link.tables:
        if log := captured.get((table, kind)):
            part = _of_log(connection, link, log, seen.get(table, NOTHING))
            total.rows += part.rows
            total.bytes += part.bytes
            total.seconds = max(total.seconds, part.seconds)
            total.exact = total.exact and part.exact
    return total


ABOUT = """
select (select count(*) from (select from {log} l where {unseen} limit {most}) s),
       (select count(*) from (select from {log} limit {most}) s),
       (select extract(epoch from clock_timestamp() - l.changed_at) from {log} l
        where {unseen} and {sent} and l.changed_at > 'epoch' order by l.xid, l.seq limit 1),
       (select l.seq from {log} l where {unseen} order by l.xid, l.seq limit 1),
       (select seq from {log} order by xid, seq limit 1), (select seq from {log} order by xid desc, seq desc limit 1),
       pg_total_relation_size(c.oid),
       case when c.relpages > 0 and c.reltuples > 0
            then c.reltuples / c.relpages * pg_relation_size(c.oid) / current_setting('block_size')::int end
from pg_class c where c.oid = {name}::regclass
"""


def _of_log(connection: Connection, link: Link, log: Captured, since: Snapshot) -> _Part:
    table = sql.Identifier(link.install.schema, log.log)
    query = sql.SQL(ABOUT).format(
        log=table,
        unseen=unseen("l.xid", since),
        sent=sql.SQL(carried(link)),
        most=sql.Literal(EXACT + 1),
        name=sql.Literal(table.as_string(connection)),
    )
    counted, whole, seconds, first_unseen, first, last, size_, estimate = fetch_one(connection, query)
    if not counted or (seconds is None and since is not NOTHING):
        return _Part(0, 0, 0.0, exact=True)  # what is left was not written for it, and goes when its position moves
    if whole <= EXACT:
        share, rows = counted / whole, counted
    else:
        share = min(1.0, (last - first_unseen + 1) / max(1, last - first + 1))
        rows = counted if counted <= EXACT else max(counted, int(share * float(estimate or 0)))
    return _Part(rows, int(share * size_), max(0.0, float(seconds or 0)), exact=counted <= EXACT)


def size(count: int) -> str:
    """A number of bytes in the largest unit of which there is one."""
    for unit, power in (("GB", 3), ("MB", 2), ("kB", 1)):
        if count >= 1024**power:
            return f"{count / 1024**power:.1f} {unit}"
    return f"{count} bytes"


def length(seconds: float) -> str:
    """A length of time in days, hours, minutes, whatever is the largest of which there is one."""
    span = timedelta(seconds=int(seconds))
    hours, minutes = divmod(span.seconds // 60, 60)
    if span.days:
        return f"{span.days}d{hours:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{span.seconds % 60:02}s"
