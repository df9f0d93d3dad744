"""What the purge decides by: every target's positions, every node that answers, and so each log's readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from replicator import progress, succession
from replicator.capture.captured import Captured, logs
from replicator.capture.decoding.mover import drain
from replicator.capture.needs import Kind
from replicator.errors import ReplicatorError
from replicator.model import Capture, Database, Install, Link, SyncType, TableName, Topology
from replicator.postgres import Connection, Connector, fetch_one, translated
from replicator.progress import Origin, Position, TablePosition
from replicator.purge.rule import Generations, Reader, State
from replicator.relations import Relation, describe
from replicator.snapshot import Snapshot
from replicator.succession import Left

Key = tuple[str, str, str]
"""Sync, source, target."""


@dataclass(frozen=True)
class At:
    """A target's positions on one link. left: what a slave of a swap has of its leads."""

    position: Position | None
    tables: Mapping[TableName, TablePosition]
    left: Mapping[str, Left] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """A node that answers. now: a snapshot taken after the positions were read; later: one after every node's `now`."""

    database: Database
    connection: Connection
    origin: Origin
    now: Snapshot
    later: Snapshot
    logs: Sequence[Captured]
    relations: Mapping[TableName, Relation]


@dataclass(frozen=True)
class Survey:
    """All that can be known. silent: the databases that did not answer, with why."""

    topology: Topology
    install: Install
    positions: Mapping[Key, At]
    nodes: Mapping[str, Node]
    silent: dict[str, str]

    def shared(self, link: Link) -> Snapshot | None:
        """A link's position, if it is one on the source's present history and holds for all its tables."""
        at = self.positions.get(_key(link))
        if at is None or at.position is None or at.position.origin != self.nodes[link.source.name].origin:
            return None
        return at.position.snapshot if all(table.snapshot is None for table in at.tables.values()) else None

    def heeded(self, link: Link) -> dict[str, Snapshot | None] | None:
        """What the slave at the end of a link has of each master of its swap; None: it is not to be heeded.

        It is while another master could take it over, or that is not known.
        """
        masters = self.topology.masters(link.sync)
        at = self.positions.get(_key(link))
        if at is None:
            return dict.fromkeys(master.name for master in masters)
        wills = {lead: left for lead, left in at.left.items() if left.will is not None}
        if not wills:
            return None
        lead, left = next(iter(wills.items()))
        return {master.name: left.seen(master.name, lead, self.nodes[master.name].origin) for master in masters}

    def readers(self, node: Node, captured: Captured, state: State) -> Iterator[Reader]:
        """Who needs the rows of a node's log, and up to where they have them."""
        for link in self.topology.all_links(self.install):
            kind = Kind.TOUCH if link.sync.type is SyncType.FULLCOPY else Kind.ROWS
            if link.source.name != node.database.name or captured.table not in link.tables or kind is not captured.kind:
                continue
            yield _reader(link, node, captured, self.positions.get(_key(link)))
            if link.mutual:
                settled = state.get(link.sync.name, Generations()).settled(node.database.name)
                yield Reader(link.sync.name, settled, "its versions serve until two more rounds have gone about")


def _key(link: Link) -> Key:
    return link.sync.name, link.source.name, link.target.name


def _reader(link: Link, node: Node, captured: Captured, at: At | None) -> Reader:
    name = str(link)
    if at is None:
        idle = "does not answer, or was never written to" if link.target.active else "is declared inactive"
        return Reader(name, None, f"{link.target.name} {idle}")
    table = at.tables.get(captured.table)
    if at.position is None and (table is None or table.snapshot is None):
        return Reader(name, None, "nothing has arrived yet")
    if at.position is not None and at.position.origin != node.origin:
        return Reader(name, None, "the source is not the one that it was following")
    if table is None or table.capture != captured.id:
        return Reader(name, None, "the table has yet to be copied")
    if table.snapshot is not None:
        return Reader(name, table.snapshot)
    return Reader(name, at.position.snapshot if at.position else None)


def take(stack: ExitStack, topology: Topology, install: Install, connector: Connector) -> Survey:
    """Read the positions, then look at the nodes, whose connections stay open with `stack`, and then once more.

    What a node has at the first look its author has at the second, in whatever order they are looked at.
    """
    silent: dict[str, str] = {}
    positions = _positions(topology, install, connector, silent)
    nodes = _look_again(_nodes(stack, topology, install, connector, silent), silent)
    return Survey(topology, install, positions, nodes, silent)


def _positions(topology: Topology, install: Install, connector: Connector, silent: dict[str, str]) -> dict[Key, At]:
    """How far each link is; those of targets that do not answer are missing."""
    found: dict[Key, At] = {}
    links: dict[str, list[Link]] = {}
    for link in topology.all_links(install):
        if link.target.active:
            links.setdefault(link.target.name, []).append(link)
    for name, mine in links.items():
        try:
            with translated(name), connector.open(mine[0].target, "purge", autocommit=True) as target:
                if progress.exists(target, install):
                    found |= {_key(link): _read(target, link) for link in mine}
        except ReplicatorError as error:
            silent[name] = str(error)
    return found


def _read(target: Connection, link: Link) -> At:
    args = (target, link.install, link.sync.name, link.source.name)
    left = succession.read(target, link.install, link.sync.name) if link.led else {}
    return At(progress.read(*args), progress.tables(*args), left)


def _nodes(
    stack: ExitStack, topology: Topology, install: Install, connector: Connector, silent: dict[str, str]
) -> dict[str, Node]:
    found: dict[str, Node] = {}
    sources = {link.source.name: link.source for link in topology.all_links(install) if link.source.active}
    for name, database in sources.items():
        try:
            with translated(name):
                connection = stack.enter_context(connector.open(database, "purge", autocommit=True))
                if progress.exists(connection, install):
                    if database.capture is Capture.WAL:
                        drain(connection, install)  # what nobody reads now need not be kept in the WAL
                    found[name] = _look(connection, database, install)
        except ReplicatorError as error:
            silent[name] = str(error)
    return found


def _look_again(nodes: Mapping[str, Node], silent: dict[str, str]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for name, node in nodes.items():
        try:
            with translated(name):
                found[name] = replace(node, later=_snapshot(node.connection))
        except ReplicatorError as error:
            silent[name] = str(error)
    return found


def _look(connection: Connection, database: Database, install: Install) -> Node:
    mine = list(logs(connection, install).values())
    now = _snapshot(connection)
    return Node(
        database=database,
        connection=connection,
        origin=progress.origin(connection, install),
        now=now,
        later=now,
        logs=mine,
        relations=describe(connection, [captured.table for captured in mine if captured.versions]),
    )


def _snapshot(connection: Connection) -> Snapshot:
    return Snapshot.parse(fetch_one(connection, "select txid_current_snapshot()::text")[0])
