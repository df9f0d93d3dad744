"""The proof that the syncs work: a little traffic on each writer, then every table everywhere, counted and digested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from provision.change import Note
from provision.facts import Server
from provision.inventory import Host, SyncType
from provision.tasks.node import Site
from provision.tasks.replication.catchup import caught_up
from provision.tasks.replication.handover import told_as_ours
from provision.tasks.replication.settings import Settings
from provision.transport import quote
from replicator.catalog import Catalog
from replicator.model import Sync, TableName, Topology
from replicator.postgres import Connector
from replicator.verify import TableDigest, table_digests

TRANSACTIONS = 5
DIGITS = 12

Shell = Callable[[Host, str], None]
"""Runs a script on a host; raises HostFailed when it fails."""


@dataclass(frozen=True)
class Copy:
    """A table in one database. rows: None when it is not there."""

    database: str
    rows: int | None
    digest: str


@dataclass(frozen=True)
class TableProof:
    """A table of a sync in all databases of the sync, the source first."""

    sync: str
    table: str
    copies: tuple[Copy, ...]

    @property
    def equal(self) -> bool:
        """Whether all hold the same rows."""
        return len({(copy.rows, copy.digest) for copy in self.copies}) == 1


@dataclass(frozen=True)
class Proof:
    """traffic: the databases that were written to, with transactions each. tables: what was compared."""

    traffic: tuple[str, ...]
    transactions: int
    tables: tuple[TableProof, ...]

    @property
    def equal(self) -> bool:
        """Whether all tables are."""
        return all(table.equal for table in self.tables)


def prove(site: Site, shell: Shell, note: Note, stopped: Callable[[], bool], traffic: bool) -> Proof:
    """Make the proof. traffic: write first, a few transactions of pgbench; without, only look. Raises HostFailed."""
    connector = Settings(site).connector()
    with told_as_ours(), Catalog.open(connector, "proof") as catalog:
        caught_up(catalog, connector, note, stopped)
        written = writers(site) if traffic else []
        for database in written:
            note(f"pgbench on {database}")
            shell(site.inventory.node(database), pgbench(site, database))
            # One after the other: two masters that write the same row at once would have a winner and a loser.
            caught_up(catalog, connector, note, stopped)
        found = _compare(catalog.topology(), connector, note)
    return Proof(tuple(written), TRANSACTIONS, tuple(found))


def writers(site: Site) -> list[str]:
    """The databases with pgbench's tables that others copy from. Those whose history is itself a copy come first:
    what pgbench adds to it there is replaced when the original is written to."""
    declared = site.inventory.replication
    assert declared is not None
    originals: dict[str, None] = {}
    whole: set[str] = set()
    for sync in declared.syncs.values():
        database = declared.herds[sync.source].database
        originals[database] = None
        if sync.type is SyncType.FULLCOPY:
            whole.add(database)
    filled = [name for name in originals if site.node(site.inventory.node(name)).filled(name)]
    return sorted(filled, key=lambda name: name in whole)


def pgbench(site: Site, database: str) -> str:
    """A fragment that lets pgbench write to a database (-n: without emptying its history first)."""
    declared = site.inventory.replication
    assert declared is not None
    server: Server = site.node(site.inventory.node(database)).server
    dbname = declared.databases[database].dbname or database
    command = f"{server.program('pgbench')} -n -c 1 -t {TRANSACTIONS} {quote(server.conninfo(dbname))} 2>&1"
    return server.under_account(command) if not server.passfile else f"{command}\n"


def _compare(topology: Topology, connector: Connector, note: Note) -> list[TableProof]:
    found = []
    for sync in topology.syncs.values():
        note(f"comparing the tables of {sync.name}")
        tables = topology.herds[sync.herd].tables
        digests = table_digests(connector, topology.members(sync), tables)
        found += [_proof(sync, table, digests[table]) for table in tables]
    return found


def _proof(sync: Sync, table: TableName, digests: Mapping[str, TableDigest | None]) -> TableProof:
    copies: Sequence[Copy] = [
        Copy(name, None, "") if one is None else Copy(name, one.rows, one.digest[:DIGITS])
        for name, one in digests.items()
    ]
    return TableProof(sync.name, str(table), tuple(copies))
