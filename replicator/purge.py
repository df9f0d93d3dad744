"""Removes the change log rows that nobody needs any more, and says what it keeps and for whom.

A log row may go when every link that reads the log has it in its position, which the targets keep. A target that does
not answer, or that has not got the table yet, therefore keeps everything. The logs of a swap serve longer: they are
the memory of versions and deletions against which arriving changes are judged, so a row stays until all members have it
and all that was written without knowing it has arrived: two generations (see `Generations`).

Rows are removed up to a transaction id below which everything is settled, not one by one by visibility: the primary
key finds them, and a transaction that holds the id back holds back vacuum too, so nothing would be gained.

Deciding (`Reader`, `horizon`, `Generations`) is pure; `Purger` acts, again and again, as a task of the master.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import sql

from replicator import postgres, progress
from replicator.capture.needs import Kind
from replicator.capture.read import match_keys
from replicator.capture.setup import Captured, logs
from replicator.catalog import Catalog
from replicator.errors import LockedOut, ReplicatorError
from replicator.model import Database, Install, Link, SyncType, TableName, Topology
from replicator.postgres import Connection, Connector, fetch_one, translated
from replicator.progress import Origin, Position, TablePosition
from replicator.relations import Relation, describe
from replicator.signals import Stop
from replicator.snapshot import Snapshot
from replicator.verify.flight import PURGE

CHUNK = 50_000
"""Rows removed in one transaction."""


@dataclass(frozen=True)
class Reader:
    """Somebody who needs a log's rows until `seen` sees them. None: all of them, because of `why`."""

    name: str
    seen: Snapshot | None
    why: str = ""


@dataclass(frozen=True)
class Horizon:
    """Rows of transactions below `xid` may go. holder: who keeps the rest, and why."""

    xid: int
    holder: str


def horizon(readers: Iterable[Reader], now: Snapshot) -> Horizon:
    """How far a log may be removed. now: a snapshot of its node, for a log that nobody reads."""
    held = Horizon(now.xmin, "transactions in progress")
    for reader in readers:
        if reader.seen is None:
            return Horizon(0, f"{reader.name}: {reader.why}")
        if reader.seen.xmin < held.xid:
            held = Horizon(reader.seen.xmin, reader.name)
    return held


@dataclass
class Generations:
    """The generations of one swap, kept in memory: after a restart they begin anew, which only delays.

    A generation begins with a snapshot of each member. It ends when each member's position on each other one covers
    that other one's snapshot: a batch that was begun within it has arrived everywhere. What such a snapshot sees is
    known to all once its generation has ended; and whatever was written without knowing it has arrived everywhere once
    the generation after that has ended. So after two, a version is no longer needed to judge by.
    """

    members: Mapping[str, Origin] = field(default_factory=dict)
    begun: Mapping[str, Snapshot] | None = None
    ended: tuple[Mapping[str, Snapshot], ...] = ()

    def advance(
        self,
        members: Mapping[str, Origin],
        now: Mapping[str, Snapshot],
        positions: Mapping[tuple[str, str], Snapshot | None],
    ) -> None:
        """End the generation if the positions, by (source, target), say so; begin one where there is none.

        members: whose histories the snapshots are of; where one is another than before, all begins anew.
        """
        if members != self.members:
            self.members, self.begun, self.ended = dict(members), None, ()
        if self.begun is not None and self._over(self.begun, positions):
            self.ended = (*self.ended, self.begun)[-2:]
            self.begun = None
        if self.begun is None:
            self.begun = {name: now[name] for name in members}

    @staticmethod
    def _over(begun: Mapping[str, Snapshot], positions: Mapping[tuple[str, str], Snapshot | None]) -> bool:
        pairs = [(source, target) for source in begun for target in begun if source != target]
        at = [(positions.get(pair), begun[pair[0]]) for pair in pairs]
        return all(position is not None and position.covers(start) for position, start in at)

    def settled(self, member: str) -> Snapshot | None:
        """The snapshot of a member whose rows are needed no longer; None while fewer than two have ended."""
        return self.ended[0].get(member) if len(self.ended) == 2 else None


