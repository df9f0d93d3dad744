"""The proof that the syncs work: a little traffic on each writer, then every table everywhere, counted and digested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from provision.change import Note
from provision.facts import Server
from provision.inventory import Host, SyncType
from provision.tasks.node import Site
from provision.tasks.replication.catchup import caught_up
from provision.tasks.replication.daemons import told_as_ours
from provision.tasks.replication.reach import Reach
from provision.transport import quote
from replicator.catalog import Catalog
from replicator.model import Sync, TableName, Topology
from replicator.postgres import Connector
from replicator.signals import Stop
from replicator.verify import TableDigest, Verdict, table_digests, verify_sync

TRANSACTIONS = 5
DIGITS = 12

EQUAL, BEHIND, DIFFERENT = "equal", "behind", "different"

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
    """A table of a sync in all databases of the sync, the source first.

    A table that is being written to has no two equal digests; it is compared row by row, with changes on their way
    left out. verdict: "equal", "behind" (all that differs is on its way) or "different". note: what else there is to
    say.
    """

    sync: str
    table: str
    copies: tuple[Copy, ...]
    verdict: str = EQUAL
    note: str = ""


@dataclass(frozen=True)
class Proof:
    """traffic: the databases that were written to, with transactions each. tables: what was compared."""

    traffic: tuple[str, ...]
    transactions: int
    tables: tuple[TableProof, ...]

    @property
    def different(self) -> tuple[TableProof, ...]:
        """The tables that nothing on its way will make equal."""
        return tuple(table for table in self.tables if table.verdict == DIFFERENT)


def prove(site: Site, shell: Shell, note: Note, stopped: Callable[[], bool], traffic: bool) -> Proof:
    """Make the proof. traffic: write first, a few transactions of pgbench; without, only look. Raises HostFailed."""
    with told_as_ours(), Reach(site) as reach:
        connector = reach.connector()
        with Catalog.open(connector, "proof") as catalog:
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


Digests = Mapping[str, Mapping[TableName, TableDigest | None]]
"""By database and table; None where there is no such table."""


def _compare(topology: Topology, connector: Connector, note: Note) -> list[TableProof]:
    digests = _digests(topology, connector, note)
    found = []
    for sync in topology.syncs.values():
        members = [member.name for member in topology.members(sync)]
        tables = topology.herds[sync.herd].tables
        different = [table for table in tables if len({digests[name][table] for name in members}) > 1]
        why = _differences(topology, connector, sync, different, note) if different else {}
        found += [_proof(sync, table, members, digests, why.get(table)) for table in tables]
    return found


def _digests(topology: Topology, connector: Connector, note: Note) -> Digests:
    """The digest of each table that is in a sync, each database looked at once."""
    wanted: dict[str, dict[TableName, None]] = {}
    for sync in topology.syncs.values():
        for member in topology.members(sync):
            wanted.setdefault(member.name, {}).update(dict.fromkeys(topology.herds[sync.herd].tables))
    found: dict[str, dict[TableName, TableDigest | None]] = {}
    for name, tables in wanted.items():
        note(f"reading the tables of {name}")
        by_table = table_digests(connector, [topology.databases[name]], list(tables))
        found[name] = {table: by_table[table][name] for table in tables}
    return found


def _differences(
    topology: Topology, connector: Connector, sync: Sync, tables: Sequence[TableName], note: Note
) -> dict[TableName, tuple[str, str]]:
    """Verdict and note for tables of unequal digests."""
    install = connector.config.install
    compared = verify_sync(topology, install, sync, connector, report=note, stop=Stop(), tables=tables)
    found = dict.fromkeys(tables, (EQUAL, "while being written to"))
    for one in sorted(compared, key=lambda one: one.verdict is not Verdict.BEHIND):
        if one.verdict is Verdict.BEHIND:
            found[one.table] = BEHIND, f"{one.behind} rows on their way from {one.source} to {one.target}"
        elif one.verdict is not Verdict.EQUAL:
            what = f"{one.differences} rows between {one.source} and {one.target}" if one.differences else one.note
            found[one.table] = DIFFERENT, what
    return found


def _proof(
    sync: Sync, table: TableName, members: Sequence[str], digests: Digests, why: tuple[str, str] | None
) -> TableProof:
    copies = tuple(_copy(name, digests[name][table]) for name in members)
    return TableProof(sync.name, str(table), copies, *(why or (EQUAL, "")))


def _copy(database: str, found: TableDigest | None) -> Copy:
    return Copy(database, None, "") if found is None else Copy(database, found.rows, found.digest[:DIGITS])