State = dict[str, Generations]
"""By the name of the swap."""


@dataclass(frozen=True, kw_only=True)
class PurgeReport:
    """One log of one node. deleted: rows removed now. kept, oldest: measured only when asked for.

    kept: rows left, exact up to `EXACT`, else estimated. holder: who keeps them.
    """

    node: str
    table: TableName
    kind: Kind
    deleted: int = 0
    kept: int | None = None
    oldest: datetime | None = None
    holder: str = ""


@dataclass(frozen=True)
class Purged:
    """silent: the databases that did not answer, or where something went wrong, with why."""

    reports: tuple[PurgeReport, ...]
    silent: Mapping[str, str]

    @property
    def deleted(self) -> int:
        """Rows removed."""
        return sum(report.deleted for report in self.reports)


EXACT = 10_000


class Purger:
    """Purges an install's nodes, as a task of one thread: call `once` every few seconds."""

    def __init__(self, connector: Connector, stop: Stop) -> None:
        self._connector = connector
        self._stop = stop
        self._state: State = {}

    def once(self, *, measure: bool = False) -> Purged:
        """Purge every node. Raises as `Catalog.open` does; what goes wrong on a node is in the result."""
        with Catalog.open(self._connector, "purge") as catalog:
            revision = catalog.revision()
            topology = catalog.topology()
            return purge_once(
                topology,
                self._connector.config.install,
                self._connector,
                self._state,
                current=lambda: catalog.revision() == revision,
                stop=self._stop,
                measure=measure,
            )


def purge_once(
    topology: Topology,
    install: Install,
    connector: Connector,
    state: State,
    *,
    current: Callable[[], bool] = lambda: True,
    stop: Stop | None = None,
    measure: bool = False,
) -> Purged:
    """Remove what may go on every node that answers. state: kept between calls; begin with an empty one.

    current: whether `topology` is still what is declared. It is asked after the positions were read: a sync that is
    added later than that begins with a snapshot that is later than those positions, so it misses nothing that goes.
    """
    silent: dict[str, str] = {}
    with ExitStack() as stack:
        positions = _positions(topology, install, connector, silent)
        nodes = _nodes(stack, topology, install, connector, silent)
        if not current():
            return Purged((), silent)
        _advance(topology, install, state, nodes, positions)
        reports: list[PurgeReport] = []
        for node in nodes.values():
            try:
                for log in node.logs:
                    held = horizon(_readers(topology, install, state, node, log, positions), node.now)
                    reports.append(_purge(node, install, log, held, stop or Stop(), measure=measure))
            except ReplicatorError as error:
                silent[node.database.name] = str(error)
        return Purged(tuple(reports), silent)


@dataclass(frozen=True)
class _At:
    """A target's positions on one link."""

    position: Position | None
    tables: Mapping[TableName, TablePosition]


Key = tuple[str, str, str]
"""Sync, source, target."""


def _key(link: Link) -> Key:
    return link.sync.name, link.source.name, link.target.name


def _positions(topology: Topology, install: Install, connector: Connector, silent: dict[str, str]) -> dict[Key, _At]:
    """How far each link is; those of targets that do not answer are missing."""
    found: dict[Key, _At] = {}
    links: dict[str, list[Link]] = {}
    for link in topology.all_links(install):
        links.setdefault(link.target.name, []).append(link)
    for name, mine in links.items():
        if not topology.databases[name].active:
            continue
        try:
            with translated(name), connector.open(topology.databases[name], "purge", autocommit=True) as target:
                if progress.exists(target, install):
                    found |= {_key(link): _read(target, link) for link in mine}
        except ReplicatorError as error:
            silent[name] = str(error)
    return found


def _read(target: Connection, link: Link) -> _At:
    args = (target, link.install, link.sync.name, link.source.name)
    return _At(progress.read(*args), progress.tables(*args))


@dataclass(frozen=True)
class _Node:
    """A node that answers. now: a snapshot taken after the positions were read."""

    database: Database
    connection: Connection
    origin: Origin
    now: Snapshot
    logs: Sequence[Captured]
    relations: Mapping[TableName, Relation]


def _nodes(
    stack: ExitStack, topology: Topology, install: Install, connector: Connector, silent: dict[str, str]
) -> dict[str, _Node]:
    found: dict[str, _Node] = {}
    for name in dict.fromkeys(link.source.name for link in topology.all_links(install)):
        database = topology.databases[name]
        if not database.active:
            continue
        try:
            connection = stack.enter_context(connector.open(database, "purge", autocommit=True))
            with translated(name):
                if progress.exists(connection, install):
                    found[name] = _look(connection, database, install)
        except ReplicatorError as error:
            silent[name] = str(error)
    return found


def _look(connection: Connection, database: Database, install: Install) -> _Node:
    mine = list(logs(connection, install).values())
    now = fetch_one(connection, "select txid_current_snapshot()::text")[0]
    return _Node(
        database=database,
        connection=connection,
        origin=progress.origin(connection, install),
        now=Snapshot.parse(now),
        logs=mine,
        relations=describe(connection, [log.table for log in mine if log.versions]),
    )


def _advance(
    topology: Topology, install: Install, state: State, nodes: Mapping[str, _Node], positions: Mapping[Key, _At]
) -> None:
    swaps = [sync for sync in topology.syncs.values() if sync.type is SyncType.SWAP]
    for gone in state.keys() - {sync.name for sync in swaps}:
        del state[gone]
    for sync in swaps:
        names = [member.name for member in topology.members(sync)]
        if not set(names) <= nodes.keys():
            continue
        state.setdefault(sync.name, Generations()).advance(
            {name: nodes[name].origin for name in names},
            {name: nodes[name].now for name in names},
            {
                (link.source.name, link.target.name): _shared(positions.get(_key(link)), nodes[link.source.name])
                for link in topology.links(install, sync)
            },
        )


def _shared(at: _At | None, node: _Node) -> Snapshot | None:
    """A link's position, if it is one on this node's history and holds for all its tables."""
    if at is None or at.position is None or at.position.origin != node.origin:
        return None
    return at.position.snapshot if all(table.snapshot is None for table in at.tables.values()) else None


def _readers(
    topology: Topology, install: Install, state: State, node: _Node, log: Captured, positions: Mapping[Key, _At]
) -> Iterator[Reader]:
    for link in topology.all_links(install):
        kind = Kind.TOUCH if link.sync.type is SyncType.FULLCOPY else Kind.ROWS
        if link.source.name != node.database.name or log.table not in link.tables or kind is not log.kind:
            continue
        yield _reader(link, node, log, positions.get(_key(link)))
        if link.sync.type is SyncType.SWAP:
            settled = state.get(link.sync.name, Generations()).settled(node.database.name)
            yield Reader(f"{link.sync.name}", settled, "its versions serve until two more rounds have gone about")


def _reader(link: Link, node: _Node, log: Captured, at: _At | None) -> Reader:
    name = str(link)
    if at is None:
        idle = "does not answer, or was never written to" if link.target.active else "is declared inactive"
        return Reader(name, None, f"{link.target.name} {idle}")
    table = at.tables.get(log.table)
    if at.position is None and (table is None or table.snapshot is None):
        return Reader(name, None, "nothing has arrived yet")
    if at.position is not None and at.position.origin != node.origin:
        return Reader(name, None, "the source is not the one that it was following")
    if table is None or table.capture != log.id:
        return Reader(name, None, "the table has yet to be copied")
    if table.snapshot is not None:
        return Reader(name, table.snapshot)
    return Reader(name, at.position.snapshot if at.position else None)


def _purge(node: _Node, install: Install, log: Captured, held: Horizon, stop: Stop, *, measure: bool) -> PurgeReport:
    with translated(str(node.database)):
        deleted = sum(_delete_in_chunks(node, install, log, held.xid, stop))
        kept, oldest = _measure(node, install, log) if measure else (None, None)
    return PurgeReport(
        node=node.database.name,
        table=log.table,
        kind=log.kind,
        deleted=deleted,
        kept=kept,
        oldest=oldest,
        holder=held.holder if kept else "",
    )


def _delete_in_chunks(node: _Node, install: Install, log: Captured, xid: int, stop: Stop) -> Iterator[int]:
    if log.versions and log.table not in node.relations:
        return  # the table is gone: its log goes when it is released
    rows = CHUNK
    while rows == CHUNK and not stop.is_set():
        try:
            with translated(str(node.database)), node.connection.transaction():
                rows = _delete_some(node, install, log, xid)
        except LockedOut:
            return  # an application, or a comparison, was quicker: there is a next time
        yield rows


def _delete_some(node: _Node, install: Install, log: Captured, xid: int) -> int:
    """Remove up to a chunk of a log's rows. In a transaction, which keeps comparisons from beginning meanwhile."""
    connection = node.connection
    postgres.give_way(connection)
    key = install.lock_key(PURGE)
    if not fetch_one(connection, "select pg_try_advisory_xact_lock(%s)", [key])[0]:
        raise LockedOut(f"{node.database}: a comparison is about to begin.")
    if log.kind is Kind.ROWS:
        _delete_truncated(connection, install, log, xid)
    old = sql.SQL(
        "l.ctid = any(array(select ctid from {log} where xid < {xid} order by xid, seq limit {chunk}))"
    ).format(log=sql.Identifier(install.schema, log.log), xid=sql.Literal(xid), chunk=sql.Literal(CHUNK))
    query = (
        _delete_versions(install, log, node.relations[log.table], old) if log.versions else _delete(install, log, old)
    )
    return int(fetch_one(connection, query)[0])


def _delete_truncated(connection: Connection, install: Install, log: Captured, xid: int) -> None:
    connection.execute(
        sql.SQL("delete from {}.truncated where xid < %s and schema_name = %s and table_name = %s").format(
            sql.Identifier(install.schema)
        ),
        [xid, log.table.schema, log.table.name],
    )


def _delete(install: Install, log: Captured, old: sql.Composed) -> sql.Composed:
    return sql.SQL("with gone as (delete from {} l where {} returning 1) select count(*) from gone").format(
        sql.Identifier(install.schema, log.log), old
    )


VERSIONS = """
with gone as (
    delete from {log} l where {old} returning l.*
), raised as (
    update {node} set floor = (select max(changed_at) from gone) where floor < (select max(changed_at) from gone)
), heirs as (
    select l.xid, l.seq, max(g.changed_at) as at from gone g
    join {log} l on {same_key} and l.seq > g.seq and l.changed_at < g.changed_at
    where not exists (select from gone x where (x.xid, x.seq) = (l.xid, l.seq))
    group by l.xid, l.seq
), mended as (
    update {log} l set changed_at = h.at from heirs h where (l.xid, l.seq) = (h.xid, h.seq)
)
select count(*) from gone
"""


def _delete_versions(install: Install, log: Captured, relation: Relation, old: sql.Composed) -> sql.Composed:
    """Remove rows that were versions, without making anything that stays, or comes, older than they were."""
    return sql.SQL(VERSIONS).format(
        log=sql.Identifier(install.schema, log.log),
        node=sql.Identifier(install.schema, "node"),
        old=old,
        same_key=match_keys(relation, "l", "g"),
    )


def _measure(node: _Node, install: Install, log: Captured) -> tuple[int, datetime | None]:
    """How many rows a log holds, and the time of the first of them."""
    query = sql.SQL(
        "select (select count(*) from (select from {log} limit {limit}) s),"
        " (select reltuples::bigint from pg_class where oid = {name}::regclass),"
        " (select changed_at from {log} order by xid, seq limit 1)"
    )
    table = sql.Identifier(install.schema, log.log)
    counted, estimate, oldest = fetch_one(
        node.connection,
        query.format(log=table, limit=sql.Literal(EXACT + 1), name=sql.Literal(table.as_string(node.connection))),
    )
    return (int(counted) if counted <= EXACT else max(int(counted), int(estimate))), oldest
